# SPDX-License-Identifier: Apache-2.0
"""Own data of each kind on a chip at packet level, beside the golden model: equal bits. tests/sim has the real chip."""

import pytest

from backspike.host.training.training_spec import TrainingSpec
from tests.support.own_data import write_examples
from tests.support.trained_chip import Chip, train


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return write_examples(tmp_path_factory.mktemp("own_data"))


@pytest.mark.parametrize(
    ("data", "network", "encoder", "names"),
    [
        ("glyphs", "168-6-26", None, ["0", "1", "25"]),
        ("tumours.csv", "60-6-2", None, ["benign", "malignant"]),
        ("waves", "16-6-3", None, ["sine", "saw", "square"]),
        ("moving_digits", "2312-4-4", None, ["0", "1", "2", "3"]),
        ("glyphs", "336-6-26", "bits:2", ["0", "1", "25"]),
    ],
)
def test_the_weights_are_the_golden_model_s(folder, data, network, encoder, names, tmp_path):
    spec = TrainingSpec(
        network=network, steps=2, data=str(folder / data), encoder=encoder, samples=8, tests=4, batch=4, epochs=1
    )
    assert set(names) <= set(spec.dataset().classes)
    result, run = train(tmp_path, Chip(tape_words=128), spec=spec, compare=True)
    assert result == "finished" and run.difference is None
