# SPDX-License-Identifier: Apache-2.0
"""Training on a chip at packet level: the golden model's bits, whatever interrupts or disturbs it."""

import dataclasses
import json
import re

import numpy as np
import pytest

from backspike.host.compiler.capacity import CapacityError
from backspike.host.training.checkpoint import Checkpoint
from backspike.host.training.chip_session import ChipFault
from backspike.host.training.training_spec import TrainingSpec
from backspike.spec.packets import Kind
from backspike.spec.tables import Region
from tests.host.driver.test_driver import same
from tests.host.driver.test_driver_use import FAULT_TEXT
from tests.support.trained_chip import BATCHES, EPOCHS, SPEC, Chip, golden, train


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """Folder of a training without any disturbance, and the golden model's weights and velocities."""
    folder = tmp_path_factory.mktemp("whole")
    result, _ = train(folder, compare=True)
    assert result == "finished"
    return folder, *golden()


def events(folder, name):
    lines = [json.loads(line) for line in (folder / "weights.jsonl").read_text().splitlines()]
    return [line for line in lines if line["event"] == name]


def same_as_whole(folder, whole):
    """Whether the finished file in a folder has the weights, velocities and results that it must have."""
    expected, found = (Checkpoint.load(place / "weights.npz") for place in (whole[0], folder))
    assert found.finished and same(found.weights, whole[1]) and same(found.velocities, whole[2])
    assert found.history == expected.history
    return True


def test_a_whole_training_is_the_golden_models(whole):
    folder, weights, _ = whole
    assert same_as_whole(folder, whole)
    assert not any(np.array_equal(a, b) for a, b in zip(weights, SPEC.weights(), strict=True))
    history = Checkpoint.load(folder / "weights.npz").history
    assert [entry["rate"] for entry in history] == [training.rate for training in SPEC.schedule()]
    assert history[-1]["rate"] == history[0]["rate"] / 16


def test_the_log_has_every_batch_and_epoch(whole):
    batches, epochs = (events(whole[0], name) for name in ("batch", "epoch"))
    assert [(line["epoch"], line["batch"]) for line in batches] == [
        (e, b) for e in range(1, EPOCHS + 1) for b in range(1, BATCHES + 1)
    ]
    for epoch in epochs:
        own = [(line, 5 if line["batch"] < BATCHES else 2) for line in batches if line["epoch"] == epoch["epoch"]]
        for name in ("loss", "accuracy"):
            assert np.isclose(epoch[f"train_{name}"], sum(line[name] * count for line, count in own) / 12)
        assert epoch["tests"] == 6 and 0 <= epoch["test_accuracy"] <= 1
    assert [line["samples"] for line in batches][-1] == 12 * EPOCHS


@pytest.mark.parametrize("looks", [0, 1, 2, 3, 4, 5, 8])
def test_an_interrupted_training_goes_on_to_the_same_bits(looks, whole, tmp_path):
    """Stopped after so many looks, before, within and after an epoch and its tests; then on chips of other shapes."""
    state, stops = None, 0
    for shape in ({}, {"columns": 1, "lanes": 4}, {"rows": 2, "slots": 3}):
        asked = iter([False] * looks + [True] * 99)
        result, run = train(tmp_path, Chip(**shape), state, stop=lambda asked=asked: next(asked))
        assert result == "interrupted"
        state, stops = Checkpoint.load(tmp_path / "weights.npz"), stops + 1
        assert (state.epoch, state.batch) == (run.state.epoch, run.state.batch)
    assert state.samples > 0 or not looks
    result, _ = train(tmp_path, state=state, compare=True)
    assert result == "finished" and same_as_whole(tmp_path, whole)


def test_a_training_in_phases_is_interrupted_and_repeats_a_batch_to_the_same_bits(whole, tmp_path, capsys):
    """Within an epoch it goes on with other tiles; what a fault has left of a batch is given up, weights and all."""
    asked = iter([False] * 2 + [True])
    result, run = train(tmp_path, Chip(weights=64), stop=lambda: next(asked), compare=True)
    state = Checkpoint.load(tmp_path / "weights.npz")
    assert result == "interrupted" and (state.epoch, state.batch) == (0, 2)
    assert [len(phase.tiles) for phase in run.session.program.phases] == [4, 1]
    chip = Chip(weights=320, columns=1, faults={1: Kind.UPDATED})
    result, _ = train(tmp_path, chip, state, compare=True)
    assert result == "finished" and same_as_whole(tmp_path, whole)
    assert chip.names[:4] == ["load", "train_batch", "recover", "train_batch"]
    assert len(events(tmp_path, "memory")) == EPOCHS
    assert "memory, bytes of a training sample: weights" in capsys.readouterr().out


@pytest.mark.parametrize("rule", ["dfa", "opzo"])
def test_feedback_is_the_same_on_every_chip(rule, tmp_path):
    """Random weights that bring errors come from the seed, learnt ones and the noise from the checkpoint."""
    spec = dataclasses.replace(SPEC, network="64-8-7-10", rule=rule, epochs=2)
    asked = iter([False] * 3 + [True])
    shapes = {"steps": 1, "slots": 4, "operand_bits": 7, "noise": rule == "opzo"}
    train(tmp_path, Chip(**shapes), spec=spec, stop=lambda: next(asked))
    state = Checkpoint.load(tmp_path / "weights.npz")
    assert not state.finished and state.samples
    result, _ = train(tmp_path, Chip(**shapes, columns=3, lanes=2), state, spec=spec, compare=True)
    found = Checkpoint.load(tmp_path / "weights.npz")
    weights, velocities = golden(spec)
    assert result == "finished" and same(found.weights, weights) and same(found.velocities, velocities)
    assert (found.feedback is not None) == (found.noise is not None) == (rule == "opzo")


def test_noise_goes_back_with_a_batch_that_fails(tmp_path):
    """The samples before the fault have drawn noise: the last checkpoint is loaded."""
    spec = dataclasses.replace(SPEC, network="64-8-10", rule="opzo", epochs=1)
    shapes = {"steps": 1, "slots": 4, "operand_bits": 7, "noise": True}
    result, _ = train(tmp_path, Chip(**shapes, faults={2: Kind.SPIKES}), spec=spec, compare=True)
    found = Checkpoint.load(tmp_path / "weights.npz")
    weights, _ = golden(spec)
    assert result == "finished" and same(found.weights, weights)


@pytest.mark.parametrize(
    ("name", "change", "text"),
    [
        ("feedback_0", lambda array: array[:, 1:], "feedback_0 of {} must be [10, 8] for the network, not [10, 7]"),
        ("noise_0", lambda array: array * 0, "noise_0 of {} must be integers from 1 to 65535"),
        ("feedback_0", lambda array: array + 1e-9, "feedback_0 of {} must be numbers of the format: "),
    ],
)
def test_feedback_of_another_training_is_refused(name, change, text, tmp_path):
    spec = dataclasses.replace(SPEC, network="64-8-10", rule="opzo", epochs=1)
    asked = iter([False, False, True])
    train(tmp_path, Chip(steps=1, slots=4, operand_bits=7, noise=True), spec=spec, stop=lambda: next(asked))
    path = tmp_path / "weights.npz"
    arrays = dict(np.load(path))
    np.savez(path, **arrays | {name: change(arrays[name])})
    with pytest.raises(ValueError, match=re.escape(text.format(path))):
        Checkpoint.load(path)


def test_a_killed_training_goes_on_from_the_last_checkpoint(whole, tmp_path):
    """Operations: load, 3 batches with a checkpoint of 2 reads after the second; the next one never ends."""
    chip = Chip(raises={8: KeyboardInterrupt()})
    with pytest.raises(KeyboardInterrupt):
        train(tmp_path, chip, save_every=2)
    assert chip.names[:6] == ["load", "train_batch", "train_batch", "read_weights", "read_velocities", "train_batch"]
    state = Checkpoint.load(tmp_path / "weights.npz")
    assert (state.epoch, state.batch) == (0, 2)
    train(tmp_path, state=state)
    assert same_as_whole(tmp_path, whole)


@pytest.mark.parametrize("kind", [Kind.SPIKES, Kind.UPDATE, Kind.UPDATED])
def test_a_batch_with_a_fault_is_repeated(kind, whole, tmp_path, capsys):
    """The second batch fails, and its repetition too; once the update has begun, the last checkpoint is loaded."""
    reloads = kind != Kind.SPIKES
    chip = Chip(faults={2: kind, 6 if reloads else 4: kind})
    result, _ = train(tmp_path, chip, compare=True)
    assert result == "finished" and same_as_whole(tmp_path, whole)
    assert chip.names[3:7] == (
        ["recover", "load", "train_batch", "train_batch"]
        if reloads
        else ["recover", "train_batch", "recover", "train_batch"]
    )
    told = [line for line in capsys.readouterr().out.splitlines() if "repeating" in line]
    assert told == [f"epoch 1, batch 2: train_batch: {FAULT_TEXT}; repeating ({count} of 3)" for count in (1, 2)]
    assert [line["count"] for line in events(tmp_path, "fault")] == [1, 2]


def test_faults_while_loading_testing_and_saving(whole, tmp_path):
    numbers = {
        "load": Kind.UPDATED,
        "evaluate": Kind.SPIKES,
        "read_weights": Kind.DATA,
        "read_velocities": Kind.READ,
        "change_training": Kind.DATA,
        "recover": Kind.UPDATE,
    }

    class Once(Chip):
        """Each kind of operation fails the first time."""

        def run(self, operation, timeout=None):
            if operation.name in numbers:
                self.faults[len(self.names)] = numbers.pop(operation.name)
            return super().run(operation)

    result, _ = train(tmp_path, Once(), compare=True)
    assert result == "finished" and same_as_whole(tmp_path, whole)
    assert not numbers
    places = [(line["epoch"], line["batch"]) for line in events(tmp_path, "fault")]
    assert places == [(1, 1), (1, 1), (1, 4), (1, 4), (1, 4), (4, 1)]


def test_a_chip_that_says_nothing_in_time_is_asked_again(whole, tmp_path):
    result, _ = train(tmp_path, Chip(raises={4: TimeoutError("nothing came")}))
    assert result == "finished" and same_as_whole(tmp_path, whole)
    assert [line["fault"] for line in events(tmp_path, "fault")] == ["nothing came"]


def test_a_batch_that_always_fails_ends_the_training(tmp_path):
    class Broken(Chip):
        def run(self, operation, timeout=None):
            if operation.name == "train_batch" and self.names.count("train_batch") >= 2:
                self.faults[len(self.names)] = Kind.SPIKES
            return super().run(operation)

    chip = Broken()
    with pytest.raises(ChipFault, match="dropped a LABEL packet"):
        train(tmp_path, chip)
    assert chip.names.count("train_batch") == 2 + 1 + 3
    assert [line["count"] for line in events(tmp_path, "fault")] == [1, 2, 3]
    assert Checkpoint.load(tmp_path / "weights.npz").samples == 0


def test_a_batch_that_always_fails_in_its_update_ends_the_training(tmp_path):
    """Although the batches before it are trained again each time."""

    class Broken(Chip):
        def run(self, operation, timeout=None):
            if operation.name == "train_batch" and self._since_load() == 2:
                self.faults[len(self.names)] = Kind.UPDATE
            return super().run(operation)

        def _since_load(self):
            last = len(self.names) - 1 - self.names[::-1].index("load")
            return self.names[last:].count("train_batch")

    chip = Broken()
    with pytest.raises(ChipFault, match="dropped a LABEL packet"):
        train(tmp_path, chip)
    assert chip.names.count("train_batch") == 3 * 4


@pytest.mark.parametrize("error", [OSError("the cable is gone"), RuntimeError("the session is lost")])
def test_a_lost_chip_ends_the_training(error, tmp_path):
    chip = Chip(raises={2: error})
    with pytest.raises(ChipFault, match=f"train_batch: {error}"):
        train(tmp_path, chip)
    assert chip.names == ["load", "train_batch", "train_batch"]
    assert events(tmp_path, "failed")[0]["batch"] == 2


class Wrong(Chip):
    """One bit of a weight changes before an operation."""

    def __init__(self, number, **config):
        super().__init__(**config)
        self.number = number

    def run(self, operation, timeout=None):
        if len(self.names) == self.number:
            self._chip.cores[0, 0].memory.words[Region.WEIGHT][5] ^= 1
        return super().run(operation)


def test_the_first_difference_is_reported_and_not_saved(tmp_path, capsys):
    result, run = train(tmp_path, Wrong(1), compare=True, save_every=1)
    assert result == "different"
    assert re.search(r"first difference: (weight|spike) of layer \d", str(run.difference))
    assert str(run.difference) in capsys.readouterr().out
    assert events(tmp_path, "difference")[0]["difference"]["bits"] >= 1
    assert Checkpoint.load(tmp_path / "weights.npz").samples == 0


def test_without_comparison_nobody_sees_a_difference(tmp_path):
    result, run = train(tmp_path, Wrong(1), save_every=1)
    assert result == "finished"
    assert not same(run.state.weights, golden()[0])


def test_a_chip_without_velocities_trains_without_momentum(tmp_path):
    spec = TrainingSpec(**vars(SPEC) | {"momentum": 0.0, "epochs": 2})
    asked = iter([False] * 2 + [True])
    result, _ = train(tmp_path, Chip(momentum=False), spec=spec, compare=True, stop=lambda: next(asked))
    assert result == "interrupted"
    state = Checkpoint.load(tmp_path / "weights.npz")
    result, run = train(tmp_path, Chip(), state, compare=True)
    assert result == "finished" and same(run.state.weights, golden(spec)[0])


@pytest.mark.parametrize(
    ("config", "text"),
    [
        ({"momentum": False}, "update is 'lion', momentum is 0.984375 and the chip has no velocity memory"),
        (
            {"format": {"exponent": 4, "mantissa": 3}},
            "format of the network must be the chip's, "
            "Format(exponent=4, mantissa=3), not Format(exponent=5, mantissa=10)",
        ),
        ({"batch_terms": 9}, "batch is 5 and the chip's gradients hold 4 samples of this network: use batch=4"),
        ({"weights": 32}, "weights=64"),
    ],
)
def test_a_course_that_does_not_fit_the_chip_is_refused(config, text, tmp_path):
    chip = Chip()
    chip.config = type(chip.config).from_dict(chip.config.to_dict() | config)
    with pytest.raises((CapacityError, ValueError), match=re.escape(text)):
        train(tmp_path, chip)
    assert chip.names == [] and not (tmp_path / "weights.npz").exists()


HELD = TrainingSpec(**vars(SPEC) | {"validation": 0.25, "patience": 2, "epochs": 8, "rate": 2.0**-3})


def best_of(spec):
    """Accuracies on the validation samples, and the weights of the first best epoch, in the golden model."""
    data, accuracies, weights = spec.dataset(), [], []
    trainer = spec.trainer(spec.weights())
    for epoch, training in enumerate(spec.schedule()):
        trainer.training = training
        for chosen in spec.epoch_batches(epoch, len(data.train)):
            trainer.train_batch(data.train[chosen].spikes, data.train.labels[chosen])
        accuracies.append(trainer.evaluate(data.validation.spikes, data.validation.labels))
        weights.append(trainer.weights)
        if epoch - int(np.argmax(accuracies)) >= spec.patience:
            break
    trainer.weights = weights[int(np.argmax(accuracies))]
    return accuracies, trainer, trainer.evaluate(data.test.spikes, data.test.labels)


def test_validation_decides_which_weights_are_kept_and_when_to_end(tmp_path):
    accuracies, best, tested = best_of(HELD)
    assert len(accuracies) < HELD.epochs and int(np.argmax(accuracies)) + 1 < len(accuracies), "nothing is shown"
    result, run = train(tmp_path, spec=HELD, compare=True)
    assert result == "finished"
    state = Checkpoint.load(tmp_path / "weights.npz")
    assert [entry["validation_accuracy"] for entry in state.history] == accuracies
    assert same(state.weights, best.weights) and same(run.state.weights, best.weights)
    assert state.tested["test_accuracy"] == tested == events(tmp_path, "tested")[0]["test_accuracy"]
    assert not any("test_accuracy" in entry for entry in state.history)


@pytest.mark.parametrize("looks", [4, 9, 30])
def test_a_training_with_validation_goes_on_to_the_same_weights(looks, tmp_path):
    asked = iter([False] * looks + [True] * 99)
    train(tmp_path, spec=HELD, stop=lambda: next(asked))
    state = Checkpoint.load(tmp_path / "weights.npz")
    result, _ = train(tmp_path, state=state, spec=HELD)
    state = Checkpoint.load(tmp_path / "weights.npz")
    _, best, tested = best_of(HELD)
    assert result == "finished" and state.finished and same(state.weights, best.weights)
    assert state.tested["test_accuracy"] == tested


def test_a_loss_by_the_host_trains_to_the_golden_models_bits(tmp_path):
    for changes in ({"loss": "cross-entropy"}, {"loss_span": "last"}):
        spec = TrainingSpec(**vars(SPEC) | changes | {"epochs": 2})
        result, run = train(tmp_path, spec=spec, compare=True)
        assert result == "finished"
        assert not same(run.state.weights, spec.weights())


def test_what_keeps_the_network_from_learning_is_said_once(tmp_path, capsys):
    spec = TrainingSpec(**vars(SPEC) | {"rate": 2.0**15, "epochs": 3})
    result, _ = train(tmp_path, Chip(), spec=spec)
    assert result == "finished"
    [told] = [line["warning"] for line in events(tmp_path, "warning")]
    assert told.startswith("outputs 1, 6 and 9 spike at every step of all 6 samples: use a smaller rate")
    assert capsys.readouterr().out.count(f"warning: {told}") == 1
