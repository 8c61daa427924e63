# SPDX-License-Identifier: Apache-2.0
"""Series as the T steps of a sample."""

import numpy as np

__all__ = ["averaged", "counted", "filled"]


def averaged(series: np.ndarray, steps: int) -> np.ndarray:
    """Means of neighbours of series [B, length, features], as many as leave at most T steps: [T, B, features].

    Not a number behind the end of a series. ``steps`` are all T, of which the last ones may be such.
    """
    count, length, size = series.shape
    width = -(-length // steps)
    padded = np.full((count, steps * width, size), np.nan)
    padded[:, :length] = series
    parts = padded.reshape(count, steps, width, size)
    there = ~np.isnan(parts)
    sums = np.where(there, parts, 0.0).sum(axis=2)
    counts = there.sum(axis=2)
    means = np.divide(sums, counts, out=np.full(sums.shape, np.nan), where=counts > 0)
    return np.moveaxis(means, 1, 0)


def filled(values: np.ndarray) -> np.ndarray:
    """Values [T, ...] with the last number before each step that has none, 0 before the first."""
    steps = np.arange(len(values)).reshape(-1, *[1] * (values.ndim - 1))
    last = np.maximum.accumulate(np.where(np.isnan(values), 0, steps), axis=0)
    return np.nan_to_num(np.take_along_axis(values, last, axis=0))


def counted(recordings: np.ndarray, shape: tuple[int, ...], steps: int) -> np.ndarray:
    """1 where events of a recording are in a frame, uint8 [T, B, polarity * height * width]; 0 elsewhere.

    The T frames of a recording are of equal length, from its first event to its last.
    """
    frames = np.zeros((steps, len(recordings), *shape), dtype=np.uint8)
    for sample, events in enumerate(recordings):
        since = events["t"] - events["t"][0]
        frame = since * steps // (since[-1] + 1)
        frames[frame, sample, events["p"], events["y"], events["x"]] = 1
    return frames.reshape(steps, len(recordings), -1)
