# SPDX-License-Identifier: Apache-2.0
"""Values on the scale from 0 to 1 that encoders take."""

from dataclasses import dataclass

import numpy as np

from backspike.host.data.frames import averaged
from backspike.host.data.raw import RawData

__all__ = ["Scale", "features", "seen_values"]

_SEEN = 10_000
"""Training samples, evenly spread, from which a scale is found."""

_TAILS = 0.02, 0.98
"""The shares of the training values that become 0 and 1, so that one odd value does not move all others."""


@dataclass(frozen=True)
class Scale:
    """``(x - low) / (high - low)``, within 0 and 1; 0 where low and high are equal.

    Parameters
    ----------
    low, high : array of float64, or float
        One for each feature, or one for all.
    """

    low: np.ndarray | float
    high: np.ndarray | float

    @classmethod
    def of(cls, data: RawData, seen: np.ndarray) -> "Scale":
        """From 0 to ``full`` where the data say it, otherwise for each feature, or each channel of a map.

        ``seen`` are the values of ``seen_values``.
        """
        if data.full is not None:
            return cls(0.0, data.full)
        channels = seen.reshape(len(seen), data.shape[0], -1)
        low, high = np.nanquantile(channels, _TAILS, axis=(0, 2))
        size = channels.shape[2]
        return cls(np.repeat(low, size), np.repeat(high, size))

    def __call__(self, values: np.ndarray) -> np.ndarray:
        """Values [..., features] on the scale; what is no number stays that."""
        span = np.asarray(self.high - self.low, dtype=np.float64)
        return np.clip((values - self.low) / np.where(span > 0, span, np.inf), 0, 1)


def features(rows: np.ndarray) -> np.ndarray:
    """Rows [B, ...] as [B, features]."""
    return rows.reshape(len(rows), -1)


def seen_values(data: RawData, steps: int) -> np.ndarray:
    """Values of samples that encoders are fitted to [many, features]; of series the means that their T steps take."""
    fitted_to = data.train.rows if data.fitted_to is None else data.fitted_to
    count = len(fitted_to)
    chosen = np.unique(np.linspace(0, count - 1, min(count, _SEEN)).astype(np.int64))
    rows = np.asarray(fitted_to[chosen], dtype=np.float64)
    size = int(np.prod(data.shape))
    if data.kind == "series":
        rows = averaged(rows.reshape(len(rows), -1, size), steps)
    return rows.reshape(-1, size)
