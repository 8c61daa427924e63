# SPDX-License-Identifier: Apache-2.0
"""The exact gradients of a layer: ``gradients._correlated`` as loops over what inputs give."""

import numpy as np

from backspike.golden.compiled.events import pooled
from backspike.golden.compiled.geometry import Geometry, channels_last
from backspike.golden.compiled.jit import compiled
from backspike.golden.compiled.sums import gradient_sums

__all__ = ["accumulate", "largest_sum"]


@compiled
def largest_sum(deltas: np.ndarray, pixels: int) -> float:
    """The largest sum of the magnitudes of the deltas [S, N] of a channel."""
    sums = np.zeros(deltas.shape[1])
    for row in range(len(deltas)):
        for i in range(deltas.shape[1]):
            sums[i] += abs(deltas[row, i])
    largest = 0.0
    for channel in range(deltas.shape[1] // pixels):
        largest = max(largest, sums[channel * pixels : (channel + 1) * pixels].sum())
    return largest


@compiled
def accumulate(
    geometry: Geometry,
    places: np.ndarray,
    plain: bool,
    bias: int,
    given: np.ndarray,
    deltas: np.ndarray,
    gradient: np.ndarray,
) -> None:
    """Add to a gradient, where sums are exact in float64.

    Parameters
    ----------
    geometry, places, plain, bias, gradient
        As for ``sums.gradient_sums``.
    given : array of uint8 [T, B, inputs]
        What each input gives.
    deltas : array of float64 [T, B, outputs]
        Of the layer.
    """
    steps, samples, outputs = deltas.shape
    pixels = geometry.out_height * geometry.out_width
    seen = np.empty((steps, given.shape[2] // geometry.pool**2), dtype=np.uint8)
    turned = np.empty((steps, outputs))
    for sample in range(samples):
        used = 0
        for step in range(steps):
            if deltas[step, sample].any():
                pooled(geometry, given[step, sample], seen[used])
                channels_last(deltas[step, sample], pixels, turned[used])
                used += 1
        if used:
            gradient_sums(geometry, places, plain, bias, gradient, seen[:used], turned[:used])
