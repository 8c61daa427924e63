# SPDX-License-Identifier: Apache-2.0
"""Several chips train one network, at packet level: the bits of one chip, whatever their shapes and their number."""

import dataclasses

import numpy as np
import pytest

from backspike.golden.exact import Exact
from backspike.host.training.checkpoint import Checkpoint
from backspike.host.training.chip_group import ChipGroup, GroupSession
from backspike.host.training.chip_session import ChipFault
from backspike.spec.formats import Format
from backspike.spec.packets import Kind
from tests.host.driver.test_driver import same
from tests.support.trained_chip import BATCHES, EPOCHS, SPEC, Chip, golden, train

SHAPES = ({}, {"columns": 1, "lanes": 4}, {"rows": 2, "slots": 3}, {"dense_only": True}, {"columns": 3, "chain": True})


def finished(folder, spec=SPEC):
    """Whether the finished training in a folder is the golden model's, and its results."""
    state = Checkpoint.load(folder / "weights.npz")
    weights, velocities = golden(spec)
    assert state.finished and same(state.weights, weights) and same(state.velocities, velocities)
    return state.history


@pytest.mark.parametrize("count", [2, 5])
def test_several_chips_give_the_bits_of_one(count, tmp_path):
    """Batches of 5 and 2: of five chips some have no sample. Their shapes differ."""
    one, many = tmp_path / "one", tmp_path / "many"
    for folder in (one, many):
        folder.mkdir()
    train(one)
    chips = [Chip(**shape) for shape in SHAPES[:count]]
    result, _ = train(many, ChipGroup(chips), compare=True)
    assert result == "finished" and finished(many) == finished(one)
    assert all(chip.names.count("write_weights") == BATCHES * EPOCHS for chip in chips)  # tables stay


@pytest.mark.parametrize("options", [{"rule": "sltt", "update": "lion"}, {"loss": "cross-entropy", "decay": 0.5}])
def test_rules_losses_and_updates(options, tmp_path):
    spec = dataclasses.replace(SPEC, epochs=1, **options)
    result, _ = train(tmp_path, ChipGroup([Chip(), Chip(slots=4)]), spec=spec, compare=True)
    assert result == "finished" and finished(tmp_path, spec)


@pytest.mark.slow
def test_twenty_batches_on_five_chips(tmp_path):
    spec = dataclasses.replace(SPEC, samples=40, batch=10, epochs=5)
    result, _ = train(tmp_path, ChipGroup([Chip() for _ in range(5)]), spec=spec)
    assert result == "finished" and finished(tmp_path, spec)


def test_a_part_may_be_all_that_a_chip_can_add_up(tmp_path):
    """One chip cannot hold the sums of a batch of 5 samples with 2 steps; two can, with 3 and 2 samples."""
    small = {"batch_terms": 8}
    with pytest.raises(ValueError, match="batch"):
        train(tmp_path, Chip(**small))
    result, _ = train(tmp_path, ChipGroup([Chip(**small), Chip(**small)]))
    assert result == "finished" and finished(tmp_path)


@pytest.mark.parametrize(("kind", "loads"), [(Kind.SPIKES, False), (Kind.UPDATED, True)])
def test_a_fault_of_one_chip_is_cleared_up_on_all(kind, loads, tmp_path, capsys):
    """Operations of a chip: load, then train_batch, read_gradients, write_weights for each batch."""
    disturbed = Chip(faults={3 if loads else 4: kind})
    result, _ = train(tmp_path, ChipGroup([Chip(), disturbed]), compare=True)
    assert result == "finished" and finished(tmp_path)
    assert "chip 1: " in capsys.readouterr().out


def test_an_interrupted_training_goes_on_with_other_chips(tmp_path):
    asked = iter([False] * 2)
    train(tmp_path, ChipGroup([Chip(), Chip()]), stop=lambda: next(asked, True))
    state = Checkpoint.load(tmp_path / "weights.npz")
    assert not state.finished and state.samples
    asked = iter([False] * 3)
    train(tmp_path, Chip(columns=1), state, stop=lambda: next(asked, True))
    state = Checkpoint.load(tmp_path / "weights.npz")
    result, _ = train(tmp_path, ChipGroup([Chip() for _ in range(3)]), state)
    assert result == "finished" and finished(tmp_path)


def test_a_chip_with_other_weights_is_named(tmp_path):
    """One whose memory was written behind the group's back."""
    chips = [Chip(), Chip()]
    session = GroupSession(ChipGroup(chips), SPEC, SPEC.schedule()[0])
    session.load(SPEC.weights())
    other = [np.zeros_like(weight) for weight in SPEC.weights()]
    session.sessions[1].load(other)
    with pytest.raises(ChipFault, match="chip 1: read_weights gave other bits than chip 0"):
        session.call("read_weights")


def test_groups_that_cannot_be():
    with pytest.raises(ValueError, match="chips of a group must be 2 to 64, not 1"):
        ChipGroup([Chip()])
    narrow = Chip(format=Format(exponent=4, mantissa=3))
    with pytest.raises(ValueError, match=r"format of chip 1 must be that of the first"):
        ChipGroup([Chip(), narrow])
    spec = dataclasses.replace(SPEC, network="64-8-7-10", rule="opzo")
    with pytest.raises(ValueError, match=r"such as ottt or dfa, not 'opzo'"):
        GroupSession(ChipGroup([Chip(), Chip()]), spec, spec.schedule()[0])


def test_sums_from_integers_are_exact():
    values = np.array([(1 << 62) - 1, -(1 << 62) + 1, 12345678901234567, -1, 0])
    assert list(Exact.of_integers(values, -24).integers()) == list(values)
