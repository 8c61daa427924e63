# SPDX-License-Identifier: Apache-2.0
"""Loads the description of a slice from the core's table into registers."""

from amaranth.hdl import Cat, Module, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from backspike.host.protocol import DESCRIPTOR

__all__ = ["DescriptorLoader"]


class DescriptorLoader(wiring.Component):
    """Shifts the words of one slice's description in, one each cycle.

    Parameters
    ----------
    shapes: Shapes

    Members
    -------
    start: pulse; slice must be stable until ``done``
    address, data: descriptor table, one cycle of latency
    descriptor: the loaded description, stable until the next start
    done: pulse, ``DESCRIPTOR.word_count + 1`` cycles after ``start``
    """

    def __init__(self, shapes):
        self.shapes = shapes
        super().__init__({
            "start": In(1),
            "slice": In(shapes.slice),
            "address": Out(shapes.slice + 4),
            "data": In(32),
            "descriptor": Out(shapes.descriptor),
            "done": Out(1),
        })

    def elaborate(self, platform):
        m = Module()
        count = DESCRIPTOR.word_count
        words = Signal(32 * count)
        number = Signal(range(count + 2))
        loading, arriving = Signal(), Signal()
        m.d.comb += [
            self.address.eq(Cat(number[:4], self.slice)),
            self.descriptor.eq(words[:DESCRIPTOR.width]),
        ]
        m.d.sync += [arriving.eq(loading), self.done.eq(arriving & ~loading)]
        with m.If(self.start):
            m.d.sync += [loading.eq(1), number.eq(0)]
        with m.Elif(loading):
            m.d.sync += number.eq(number + 1)
            with m.If(number == count - 1):
                m.d.sync += loading.eq(0)
        with m.If(arriving):
            m.d.sync += words.eq(Cat(words[32:], self.data))
        return m
