# SPDX-License-Identifier: Apache-2.0
"""What the inputs of a sample give at all steps, and which of them give anything."""

import numpy as np

from backspike.golden.compiled.geometry import Geometry
from backspike.golden.compiled.jit import compiled

__all__ = ["PATTERN", "active", "patterns", "pooled"]

PATTERN = 4
"""Steps whose spikes make a pattern: inputs with the same pattern are summed up together."""


@compiled
def pooled(geometry: Geometry, values: np.ndarray, result: np.ndarray) -> None:
    """Sums of a layer's inputs [inputs] over its pooling fields, into ``result`` [pooled inputs]."""
    pool, width = geometry.pool, geometry.width
    if pool == 1:
        result[:] = values
        return
    result[:] = 0
    line = width * pool
    for place in range(geometry.channels * geometry.height):
        into = result[place * width :][:width]
        for i in range(pool):
            source = values[(place * pool + i) * line :][:line]
            for j in range(pool):
                for x in range(width):
                    into[x] += source[x * pool + j]


@compiled
def active(seen: np.ndarray, pixels: int, places: np.ndarray) -> int:
    """The places where some row of ``seen`` [T, N] is not 0, into ``places``; returns their number.

    They are in the order (pixel, channel), so that what lies beside each other is worked on one after the other; in
    their own order with a single pixel.
    """
    steps, count = seen.shape
    flags = np.zeros((count + 7) // 8, dtype=np.uint64)
    marks = flags.view(np.uint8)
    for step in range(steps):
        line = seen[step]
        for place in range(count):
            marks[place] |= line[place] != 0
    if pixels in (1, count):
        return _listed(flags, marks, places)
    found = 0
    for pixel in range(pixels):
        for place in range(pixel, count, pixels):
            if marks[place]:
                places[found] = place
                found += 1
    return found


@compiled
def patterns(spikes: np.ndarray, marks: np.ndarray, places: np.ndarray) -> int:
    """As ``active``, for at most ``PATTERN`` rows of 0 and 1; ``marks`` gets a bit of each row.

    ``marks`` are uint64 numbers, a byte for each place.
    """
    steps, count = spikes.shape
    marks[:] = 0
    bits = marks.view(np.uint8)
    for step in range(steps):
        line = spikes[step]
        for place in range(count):
            bits[place] |= line[place] << step
    return _listed(marks, bits, places)


@compiled
def _listed(words: np.ndarray, marks: np.ndarray, places: np.ndarray) -> int:
    """The places of the bytes that are not 0; whole words of zeros are passed over."""
    found = 0
    for number in range(len(words)):
        if words[number]:
            for place in range(8 * number, 8 * number + 8):
                if marks[place]:
                    places[found] = place
                    found += 1
    return found
