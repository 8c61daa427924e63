# SPDX-License-Identifier: Apache-2.0
"""The core's counters: small ones that count, and a memory that they are swept into one after the other."""

from amaranth.hdl import Array, Cat, Module, Mux, Signal
from amaranth.lib import memory, wiring
from amaranth.lib.data import StructLayout
from amaranth.lib.wiring import In, Out
from amaranth.utils import bits_for

from backspike.hw.noc.flow import select
from backspike.spec.counters import COUNTERS

__all__ = ["PERIOD", "Counters"]

PERIOD = 31
"""Cycles from one visit of a counter to the next; small counters must not come round in that time."""

_BACK = 3  # each visit is followed by that of the counter 3 before, so that the next address comes 10 cycles later
_SMALL = 5  # bits of a small counter that counts at most one in a cycle


def _successor(state):
    """The state after ``state``: a shift register whose feedback leads through all 32 states."""
    return (state << 1 & 31) | (state >> 4 ^ state >> 1 ^ (state & 15 == 0)) & 1


def _positions():
    """By state of the shift register: how many steps it is from 0."""
    positions, state = [0] * 32, 0
    for number in range(32):
        positions[state] = number
        state = _successor(state)
    return positions


class Counters(wiring.Component):
    """Adds up what each counter is to count in a cycle; 32 bits, wrapping.

    An event first goes into a small counter of its own. Of every small counter, one cycle out of ``PERIOD``, the
    memory gets what was added since the visit before: the low bits of what it holds are those of the small counter
    then. A small counter of single events is a shift register, which needs fewer LUTs than an adder.

    Parameters
    ----------
    lanes: int
        Of the engines.

    Members
    -------
    count: by name, what to add in this cycle
    clear: set all to 0
    index: the counter with this number of ``COUNTERS`` is wanted
    value: the counter that is being visited
    fresh: in the cycle before, ``value`` was the counter ``index``; comes within ``PERIOD`` cycles
    saturated: a saturation was counted since the last ``clear``

    What is counted in a cycle is part of ``value`` from two cycles later on.
    """

    def __init__(self, lanes):
        self.most = dict.fromkeys(COUNTERS, 1) | dict.fromkeys(
            ("fp_terms", "bp_terms", "wg_terms", "wg_carries"), lanes
        )
        self.most |= dict.fromkeys(("router_flits", "router_stalled"), 5)
        self.low = bits_for(PERIOD * max(self.most.values()))  # bits of all small counters that count more than one
        super().__init__(
            {
                "count": In(StructLayout({name: bits_for(most) for name, most in self.most.items()})),
                "clear": In(1),
                "index": In(range(len(COUNTERS))),
                "value": Out(32),
                "fresh": Out(1),
                "saturated": Out(1),
            }
        )

    def elaborate(self, platform):
        m = Module()
        single, many = self._small(m)
        low = self.low
        m.submodules.totals = totals = memory.Memory(
            shape=32, depth=PERIOD + 1, init=[], attrs={"no_rw_check": 1}
        )  # an address is never read while it is written
        read, write = totals.read_port(), totals.write_port()
        # The visit begins with the address: total and small counter come, are held, and then the new total is written.
        visited = [Signal(5, name=f"visited_{k}") for k in range(3)]
        clearing = [Signal(init=1, name="clearing"), Signal(name="clearing_1")]
        shifted, several = Signal(_SMALL), [Signal(low, name=f"several_{k}") for k in range(2)]
        is_many = [Signal(name=f"is_many_{k}") for k in range(2)]
        position, old, added = Signal(_SMALL), Signal(32), Signal(low)
        m.d.comb += [
            read.addr.eq(visited[0]),
            added.eq((position | several[1]) - old[:low]),
            self.value.eq(old + Mux(is_many[1], added, added[:_SMALL])),
            write.addr.eq(visited[2]),
            write.data.eq(self.value),
            write.en.eq(1),
        ]
        m.d.sync += [
            visited[0].eq(Array((number - _BACK) % PERIOD for number in range(PERIOD + 1))[visited[0]]),
            visited[1].eq(visited[0]),
            visited[2].eq(visited[1]),
            shifted.eq(select([single.get(name) for name in COUNTERS], visited[0])),
            several[0].eq(select([many.get(name) for name in COUNTERS], visited[0])),
            is_many[0].eq(Array(int(name in many) for name in COUNTERS)[visited[0]]),
            position.eq(Array(_positions())[shifted]),
            several[1].eq(several[0]),
            is_many[1].eq(is_many[0]),
            clearing[1].eq(clearing[0]),
            old.eq(Mux(clearing[1], 0, read.data)),
            self.fresh.eq(visited[2] == self.index),
        ]
        with m.If(is_many[0]):
            m.d.sync += position.eq(0)
        with m.Else():
            m.d.sync += several[1].eq(0)
        with m.If(visited[0] == _BACK):  # the last one in a round that began with 0
            m.d.sync += clearing[0].eq(0)
        with m.If(self.clear):
            m.d.sync += [clearing[0].eq(1), visited[0].eq(0)]
        return m

    def _small(self, m):
        """The small counters by name, of those that count single events, and of the others."""
        single, many = {}, {}
        for name, most in self.most.items():
            if most == 1:
                single[name] = state = Signal(_SMALL, name=name)
                with m.If(self.count[name]):
                    m.d.sync += state.eq(Cat(state[4] ^ state[1] ^ ~state[:4].any(), state))
            else:
                many[name] = state = Signal(self.low, name=name)
                m.d.sync += state.eq(state + self.count[name])
        with m.If(self.count.saturated):
            m.d.sync += self.saturated.eq(1)
        with m.If(self.clear):
            m.d.sync += [self.saturated.eq(0), *(state.eq(0) for state in (*single.values(), *many.values()))]
        return single, many
