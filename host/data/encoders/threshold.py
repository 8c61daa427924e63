# SPDX-License-Identifier: Apache-2.0
"""The threshold code: a value is compared with a level that rises from step to step."""

import numpy as np

from backspike.host.data.encoders.encoder import Encoder
from backspike.spec.checks import check_integer

__all__ = ["Threshold", "threshold_code"]


class Threshold(Encoder):
    """A spike at step t, from 0, where ``x > (t + 1/2) / T``: all at the beginning, more of a larger value."""

    name = "threshold"
    kinds = ("values",)

    def encode(self, values: np.ndarray, numbers: np.ndarray) -> np.ndarray:
        return _code(values)[:, :, np.newaxis]


def threshold_code(values: np.ndarray, steps: int) -> np.ndarray:
    """The spikes [T, ...] of values from 0 to 1."""
    return _code(np.broadcast_to(values, (check_integer("steps", steps, 1), *np.shape(values))))


def _code(values: np.ndarray) -> np.ndarray:
    steps = len(values)
    levels = (np.arange(steps) + 0.5) / steps
    return (values > levels.reshape(-1, *[1] * (values.ndim - 1))).astype(np.uint8)
