# SPDX-License-Identifier: Apache-2.0
"""Two modules that should do the same, side by side, for ``tests/hw/benches/bench_pair.py``."""

from amaranth.hdl import Cat, ClockDomain, ClockSignal, DomainRenamer, Module, ResetSignal, Signal
from amaranth.lib.wiring import Component, In, Out

from backspike.hw.verilog.ports import instance_of, port_values

__all__ = ["Pair"]


class Pair(Component):
    """The Verilog modules ``expected`` and ``unit``, which a component was converted to, with the same inputs.

    The reset of the first comes a cycle later.
    """

    def __init__(self, component):
        self.of = component.signature
        widths = {"input": 0, "output": 0}
        for value, direction in port_values(component).values():
            widths[direction] += len(value)
        super().__init__(
            {"stimulus": In(widths["input"]), "first": Out(widths["output"]), "second": Out(widths["output"])}
        )

    def elaborate(self, platform):
        m = Module()
        late, reset = ClockDomain("late", local=True), Signal(init=1, reset_less=True)
        m.domains.late = late
        m.d.sync += reset.eq(ResetSignal())
        m.d.comb += [late.clk.eq(ClockSignal()), late.rst.eq(reset)]
        expected = Module()
        m.submodules += DomainRenamer("late")(expected)
        for parent, module, output in ((expected, "expected", self.first), (m, "unit", self.second)):
            ports = port_values(instance_of(parent, f"{module}_0", self.of, module), self.of).values()
            m.d.comb += [
                Cat(value for value, direction in ports if direction == "input").eq(self.stimulus),
                output.eq(Cat(value for value, direction in ports if direction == "output")),
            ]
        return m
