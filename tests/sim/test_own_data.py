# SPDX-License-Identifier: Apache-2.0
"""Own data of each kind on a simulated chip, by one command each: equal bits."""

import json

import pytest

from backspike.cli.main import main
from tests.support.own_data import write_examples


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return write_examples(tmp_path_factory.mktemp("own_data"))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("data", "network", "classes"),
    [
        ("glyphs", "168-32-26", 26),
        ("tumours.csv", "60-16-2", 2),
        ("waves", "16-32-3", 3),
        ("moving_digits", "2312-16-4", 4),
    ],
)
def test_a_chip_trains_own_data_to_the_golden_model_s_bits(folder, data, network, classes, tmp_path):
    options = ["--steps=4", "--samples=32", "--tests=16", "--epochs=5"]
    chip = ["--cores=2", "--weights=32768", "--tape-words=128"]
    assert (
        main(["sim", f"--data={folder / data}", f"--network={network}", f"--output={tmp_path}", *options, *chip]) == 0
    )
    report = json.loads((tmp_path / "report.json").read_text())
    assert report["difference"] is None and len(report["accuracy"]["golden_fully_trained_by_class"]) == classes
