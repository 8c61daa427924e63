# SPDX-License-Identifier: Apache-2.0
"""How errors come to the layer before: ``errors.pass_back`` as loops over deltas that are not 0."""

import numpy as np

from backspike.golden.compiled.geometry import Geometry, channels_last
from backspike.golden.compiled.jit import compiled
from backspike.golden.compiled.rounding import Rounding, rounded_sum, two_sum

__all__ = ["pass_back"]


@compiled
def pass_back(
    geometry: Geometry,
    rounding: Rounding,
    turned: np.ndarray,
    limit: float,
    deltas: np.ndarray,
    masks: np.ndarray,
    errors: np.ndarray,
) -> bool:
    """Fill errors [S, inputs], which are 0, where masks are set; returns whether one was beyond the largest number.

    Parameters
    ----------
    geometry, rounding : Geometry, Rounding
        Constants.
    turned : array of float64 [outputs channels, kernel, kernel, input channels]
        The weights.
    limit : float
        Sums are exact in one float64 number where no delta is larger, else in two.
    deltas : array of float64 [S, outputs]
        Of the layer.
    masks : array of uint8 [S, inputs]
        Of the layer before.
    errors : array of float64 [S, inputs]
        Result.
    """
    pixels, inner = geometry.out_height * geometry.out_width, geometry.height * geometry.width
    turned_deltas = np.empty(deltas.shape[1])
    high, low = np.empty(inner * geometry.channels), np.empty(inner * geometry.channels)
    saturated = False
    for row in range(len(deltas)):
        largest = 0.0
        for i in range(deltas.shape[1]):
            largest = max(largest, abs(deltas[row, i]))
        if largest == 0:
            continue
        channels_last(deltas[row], pixels, turned_deltas)
        high[:] = 0.0
        low[:] = 0.0
        if largest <= limit:
            _scatter(geometry, turned, turned_deltas, high)
        else:
            _scatter_twice(geometry, turned, turned_deltas, high, low)
        saturated |= _ask(geometry, rounding, high, low, masks[row], errors[row])
    return saturated


@compiled
def _scatter(geometry: Geometry, turned: np.ndarray, deltas: np.ndarray, high: np.ndarray) -> None:
    """Add the weights of each delta that is not 0, times the delta, to all pooled inputs that reach it."""
    channels, kernel = geometry.channels, geometry.kernel
    for place in range(len(deltas)):
        delta = deltas[place]
        if delta == 0:
            continue
        pixel, channel = divmod(place, geometry.out_channels)
        out_y, out_x = divmod(pixel, geometry.out_width)
        top, left = out_y * geometry.stride - geometry.padding, out_x * geometry.stride - geometry.padding
        first, end = max(-left, 0), min(kernel, geometry.width - left)
        for tap_y in range(max(-top, 0), min(kernel, geometry.height - top)):
            taken = turned[channel, tap_y, first:end].reshape(-1)
            start = ((top + tap_y) * geometry.width + left + first) * channels
            target = high[start : start + len(taken)]
            for i in range(len(taken)):
                target[i] += delta * taken[i]


@compiled
def _scatter_twice(
    geometry: Geometry, turned: np.ndarray, deltas: np.ndarray, high: np.ndarray, low: np.ndarray
) -> None:
    """``_scatter`` into sums of two numbers: what the first one loses goes to the second."""
    channels, kernel = geometry.channels, geometry.kernel
    for place in range(len(deltas)):
        delta = deltas[place]
        if delta == 0:
            continue
        pixel, channel = divmod(place, geometry.out_channels)
        out_y, out_x = divmod(pixel, geometry.out_width)
        top, left = out_y * geometry.stride - geometry.padding, out_x * geometry.stride - geometry.padding
        first, end = max(-left, 0), min(kernel, geometry.width - left)
        for tap_y in range(max(-top, 0), min(kernel, geometry.height - top)):
            taken = turned[channel, tap_y, first:end].reshape(-1)
            start = ((top + tap_y) * geometry.width + left + first) * channels
            for i in range(len(taken)):
                high[start + i], error = two_sum(high[start + i], delta * taken[i])
                low[start + i] += error


@compiled
def _ask(
    geometry: Geometry, rounding: Rounding, high: np.ndarray, low: np.ndarray, masks: np.ndarray, errors: np.ndarray
) -> bool:
    """Round the sums in the order (pixel, channel) for all inputs whose masks are set."""
    channels, height, width, pool = geometry.channels, geometry.height, geometry.width, geometry.pool
    top, saturated = rounding.top, False
    line = width * pool
    for channel in range(channels):
        for y in range(height):
            for x in range(width):
                source = (y * width + x) * channels + channel
                start = ((channel * height + y) * pool) * line + x * pool
                asked = False
                for i in range(pool):
                    for j in range(pool):
                        asked |= masks[start + i * line + j] != 0
                if not asked:
                    continue
                value = rounded_sum(high[source], low[source], rounding)
                saturated |= abs(value) > top
                value = min(max(value, -top), top)
                for i in range(pool):
                    for j in range(pool):
                        if masks[start + i * line + j]:
                            errors[start + i * line + j] = value
    return saturated
