# SPDX-License-Identifier: Apache-2.0
"""The sizes of a layer as compiled loops take them, and the loops over what an input and an output have in common."""

from typing import NamedTuple

import numpy as np

from backspike.golden.compiled.jit import compiled
from backspike.golden.layers import Layer

__all__ = ["Geometry", "channels_last", "pooled", "reached"]


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


@compiled
def reached(position: int, kernel: int, stride: int, padding: int, size: int) -> tuple[int, int]:
    """``(first, end)`` of the outputs y that an input reaches along one axis, at ``position + padding - stride y``."""
    place = position + padding
    first = max(place - kernel + stride, 0) // stride
    return first, min(place // stride + 1, size)


@compiled
def pooled(values: np.ndarray, geometry: Geometry, result: np.ndarray) -> None:
    """Sums of a layer's inputs [inputs] over its pooling fields, into ``result`` [pooled inputs]."""
    pool, width = geometry.pool, geometry.width
    line = width * pool
    for place in range(geometry.channels * geometry.height):
        for x in range(width):
            total = 0
            for i in range(pool):
                start = (place * pool + i) * line + x * pool
                for j in range(pool):
                    total += values[start + j]
            result[place * width + x] = total


@compiled
def channels_last(values: np.ndarray, pixels: int, result: np.ndarray) -> None:
    """Neurons in the order (channel, pixel) into the order (pixel, channel)."""
    channels = len(values) // pixels
    for pixel in range(pixels):
        for channel in range(channels):
            result[pixel * channels + channel] = values[channel * pixels + pixel]
