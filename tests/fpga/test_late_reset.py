# SPDX-License-Identifier: Apache-2.0
"""A reset that is put into the netlist does what the one in the Verilog does."""

import pytest
from amaranth.hdl import Module, Mux, Signal
from amaranth.lib.wiring import Component, In, Out

from backspike.fpga.boards import SMALL
from backspike.fpga.ecp5.late_reset import put_reset
from backspike.fpga.ecp5.netlist import synthesise_netlist
from backspike.hw.core.receive.receiver import Receiver
from backspike.hw.shapes import Shapes
from backspike.hw.verilog.emit import to_verilog
from backspike.sim.verilator.runner import build, default_seed, run
from backspike.spec.config import ChipConfig
from tests.support.pair import Pair

CONFIG = ChipConfig(columns=2, rows=1, **SMALL)


class Registers(Component):
    """Registers of all kinds: loaded always or sometimes, cleared or set by a condition or not, with initial values."""

    data: In(24)
    load: In(1)
    clear: In(1)
    seen: Out(24)
    sums: Out(24)
    held: Out(24)
    kept: Out(24)
    few: Out(4)
    place: Out(8)

    def elaborate(self, platform):
        m = Module()
        held, kept = Signal(24, init=0xA5C30F), Signal(24, init=0xFFFFFF)
        place, few = Signal(8, init=1), Signal(4, init=6)
        m.d.comb += [self.held.eq(held), self.kept.eq(kept), self.place.eq(place), self.few.eq(few)]
        m.d.sync += [self.seen.eq(self.data), self.sums.eq(Mux(self.clear, 0, self.sums + self.data))]
        with m.If(self.load):
            m.d.sync += [held.eq(self.data), place.eq(place.rotate_left(1)), few.eq(few + self.data[0])]
        with m.If(self.clear):
            m.d.sync += [kept.eq(0xFFFFFF), few.eq(6)]
        with m.Elif(self.load):
            m.d.sync += kept.eq(kept ^ self.data)
        return m


@pytest.mark.parametrize("make", [Registers, lambda: Receiver(Shapes(CONFIG))], ids=["registers", "receiver"])
def test_a_late_reset_is_the_reset_of_the_verilog(make, tmp_path):
    """In every cycle, also when it lasts for one, and in the middle of whatever is going on."""
    source = tmp_path / "unit.v"
    source.write_text(to_verilog(make(), "unit", reset=False))
    netlist = synthesise_netlist([source], "unit", tmp_path, core="unit")
    text = netlist[0].read_text()
    assert text.count("  TRELLIS_FF #(") == text.count(".SRMODE(") == text.count(".LSRMUX(") > 100
    pair = tmp_path / "pair.v"
    pair.write_text(to_verilog(Pair(make()), "pair"))
    expected = tmp_path / "expected.v"
    expected.write_text(to_verilog(make(), "expected"))
    built = build([pair, expected, *netlist], "pair", tmp_path / "build")
    run(built, "tests.hw.benches.bench_pair", seed=default_seed())


def test_a_register_of_another_kind_is_refused():
    cell = {
        "type": "TRELLIS_FF",
        "parameters": {"LSRMUX": "LSR", "SRMODE": "ASYNC"},
        "attributes": {},
        "port_directions": {"LSR": "input"},
        "connections": {"LSR": [3]},
    }
    netlist = {
        "modules": {
            "m": {
                "ports": {"rst": {"bits": [2]}, "clk": {"bits": [4]}},
                "cells": {"r": cell},
                "netnames": {"rst": {"bits": [2]}, "a": {"bits": [3]}},
            }
        }
    }
    with pytest.raises(ValueError, match="SRMODE of a register must be LSR and LSR_OVER_CE, not LSR and ASYNC, as in"):
        put_reset(netlist, "m")
