# SPDX-License-Identifier: Apache-2.0
"""Sends each word of spikes to all targets of its slice."""

from amaranth.hdl import Module, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from backspike.hw.core.send.packet_arbiter import packet_header
from backspike.spec.packets import Kind

__all__ = ["SpikeSender"]


class SpikeSender(wiring.Component):
    """One SPIKES packet for each word and target; two cycles for each at best.

    Parameters
    ----------
    shapes: Shapes
    word: shape of the words

    Members
    -------
    words: stream from the neuron update
    route_address, route: route table, one cycle of latency
    packets: packet stream
    busy: a word is in work
    """

    def __init__(self, shapes, word):
        self.shapes = shapes
        super().__init__(
            {
                "words": In(stream.Signature(word)),
                "route_address": Out(shapes.route),
                "route": In(shapes.route_entry),
                "packets": Out(stream.Signature(shapes.packet)),
                "busy": Out(1),
            }
        )

    def elaborate(self, platform):
        m = Module()
        word = self.words.p
        number, read = Signal(self.shapes.route), Signal()
        route, packet = self.route, self.packets.p
        m.d.comb += [
            self.busy.eq(self.words.valid),
            self.route_address.eq(word.targets_base + number),
            self.packets.valid.eq(self.words.valid & read),
            packet.header.eq(
                packet_header(
                    Kind.SPIKES,
                    x=route.x,
                    y=route.y,
                    host=route.host,
                    slice=route.slice,
                    slot=word.slot,
                    step=word.step,
                    word=route.word + word.word,
                    train=word.train,
                )
            ),
            packet.words[0].eq(word.spikes),
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
