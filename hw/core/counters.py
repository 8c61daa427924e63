# SPDX-License-Identifier: Apache-2.0
"""The core's counters."""

from amaranth.hdl import Array, Module, Signal
from amaranth.lib import wiring
from amaranth.lib.data import StructLayout
from amaranth.lib.wiring import In, Out

from backspike.host.protocol import COUNTERS

__all__ = ["Counters"]

_IN_ROUTER = ("router_flits", "router_stalled")


class Counters(wiring.Component):
    """Adds up what each counter is to count in a cycle; 32 bits, wrapping.

    Members
    -------
    count: by name, what to add in this cycle
    router_flits, router_stalled: counters that the router keeps itself
    clear: set all to 0
    index, value: the counter with this number of ``COUNTERS``
    saturated: the counter of saturations is not 0
    """

    def __init__(self):
        self.own = [name for name in COUNTERS if name not in _IN_ROUTER]
        super().__init__({
            "count": In(StructLayout(dict.fromkeys(self.own, 4))),
            **{name: In(32) for name in _IN_ROUTER},
            "clear": In(1),
            "index": In(range(len(COUNTERS))),
            "value": Out(32),
            "saturated": Out(1),
        })

    def elaborate(self, platform):
        m = Module()
        registers = {name: Signal(32, name=name) for name in self.own}
        for name, register in registers.items():
            m.d.sync += register.eq(register + self.count[name])
        with m.If(self.clear):
            m.d.sync += [register.eq(0) for register in registers.values()]
        m.d.comb += [
            self.value.eq(Array(registers[n] if n in registers else getattr(self, n) for n in COUNTERS)[self.index]),
            self.saturated.eq(registers["saturated"].any()),
        ]
        return m
