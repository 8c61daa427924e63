# SPDX-License-Identifier: Apache-2.0
"""What the tests of the FPGA flow share."""

import pytest
from amaranth.hdl import Cat, Module, Signal
from amaranth.lib.wiring import Component, In, Out


def pytest_configure(config):
    """Designs that are refused are never elaborated: no reason for a warning."""
    config.addinivalue_line("filterwarnings", "ignore:.*created but never used")


class Echo(Component):
    """A link so small that a bitstream of it takes seconds: the line comes back 20 cycles later."""

    rx: In(1)
    tx: Out(1)
    alive: Out(1)
    busy: Out(1)
    fault: Out(1)

    def elaborate(self, platform):
        m = Module()
        count, line = Signal(24), Signal(20)
        m.d.sync += [count.eq(count + 1), line.eq(Cat(self.rx, line))]
        m.d.comb += [self.tx.eq(line[-1]), self.alive.eq(count[-1]), self.busy.eq(~self.rx), self.fault.eq(line.any())]
        return m


@pytest.fixture
def echo():
    return Echo()
