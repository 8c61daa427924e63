# SPDX-License-Identifier: Apache-2.0
"""What goes into the FPGA is what was simulated: the netlist of a chip trains to the same bits, in as many cycles."""

import json

import pytest

from backspike.fpga.boards import SMALL
from backspike.fpga.netlist import emit_netlist, synthesise_netlist
from backspike.hw.verilog.emit import emit_chip
from backspike.sim.runner import default_seed
from backspike.sim.scenario import Scenario
from backspike.sim.training import simulate_training

CHIP = {name: value for name, value in SMALL.items() if name not in ("lanes", "steps")} | {"dense_only": True}
NETWORKS = {1: "64-12-10", 2: "64-20-10"}


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A function that trains a chip on some cores, from netlist or Verilog: what the bench measured."""
    def train(cores, emit):
        folder = tmp_path_factory.mktemp("trained")
        scenario = Scenario(cores=cores, network=NETWORKS[cores], chip=CHIP, samples=32, batch=8, tests=24, epochs=2,
                            seed=default_seed(), idle=0.1)
        assert simulate_training(scenario, folder, emit=emit)["difference"] is None
        return json.loads((folder / "measured.json").read_text())

    return train


@pytest.mark.slow
def test_a_netlist_trains_as_the_golden_model_and_as_the_verilog(trained):
    """Equal bits, and the same cycles for every batch, counters included."""
    measured = trained(1, emit_netlist)
    assert len(measured["train_cycles"]) == 4 and measured["tests"] == 24
    assert sum(core.get("wg_terms", 0) for core in measured["train_counters"].values()) > 0
    assert measured == trained(1, emit_chip)


@pytest.mark.slow
def test_a_netlist_of_two_cores_trains_as_the_golden_model(trained):
    measured = trained(2, emit_netlist)
    assert len(measured["train_cycles"]) == 4 and measured["tests"] == 24


def test_a_netlist_has_the_ports_of_its_module(tmp_path):
    """Vectors remain vectors, and names remain names: a bench cannot tell the difference."""
    source = tmp_path / "m.v"
    source.write_text("module m(clk, a, y);\n  input clk;\n  input [7:0] a;\n  output [7:0] y;\n  reg [7:0] y;\n"
                      "  always @(posedge clk) y <= y + a;\nendmodule\n")
    netlist, models, *_ = synthesise_netlist([source], "m", tmp_path)
    text = netlist.read_text()
    assert all(line in text for line in ("module m(", "  input clk;", "  input [7:0] a;", "  output [7:0] y;"))
    assert text.count("  TRELLIS_FF #(") == 8 and "  CCU2C #(" in text and "always" not in text
    assert "common_sim.vh" in models.read_text()


def test_a_failure_says_what_the_tool_said(tmp_path):
    source = tmp_path / "broken.v"
    source.write_text("module broken(;\nendmodule\n")
    with pytest.raises(RuntimeError, match=r"synthesis failed: .*syntax error"):
        synthesise_netlist([source], "broken", tmp_path)
