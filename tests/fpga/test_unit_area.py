# SPDX-License-Identifier: Apache-2.0
"""Area and clock of units: which there are, and that the numbers are those of circuits that are known."""

import json

import pytest

from backspike.cli.main import main
from backspike.fpga.boards import SMALL
from backspike.fpga.flow.families import FAMILIES
from backspike.fpga.flow.unit_area import find_unit, synthesise_unit, table_rows, unit_sources
from backspike.spec.config import ChipConfig

KNOWN = """
module m(clk, rst, \\in.a , b, go, y);
  input clk;
  input rst;
  input [15:0] \\in.a ;
  input [15:0] b;
  input go;
  output [15:0] y;
  reg [15:0] sum;
  always @(posedge clk) if (go) sum <= \\in.a + b;
  assign y = sum ^ 16'h1234;
endmodule
module wires(a, unused, y);
  input [3:0] a;
  input [3:0] unused;
  output [3:0] y;
  assign y = {a[0], a[1], a[2], a[3]};
endmodule
"""


@pytest.fixture(scope="module")
def units():
    return unit_sources(ChipConfig(columns=1, rows=1, **SMALL), late_reset=True)


def test_all_units_are_named_by_their_path(units):
    paths, text = units
    assert {"chip", "tile", "tile.core", "tile.router", "chip.chip.host_link"} <= paths.keys()
    assert not [path for path in paths if "$" in path]
    assert all(f"module \\{module} " in text or f"module {module}(" in text for module in paths.values())
    assert len(set(paths.values())) == len(paths) == text.count("\nendmodule")


def test_a_unit_is_found_by_the_end_of_its_path():
    paths = {"tile": "t", "tile.core": "t.core", "tile.core.forward": "f", "chip": "c", "chip.core": "x"}
    assert find_unit(paths, "forward") == "tile.core.forward"
    assert find_unit(paths, "core.forward") == "tile.core.forward"
    assert find_unit(paths, "tile") == "tile"
    with pytest.raises(ValueError) as caught:
        find_unit(paths, "core")
    assert str(caught.value) == "unit must be one of chip.core, tile.core, not just 'core'"
    with pytest.raises(ValueError) as caught:
        find_unit(paths, "ward")
    assert str(caught.value) == (
        "unit must be a path or the end of one, such as chip, chip.core, tile, tile.core, "
        "tile.core.forward; there is no 'ward'"
    )


def test_area_and_clock_of_an_adder(tmp_path):
    """16 bits are 8 carry cells of 2 LUT4 and a register; the constant's inverters are in 5 more."""
    row = synthesise_unit("m", "m", KNOWN, FAMILIES["ecp5"], tmp_path, say=print)
    assert {name: row[name] for name in ("unit", "ff", "ram", "dsp")} == {"unit": "m", "ff": 16, "ram": 0, "dsp": 0}
    assert 16 <= row["lut"] <= 24
    assert 150 < row["mhz"] < 600


def test_a_unit_of_wires_costs_nothing(tmp_path):
    row = synthesise_unit("w", "wires", KNOWN, FAMILIES["ecp5"], tmp_path, say=print)
    assert (row["lut"], row["ff"]) == (0, 0)


@pytest.mark.slow
@pytest.mark.parametrize("dense_only", [True, False])
def test_engines_and_their_lanes_reach_100_mhz_alone(dense_only, tmp_path):
    config = ChipConfig(columns=1, rows=1, **SMALL | {"dense_only": dense_only})
    units, text = unit_sources(config, late_reset=True)
    lanes = ("engine.sums.lane_0", "learning.errors_0.lane_0", "learning.gradients_0.sum_0")
    for engine in ("engine", "learning", *lanes):
        path = f"tile.core.{engine}"
        row = synthesise_unit(path, units[path], text, FAMILIES["ecp5"], tmp_path / path, say=print)
        assert row["mhz"] >= 100, row


def test_other_families_tell_the_area_alone(tmp_path):
    for family in ("gw1n", "gw2a"):
        row = synthesise_unit("m", "m", KNOWN, FAMILIES[family], tmp_path, say=print)
        assert 16 <= row["lut"] <= 60
        assert row["ff"] == 16
        assert row["mhz"] is None


def test_a_failure_says_what_the_tool_said(tmp_path):
    with pytest.raises(RuntimeError, match=r"synthesis failed: .*syntax error"):
        synthesise_unit("m", "m", KNOWN + "module broken(;\nendmodule", FAMILIES["ecp5"], tmp_path, say=print)


def test_the_command_writes_a_table_and_json(capsys, tmp_path):
    assert main(["synth", "--unit=host_link.report", f"--output={tmp_path}"]) == 0
    report = json.loads((tmp_path / "units.json").read_text())
    assert [row["unit"] for row in report["units"]] == ["chip.chip.host_link.report"]
    assert report["chip"]["weights"] == SMALL["weights"]
    assert 0 < report["units"][0]["lut"] < 200 and report["units"][0]["mhz"] > 30
    told = capsys.readouterr().out
    assert all(f"\n{row[0]} " in told for row in table_rows(report["units"])[1])
