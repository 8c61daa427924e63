# SPDX-License-Identifier: Apache-2.0
"""Units in the standard cells of a small library of ours: what a known circuit costs, by hand, and what is refused."""

import json
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("liberty", reason="the extra 'asic' is not installed")

from backspike.cli.main import main
from backspike.fpga.asic.library import read_library
from backspike.fpga.asic.mapping import map_unit
from backspike.fpga.asic.netlist import Instance, Netlist
from backspike.fpga.asic.switching import switching_energy
from backspike.fpga.asic.toggles import Simulation, count_toggles

FILE = Path(__file__).parents[1] / "data/liberty/made_up.lib"
PICO = 1e-12
KNOWN = """
module half(input clk, input rst, output reg q);
  always @(posedge clk) q <= ~(q | rst);
endmodule
module \\m.sum (input clk, input rst, input [15:0] a, input [15:0] b, output reg [16:0] y);
  always @(posedge clk) y <= rst ? 0 : a + b;
endmodule
module memories(input clk, input [5:0] at, input [2:0] pick, input [15:0] d, input we,
                output reg [15:0] y, output [1:0] t);
  reg [15:0] words [0:63];
  always @(posedge clk) begin if (we) words[at] <= d; y <= words[at]; end
  reg [1:0] table [0:7];
  integer k; initial for (k = 0; k < 8; k = k + 1) table[k] = k % 3;
  assign t = table[pick];
endmodule
"""


@pytest.fixture(scope="module")
def library():
    return read_library(FILE)


@pytest.fixture
def mapped(library, tmp_path):
    return lambda module: map_unit(module, KNOWN, library, tmp_path, say=print)


def test_a_library_is_what_its_file_says(library):
    assert (library.name, library.voltage, library.farads, library.joules) == ("made_up", 1.0, PICO, PICO)
    assert (library.nand.name, library.inverter.name) == ("NAND2", "INV")
    cell = library.cell("DFF")
    assert (cell.area, cell.leakage, cell.state, cell.clock) == (10, pytest.approx(10e-9), ("IQ", "IQN"), "CK")
    energy = library.cell("INV").pins["Y"].energies[0]
    assert energy.at(0.25, 0.01) == pytest.approx(0.00125) and energy.at(None, 9) == 0.001 and energy.at(9, 9) == 0.002


@pytest.mark.parametrize(
    ("cell", "function"),
    [
        ("NAND2", lambda a, b: 1 - a * b),
        ("AOI21", lambda a, b, c: 1 - (a * b | c)),
        ("XOR2", lambda a, b: a ^ b),
        ("MUX2", lambda a, b, s: b if s else a),
    ],
)
def test_functions_of_cells(cell, function, library):
    pins = [pin.name for pin in library.cell(cell).inputs]
    output = library.cell(cell).outputs[0].function
    for number in range(1 << len(pins)):
        bits = [number >> k & 1 for k in range(len(pins))]
        assert output(dict(zip(pins, bits, strict=True))) & 1 == function(*bits)


def test_tables_may_have_the_load_first(library, tmp_path):
    text = FILE.read_text().replace(
        "variable_1 : input_transition_time; variable_2 : total_output_net_capacitance;\n"
        '    index_1 ("0.00, 1.00"); index_2 ("0.00, 0.04");',
        "variable_1 : total_output_net_capacitance; variable_2 : input_transition_time;\n"
        '    index_1 ("0.00, 0.04"); index_2 ("0.00, 1.00");',
    )
    (tmp_path / "other.lib").write_text(
        text.replace('"0.0010, 0.0010", "0.0020, 0.0020"', '"0.001, 0.002", "0.001, 0.002"')
    )
    other = read_library(tmp_path / "other.lib")
    for at in ((0.25, 0.01), (1, 0.04), (None, 0)):
        assert other.nand.pins["Y"].energies[0].at(*at) == library.nand.pins["Y"].energies[0].at(*at)


def test_a_circuit_of_two_cells_costs_what_they_cost(mapped, library):
    """A register that toggles in every cycle. At q are an inverter outside and the NOR2."""
    found = mapped("half")
    assert found.cells == {"DFF": 1, "NOR2": 1}
    assert (found.area, found.flip_flop_area, found.gates, found.flip_flops) == (12, 10, 6, 1)
    assert 24e-12 < found.delay < 44e-12  # of the NOR2 with 0.002 pF: 24 ps, and up to 20 ps by a slow input
    energy = switching_energy(found.netlist, library, count_toggles(found.netlist, library, cycles=3))
    outside, q = 0.020 + 0.1 * 0.008 / 0.04, 0.020 + 0.1 * 0.004 / 0.04  # transitions, by the tables
    register = 0.5 * 0.004 + 0.005 * (1 + outside)
    gate = 0.5 * 0.002 + 0.001 * (1 + (outside + q) / 2) + 0.001
    assert energy.data == pytest.approx((register + gate) * PICO)
    assert energy.clock == pytest.approx((0.002 + 0.003 + 0.001) * PICO)
    assert energy.glitches == pytest.approx(0, abs=1e-20) and energy.leakage == pytest.approx(12e-9)
    wired = switching_energy(found.netlist, library, count_toggles(found.netlist, library, cycles=3), wire=1e-15)
    assert wired.clock == pytest.approx(energy.clock + 0.001 * PICO) and wired.data > energy.data


def test_cells_compute_what_the_unit_computes(mapped, library):
    """An adder: 64 streams of random numbers; it has glitches, and held inputs save energy."""
    netlist = mapped("m.sum").netlist
    simulation, generator = Simulation(netlist, library), np.random.default_rng(5)
    nets = np.array([*netlist.inputs["a"], *netlist.inputs["b"]])
    bits = generator.integers(0, 2, size=(32, 64), dtype=np.uint64)
    words = (bits << np.arange(64, dtype=np.uint64)).sum(axis=1, dtype=np.uint64)
    simulation.edge(nets, words)
    simulation.edge(nets, words)
    found = simulation.values[netlist.outputs["y"]][:, None] >> np.arange(64, dtype=np.uint64) & 1
    weights = 1 << np.arange(17)
    assert np.array_equal(weights @ found, weights[:16] @ bits[:16] + weights[:16] @ bits[16:])
    free = count_toggles(netlist, library, cycles=10)
    held = count_toggles(netlist, library, cycles=10, hold={"b": 1})
    energies = [switching_energy(netlist, library, toggles) for toggles in (free, held)]
    assert energies[0].glitches > 0 and energies[1].total < energies[0].total
    assert (free.settled <= free.all).all() and free.settled[netlist.inputs["a"]] == pytest.approx(0.5, abs=0.1)


def test_memories_stay_memories_and_tables_become_logic(mapped):
    found = mapped("memories")
    assert [(m.name, m.words, m.width, m.bits, m.write_ports) for m in found.netlist.memories] == [
        ("words", 64, 16, 1024, 1)
    ]
    assert found.memory_bits == 1024 and found.flip_flops == 0 and found.area > 0


def test_what_the_library_does_not_have_is_named(library):
    module = {"ports": {}, "cells": {"x": {"type": "$_DLATCH_P_", "connections": {}}}}
    with pytest.raises(RuntimeError, match=r"synthesis left a cell that the liberty file does not have: \$_DLATCH_P_"):
        Netlist.of(module, library)


def test_a_loop_does_not_come_to_rest(library):
    loop = Netlist(3, {}, {}, [Instance("INV", {"A": 2, "Y": 2})], [], [])
    with pytest.raises(RuntimeError, match="the unit must have no loop of logic, but it does not come to rest"):
        Simulation(loop, library).settle()


def test_held_inputs_that_cannot_be(library):
    netlist = Netlist(5, {"clk": [2], "a": [3, 4]}, {}, [Instance("DFF", {"CK": 2, "D": 3, "Q": 0})], [], [])
    with pytest.raises(ValueError, match="hold must name an input of the unit, one of a, not 'b'"):
        count_toggles(netlist, library, cycles=1, hold={"b": 1})
    with pytest.raises(ValueError, match="hold of a must be 0 to 3, not 4"):
        count_toggles(netlist, library, cycles=1, hold={"a": 4})


LITTLE = 'library (x) { cell (INV) { pin (A) { direction : input; } pin (Y) { direction : output; function : "A\'"; } }'


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("module m; endmodule", "liberty must be a liberty file (library, not packed), not "),
        ("\xff", "liberty must be a liberty file (library, not packed), not "),
        ("cell (x) { }", "liberty must be a liberty file, which begins with library, not "),
        (f"{LITTLE} }}", "liberty file must have a flip-flop, a cell with a group ff; "),
        (
            f'{LITTLE} cell (D) {{ ff (Q, N) {{ next_state : "D"; }} }} }}',
            "liberty file must have a NAND of two inputs; ",
        ),
        (FILE.read_text().replace("nom_voltage : 1.0;", ""), "liberty file must have a nom_voltage above 0; "),
    ],
)
def test_files_that_cannot_be(text, problem, tmp_path):
    (tmp_path / "a.lib").write_text(text, encoding="latin-1")
    with pytest.raises(ValueError) as caught:
        read_library(tmp_path / "a.lib")
    assert str(caught.value).startswith(problem) and str(tmp_path / "a.lib") in str(caught.value)


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        (["--liberty=none.lib"], "liberty must be a liberty file, not none.lib, which is not there"),
        ([f"--liberty={FILE}", "--hold=valid=1"], "hold needs a simulation, such as --cycles=100"),
        ([f"--liberty={FILE}", "--wire=-1"], "wire must be at least 0, not -1.0"),
    ],
)
def test_commands_that_cannot_be(options, problem, tmp_path, capsys):
    assert main(["asic", f"--output={tmp_path}", *options]) == 2
    assert capsys.readouterr().err == f"backspike asic: {problem}\n"


@pytest.mark.slow
def test_the_command_writes_a_table_and_json(capsys, tmp_path):
    options = [f"--liberty={FILE}", "--cycles=3", "--dense-only=1", "--weights=64", f"--output={tmp_path}"]
    assert main(["asic", "--unit=host_link.report", *options]) == 0
    report = json.loads((tmp_path / "report.json").read_text())
    (row,) = report["units"]
    assert row["unit"] == "chip.chip.host_link.report" and report["chip"]["weights"] == 64
    assert row["gates"] == row["area"] / 2 and 20 < row["flip_flops"] < 60 and 0 < row["delay"] < 2e-9
    assert row["switching"]["total"] > row["switching"]["clock"] > 0
    told = capsys.readouterr().out
    assert "made_up, 1 V; a gate is NAND2, area 2" in told and f"{row['flip_flops']} " in told
    assert "toggles of 3 cycles in 64 streams: all inputs and read data random in every cycle" in told
    assert main(["asic", "--unit=nonsense", *options]) == 2
    assert "there is no 'nonsense'" in capsys.readouterr().err
