# SPDX-License-Identifier: Apache-2.0
"""One group of inputs after the other."""

from amaranth.hdl import Cat, Module, Mux, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from backspike.hw.ram import ReadPort

__all__ = ["GroupLoop"]

SETTLING = 2
"""Cycles without work until a group is taken to be done."""


class GroupLoop(wiring.Component):
    """Loads the entries of a slice's groups of inputs one by one, and waits until the work on each is done.

    Parameters
    ----------
    shapes: Shapes

    Members
    -------
    start: pulse; descriptor is stable until ``busy`` falls
    fan_in: ReadPort of the table; it reads in each cycle
    group: the loaded entry
    behind: it is behind the slice's inputs, one of those that only get errors
    begin: pulse: work on it may begin
    idle: from the parent: nothing is in work
    busy: the last group is not done
    """

    def __init__(self, shapes):
        super().__init__(
            {
                "start": In(1),
                "descriptor": In(shapes.descriptor),
                "fan_in": Out(ReadPort(shapes.fan_in, shapes.fan_in_words)),
                "group": Out(shapes.fan_in_entry),
                "behind": Out(1),
                "begin": Out(1),
                "idle": In(1),
                "busy": Out(1),
            }
        )

    def elaborate(self, platform):
        m = Module()
        # Of the descriptor's number of groups, 1 to all of the table, as many bits count as an address has.
        bits = len(self.fan_in.address)
        index, turn, working = Signal(bits), Signal(3), Signal()  # turn: the entry is read, loaded, told
        quiet, done, final = Signal(SETTLING), Signal(), Signal()
        m.d.comb += [
            self.fan_in.address.eq(self.descriptor.fan_in_base + index),
            self.fan_in.enable.eq(1),
            self.begin.eq(turn[2]),
            done.eq(working & self.idle & quiet[-1]),
            final.eq(index == self.descriptor.groups[:bits]),
        ]
        m.d.sync += [
            turn.eq(Cat(self.start | (done & ~final), turn[:-1])),
            quiet.eq(Mux(working & self.idle, Cat(1, quiet[:-1]), 0)),
        ]
        with m.If(turn[1]):
            m.d.sync += self.group.eq(self.fan_in.data.as_value()[: len(self.group.as_value())])
            with m.If((self.descriptor.errors == 2) & (index == self.descriptor.fan_in[:bits])):
                m.d.sync += self.behind.eq(1)
        with m.If(self.begin):
            m.d.sync += [working.eq(1), index.eq(index + 1)]
        with m.Elif(done):
            m.d.sync += working.eq(0)
        with m.If(self.start):
            m.d.sync += [index.eq(0), self.behind.eq(0), self.busy.eq(1)]
        with m.Elif(done & final):
            m.d.sync += self.busy.eq(0)
        return m
