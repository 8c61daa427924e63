# SPDX-License-Identifier: Apache-2.0
"""The products of inputs with weights, and of inputs with deltas: the same loops, that go one way or the other.

``forward`` adds the weights of an input that gives something to the sums of all outputs that it reaches; ``backward``
adds the deltas of these outputs to the weights' gradients. All sums must be exact in float64. Sums and deltas are [T,
outputs] of one sample with the channels last, weights and gradients flat arrays in ``geometry.run_order``.
"""

import numpy as np

from backspike.golden.compiled.events import PATTERN, active, patterns
from backspike.golden.compiled.geometry import Geometry, reached
from backspike.golden.compiled.jit import compiled, fused

__all__ = ["gradient_sums", "weighted_sums"]


@compiled
def weighted_sums(
    geometry: Geometry, places: np.ndarray, plain: bool, weights: np.ndarray, seen: np.ndarray, sums: np.ndarray
) -> None:
    """Fill the sums of a sample.

    Parameters
    ----------
    geometry : Geometry
        Sizes.
    places : array of int64 [kernel]
        From ``run_order``.
    plain : bool
        Whether every input reaches every output, and gives 0 or 1.
    weights : array of float64
        With the biases, if there are any.
    seen : array of uint8 [T, pooled inputs]
        What the inputs give.
    sums : array of float64 [T, outputs]
        Result.
    """
    out = geometry.out_channels
    sums[:] = 0.0
    if geometry.bias:
        bias = weights[len(weights) - out :]
        for step in range(len(sums)):
            for start in range(0, sums.shape[1], out):
                sums[step, start : start + out] = bias
    if plain:
        _forward_patterns(weights, seen, sums)
    else:
        _runs(geometry, places, weights, seen, sums, True)


@compiled
def gradient_sums(
    geometry: Geometry,
    places: np.ndarray,
    plain: bool,
    bias: int,
    gradient: np.ndarray,
    seen: np.ndarray,
    deltas: np.ndarray,
) -> None:
    """Add to the gradients of a sample; ``bias`` is what a bias gives, the rest as for ``weighted_sums``."""
    out = geometry.out_channels
    if geometry.bias:
        into = gradient[len(gradient) - out :]
        for step in range(len(deltas)):
            for start in range(0, deltas.shape[1], out):
                for i in range(out):
                    into[i] += bias * deltas[step, start + i]
    if plain:
        _backward_patterns(gradient, seen, deltas)
    else:
        _runs(geometry, places, gradient, seen, deltas, False)


@compiled
def _forward_patterns(weights: np.ndarray, seen: np.ndarray, sums: np.ndarray) -> None:
    """Sum up the weights of the inputs with each pattern of spikes, then those of the patterns of each step."""
    out = sums.shape[1]
    marks = np.empty((seen.shape[1] + 7) // 8, dtype=np.uint64)
    bits, places = marks.view(np.uint8), np.empty(seen.shape[1], dtype=np.int64)
    for start in range(0, len(seen), PATTERN):
        count = min(PATTERN, len(seen) - start)
        parts = np.zeros((1 << count, out))
        for number in range(patterns(seen[start : start + count], marks, places)):
            place = places[number]
            _add(parts[bits[place]], weights[place * out :][:out])
        for pattern in range(1, 1 << count):
            for step in range(count):
                if pattern >> step & 1:
                    _add(sums[start + step], parts[pattern])


@compiled
def _backward_patterns(gradient: np.ndarray, seen: np.ndarray, deltas: np.ndarray) -> None:
    """Sum up the deltas of the steps of each pattern of spikes; an input takes the sum of its own pattern."""
    out = deltas.shape[1]
    marks = np.empty((seen.shape[1] + 7) // 8, dtype=np.uint64)
    bits, places = marks.view(np.uint8), np.empty(seen.shape[1], dtype=np.int64)
    for start in range(0, len(seen), PATTERN):
        count = min(PATTERN, len(seen) - start)
        parts = np.zeros((1 << count, out))
        for pattern in range(1, 1 << count):
            last = count - 1
            while not pattern >> last & 1:
                last -= 1
            parts[pattern] = parts[pattern - (1 << last)]
            _add(parts[pattern], deltas[start + last])
        for number in range(patterns(seen[start : start + count], marks, places)):
            place = places[number]
            _add(gradient[place * out :][:out], parts[bits[place]])


@compiled
def _add(target: np.ndarray, source: np.ndarray) -> None:
    for i in range(len(target)):
        target[i] += source[i]


@compiled
def _runs(
    geometry: Geometry, places: np.ndarray, weights: np.ndarray, seen: np.ndarray, values: np.ndarray, forward: bool
) -> None:
    """Go through the runs that inputs and outputs have in common, all steps of an input one after the other."""
    out, kernel, stride, padding = geometry.out_channels, geometry.kernel, geometry.stride, geometry.padding
    line = geometry.out_width * out
    listed = np.empty(seen.shape[1], dtype=np.int64)
    pixels = 1 if geometry.out_height * geometry.out_width == 1 else geometry.height * geometry.width
    for number in range(active(seen, pixels, listed)):
        place = listed[number]
        pixel, x = divmod(place, geometry.width)
        channel, y = divmod(pixel, geometry.height)
        top, bottom = reached(y, kernel, stride, padding, geometry.out_height)
        left, right = reached(x, kernel, stride, padding, geometry.out_width)
        length = (right - left) * out
        if length <= 0:
            continue
        column = places[x + padding - stride * left]
        for out_y in range(top, bottom):
            row = (channel * kernel + y + padding - stride * out_y) * kernel + column
            start = out_y * line + left * out
            taken = weights[row * out : row * out + length]
            for step in range(len(seen)):
                given = seen[step, place]
                if given:
                    beside = values[step, start : start + length]
                    if forward:
                        _add_times(beside, taken, float(given))
                    else:
                        _add_times(taken, beside, float(given))


@fused
def _add_times(target: np.ndarray, source: np.ndarray, times: float) -> None:
    for i in range(len(target)):
        target[i] += times * source[i]
