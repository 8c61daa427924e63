# SPDX-License-Identifier: Apache-2.0
"""The run of ``make sim``, small: report, pictures, waves, and what a mismatch looks like."""

import json

import numpy as np
import pytest

from backspike.sim.run import simulated_training as training
from backspike.sim.run.scenario import Scenario

SMALL = Scenario(
    cores=2,
    lanes=2,
    network="64-20-10",
    steps=3,
    samples=20,
    batch=8,
    tests=16,
    epochs=2,
    seed=5,
    bias=True,
    momentum=0.5,
    idle=0.1,
)


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A finished run: its folder and its report."""
    folder = tmp_path_factory.mktemp("run")
    return folder, training.simulate_training(SMALL, folder, waves="links")


def test_chip_and_golden_model_are_equal(finished):
    _, report = finished
    assert report["difference"] is None and report["mismatching_bits"] == 0
    assert report["training"]["samples"] == 24
    accuracy = report["accuracy"]
    assert accuracy["chip_after_chip_samples"] == accuracy["golden_after_chip_samples"]
    assert accuracy["chip_fully_trained_same_tests"] == accuracy["golden_fully_trained_same_tests"]


def test_report_holds_what_was_measured(finished):
    folder, report = finished
    assert json.loads((folder / "report.json").read_text()) == json.loads(json.dumps(report))
    for engine in report["engines"].values():
        assert 0 < engine["utilisation"] <= 1
        assert engine["terms"] + engine["skipped"] == engine["dense"]
        assert engine["skipped"] >= 0
    assert report["training"]["cycles_per_sample"] > 0


def test_pictures_and_waves_are_written(finished):
    folder, _ = finished
    for name in ("learning", "raster", "activity"):
        assert (folder / f"{name}.png").read_bytes().startswith(b"\x89PNG")
    assert (folder / "chip.vcd").stat().st_size > 1000


def test_a_mismatch_is_named(finished, monkeypatch):
    """One bit of one expected weight is flipped: the run stops there and says where."""
    folder, _ = finished
    write = training._write_expected

    def write_wrongly(scenario, data, golden, directory):
        write(scenario, data, golden, directory)
        expected = dict(np.load(directory / "expected.npz"))
        fmt = scenario.model.format
        bits = fmt.encode(expected["weights_1_0"])
        bits[7, 3] ^= 1
        expected["weights_1_0"] = fmt.decode(bits)
        np.savez(directory / "expected.npz", **expected)

    monkeypatch.setattr(training, "_write_expected", write_wrongly)
    report = training.simulate_training(SMALL, folder)
    difference = report["difference"]
    place = [difference[key] for key in ("what", "layer", "index", "step")]
    assert place == ["weight", 0, [7, 3], 1]
    assert int(difference["expected"], 16) ^ int(difference["found"], 16) == 1
    assert report["mismatching_bits"] == 1
    assert difference["text"].startswith("first difference: weight of layer 0, index (7, 3), step 1: expected bits 0x")
