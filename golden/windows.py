# SPDX-License-Identifier: Apache-2.0
"""Convolutions as matrix products: the windows of a layer's inputs, and of its deltas, as the rows of a matrix.

A matrix of windows has its columns in the order (kernel y, kernel x, channel), in which whole runs of a map can be
copied; ``row_order`` leads from there to the rows of a layer's weights. To a ``Dense`` all this is the identity.
"""

from collections.abc import Sequence
from functools import lru_cache

import numpy as np

from backspike.golden.layers import Layer

__all__ = ["delta_windows", "input_windows", "pooled_any", "row_order", "to_map", "to_pixels", "transposed", "unpooled"]


@lru_cache
def row_order(layer: Layer) -> np.ndarray:
    """The weight row of each column of ``input_windows``, [rows]."""
    rows = np.arange(layer.shape[0] - layer.bias).reshape(layer.in_channels, layer.kernel, layer.kernel)
    return np.append(rows.transpose(1, 2, 0), np.arange(layer.shape[0] - layer.bias, layer.shape[0]))


def input_windows(layer: Layer, spikes: np.ndarray, bias: int = 1) -> np.ndarray:
    """What each output pixel sees of spikes [S, inputs]: float64 [S * pixels, rows], pixels in the order (y, x).

    Each number is a sum of pool x pool spikes (or of other numbers in their place), and ``bias`` in the bias's column.
    """
    samples = len(spikes)
    if layer.whole and layer.kernel == layer.pool == 1:
        result = np.empty((samples, layer.shape[0]))
        result[:, : layer.inputs] = spikes
        result[:, layer.inputs :] = bias
        return result
    maps = spikes.reshape(samples, *layer.in_map)
    if layer.pool > 1:
        maps = maps.reshape(_fields(layer, samples)).sum(
            axis=(3, 5), dtype=spikes.dtype if spikes.dtype.kind == "f" else np.int32
        )
    p = layer.padding
    padded = np.zeros((samples, layer.pooled_height + 2 * p, layer.pooled_width + 2 * p, layer.in_channels))
    padded[:, p : p + layer.pooled_height, p : p + layer.pooled_width] = maps.transpose(0, 2, 3, 1)
    return _unrolled(padded, layer.kernel, layer.stride, (layer.out_height, layer.out_width), layer.bias, bias)


def delta_windows(layer: Layer, deltas: np.ndarray) -> np.ndarray:
    """What each pooled input pixel sees of deltas [S, outputs]: [S * pooled pixels, kernel**2 * channels].

    Times ``transposed`` weights that is the error of each pooled input. The deltas are spread by the stride; each
    window holds those of all outputs that the input reaches.
    """
    samples = len(deltas)
    if layer.whole:
        return deltas
    first, k = layer.kernel - 1 - layer.padding, layer.kernel
    spread = np.zeros((samples, layer.pooled_height + k - 1, layer.pooled_width + k - 1, layer.out_channels))
    rows = slice(first, first + layer.stride * (layer.out_height - 1) + 1, layer.stride)
    columns = slice(first, first + layer.stride * (layer.out_width - 1) + 1, layer.stride)
    spread[:, rows, columns] = deltas.reshape(samples, *layer.out_map).transpose(0, 2, 3, 1)
    return _unrolled(spread, k, 1, (layer.pooled_height, layer.pooled_width), 0, 0)


def transposed(layer: Layer, weight: np.ndarray) -> np.ndarray:
    """The weights by which ``delta_windows`` are multiplied: a column per pooled input channel.

    For a kernel that is the whole map, one column per pooled input.
    """
    weight = weight[: layer.shape[0] - layer.bias]
    if layer.whole:
        return weight.T
    kernels = weight.reshape(layer.in_channels, layer.kernel, layer.kernel, layer.out_channels)
    flipped = kernels[:, ::-1, ::-1].transpose(1, 2, 3, 0)  # the last tap meets the first output that it reaches
    return np.ascontiguousarray(flipped).reshape(-1, layer.in_channels)


def _unrolled(
    maps: np.ndarray, kernel: int, stride: int, size: tuple[int, int], more: int, constant: int
) -> np.ndarray:
    """Windows of [S, H, W, C] as rows, with as many more columns of a constant at the end."""
    samples, _, _, channels = maps.shape
    strides = maps.strides
    shape = (samples, *size, kernel, kernel * channels)
    windows = np.lib.stride_tricks.as_strided(
        maps, shape, (strides[0], stride * strides[1], stride * strides[2], strides[1], strides[3]), writeable=False
    )
    columns = kernel**2 * channels
    result = np.empty((samples * size[0] * size[1], columns + more))
    result[:, :columns].reshape(shape)[...] = windows
    result[:, columns:] = constant
    return result


def to_map(pixels: int, values: np.ndarray) -> np.ndarray:
    """[S * pixels, channels] in the order of a layer's neurons: [S, channels * pixels]."""
    if pixels == 1:
        return values
    channels = values.shape[1]
    return values.reshape(-1, pixels, channels).transpose(0, 2, 1).reshape(-1, channels * pixels)


def to_pixels(pixels: int, values: np.ndarray) -> np.ndarray:
    """The inverse of ``to_map``."""
    if pixels == 1:
        return values
    channels = values.shape[1] // pixels
    return values.reshape(-1, channels, pixels).transpose(0, 2, 1).reshape(-1, channels)


def _fields(layer: Layer, samples: int) -> Sequence[int]:
    """The shape in which axes 3 and 5 are those of a pooling field."""
    return (samples, layer.in_channels, layer.pooled_height, layer.pool, layer.pooled_width, layer.pool)


def pooled_any(layer: Layer, masks: np.ndarray) -> np.ndarray:
    """Whether any mask of a pooling field is set: [S, inputs] to [S, pooled inputs]."""
    if layer.pool == 1:
        return masks
    return masks.reshape(_fields(layer, len(masks))).any(axis=(3, 5)).reshape(len(masks), -1)


def unpooled(layer: Layer, values: np.ndarray) -> np.ndarray:
    """Each value given to all inputs of its pooling field: [S, pooled inputs] to [S, inputs]."""
    if layer.pool == 1:
        return values
    shape = (len(values), layer.in_channels, layer.pooled_height, layer.pooled_width)
    repeated = values.reshape(shape).repeat(layer.pool, axis=2).repeat(layer.pool, axis=3)
    return repeated.reshape(len(values), -1)
