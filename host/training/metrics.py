# SPDX-License-Identifier: Apache-2.0
"""Accuracy and loss of classified samples, in integers, so that sums do not depend on how the samples are divided."""

from dataclasses import dataclass
from typing import Self

import numpy as np

__all__ = ["Metrics"]


@dataclass(frozen=True)
class Metrics:
    """Metrics of samples can be added: ``sum(parts, Metrics(steps))``.

    Attributes
    ----------
    steps : int
        Time steps T.
    samples : int
        How many samples.
    right : int
        How many of them were classified rightly.
    squares : int
        Their squared errors ``(count - T * y)**2``, summed over samples and outputs.
    """

    steps: int
    samples: int = 0
    right: int = 0
    squares: int = 0

    @classmethod
    def of(cls, counts: np.ndarray, labels: np.ndarray, steps: int) -> Self:
        """From output ``counts [B, N]`` and ``labels [B]``; the first of the largest counts is the prediction."""
        errors = np.array(counts, dtype=np.int64)
        errors[np.arange(len(labels)), labels] -= steps
        right = int((np.argmax(counts, axis=1) == labels).sum())
        return cls(steps, len(labels), right, int((errors**2).sum()))

    def __add__(self, other: "Metrics") -> "Metrics":
        if other.steps != self.steps:
            raise ValueError(f"steps must be equal in both metrics, not {self.steps} and {other.steps}")
        sums = (self.samples + other.samples, self.right + other.right, self.squares + other.squares)
        return Metrics(self.steps, *sums)

    @property
    def accuracy(self) -> float:
        """Share of samples that were classified rightly; ``nan`` of none."""
        return self.right / self.samples if self.samples else float("nan")

    @property
    def loss(self) -> float:
        """Mean squared error of the spike rate, halved: what the chip's rate loss is the gradient of."""
        return self.squares / (2 * self.steps**2 * self.samples) if self.samples else float("nan")
