# SPDX-License-Identifier: Apache-2.0
"""The whole training of a specification in the golden model, without a chip."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from backspike.golden.trainer import Trainer
from backspike.host.data.dataset import Dataset, Samples
from backspike.host.training.metrics import Metrics
from backspike.host.training.training_spec import TrainingSpec

__all__ = ["GoldenTraining", "accuracy_by_class", "assess", "train_golden"]


@dataclass(frozen=True)
class GoldenTraining:
    """What a training came to.

    Parameters
    ----------
    trainer : Trainer
        With the weights in the end: those of the best epoch on the validation samples, if there are any.
    held : "test" or "validation"
        The samples that are classified after each epoch.
    trained : list of Metrics
        Of the training samples of each epoch, each before the update of its batch.
    epochs : list of Metrics
        Of the samples that are held back after each epoch.
    tested : Metrics
        Of the test samples in the end.
    """

    trainer: Trainer
    held: str
    trained: list[Metrics]
    epochs: list[Metrics]
    tested: Metrics


def train_golden(
    spec: TrainingSpec, data: Dataset, trainer: Trainer, told: Callable[[int, Metrics, Metrics], bool | None]
) -> GoldenTraining:
    """Train to the end, or until no better epoch has come for the patience of the specification.

    Parameters
    ----------
    spec : TrainingSpec
        What is trained.
    data : Dataset
        All of its samples.
    trainer : Trainer
        With the initial weights.
    told : function
        Called after each epoch with its number, from 0, the ``Metrics`` of its training samples and those of the
        samples that are held back; true where it ends the training.
    """
    held, samples = data.held
    epochs: list[Metrics] = []
    trained: list[Metrics] = []
    best, best_epoch = trainer.weights, 0
    for epoch, training in enumerate(spec.schedule()):
        trainer.training = training
        seen = spec.no_metrics()
        for number, chosen in enumerate(spec.epoch_batches(epoch, len(data.train))):
            batch = data.train[chosen]
            spikes = trainer.train_batch(batch.spikes, batch.labels, trained=spec.trained_frames(epoch, number))
            seen += spec.metrics(spikes, batch.labels)
        metrics = assess(spec, trainer, samples)
        if held == "test" or metrics.accuracy > max((past.accuracy for past in epochs), default=-1.0):
            best, best_epoch = trainer.weights, epoch
        trained.append(seen)
        epochs.append(metrics)
        if told(epoch, seen, metrics):
            break
        if spec.patience is not None and epoch - best_epoch >= spec.patience:
            break
    trainer.weights = best
    return GoldenTraining(trainer, held, trained, epochs, assess(spec, trainer, data.test))


def assess(spec: TrainingSpec, trainer: Trainer, samples: Samples) -> Metrics:
    """``Metrics`` of some samples."""
    metrics = spec.no_metrics()
    for start in range(0, len(samples), 256):
        part = samples[start : start + 256]
        metrics += spec.metrics(trainer.forward(part.spikes).layers[-1].spikes, part.labels)
    return metrics


def accuracy_by_class(spec: TrainingSpec, trainer: Trainer, data: Dataset) -> dict[str, float | None]:
    """Share of the test samples of each class, by its name, that are classified rightly; ``None`` where it has none."""
    parts = (data.test[start : start + 256] for start in range(0, len(data.test), 256))
    answers = np.concatenate([trainer.predictions(trainer.forward(part.spikes)) for part in parts])
    labels, count = data.test.labels, len(data.classes)
    totals = np.bincount(labels, minlength=count)
    right = np.bincount(labels[answers == labels], minlength=count)
    return {
        name: int(found) / int(total) if total else None
        for name, found, total in zip(data.classes, right, totals, strict=True)
    }
