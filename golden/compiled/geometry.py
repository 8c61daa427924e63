# SPDX-License-Identifier: Apache-2.0
"""The sizes of a layer as compiled loops take them, and the order of weights in which they go through them.

Loops have the channels of a map last, so that what an input adds to some outputs beside each other is one run of
numbers, in the sums and in the weights: ``run_order`` sorts the taps of a kernel's line accordingly.
"""

from functools import lru_cache
from typing import NamedTuple

import numpy as np

from backspike.golden.compiled.jit import compiled
from backspike.golden.layers import Layer

__all__ = ["Geometry", "channels_first", "channels_last", "reached", "run_order"]


class Geometry(NamedTuple):
    """Sizes of a layer, as those of a convolution; see ``layers.Conv``.

    Attributes
    ----------
    channels, height, width : int
        Of the pooled map that the kernel sees.
    pool, kernel, stride, padding : int
        Of the convolution.
    out_channels, out_height, out_width : int
        Of the outputs.
    bias : int
        1 where there is a row of biases, else 0.
    """

    channels: int
    height: int
    width: int
    pool: int
    kernel: int
    stride: int
    padding: int
    out_channels: int
    out_height: int
    out_width: int
    bias: int

    @classmethod
    def of(cls, layer: Layer) -> "Geometry":
        """That of a layer."""
        sizes = (layer.pool, layer.kernel, layer.stride, layer.padding)
        return cls(layer.in_channels, layer.pooled_height, layer.pooled_width, *sizes, *layer.out_map, int(layer.bias))


@lru_cache
def run_order(layer: Layer) -> tuple[np.ndarray, np.ndarray | None]:
    """``(places, rows)``: where the tap of each column is within a line, and the weight row at each place.

    Outputs beside each other meet taps that go down by the stride. ``None``: the rows are those of the layer.
    """
    taps = np.arange(layer.kernel)
    if layer.out_width == 1:
        return taps, None
    line = sorted(taps, key=lambda tap: (tap % layer.stride, -tap))
    rows = np.arange(layer.shape[0])
    rows[: len(rows) - layer.bias] = rows[: len(rows) - layer.bias].reshape(-1, layer.kernel)[:, line].ravel()
    return np.argsort(line), rows


@compiled
def reached(position: int, kernel: int, stride: int, padding: int, size: int) -> tuple[int, int]:
    """``(first, end)`` of the outputs y that an input reaches along one axis, at ``position + padding - stride y``."""
    place = position + padding
    first = max(place - kernel + stride, 0) // stride
    return first, min(place // stride + 1, size)


@compiled
def channels_last(values: np.ndarray, pixels: int, result: np.ndarray) -> None:
    """Numbers in the order (channel, pixel) into the order (pixel, channel)."""
    _turned(values, len(values) // pixels, pixels, result)


@compiled
def channels_first(values: np.ndarray, pixels: int, result: np.ndarray) -> None:
    """The inverse of ``channels_last``."""
    _turned(values, pixels, len(values) // pixels, result)


@compiled
def _turned(values: np.ndarray, rows: int, columns: int, result: np.ndarray) -> None:
    """The transposed of a matrix, both as flat arrays."""
    if rows == 1 or columns == 1:
        result[:] = values
        return
    source, target = values.reshape((rows, columns)), result.reshape((columns, rows))
    for column in range(columns):
        for row in range(rows):
            target[column, row] = source[row, column]
