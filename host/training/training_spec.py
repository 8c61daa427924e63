# SPDX-License-Identifier: Apache-2.0
"""A recipe and the share of the data that a training on a real chip uses; what identifies both later."""

import dataclasses
import hashlib
from dataclasses import dataclass

import numpy as np

from backspike.host.training.recipe import Recipe, check_integer

__all__ = ["Course", "fingerprint"]


@dataclass(frozen=True, kw_only=True)
class Course(Recipe):
    """What a chip is trained on. Every epoch takes each training sample once, then all test samples are classified.

    Parameters
    ----------
    all of ``Recipe``
    samples: training samples, the first ones of the data set; ``None``: all
    tests: test samples, the first ones; ``None``: all

    Raises
    ------
    TypeError, ValueError: a parameter of the wrong kind, or out of range
    """

    samples: int | None = None
    tests: int | None = None

    def __post_init__(self):
        super().__post_init__()
        for name in ("samples", "tests"):
            if getattr(self, name) is not None:
                check_integer(name, getattr(self, name), 1)

    def dataset(self):
        """The share of the data; ``ValueError`` where there is not as much, or network and data do not fit."""
        data = super().dataset()
        for name, labels in (("samples", data.train_labels), ("tests", data.test_labels)):
            if getattr(self, name) is not None and getattr(self, name) > len(labels):
                raise ValueError(
                    f"{name} must be at most {len(labels)} for the data {data.name!r}, not {getattr(self, name)}"
                )
        return dataclasses.replace(
            data,
            train_spikes=data.train_spikes[:, : self.samples],
            train_labels=data.train_labels[: self.samples],
            test_spikes=data.test_spikes[:, : self.tests],
            test_labels=data.test_labels[: self.tests],
        )

    def constants(self):
        """All constants by name, as the format holds them: of each layer's neurons, and of each epoch's training."""
        model = self.model
        neurons = {
            f"neuron[{number}].{name}": value
            for number, layer in enumerate(model.layers)
            for name, value in dataclasses.asdict(layer.neuron.rounded(model.format)).items()
        }
        training = {
            f"training[{epoch}].{name}": value
            for epoch, training in enumerate(self.schedule())
            for name, value in dataclasses.asdict(training.rounded(model.format)).items()
        }
        return neurons | training


def fingerprint(data):
    """A hash of a ``Dataset``: equal ones have equal spikes and labels in equal order."""
    digest = hashlib.sha256()
    for array in (data.train_spikes, data.train_labels, data.test_spikes, data.test_labels):
        digest.update(repr(array.shape).encode())
        digest.update(np.ascontiguousarray(array, dtype="<i8" if array.ndim == 1 else np.uint8).tobytes())
    return digest.hexdigest()
