# SPDX-License-Identifier: Apache-2.0
"""The latency code: one spike, the earlier the larger the value."""

import numpy as np

from backspike.host.data.encoders.encoder import Encoder

__all__ = ["Latency"]


class Latency(Encoder):
    """One spike of a value above 0, at step ``min(T - 1, floor((1 - x) T))``; none of 0."""

    name = "latency"
    kinds = ("values",)

    def encode(self, values: np.ndarray, numbers: np.ndarray) -> np.ndarray:
        steps = len(values)
        due = np.minimum(np.floor((1 - values[0]) * steps), steps - 1)
        at = np.arange(steps).reshape(-1, 1, 1) == due
        return (at & (values[0] > 0)).astype(np.uint8)[:, :, np.newaxis]
