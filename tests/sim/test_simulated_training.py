# SPDX-License-Identifier: Apache-2.0
"""The run of ``make sim``, small: report, pictures, waves, and what a mismatch looks like."""

import dataclasses
import json
import re

import numpy as np
import pytest

from backspike.hw.state import state_bits
from backspike.sim.run import simulated_training as training
from backspike.sim.run.measured_run import MeasuredRun
from backspike.sim.run.scenario import Scenario
from backspike.spec.config import ChipConfig

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


def test_lion_is_equal_too(tmp_path):
    """On the same chip, whose simulation is kept."""
    scenario = dataclasses.replace(
        SMALL, update="lion", momentum=None, decay=0.999, samples=8, tests=2, epochs=1, idle=0.0
    )
    report = training.simulate_training(scenario, tmp_path)
    assert report["difference"] is None and report["training"]["samples"] == 8
    assert report["scenario"]["update"] == "lion"


@pytest.mark.slow
def test_a_deep_residual_network_with_maximum_pooling_trains(tmp_path):
    """Nine layers with weights, shortcuts past two layers and by a kernel, on one core: equal bits."""
    scenario = Scenario(
        cores=1,
        network="1x8x8-c4k3p1-c4k3p1-c4k3p1-c4k3p1+1-m2-c8k3p1-c8k3p1-c8k1@5-c8k3p1+7-a2-10+8",
        samples=16,
        batch=8,
        tests=8,
        epochs=1,
        seed=1,
        bias=True,
        chip={"slices": 12, "neurons": 2048, "tape_words": 256, "routes": 128, "fan_in": 64},
    )
    report = training.simulate_training(scenario, tmp_path)
    assert report["difference"] is None and report["mismatching_bits"] == 0
    assert report["training"]["samples"] == 16


def test_the_chip_is_made_for_the_rule():
    sizes = {
        rule: (config.steps, config.slots, config.operand_bits, config.noise, config.ternary)
        for rule in ("bptt", "tbptt:2", "sltt", "ottt", "dsr", "spide:4", "dfa", "opzo")
        if (config := Scenario(rule=rule, steps=8).config)
    }
    assert sizes == {
        "bptt": (8, 2, 1, False, False),
        "tbptt:2": (2, 4, 1, False, False),
        "sltt": (1, 4, 1, False, False),
        **dict.fromkeys(("ottt", "dsr", "dfa"), (1, 4, 7, False, False)),
        "spide:4": (1, 4, 7, False, True),
        "opzo": (1, 4, 7, True, False),
    }
    for rule in ("ottt", "dsr", "spide:4", "dfa", "opzo"):
        Scenario(rule=rule, steps=8).check()
    text = "rule ottt has traces of 7 bits and the chip's operands have 1: use a chip with operand_bits=7, or rule sltt"
    with pytest.raises(ValueError, match=f"^{re.escape(text)}$"):
        Scenario(rule="ottt", steps=8, chip={"operand_bits": 1}).check()


def test_report_holds_what_was_measured(finished):
    folder, report = finished
    assert json.loads((folder / "report.json").read_text()) == json.loads(json.dumps(report))
    for engine in report["engines"].values():
        assert 0 < engine["utilisation"] <= 1
        assert engine["terms"] + engine["skipped"] == engine["dense"]
        assert engine["skipped"] >= 0
    assert report["training"]["cycles_per_sample"] > 0
    terms = sum(engine["terms"] for engine in report["engines"].values())
    assert report["training"]["terms_per_sample"] == terms / report["training"]["samples"]
    assert report["state_bits"] == state_bits(ChipConfig.from_dict(report["chip"]))


def test_pictures_and_waves_are_written(finished):
    folder, _ = finished
    for name in ("learning", "raster", "activity"):
        assert (folder / f"{name}.png").read_bytes().startswith(b"\x89PNG")
    assert (folder / "chip.vcd").stat().st_size > 1000


def test_a_mismatch_is_named(finished, monkeypatch):
    """One bit of one expected weight is flipped: the run stops there and says where."""
    folder, _ = finished
    write = training._write_expected

    def write_wrongly(name, scenario, data, golden, directory):
        write(name, scenario, data, golden, directory)
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


def test_a_measurement_of_another_run_is_refused(monkeypatch, tmp_path):
    """As another run would leave it in the same folder while this one simulates."""

    def measure_another(scenario, built, directory, reporter):
        (directory / "measured.json").write_text(json.dumps({"run": "0123456789abcdef"}))

    monkeypatch.setattr(training, "build", lambda *_, **__: None)
    monkeypatch.setattr(training, "_run_chip", measure_another)
    with pytest.raises(RuntimeError, match=r"measured\.json must be of this run, \w{16}, not of 0123456789abcdef"):
        training.simulate_training(SMALL, tmp_path, emit=lambda config, folder: [])
    name = json.loads((tmp_path / "scenario.json").read_text())["run"]
    assert str(np.load(tmp_path / "expected.npz")["run"]) == name
    with pytest.raises(RuntimeError, match=r"expected\.npz must be of this run, other, not of "):
        MeasuredRun(tmp_path, "other", SMALL, {})


def test_what_is_impossible_is_refused_before_anything_is_done(monkeypatch, tmp_path):
    monkeypatch.setattr(Scenario, "plan", None)
    with pytest.raises(ValueError, match="batch is 4000 and the chip's gradients hold "):
        training.simulate_training(dataclasses.replace(SMALL, batch=4000, chip={"batch_terms": 64}), tmp_path / "new")
    assert not (tmp_path / "new").exists()
