# SPDX-License-Identifier: Apache-2.0
"""A data set as a training takes it: inputs by batch, labels, classes, shape, steps."""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any, Self

import numpy as np

from backspike.host.data.raw import Rows

__all__ = ["Dataset", "Samples"]


@dataclass(frozen=True)
class Samples:
    """Samples that become inputs when they are asked for: ``samples[chosen].spikes`` encodes the chosen ones alone.

    Parameters
    ----------
    rows : Rows
        What the source holds.
    labels : array of int64 [samples]
        Numbers of the classes.
    encode : function
        Makes inputs [T, B, inputs] of some rows and their numbers. The same sample gives the same inputs in any batch.
    places : array of int64 [samples]
        Where in ``rows`` the samples are.
    first : int
        Number of the sample in place 0, so that no two samples of a data set have the same number.
    """

    rows: Rows = field(repr=False)
    labels: np.ndarray
    encode: Callable[[np.ndarray, np.ndarray], np.ndarray] = field(repr=False)
    places: np.ndarray = field(repr=False)
    first: int = 0

    def __len__(self) -> int:
        return len(self.places)

    def __getitem__(self, chosen: Any) -> Self:
        """The samples of a slice or of an array of indices, which are read when they are needed."""
        return replace(self, labels=self.labels[chosen], places=self.places[chosen])

    @property
    def spikes(self) -> np.ndarray:
        """The inputs, uint8 [T, samples, inputs], encoded anew each time: 0 or 1, with the direct encoder integers."""
        return self.encode(self.rows[self.places], self.first + self.places)

    @classmethod
    def of_spikes(cls, spikes: np.ndarray, labels: np.ndarray) -> Self:
        """Of inputs [T, samples, inputs] that are there already."""
        rows = np.moveaxis(np.asarray(spikes, dtype=np.uint8), 1, 0)
        return cls(rows, np.asarray(labels, dtype=np.int64), _as_they_are, np.arange(len(rows)))


def _as_they_are(rows: np.ndarray, _: np.ndarray) -> np.ndarray:
    return np.moveaxis(rows, 0, 1)


@dataclass(frozen=True, kw_only=True)
class Dataset:
    """Samples for training and for testing.

    Parameters
    ----------
    name : str
        Of the data.
    train, test : Samples
        For training and for testing.
    validation : Samples or None
        Put aside from those for training; ``None``: none were.
    classes : tuple of str
        Names of the classes, in the order of their numbers.
    shape : tuple of int
        Of a sample's inputs at a step: ``(inputs,)``, or ``(channels, height, width)``.
    steps : int
        Time steps T.
    bits : int
        Of an input: 1 for spikes, more for the integers of the direct encoder.
    encoder : str or None
        Name of what makes the inputs; ``None``: they are as in the source.
    fitted : bool
        Whether scale or encoder follow from training samples.
    """

    name: str
    train: Samples
    test: Samples
    validation: Samples | None = None
    classes: tuple[str, ...]
    shape: tuple[int, ...]
    steps: int
    bits: int = 1
    encoder: str | None = None
    fitted: bool = False

    def with_validation(self, share: float, seed: int) -> "Dataset":
        """With a share of the training samples put aside, drawn by the seed; at least one stays on each side."""
        count = len(self.train)
        aside = round(share * count)
        if not 0 < aside < count:
            raise ValueError(f"validation must leave some of {count} samples on each side, not {share!r}: use 0.2")
        order = np.random.default_rng((seed, 2)).permutation(count)
        chosen, kept = np.sort(order[:aside]), np.sort(order[aside:])
        return replace(self, train=self.train[kept], validation=self.train[chosen])

    @property
    def inputs(self) -> int:
        """Inputs of a sample at a step."""
        return int(np.prod(self.shape))

    @property
    def notation(self) -> str:
        """What a network of these inputs begins with, such as ``784`` or ``1x28x28``."""
        return "x".join(map(str, self.shape))

    def class_name(self, number: int) -> str:
        """What an output stands for; those behind the last class have no name."""
        return self.classes[number] if number < len(self.classes) else f"output {number}"

    @property
    def held(self) -> tuple[str, Samples]:
        """What is classified after each epoch: ``"validation"`` or ``"test"``, and its samples."""
        return ("test", self.test) if self.validation is None else ("validation", self.validation)
