# SPDX-License-Identifier: Apache-2.0
"""Residual networks on a chip at packet level, beside the golden model: equal bits."""

import pytest

from backspike.host.compiler.capacity import CapacityError
from backspike.host.compiler.compile import check_fit
from backspike.host.compiler.memory_layout import lay_out
from backspike.host.compiler.partition import Piece
from backspike.host.training.training_spec import TrainingSpec
from backspike.spec.config import ChipConfig
from tests.support.trained_chip import Chip, train

CHIP = {"columns": 2, "rows": 2, "slices": 12, "neurons": 1024, "tape_words": 128, "fan_in": 32, "weights": 8192}


@pytest.mark.parametrize("network", ["64-8-8-8+1-10", "1x8x8-c4k3p1-c4k3p1-c4k3p1+1-m2-10"])
def test_a_chip_of_one_core_gives_the_golden_model_s_bits(network, tmp_path):
    spec = TrainingSpec(network=network, steps=2, samples=4, tests=2, batch=4, epochs=1, seed=1, bias=True)
    chip = CHIP | {"columns": 1, "rows": 1, "neurons": 2048}
    result, run = train(tmp_path, Chip(**chip), spec=spec, compare=True)
    assert result == "finished" and run.difference is None


@pytest.mark.parametrize("network", ["64-8-8-8+1-10", "1x8x8-c4k3p1-c4k3p1-c4k3p1@1-c4k3p1+2-a4-10"])
def test_several_cores_are_refused(network):
    spec = TrainingSpec(network=network, steps=2)
    with pytest.raises(CapacityError, match=r"a residual connection, which so far needs a chip of one core, not of 4"):
        check_fit(spec.model, spec.schedule()[0], ChipConfig(**CHIP, steps=2))


def test_maps_that_are_added_as_vectors_must_be_cut_alike():
    spec = TrainingSpec(network="1x8x8-c4k3p1-c4k3p1-10+1", steps=2)
    whole = [Piece(0, 0, 0, 0, 4), Piece(2, 0, 0, 0, 10)]
    config = ChipConfig(**CHIP, steps=2)
    alike = [*whole, Piece(1, 1, 0, 0, 4)]
    assert len(lay_out(spec.model, config, alike)) == 3
    with pytest.raises(CapacityError, match="layer 2 must add maps that are cut alike, not those of layers 1 and 0"):
        lay_out(spec.model, config, [*whole, Piece(1, 1, 0, 0, 2), Piece(1, 0, 1, 2, 2)])
