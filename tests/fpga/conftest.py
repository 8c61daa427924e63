# SPDX-License-Identifier: Apache-2.0
"""What the tests of the FPGA flow share."""

import pytest
from amaranth.hdl import ClockSignal, Instance, Module, Signal
from amaranth.lib.wiring import Component, In, Out


def pytest_configure(config):
    """Designs that are refused are never elaborated: no reason for a warning."""
    config.addinivalue_line("filterwarnings", "ignore:.*created but never used")


DELAY = """
module delay(input clk, input d, output q);
  reg [9:0] line;
  always @(posedge clk) line <= {line[8:0], d};
  assign q = line[9];
endmodule
"""


class Echo(Component):
    """A link so small that a bitstream of it takes seconds: the line comes back 20 cycles later.

    It has two instances of a Verilog module, as a chip has of a tile.
    """

    modules = {"delay": DELAY}

    rx: In(1)
    tx: Out(1)
    alive: Out(1)
    busy: Out(1)
    fault: Out(1)

    def elaborate(self, platform):
        m = Module()
        count, half, line = Signal(24), Signal(), Signal()
        m.submodules.first = Instance("delay", i_clk=ClockSignal(), i_d=self.rx, o_q=half)
        m.submodules.second = Instance("delay", i_clk=ClockSignal(), i_d=half, o_q=line)
        m.d.sync += count.eq(count + 1)
        m.d.comb += [self.tx.eq(line), self.alive.eq(count[-1]), self.busy.eq(~self.rx), self.fault.eq(line ^ half)]
        return m


@pytest.fixture
def echo():
    return Echo()
