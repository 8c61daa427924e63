# SPDX-License-Identifier: Apache-2.0
"""The count code: as many spikes as the value says, evenly spread."""

import numpy as np

from backspike.host.data.encoders.encoder import Encoder

__all__ = ["Count"]


class Count(Encoder):
    """Spikes follow the sum of the values: ``s[t] = floor(c[t] + 1/2) - floor(c[t-1] + 1/2)``, ``c[t] = sum x[..t]``.

    A value x gives ``floor(T x + 1/2)`` spikes.
    """

    name = "count"

    def encode(self, values: np.ndarray, numbers: np.ndarray) -> np.ndarray:
        reached = np.floor(np.cumsum(values, axis=0) + 0.5)
        return np.diff(reached, axis=0, prepend=0.0).astype(np.uint8)[:, :, np.newaxis]
