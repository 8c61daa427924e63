# SPDX-License-Identifier: Apache-2.0
"""How errors come to the layer before: ``errors.pass_back`` around matrix products of what is not zero.

``gather`` picks the output pixels that have deltas; times the weights, each of them gives something to all inputs that
reach it; ``spread`` adds that up, and rounds where masks are set.
"""

import numpy as np

from backspike.golden.compiled.geometry import Geometry, channels_first
from backspike.golden.compiled.jit import compiled
from backspike.golden.compiled.rounding import Rounding, rounded, rounded_sum

__all__ = ["gather", "largest_norm", "spread"]


@compiled
def largest_norm(weight: np.ndarray, taps: int) -> float:
    """The largest sum of squares of the weights of an input, which are in so many rows after each other."""
    largest = 0.0
    for start in range(0, len(weight), taps):
        total = 0.0
        for row in range(start, start + taps):
            for i in range(weight.shape[1]):
                total += weight[row, i] * weight[row, i]
        largest = max(largest, total)
    return largest


@compiled
def gather(deltas: np.ndarray, pixels: int, picked: np.ndarray, places: np.ndarray) -> tuple[int, float]:
    """Find the pixels with deltas that are not 0.

    Parameters
    ----------
    deltas : array of float64 [S, outputs]
        Of a layer.
    pixels : int
        Output pixels.
    picked : array of float64 [S * pixels, channels]
        Result: the deltas of these pixels, one after the other.
    places : array of int64 [S * pixels]
        Result: which they are, in the order of rows and pixels.

    Returns
    -------
    (int, float)
        How many there are, and the largest sum of squares of one.
    """
    channels, found, largest = deltas.shape[1] // pixels, 0, 0.0
    squares = np.empty(pixels)
    for row in range(len(deltas)):
        squares[:] = 0.0
        for channel in range(channels):
            line = deltas[row, channel * pixels : (channel + 1) * pixels]
            for pixel in range(pixels):
                squares[pixel] += line[pixel] * line[pixel]
        for pixel in range(pixels):
            if squares[pixel] != 0:
                largest = max(largest, squares[pixel])
                places[found] = row * pixels + pixel
                for channel in range(channels):
                    picked[found, channel] = deltas[row, channel * pixels + pixel]
                found += 1
    return found, largest


@compiled
def spread(
    geometry: Geometry,
    rounding: Rounding,
    places: np.ndarray,
    high: np.ndarray,
    low: np.ndarray,
    masks: np.ndarray,
    errors: np.ndarray,
) -> bool:
    """Fill errors [S, inputs]; returns whether one was beyond the largest number.

    Parameters
    ----------
    geometry, rounding : Geometry, Rounding
        Constants.
    places : array of int64 [M]
        From ``gather``.
    high, low : array of float64 [M, kernel * kernel * channels]
        What each pixel gives to each of its inputs, in one part or two; taps first, unless the kernel is the whole map.
    masks : array of uint8 [S, inputs]
        Of the layer before.
    errors : array of float64 [S, inputs]
        Result.
    """
    pixels, inner = geometry.out_height * geometry.out_width, geometry.height * geometry.width
    count = inner * geometry.channels
    whole = geometry.kernel == geometry.height == geometry.width and geometry.padding == 0
    sums, turned, fields = np.empty(count), np.empty((2, count)), np.empty(count)
    asked = np.empty(count, dtype=np.uint8)
    saturated, number = False, 0
    for row in range(len(errors)):
        began = number
        while number < len(places) and places[number] < (row + 1) * pixels:
            number += 1
        if began == number:
            errors[row] = 0.0
            continue
        for part in range(2 if len(low) else 1):
            given = low if part else high
            if whole:
                turned[part] = given[began]
            else:
                _add_up(geometry, places[began:number], given[began:number], sums)
                channels_first(sums, inner, turned[part])
        if geometry.pool == 1:
            saturated |= _rounded(rounding, turned, len(low) > 0, masks[row], errors[row])
        else:
            _asked(geometry, masks[row], asked)
            saturated |= _rounded(rounding, turned, len(low) > 0, asked, fields)
            _unpool(geometry, fields, masks[row], errors[row])
    return saturated


@compiled
def _add_up(geometry: Geometry, places: np.ndarray, given: np.ndarray, sums: np.ndarray) -> None:
    """What the pixels of a row give, in the order (input pixel, channel)."""
    channels, kernel, width = geometry.channels, geometry.kernel, geometry.width
    sums[:] = 0.0
    for number in range(len(places)):
        out_y, out_x = divmod(places[number] % (geometry.out_height * geometry.out_width), geometry.out_width)
        top, left = out_y * geometry.stride - geometry.padding, out_x * geometry.stride - geometry.padding
        first, end = max(-left, 0), min(kernel, width - left)
        for tap in range(max(-top, 0), min(kernel, geometry.height - top)):
            taken = given[number, (tap * kernel + first) * channels : (tap * kernel + end) * channels]
            into = sums[((top + tap) * width + left + first) * channels :][: len(taken)]
            for i in range(len(into)):
                into[i] += taken[i]


@compiled
def _rounded(rounding: Rounding, parts: np.ndarray, two: bool, masks: np.ndarray, errors: np.ndarray) -> bool:
    """Errors where the mask is set, else 0, from sums of one part or two."""
    top, saturated = rounding.top, False
    high, low = parts[0], parts[1]
    if two:
        for i in range(len(errors)):
            value = rounded_sum(high[i], low[i], rounding)
            saturated |= (masks[i] != 0) & (abs(value) > top)
            errors[i] = min(max(value, -top), top) if masks[i] else 0.0
    else:
        for i in range(len(errors)):
            value = rounded(high[i], rounding)
            saturated |= (masks[i] != 0) & (abs(value) > top)
            errors[i] = min(max(value, -top), top) if masks[i] else 0.0
    return saturated


@compiled
def _asked(geometry: Geometry, masks: np.ndarray, asked: np.ndarray) -> None:
    """Whether any mask of a pooling field is set."""
    pool, width = geometry.pool, geometry.width
    asked[:] = 0
    for line in range(geometry.channels * geometry.height * pool):
        source = masks[line * width * pool :][: width * pool]
        into = asked[line // pool * width :][:width]
        for j in range(pool):
            for x in range(width):
                into[x] |= source[x * pool + j]


@compiled
def _unpool(geometry: Geometry, fields: np.ndarray, masks: np.ndarray, errors: np.ndarray) -> None:
    """The error of a pooling field for each of its inputs whose mask is set."""
    pool, width = geometry.pool, geometry.width
    for line in range(geometry.channels * geometry.height * pool):
        asked = masks[line * width * pool :][: width * pool]
        into = errors[line * width * pool :][: width * pool]
        source = fields[line // pool * width :][:width]
        for j in range(pool):
            for x in range(width):
                into[x * pool + j] = source[x] if asked[x * pool + j] else 0.0
