# SPDX-License-Identifier: Apache-2.0
"""The level code: one input for each level that a value may be in."""

from typing import Self

import numpy as np

from backspike.host.data.encoders.encoder import Encoder

__all__ = ["Levels"]


class Levels(Encoder):
    """Of L inputs for each value the one spikes in whose level it is; each level has as many of the training values.

    A level ends at the ``l / L`` quantile of the training values of its feature, for l from 1 to L - 1.
    """

    name = "levels"
    scaled = False
    numbers = (8, 2, 64)

    def __init__(self, number: int | None = None) -> None:
        super().__init__(number)
        self.planes = self.number
        self._edges = np.zeros((self.number - 1, 1))

    def fitted(self, values: np.ndarray) -> Self:
        fitted = type(self)(self.number)
        fitted._edges = np.nanquantile(values, np.arange(1, self.number) / self.number, axis=0)
        return fitted

    def encode(self, values: np.ndarray, numbers: np.ndarray) -> np.ndarray:
        level = np.sum([values > edge for edge in self._edges], axis=0)
        return (level[:, :, np.newaxis] == np.arange(self.planes).reshape(-1, 1)).astype(np.uint8)
