# SPDX-License-Identifier: Apache-2.0
"""What goes into the FPGA is what was simulated: the netlist of a chip trains to the same bits, in as many cycles."""

import json
from random import Random

import pytest
from amaranth.hdl import Module
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import Component, In, Out

from backspike.fpga.boards import SMALL
from backspike.fpga.ecp5.netlist import emit_netlist, synthesise_netlist
from backspike.hw.verilog.emit import TILE_MODULE, emit_chip, to_verilog
from backspike.sim.run.scenario import Scenario
from backspike.sim.run.simulated_training import simulate_training
from backspike.sim.verilator.runner import build, default_seed, run
from tests.support.pair import Pair

CHIP = {name: value for name, value in SMALL.items() if name not in ("lanes", "steps")} | {"dense_only": True}
NETWORKS = {1: "64-12-10", 2: "64-20-10"}


def emit_late(config, folder):
    """The Verilog of a chip whose tiles get their reset a cycle later, as in a netlist."""
    paths = emit_chip(config, folder)
    tile, description = paths[0], json.loads(paths[-1].read_text())
    ports = description["modules"][TILE_MODULE]["ports"]
    names = [port["name"] for port in ports]
    inner = tile.read_text().replace(f"module {TILE_MODULE}(", "module late_tile(", 1)
    lines = [
        f"module {TILE_MODULE}({', '.join(names)});",
        *(f"  {port['direction']} [{port['width'] - 1}:0] {port['name']};" for port in ports),
        "  reg late; always @(posedge clk) late <= rst;",
        f"  late_tile t({', '.join(f'.{name}({name})' for name in names if name != 'rst')}, .rst(late));",
        "endmodule",
    ]
    tile.write_text(inner + "\n".join(lines) + "\n")
    return paths


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A function that trains a chip on some cores, from netlist or Verilog: what the bench measured."""

    def train(cores, emit):
        folder = tmp_path_factory.mktemp("trained")
        scenario = Scenario(
            cores=cores,
            network=NETWORKS[cores],
            chip=CHIP,
            samples=32,
            batch=8,
            tests=24,
            epochs=2,
            seed=default_seed(),
            idle=0.1,
        )
        assert simulate_training(scenario, folder, emit=emit)["difference"] is None
        return json.loads((folder / "measured.json").read_text())

    return train


@pytest.mark.slow
def test_a_netlist_trains_as_the_golden_model_and_as_the_verilog(trained):
    """Equal bits, and the same cycles for every batch, counters included."""
    measured = trained(1, emit_netlist)
    assert len(measured["train_cycles"]) == 4 and measured["tests"] == 24
    assert sum(core.get("wg_terms", 0) for core in measured["train_counters"].values()) > 0
    assert measured == trained(1, emit_late)


@pytest.mark.slow
def test_a_netlist_of_two_cores_trains_as_the_golden_model(trained):
    measured = trained(2, emit_netlist)
    assert len(measured["train_cycles"]) == 4 and measured["tests"] == 24


class Contents(Component):
    """A memory with random contents that is only read."""

    def __init__(self, width, depth):
        self.width, self.depth = width, depth
        super().__init__({"address": In(range(depth)), "data": Out(width)})

    def elaborate(self, platform):
        m = Module()
        random = Random(self.width)
        m.submodules.memory = memory = Memory(
            shape=self.width, depth=self.depth, init=[random.getrandbits(self.width) for _ in range(self.depth)]
        )
        read = memory.read_port()
        m.d.comb += [read.addr.eq(self.address), self.data.eq(read.data)]
        return m


@pytest.mark.parametrize(("width", "depth"), [(32, 1024), (9, 4096)])
def test_the_contents_of_a_memory_are_those_of_the_verilog(width, depth, tmp_path):
    source = tmp_path / "unit.v"
    source.write_text(to_verilog(Contents(width, depth), "unit"))
    netlist = synthesise_netlist([source], "unit", tmp_path)
    assert "  DP16KD #(" in netlist[0].read_text()
    pair, expected = tmp_path / "pair.v", tmp_path / "expected.v"
    pair.write_text(to_verilog(Pair(Contents(width, depth)), "pair"))
    expected.write_text(to_verilog(Contents(width, depth), "expected"))
    built = build([pair, expected, *netlist], "pair", tmp_path / "build")
    run(built, "tests.hw.benches.bench_pair", seed=default_seed())


def test_a_netlist_has_the_ports_of_its_module(tmp_path):
    """Vectors remain vectors, and names remain names: a bench cannot tell the difference."""
    source = tmp_path / "m.v"
    source.write_text(
        "module m(clk, a, y);\n  input clk;\n  input [7:0] a;\n  output [7:0] y;\n  reg [7:0] y;\n"
        "  always @(posedge clk) y <= y + a;\nendmodule\n"
    )
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
