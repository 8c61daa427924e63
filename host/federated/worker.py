# SPDX-License-Identifier: Apache-2.0
"""A worker of federated learning: trains on samples of its own, in the golden model or on a chip."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np

from backspike.golden.constants import Training
from backspike.host.data.dataset import Samples
from backspike.host.training.chip_session import Chip, ChipSession
from backspike.host.training.metrics import Metrics
from backspike.host.training.training_spec import TrainingSpec

__all__ = ["ChipWorker", "GoldenWorker", "LocalResult", "Worker"]


@dataclass(frozen=True)
class LocalResult:
    """What a worker sends back after a round.

    Parameters
    ----------
    weights : list of array of float64
        One for each layer.
    metrics : Metrics
        Of its samples, each before the update of its batch.
    """

    weights: list[np.ndarray]
    metrics: Metrics


class Worker(Protocol):
    """Trains with what the round gives it. Velocities begin at 0 in every round."""

    def train(self, weights: Sequence[np.ndarray], round_number: int) -> LocalResult:
        """Local epochs of a round, counted from 0, from the common weights on."""


class _LocalEpochs:
    """The batches of a worker, and the constants of each; all of it follows from the seed, the round and the worker.

    Parameters
    ----------
    spec : TrainingSpec
        What is trained; its ``epochs`` are those of all rounds together, so that the rate falls towards the end.
    samples : Samples
        Of the worker.
    number : int
        Of the worker.
    epochs : int
        In each round.
    """

    def __init__(self, spec: TrainingSpec, samples: Samples, number: int, epochs: int) -> None:
        self.spec, self.samples, self.number, self.epochs = spec, samples, number, epochs
        self._schedule = spec.schedule()

    def batches(self, round_number: int) -> "list[tuple[Training, np.ndarray, np.ndarray | None]]":
        """Constants, samples and trained frames of each batch of a round."""
        result = []
        for epoch in range(round_number * self.epochs, (round_number + 1) * self.epochs):
            order = np.random.default_rng((self.spec.seed, 4, self.number, epoch)).permutation(len(self.samples))
            for batch, start in enumerate(range(0, len(order), self.spec.batch)):
                chosen = order[start : start + self.spec.batch]
                result.append((self._schedule[epoch], chosen, self.spec.trained_frames(epoch, batch)))
        return result


class GoldenWorker(_LocalEpochs):
    """A worker that trains in the golden model; parameters as of ``_LocalEpochs``."""

    def train(self, weights: Sequence[np.ndarray], round_number: int) -> LocalResult:
        """See ``Worker``."""
        trainer, metrics = self.spec.trainer(weights), self.spec.no_metrics()
        for training, chosen, trained in self.batches(round_number):
            part = self.samples[chosen]
            trainer.training = training
            spikes = trainer.train_batch(part.spikes, part.labels, trained=trained)
            metrics += self.spec.metrics(spikes, part.labels)
        return LocalResult(trainer.weights, metrics)


class ChipWorker(_LocalEpochs):
    """A worker that trains on a chip: the bits of a ``GoldenWorker``.

    Parameters
    ----------
    chip : Chip
        On a port, or simulated.
    spec, samples, number, epochs
        As of ``_LocalEpochs``.
    """

    def __init__(self, chip: Chip, spec: TrainingSpec, samples: Samples, number: int, epochs: int) -> None:
        super().__init__(spec, samples, number, epochs)
        # What the chip must hold; the constants are those of the whole batch
        part = replace(spec, batch=min(spec.batch, len(samples)))
        self.session = ChipSession(chip, part, self._schedule[0])

    def train(self, weights: Sequence[np.ndarray], round_number: int) -> LocalResult:
        """See ``Worker``."""
        metrics = self.spec.no_metrics()
        self.session.load(list(weights))
        for training, chosen, trained in self.batches(round_number):
            if self.session.training != training:
                self.session.call("change_training", training)
            part = self.samples[chosen]
            result = self.session.train_batch(part.spikes, part.labels, trained)
            metrics += self.spec.metrics(result.spikes, part.labels)
        return LocalResult(self.session.call("read_weights"), metrics)
