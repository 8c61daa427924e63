# SPDX-License-Identifier: Apache-2.0
"""Chips at packet level that can be trained on, disturbed in what they do, and what must come out."""

from backspike.host.training.checkpoint import Checkpoint
from backspike.host.training.training_log import TrainingLog
from backspike.host.training.training_run import TrainingRun
from backspike.host.training.training_spec import TrainingSpec
from backspike.spec.config import ChipConfig
from backspike.spec.packets import parse_header
from tests.host.driver.test_driver_use import fault
from tests.support.chip_model import ModelChip

SPEC = TrainingSpec(network="64-8-10", steps=2, samples=12, tests=6, batch=5, epochs=5, seed=2)
"""Five epochs: the rate falls in the last one."""

BATCHES, EPOCHS = 3, SPEC.epochs


class Chip:
    """A ``ModelChip`` as ``chip_session`` wants it. Operations are numbered from 0.

    Parameters
    ----------
    faults: operation number -> kind of the packet after which the chip reports a fault
    raises: operation number -> exception instead of the operation
    """

    def __init__(self, faults=(), raises=(), **config):
        self.config = ChipConfig(**{"columns": 2, "rows": 1, "steps": 2, **config})
        self.faults, self.raises, self.names = dict(faults), dict(raises), []
        self._chip = ModelChip(self.config, seed=1)

    def run(self, operation, timeout=None):
        number = len(self.names)
        self.names.append(operation.name)
        if number in self.raises:
            raise self.raises[number]
        if number not in self.faults:
            return self._chip.run(operation)
        while not operation.done:
            words = operation.next_packet()
            if words is not None:
                self._chip.send(words)
            else:
                operation.receive(words := self._chip.receive())
            if parse_header(words[0])[0] == self.faults[number]:
                operation.receive(fault())
        return operation.result


def golden(spec=SPEC):
    """Weights and velocities of the whole spec in the golden model."""
    data, schedule = spec.dataset(), spec.schedule()
    trainer = spec.trainer(spec.weights())
    for epoch, training in enumerate(schedule):
        trainer.training = training
        for chosen in spec.epoch_batches(epoch, len(data.train)):
            trainer.train_batch(data.train[chosen].spikes, data.train.labels[chosen])
    return trainer.weights, trainer.velocities


def train(folder, chip=None, state=None, spec=SPEC, **options):
    """Train; returns ``(result, run)``."""
    path = folder / "weights.npz"
    with TrainingLog(path.with_suffix(".jsonl")) as log:
        run = TrainingRun(chip or Chip(), state or Checkpoint.start(spec), path, log, **options)
        return run.run(), run
