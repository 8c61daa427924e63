# SPDX-License-Identifier: Apache-2.0
"""The gates of cycles and area: what counts as a change, and that values are committed for all that is measured."""

import dataclasses
import json

import pytest

from backspike.sim.run.scenario import Scenario
from tests.gates import CASES, GATES, UNITS, compare, main

BEFORE = {"cycles": {"digits": 1000}, "units": {"dense": {"tile": {"lut": 5000, "dsp": 0}}}}


def now(cycles=1000, lut=5000, dsp=0):
    return {"cycles": {"digits": cycles}, "units": {"dense": {"tile": {"lut": lut, "dsp": dsp}}}}


@pytest.mark.parametrize("measured", [now(), now(cycles=1020), now(cycles=980), now(lut=5100)])
def test_two_per_cent_either_way_pass(measured):
    assert compare(BEFORE, measured) == []


@pytest.mark.parametrize(
    ("measured", "text"),
    [
        (now(cycles=1021), "cycles digits was 1,000, and is 1,021 (+2.1%)"),
        (now(cycles=979), "cycles digits was 1,000, and is 979 (-2.1%)"),
        (now(lut=6000), "units dense tile lut was 5,000, and is 6,000 (+20.0%)"),
        (now(dsp=1), "units dense tile dsp was 0, and is 1 (from nothing)"),
    ],
)
def test_a_change_is_named(measured, text):
    assert compare(BEFORE, measured) == [text]


def test_what_is_measured_is_committed():
    assert compare({"a": 1}, {"b": 2}) == ["a was not measured: 1 is committed", "b has no committed value: it is 2"]
    committed = json.loads(GATES.read_text())
    assert committed["cycles per training sample"].keys() == {"digits", *(case.name for case in CASES)}
    assert {kind: tuple(units) for kind, units in committed["units"].items()} == UNITS


def test_a_report_of_another_run_is_refused(tmp_path, monkeypatch, capsys):
    """What ``make sim`` with options has left is not the committed case."""
    monkeypatch.setattr("tests.gates.ROOT", tmp_path)
    (tmp_path / "build" / "sim").mkdir(parents=True)
    for text in (None, '{"scenario": {"cores": 6}}'):
        if text:
            (tmp_path / "build" / "sim" / "report.json").write_text(text)
        assert main([]) == 1
        expected = "gates: build/sim/report.json must be that of make sim without options, which has not run here\n"
        assert capsys.readouterr().err == expected


def test_a_slower_chip_fails_until_the_values_are_renewed(tmp_path, monkeypatch, capsys):
    """With measurements of this test's own."""
    cycles, tile = {case.name: 2000.4 for case in CASES}, {"lut": 5000, "ff": 4000, "ram": 14, "dsp": 6}
    monkeypatch.setattr("tests.gates.ROOT", tmp_path)
    monkeypatch.setattr("tests.gates.GATES", tmp_path / "gates.json")
    monkeypatch.setattr(
        "tests.gates.benchmark",
        lambda *_, **__: {
            "differences": [],
            "runs": [{"case": name, "cycles_per_sample": value} for name, value in cycles.items()],
        },
    )
    names = ["tile", "tile.router", *(f"tile.core.{name}" for name in ("engine", "learning", "arithmetic", "slots"))]
    monkeypatch.setattr("tests.gates.synthesise_all", lambda *_: [{"unit": name, **tile} for name in names])
    (tmp_path / "build" / "sim").mkdir(parents=True)
    (tmp_path / "build" / "gates").mkdir()
    report = {"scenario": dataclasses.asdict(Scenario()), "training": {"cycles_per_sample": 4535.2}}
    (tmp_path / "build" / "sim" / "report.json").write_text(json.dumps(report))
    assert main(["--renew"]) == 0
    assert main([]) == 0
    cycles["conv"] = 2100
    assert main([]) == 1
    assert capsys.readouterr().err == (
        "gates: cycles per training sample conv was 2,000, and is 2,100 (+5.0%)\n"
        "gates: at most 2% may change; make gates RENEW=1 renews the values\n"
    )
    assert main(["--renew"]) == 0
    assert main([]) == 0
