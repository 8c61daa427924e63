# SPDX-License-Identifier: Apache-2.0
"""The delta code: spikes where a series has moved."""

import numpy as np

from backspike.host.data.encoders.encoder import Encoder

__all__ = ["Delta"]


class Delta(Encoder):
    """Two inputs for each value, which spike where it has risen and where it has fallen by 1 / L of its range.

    ``n[t] = trunc(L (x[t] - r[t-1]))``, up spikes where n > 0, down where n < 0, ``r[t] = r[t-1] + n[t] / L``; r starts
    from the first value.
    """

    name = "delta"
    kinds = ("series",)
    numbers = (8, 1, 256)
    planes = 2

    def encode(self, values: np.ndarray, numbers: np.ndarray) -> np.ndarray:
        spikes = np.zeros((*values.shape[:2], 2, values.shape[2]), dtype=np.uint8)
        reference = values[0]
        for t, value in enumerate(values):
            moved = np.trunc(self.number * (value - reference))
            spikes[t, :, 0], spikes[t, :, 1] = moved > 0, moved < 0
            reference = reference + moved / self.number
        return spikes
