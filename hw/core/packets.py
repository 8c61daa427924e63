# SPDX-License-Identifier: Apache-2.0
"""Packets inside a core: building headers, and sending whole packets as flits."""

from amaranth.hdl import Array, Cat, Const, Module, Signal, Value
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from backspike.host.protocol import HEADER, TAGS
from backspike.hw.noc.flit import FlitStream

__all__ = ["PacketOutput", "packet_header"]


def _packed(fields, values):
    if values.keys() != fields.fields.keys():
        raise ValueError(f"fields must be exactly {list(fields.fields)}, not {list(values)}")
    parts = []
    for name, width in fields.fields.items():
        value = Value.cast(values[name])[:width]
        parts += [value, Const(0, width - len(value))]
    return Cat(parts)


def packet_header(kind, *, x=0, y=0, host=0, **tag):
    """Header word, as an expression, from expressions of the destination and the fields of the kind's tag."""
    return _packed(HEADER, {
        "kind": Const(kind, 4), "x": x, "y": y, "host": host, "tag": _packed(TAGS[kind], tag)})


class PacketOutput(wiring.Component):
    """Sends the packets of several sources, one packet after the other, in turns.

    Parameters
    ----------
    shapes: Shapes
    sources: number of packet streams

    Members
    -------
    packets: streams of {header, words, length}; length is the number of payload words, 0 to 3
    flits: flit stream; a new packet follows without a bubble
    sent: a packet was taken from a source
    busy: a packet is being sent
    """

    def __init__(self, shapes, sources):
        self.shapes, self.sources = shapes, sources
        super().__init__({
            "packets": In(stream.Signature(shapes.packet)).array(sources),
            "flits": Out(FlitStream),
            "sent": Out(1),
            "busy": Out(1),
        })

    def elaborate(self, platform):
        m = Module()
        packet = Signal(self.shapes.packet)
        position = Signal(2)
        ending = Signal()
        m.d.comb += [
            self.flits.valid.eq(self.busy),
            self.flits.p.last.eq(position == packet.length),
            self.flits.p.data.eq(Array([packet.header, *(packet.words[k] for k in range(3))])[position]),
            ending.eq(self.flits.ready & self.flits.p.last),
        ]
        with m.If(self.flits.ready):
            m.d.sync += position.eq(position + 1)
        with m.If(~self.busy | ending):
            m.d.sync += self.busy.eq(0)
            self._choose(m, packet, position)
        return m

    def _choose(self, m, packet, position):
        """Take a packet from the first source after the one that was served last."""
        last = Signal(range(self.sources))
        with m.Switch(last):
            for served in range(self.sources):
                with m.Case(served):
                    order = [(served + 1 + k) % self.sources for k in range(self.sources)]
                    for k, source in enumerate(order):
                        stream_ = self.packets[source]
                        earlier = Cat(self.packets[other].valid for other in order[:k]).any() if k else Const(0)
                        with m.If(stream_.valid & ~earlier):
                            m.d.comb += [stream_.ready.eq(1), self.sent.eq(1)]
                            m.d.sync += [packet.eq(stream_.p), self.busy.eq(1), position.eq(0), last.eq(source)]
