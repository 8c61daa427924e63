# SPDX-License-Identifier: Apache-2.0
"""``backspike data``, and trainings whose network and steps follow from the data."""

import json

import numpy as np
import pytest

from backspike.cli.main import main
from backspike.golden.network import Network
from backspike.host.data.load import read
from backspike.host.data.summary import default_steps
from backspike.host.training.fitting import fitted, fitting_chip
from tests.support.idx_files import write_folder


def test_what_was_understood_is_shown(tmp_path, capsys):
    rows = np.zeros((20, 2, 8, 9), dtype=np.uint8)
    rows[:, 1, 3, 4] = 255
    rows[3] = 0
    np.savez(
        tmp_path / "a.npz", values_train=rows, labels_train=np.arange(20) % 2, values_test=rows, labels_test=[0] * 20
    )
    command = ["data", str(tmp_path / "a.npz"), "--classes", "cat,dog", "--steps", "3"]
    assert main([*command, "--json", str(tmp_path / "new/a.json")]) == 0
    found = json.loads((tmp_path / "new/a.json").read_text())
    assert found["kind"] == "values" and found["shape"] == [2, 8, 9] and found["input_shape"] == [2, 8, 9]
    assert found["samples"] == {"train": 20, "test": 20} and found["inputs"] == 144 and found["steps"] == 3
    assert found["classes"] == [{"name": "cat", "train": 10, "test": 20}, {"name": "dog", "train": 10, "test": 0}]
    assert found["density"]["train"] == round(19 / 20 / 144, 6) and found["silent_samples"]["train"] == 0.05
    assert found["silent_inputs"] == 143 and found["encoder"] == "threshold"
    networks = {entry["network"]: entry["cores"] for entry in found["networks"]}
    assert networks == {"144-128-2": 2, "144-32-2": 1, "2x8x9-c8k3s2p1-c16k3s2p1-2": 2}
    told = capsys.readouterr().out
    assert "warning: 5.0% of the training samples have no spikes" in told
    assert "training sample 0, cat:" in told and "channel 1, steps 1 to 3:" in told
    assert "    #    |    #    |    #    |" in told


def test_a_picture_is_drawn(tmp_path, capsys):
    pytest.importorskip("matplotlib", reason="SKIPPED without matplotlib: the picture was not drawn")
    for encoder, steps in (("threshold", 4), ("direct:4", 1)):
        path = tmp_path / f"{encoder[:4]}.png"
        assert main(["data", "digits", "--steps", str(steps), "--encoder", encoder, "--picture", str(path)]) == 0
        assert path.read_bytes()[:4] == b"\x89PNG"
    assert "for the golden model alone" in capsys.readouterr().out


def test_what_is_wrong_is_said(tmp_path, capsys):
    for options, text in (
        (["nothing"], "data must be 'digits', 'mnist5k', FILE.npz, "),
        (["digits", "--sample=2000"], "sample must be 0 to 1436, not 2000"),
        (["digits", "--encoder=bit"], "encoder must be one of threshold, "),
        (["digits", "--classes=a,b"], "classes must be 10 names for the labels to 9 of the data digits, not 2"),
        (["digits", "--classes=a,a"], "classes must be different names, at least one, not"),
        (["digits", "--steps=0"], "steps must be at least 1, not 0"),
    ):
        assert main(["data", *options]) == 2
        assert capsys.readouterr().err.startswith(f"backspike data: {text}")


def test_network_and_steps_follow_from_the_data(tmp_path):
    write_folder(tmp_path / "letters", (4, 5), labels=range(26))
    data = str(tmp_path / "letters")
    assert fitted({"data": data}) == {"data": data, "steps": 4, "network": "20-128-26"}
    assert fitted({"data": data, "steps": 2}, "c4k3-16")["network"] == "1x4x5-c4k3-16-26"
    assert fitted({"seed": 3}) == {"seed": 3}, "the defaults are those of the digits"
    given = {"data": data, "network": "20-7-26", "steps": 3}
    assert fitted(given) == given
    series = np.zeros((10, 100))
    np.savez(tmp_path / "s.npz", series=series, labels=[0, 1] * 5)
    np.savez(tmp_path / "p.npz", spikes=np.zeros((10, 7, 3), dtype=bool), labels=[0, 1] * 5)
    assert default_steps(read(tmp_path / "s.npz")) == 16 and default_steps(read(tmp_path / "p.npz")) == 7


def test_the_smallest_chip_and_why_there_is_none():
    assert fitting_chip(Network.parse("784-128-10")).cores == 7
    assert fitting_chip(Network.parse("2312-16-4")).tape_words == 128
    assert fitting_chip(Network.parse("8-4-2", steps=17)).startswith("the network has 17 steps and the chip holds 16")


def test_a_table_is_trained_by_one_command(tmp_path, capsys):
    """Two classes that one column tells apart."""
    generator = np.random.default_rng(0)
    kinds = generator.integers(0, 2, 120)
    values = generator.normal(size=(120, 3)) + 3 * np.outer(kinds, [1, 0, 0])
    lines = [f"{a},{b},{c},{'big' if kind else 'small'}" for (a, b, c), kind in zip(values, kinds, strict=True)]
    (tmp_path / "t.csv").write_text("a,b,c,kind\n" + "\n".join(lines))
    options = ["--data", str(tmp_path / "t.csv"), "--hidden=16", "--steps=8", "--arithmetic=bit-exact"]
    assert main(["golden", *options, "--json", str(tmp_path / "r.json")]) == 0
    found = json.loads((tmp_path / "r.json").read_text())
    assert found["spec"]["network"] == "6-16-2" and found["test_accuracy"]["bit-exact"][0] > 0.85
