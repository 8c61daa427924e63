# SPDX-License-Identifier: Apache-2.0
"""Loads the description of a slice from the core's table into registers."""

from amaranth.hdl import Cat, Module, Mux, Signal
from amaranth.lib import wiring
from amaranth.lib.data import ArrayLayout
from amaranth.lib.wiring import In, Out

from backspike.spec.tables import DESCRIPTOR

__all__ = ["DescriptorLoader"]

_ONE_PIXEL = {
    "in_width": 1,
    "in_height": 1,
    "out_width": 1,
    "out_height": 1,
    "kernel": 1,
    "stride": 1,
    "padding": 0,
    "pool": 1,
}
"""What dense layers have in common."""


class DescriptorLoader(wiring.Component):
    """Takes the words of one slice's description, one each cycle.

    Parameters
    ----------
    shapes: Shapes

    Members
    -------
    start: pulse; slice must be stable until ``done``
    address, data: descriptor table, one cycle of latency; busy: it is being read
    descriptor: the loaded description, stable until the next start
    done: pulse, ``Shapes.descriptor_words + 2`` cycles after ``start``
    """

    def __init__(self, shapes):
        self.shapes = shapes
        super().__init__(
            {
                "start": In(1),
                "slice": In(shapes.slice),
                "address": Out(shapes.slice + 4),
                "data": In(32),
                "busy": Out(1),
                "descriptor": Out(shapes.descriptor),
                "done": Out(1),
            }
        )

    def elaborate(self, platform):
        m = Module()
        count = self.shapes.descriptor_words
        words = Signal(ArrayLayout(32, count))
        number = Signal(4)
        turn = Signal(count + 2)  # bit 0: the first address is given; bit n + 1: word n arrives; the last: done
        m.d.comb += [
            self.address.eq(Cat(number, self.slice)),
            self.descriptor.eq(words.as_value()[: DESCRIPTOR.width]),
            self.done.eq(turn[-1]),
        ]
        if self.shapes.config.dense_only:
            m.d.comb += [self.descriptor[name].eq(value) for name, value in _ONE_PIXEL.items()]
        m.d.sync += self.busy.eq((self.busy & ~turn[count]) | self.start)
        m.d.sync += [turn.eq(Cat(self.start, turn[:-1])), number.eq(Mux(self.start, 0, number + 1))]
        # A register for each word, not one that shifts: what nobody uses of it is no hardware.
        for n in range(count):
            with m.If(turn[n + 1]):
                m.d.sync += words[n].eq(self.data)
        return m
