# SPDX-License-Identifier: Apache-2.0
"""The exact gradients of a layer: ``gradients._correlated`` as loops over what inputs give."""

import numpy as np

from backspike.golden.compiled.geometry import Geometry, channels_last, pooled, reached
from backspike.golden.compiled.jit import compiled

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
def accumulate(geometry: Geometry, bias: int, given: np.ndarray, deltas: np.ndarray, gradient: np.ndarray) -> None:
    """Add to a gradient, shaped as the weights, where sums are exact in float64.

    Parameters
    ----------
    geometry : Geometry
        Sizes.
    bias : int
        What a bias gives.
    given : array of uint8 [S, inputs]
        What each input gives.
    deltas : array of float64 [S, outputs]
        Of the layer.
    gradient : array of float64
        Result.
    """
    pixels, out = geometry.out_height * geometry.out_width, geometry.out_channels
    seen = np.empty(given.shape[1] // geometry.pool**2, dtype=np.int64)
    turned = np.empty(deltas.shape[1])
    for row in range(len(deltas)):
        if not deltas[row].any():
            continue
        channels_last(deltas[row], pixels, turned)
        if geometry.pool > 1:
            pooled(given[row], geometry, seen)
            _gather(geometry, seen, turned, gradient)
        else:
            _gather(geometry, given[row], turned, gradient)
        if geometry.bias:
            for pixel in range(pixels):
                for i in range(out):
                    gradient[-1, i] += bias * turned[pixel * out + i]


@compiled
def _gather(geometry: Geometry, seen: np.ndarray, deltas: np.ndarray, gradient: np.ndarray) -> None:
    """Add the deltas of all outputs that each pooled input reaches, times what it gives if that is not 0."""
    out, kernel, stride, padding = geometry.out_channels, geometry.kernel, geometry.stride, geometry.padding
    line = geometry.out_width * out
    for place in range(len(seen)):
        value = seen[place]
        if not value:
            continue
        times = float(value)
        pixel, x = divmod(place, geometry.width)
        channel, y = divmod(pixel, geometry.height)
        row = channel * kernel * kernel
        top, bottom = reached(y, kernel, stride, padding, geometry.out_height)
        left, right = reached(x, kernel, stride, padding, geometry.out_width)
        for out_y in range(top, bottom):
            tap = row + (y + padding - stride * out_y) * kernel + x + padding
            for out_x in range(left, right):
                target = gradient[tap - stride * out_x]
                source = deltas[out_y * line + out_x * out :][:out]
                for i in range(out):
                    target[i] += times * source[i]
