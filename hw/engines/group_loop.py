# SPDX-License-Identifier: Apache-2.0
"""One group of inputs after the other."""

from amaranth.hdl import Module, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

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
    address, words: group table, one cycle of latency
    group: the loaded entry
    begin: pulse: work on it may begin
    idle: from the parent: nothing is in work
    busy: the last group is not done
    """

    def __init__(self, shapes):
        super().__init__({
            "start": In(1),
            "descriptor": In(shapes.descriptor),
            "address": Out(shapes.groups),
            "words": In(shapes.group_words),
            "group": Out(shapes.group),
            "begin": Out(1),
            "idle": In(1),
            "busy": Out(1),
        })

    def elaborate(self, platform):
        m = Module()
        index, quiet = Signal(8), Signal(range(SETTLING + 1))
        m.d.comb += self.address.eq(self.descriptor.groups_base + index)
        with m.FSM():
            with m.State("IDLE"), m.If(self.start):
                m.d.sync += [index.eq(0), self.busy.eq(1)]
                m.next = "READ"
            with m.State("READ"):
                m.next = "LOAD"
            with m.State("LOAD"):
                m.d.sync += self.group.eq(self.words.as_value()[:len(self.group.as_value())])
                m.next = "BEGIN"
            with m.State("BEGIN"):
                m.d.comb += self.begin.eq(1)
                m.d.sync += [quiet.eq(0), index.eq(index + 1)]
                m.next = "WORK"
            with m.State("WORK"):
                m.d.sync += quiet.eq(quiet + 1)
                with m.If(~self.idle):
                    m.d.sync += quiet.eq(0)
                with m.Elif(quiet == SETTLING):
                    m.next = "READ"
                    with m.If(index == self.descriptor.groups):
                        m.d.sync += self.busy.eq(0)
                        m.next = "IDLE"
        return m
