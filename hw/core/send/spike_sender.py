# SPDX-License-Identifier: Apache-2.0
"""Sends each word of spikes to all targets of its slice."""

from amaranth.hdl import Module, Mux, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from backspike.hw.core.send.packet_arbiter import packet_header
from backspike.hw.ram import ReadPort
from backspike.spec.packets import Kind

__all__ = ["SpikeSender"]


class SpikeSender(wiring.Component):
    """One SPIKES packet, or MORE, or BACK, for each word and target; two cycles for each at best.

    Some targets get noise.

    Parameters
    ----------
    shapes: Shapes
    word: shape of the words

    Members
    -------
    words: stream from the neuron update
    routes: route table
    packets: packet stream
    busy: a word is in work
    """

    def __init__(self, shapes, word):
        self.shapes = shapes
        super().__init__(
            {
                "words": In(stream.Signature(word)),
                "routes": Out(ReadPort(shapes.route, shapes.route_entry)),
                "packets": Out(stream.Signature(shapes.packet)),
                "busy": Out(1),
            }
        )

    def elaborate(self, platform):
        m = Module()
        word = self.words.p
        number, read = Signal(self.shapes.route), Signal()
        route, packet = self.routes.data, self.packets.p
        fields = {name: route[name] for name in ("x", "y", "host", "slice")}
        fields |= {name: word[name] for name in ("slot", "step", "train")} | {"word": route.word + word.word}
        header = Mux(word.more, packet_header(Kind.MORE, **fields), packet_header(Kind.SPIKES, **fields))
        if self.shapes.back:
            header = Mux(word.back, packet_header(Kind.BACK, **fields), header)
        m.d.comb += [
            self.busy.eq(self.words.valid),
            self.routes.address.eq(word.targets_base + number),
            self.routes.enable.eq(1),
            self.packets.valid.eq(self.words.valid & read),
            packet.header.eq(header),
            packet.words[0].eq(Mux(route.noise, word.noise, word.spikes) if self.shapes.noise else word.spikes),
            packet.words[1].eq(word.masks),
            packet.length.eq(2),
            self.words.ready.eq(self.packets.ready & read & (number + 1 == word.targets)),
        ]
        m.d.sync += read.eq(self.words.valid)
        with m.If(self.packets.valid & self.packets.ready):
            m.d.sync += [read.eq(0), number.eq(number + 1)]
            with m.If(self.words.ready):
                m.d.sync += number.eq(0)
        return m
