# SPDX-License-Identifier: Apache-2.0
"""Packets inside a core: building headers, and sending whole packets as flits."""

from amaranth.hdl import Cat, Const, Module, Mux, Signal, Value
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from backspike.hw.blocks import or_reduce
from backspike.hw.noc.flit import FlitStream
from backspike.hw.noc.flow import select
from backspike.spec.packets import HEADER, TAGS

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
    return _packed(HEADER, {"kind": Const(kind, 4), "x": x, "y": y, "host": host, "tag": _packed(TAGS[kind], tag)})


class PacketOutput(wiring.Component):
    """Sends the packets of several sources, one packet after the other, in turns.

    Parameters
    ----------
    shapes: Shapes
    most: for each packet stream, the largest number of payload words of its packets, 0 to 3

    Members
    -------
    packets: streams of {header, words, length}; length is the number of payload words. The source holds the packet
        until it has been sent: it is taken with the last flit
    flits: flit stream; a new packet follows without a bubble
    sent: the last flit of a packet is taken
    busy: a packet is being sent

    ``flits`` follows the chosen source in the same cycle. The choice comes from a register: it moves on when a packet
    ends or the chosen source has none.
    """

    def __init__(self, shapes, most):
        self.shapes, self.most = shapes, tuple(most)
        super().__init__(
            {
                "packets": In(stream.Signature(shapes.packet)).array(len(self.most)),
                "flits": Out(FlitStream),
                "sent": Out(1),
                "busy": Out(1),
            }
        )

    def elaborate(self, platform):
        m = Module()
        sources, words = len(self.most), []
        owner, position = Signal(range(sources)), Signal(2)
        for n, (source, most) in enumerate(zip(self.packets, self.most, strict=True)):
            for k, value in enumerate([source.p.header, *source.p.words][: most + 1]):
                turn = Signal(name=f"turn_{n}_{k}")
                m.d.comb += turn.eq((owner == n) & (position == k))
                words.append(value & turn.replicate(32))
        m.d.comb += [
            self.busy.eq(select([source.valid for source in self.packets], owner)),
            self.flits.valid.eq(self.busy),
            self.flits.p.data.eq(or_reduce(words)),
            self.flits.p.last.eq(position == select([source.p.length for source in self.packets], owner)),
            self.sent.eq(self.busy & self.flits.ready & self.flits.p.last),
            *(
                source.ready.eq(self.flits.ready & self.flits.p.last & (owner == n))
                for n, source in enumerate(self.packets)
            ),
        ]
        with m.If(self.busy & self.flits.ready):
            m.d.sync += position.eq(Mux(self.flits.p.last, 0, position + 1))
        with m.If(~self.busy | self.sent), m.Switch(owner):
            for n in range(sources):
                with m.Case(n) if n < sources - 1 else m.Default():
                    for other in reversed([(n + distance) % sources for distance in range(1, sources)]):
                        with m.If(self.packets[other].valid):
                            m.d.sync += owner.eq(other)
        return m
