# SPDX-License-Identifier: Apache-2.0
"""Real bitstreams of a small design, for each family of devices; a whole chip where there is time."""

import hashlib
import json
import re
from dataclasses import replace

import pytest

from backspike.fpga.boards import all_boards, board_named
from backspike.fpga.flow.build import _modern, _until_hopeless, build_chip, build_design
from backspike.fpga.flow.build_log import build_rows, read_built, record
from backspike.fpga.flow.families import FAMILIES
from backspike.fpga.flow.top import clock_frequency
from backspike.spec.config import ChipConfig, mesh_shape

QUICK = ["ulx3s_25f", "tang_nano_9k"]
DEVICES = {board.device: board.name for board in all_boards().values() if board.name not in QUICK}


def build(name, link, folder, **options):
    board = board_named(name)
    said = []
    frequency = clock_frequency(board, options.pop("clock", None))
    options.setdefault("modules", getattr(link, "modules", {}))
    return build_design(board, link, folder, frequency=frequency, say=said.append, **options), said


@pytest.mark.parametrize("name", [*QUICK, *(pytest.param(name, marks=pytest.mark.slow) for name in DEVICES.values())])
def test_a_small_design_becomes_a_bitstream(name, echo, tmp_path):
    """On a small device of each family, or on every device if there is time; nextpnr knows it as our list does."""
    board = board_named(name)
    report, said = build(name, echo, tmp_path)
    bitstream = (tmp_path / board.family.bitstream).read_bytes()
    assert report["bitstream"]["bytes"] == len(bitstream) > 10_000
    assert report["bitstream"]["sha256"] == hashlib.sha256(bitstream).hexdigest()
    assert 40 < report["resources"]["lut"]["used"] < 200
    assert 50 < report["resources"]["ff"]["used"] < 200
    assert json.loads((tmp_path / "top.stat").read_text())["modules"]["\\top"]["num_cells_by_type"]["delay"] == 2
    assert all(clock["mhz"] > clock["wanted"] for clock in report["clocks"].values())
    assert report["clock_mhz"] == board.clock
    assert json.loads((tmp_path / "report.json").read_text()) == report
    assert [line for line in said if line.startswith("tool: ")] == [f"tool: {tool}" for tool in report["tools"]]
    utilization = json.loads((tmp_path / "top.report.json").read_text())["utilization"]
    for resource, names in board.family.bels.items():
        assert sum(utilization[bel]["available"] for bel in names) == getattr(board.resources, resource), resource


def test_without_a_pll_the_clock_is_that_of_the_oscillator(echo, tmp_path):
    """27 MHz on this board; its default chip has a PLL."""
    report, _ = build("tang_nano_9k", echo, tmp_path, clock=27)
    assert report["clock_mhz"] == 27
    assert [clock["wanted"] for clock in report["clocks"].values()] == [27]
    assert "rPLL" not in (tmp_path / "top.il").read_text()


def test_the_pll_of_ecp5(echo, tmp_path):
    report, _ = build("ulx3s_25f", echo, tmp_path, clock=62.5)
    assert [clock["wanted"] for clock in report["clocks"].values()] == [62.5]
    log = (tmp_path / "top.tim").read_text()
    assert re.search(r"Derived frequency constraint of 62\.5 MHz", log) or "62.50 MHz" in log


def test_settings_without_an_option_reach_nextpnr(echo, tmp_path, monkeypatch):
    """One of them makes it write a file for each pass of the router."""
    settings = {**FAMILIES["ecp5"].settings, "router2/heatmap": "seen"}
    monkeypatch.setitem(FAMILIES, "ecp5", replace(FAMILIES["ecp5"], settings=settings))
    build("ulx3s_25f", echo, tmp_path)
    assert list(tmp_path.glob("seen_*.csv"))


def test_a_clock_that_is_too_fast_is_refused_with_one_that_is_not(echo, tmp_path):
    with pytest.raises(ValueError) as caught:
        build("ulx3s_25f", echo, tmp_path, clock=400)
    found = re.fullmatch(
        r"the clock must be at most ([\d.]+) MHz, not 400, for the timing of this design; ([\d.]+) MHz is possible "
        r"with this board's PLL, as may be another seed of the placement",
        str(caught.value),
    )
    assert found
    assert 100 < float(found[2]) <= float(found[1]) < 400
    assert not (tmp_path / "top.bit").exists()


def test_a_design_that_does_not_fit_is_refused_before_place_and_route(echo, tmp_path):
    """A module of many registers, many times."""
    from amaranth.hdl import ClockSignal, Instance, Module, Signal  # noqa: PLC0415
    from amaranth.lib.wiring import Component  # noqa: PLC0415

    class Many(Component):
        def __init__(self):
            super().__init__(type(echo)().signature)

        def elaborate(self, platform):
            m = Module()
            line = [Signal(name=f"line{index}") for index in range(8)]
            m.d.comb += [line[0].eq(self.rx), self.tx.eq(line[-1])]
            for index in range(7):
                m.submodules += Instance("long", i_clk=ClockSignal(), i_d=line[index], o_q=line[index + 1])
            return m

    long = (
        "module long(input clk, input d, output q); reg [1023:0] r; assign q = r[1023];"
        "always @(posedge clk) r <= {r[1022:0], d ^ r[7]}; endmodule"
    )
    with pytest.raises(ValueError) as caught:
        build("tang_nano_9k", Many(), tmp_path, modules={"long": long}, core="long", cores=7)
    text = r"7 cores would not fit Tang Nano 9K: needed are 7,[\d,]+ FF of 6,480; 6 cores would fit"
    assert re.fullmatch(text, str(caught.value))
    assert not (tmp_path / "top.tim").exists()
    stat = json.loads((tmp_path / "top.stat").read_text())["modules"]
    assert stat["\\top"]["num_cells_by_type"]["long"] == 7  # synthesised once


def test_a_router_that_comes_back_from_its_best_is_ended():
    """Not one that is long with its last wires, nor any other tool."""
    said = []
    watched = _until_hopeless(said.append)
    lines = [
        f"  {10 * number} s  iter={number} wires=1000 overused={wires} overuse={wires} archfail=NA"
        for number, wires in [(1, 9000), (20, 400), (60, 450), (69, 390), (119, 900), (125, 890)]
    ]
    watched("  5 s  at iteration #1: wirelen = 5000")
    for line in lines[:5]:
        watched(line)
    with pytest.raises(
        ValueError,
        match=(
            "the design was not routed: 390 wires were in use twice in pass 69 of the router, and 890 in pass 125; "
            "fewer cores would be, as may be another seed"
        ),
    ):
        watched(lines[5])
    assert said[1:] == lines
    patient = _until_hopeless(said.append)
    for number, wires in [(100, 3), (400, 5), (500, 100)]:
        patient(f"iter={number} wires=1000 overused={wires} overuse={wires}")


def test_calls_of_the_retired_gowin_tool_are_translated():
    name, arguments = _modern(
        "nextpnr-gowin",
        "--quiet",
        "--log",
        "top.tim",
        "--device",
        "GW1NR",
        "--family",
        "GW1N-9C",
        "--cst",
        "top.cst",
        "--write",
        "x",
    )
    assert name == "nextpnr-himbaechel"
    assert arguments == [
        "--log",
        "top.tim",
        "--device",
        "GW1NR",
        "--vopt",
        "family=GW1N-9C",
        "--vopt",
        "cst=top.cst",
        "--write",
        "x",
    ]
    assert _modern("ecppack", "a", "b") == ("ecppack", ["a", "b"])


def test_a_build_is_recorded_in_place_of_an_earlier_one(echo, tmp_path):
    report, _ = build(
        "ulx3s_25f", echo, tmp_path, about={"cores": 1, "lanes": 1, "baud": 10**6, "chip": ChipConfig().to_dict()}
    )
    report["core"] = {"lut": 30, "ff": 20, "ram": 0, "dsp": 0}
    path, document = tmp_path / "built.json", tmp_path / "fpga.md"
    path.write_text("[]")
    document.write_text("before\n<!-- builds -->\nold\n<!-- end of builds -->\nafter\n")
    for seed in (1, 2):
        record({**report, "seed": seed}, path, document)
    record({**report, "cores": 2}, path, document)
    assert [(entry["cores"], entry["seed"]) for entry in read_built(path)] == [(1, 2), (2, 1)]
    text = document.read_text()
    assert text.startswith("before\n") and text.endswith("after\n") and "old" not in text
    assert text.count("| ulx3s_25f |") == 2
    assert build_rows(read_built(path))[1][0][:2] == ["ulx3s_25f", "1 x 1"]


@pytest.mark.slow
@pytest.mark.parametrize("name", ["ulx3s_85f"])
def test_a_chip_becomes_a_bitstream(name, tmp_path):
    board = board_named(name)
    columns, rows = mesh_shape(1)
    report = build_chip(board, ChipConfig(columns=columns, rows=rows, **board.chip), tmp_path)
    assert report["core"]["lut"] < report["resources"]["lut"]["used"] < board.resources.lut
    assert report["core"]["ram"] > 0
    assert (tmp_path / "top.bit").stat().st_size == report["bitstream"]["bytes"]


@pytest.mark.parametrize(
    ("lut", "ff", "density"), [(0.1, 0.2, "0.60"), (0.7, 0.2, "0.82"), (0.3, 0.75, "0.87"), (0.9, 0.8, "0.95")]
)
def test_cells_are_as_close_as_the_design_needs(lut, ff, density):
    board = board_named("ulx3s_25f")
    needs = {"lut": lut * board.resources.lut, "ff": ff * board.resources.ff}
    assert board.family.placing(needs, board.resources) == ("--placer-heap-beta", density)
    assert board_named("tang_nano_9k").family.placing(needs, board.resources) == ()
