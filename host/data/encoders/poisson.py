# SPDX-License-Identifier: Apache-2.0
"""The Poisson code: a spike by chance at each step."""

import numpy as np

from backspike.host.data.encoders.encoder import Encoder

__all__ = ["Poisson"]


class Poisson(Encoder):
    """A spike at each step with the chance x. The number is a seed: a sample has the same spikes in every epoch."""

    name = "poisson"
    numbers = (0, 0, 2**32 - 1)

    def encode(self, values: np.ndarray, numbers: np.ndarray) -> np.ndarray:
        spikes = np.empty(values.shape, dtype=np.uint8)
        shape = values.shape[0], values.shape[2]
        for place, number in enumerate(numbers):
            drawn = np.random.default_rng((self.number, int(number))).random(shape)
            spikes[:, place] = drawn < values[:, place]
        return spikes[:, :, np.newaxis]
