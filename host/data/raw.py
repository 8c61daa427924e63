# SPDX-License-Identifier: Apache-2.0
"""Data before they are spikes: what every reader makes, and what every encoder takes."""

from dataclasses import dataclass, replace
from typing import Any, Literal, Protocol

import numpy as np

__all__ = ["Part", "RawData", "Rows", "split"]

_TESTS = 0.2
"""Share of the samples that is for testing where nothing else is said."""


class Rows(Protocol):
    """Samples that need not be in memory: an array, a mapped file, or a reader of one file a sample."""

    def __len__(self) -> int: ...

    def __getitem__(self, chosen: Any, /) -> np.ndarray:
        """The samples of a slice or of an array of indices, along the first axis."""


@dataclass(frozen=True)
class Part:
    """Samples for one purpose.

    Parameters
    ----------
    rows : Rows
        The samples, as the kind of the data says.
    labels : array of int64 [samples]
        Numbers of their classes.
    """

    rows: Rows
    labels: np.ndarray

    def __len__(self) -> int:
        return len(self.labels)


@dataclass(frozen=True, kw_only=True)
class RawData:
    """Samples of a source, before an encoder.

    Parameters
    ----------
    name : str
        Of the data.
    kind : "values", "series", "spikes" or "events"
        What rows are: numbers [samples, *shape]; numbers [samples, length, *shape], not a number behind the end of a
        series; 0 and 1 [samples, steps, *shape]; or objects [samples], each an array of ``event_files.EVENT``.
    shape : tuple of int
        ``(features,)`` or ``(channels, height, width)``.
    train, test : Part
        Samples for training and for testing.
    classes : tuple of str
        Names of the classes, in the order of their numbers.
    length : int
        Steps of a series or of spikes; 1 for values.
    full : float or None
        The value that stands for 1, where values are from 0 to that; ``None``: training samples say what is scaled.
    fitted_to : Rows or None
        Samples that scale and encoder are fitted to; ``None``: those for training.
    """

    name: str
    kind: Literal["values", "series", "spikes", "events"]
    shape: tuple[int, ...]
    train: Part
    test: Part
    classes: tuple[str, ...]
    length: int = 1
    full: float | None = None
    fitted_to: Rows | None = None

    def like(self, other: "RawData", name: str) -> "RawData":
        """Arrays with shape, scale and encoder of other data of this kind and as many features, under another name."""

        def part(mine: Part) -> Part:
            rows = np.asarray(mine.rows)
            if self.full is not None and other.full is not None and self.full != other.full:
                rows = rows / self.full * other.full
            return replace(mine, rows=rows.reshape(*rows.shape[: rows.ndim - len(self.shape)], *other.shape))

        fitted_to = other.train.rows if other.fitted_to is None else other.fitted_to
        return replace(
            self,
            name=name,
            shape=other.shape,
            train=part(self.train),
            test=part(self.test),
            full=other.full,
            fitted_to=fitted_to,
        )


def split(rows: Rows, labels: np.ndarray, *, seed: int = 0, tests: int | None = None) -> tuple[Part, Part]:
    """Samples for training and for testing, by default a fifth, in an order that the seed gives.

    Raises
    ------
    ValueError
        There are too few for one of each.
    """
    if len(labels) < 3 and tests is None:
        raise ValueError(f"samples without others for testing must be 3 or more, not {len(labels)}")
    order = np.random.default_rng(seed).permutation(len(labels))
    cut = len(labels) - (round(_TESTS * len(labels)) if tests is None else tests)
    return _chosen(rows, labels, order[:cut]), _chosen(rows, labels, order[cut:])


def _chosen(rows: Rows, labels: np.ndarray, chosen: np.ndarray) -> Part:
    return Part(_Chosen(rows, chosen), labels[chosen].astype(np.int64))


class _Chosen:
    """Some rows of others."""

    def __init__(self, rows: Rows, chosen: np.ndarray) -> None:
        self._rows, self._chosen = rows, chosen

    def __len__(self) -> int:
        return len(self._chosen)

    def __getitem__(self, chosen: Any) -> np.ndarray:
        return self._rows[self._chosen[chosen]]
