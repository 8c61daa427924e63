# SPDX-License-Identifier: Apache-2.0
"""Pixels, windows and orders of a layer, as the compiler sees a ``Dense`` or a ``Conv``.

The golden model numbers a map's neurons (channel, row, column); the chip and the host's packets (row, column, channel).
"""

from typing import TypeAlias

import numpy as np

from backspike.golden.layers import Layer
from backspike.golden.network import Network

__all__ = [
    "FEEDBACK_GROUP",
    "Core",
    "feedback_rows",
    "flat",
    "input_order",
    "input_rows",
    "output_order",
    "pixels",
    "same_maps",
    "takes_matrix",
    "tap_count",
    "terms",
    "window",
]

Core: TypeAlias = tuple[int, int]
"""Column and row of a core."""

FEEDBACK_GROUP = 1 << 13
"""Neurons of a group through which errors go directly from the last layer, at most; whole words, as a field holds."""


def pixels(layer: Layer) -> int:
    """Output pixels of a layer."""
    return layer.out_height * layer.out_width


def flat(layer: Layer) -> bool:
    """Whether the layer sees its inputs as channels of one pixel (a dense layer, or a convolution that is one)."""
    return layer.in_height == layer.in_width == layer.kernel == 1


def window(layer: Layer) -> int:
    """Inputs of one channel that an output pixel sees."""
    return (layer.kernel * layer.pool) ** 2


def feedback_rows(network: Network, number: int, *, feedback: bool) -> int:
    """Rows of weights, besides its own, of a layer that sends errors to all hidden neurons: one for each of them."""
    hidden = network.layers[:-1]
    return sum(layer.outputs for layer in hidden) if feedback and number == len(hidden) else 0


def terms(layer: Layer, steps: int) -> int:
    """Terms that one sample adds to the exact sum of a gradient of the layer, at most."""
    return steps * pixels(layer) * layer.pool**2


def tap_count(layer: Layer) -> int:
    """Pairs of an output pixel and one of the kernel's taps that lies inside the (pooled) input map."""
    counts = []
    for size, out in ((layer.in_height, layer.out_height), (layer.in_width, layer.out_width)):
        starts = np.arange(out) * layer.stride - layer.padding
        taps = starts[:, None] + np.arange(layer.kernel)
        counts.append(int(((taps >= 0) & (taps < size // layer.pool)).sum()))
    return counts[0] * counts[1]


def _pixel_major(first: int, channels: int, count: int) -> np.ndarray:
    """Numbers in the order (channel, pixel) of ``channels`` channels from ``first``, in the order (pixel, channel)."""
    return (np.arange(count)[:, None] + (first + np.arange(channels)) * count).reshape(-1)


def input_order(layer: Layer) -> np.ndarray:
    """Golden numbers of a first layer's inputs in the order in which the host sends them, [inputs]."""
    return _pixel_major(0, layer.in_channels, layer.in_height * layer.in_width)


def output_order(layer: Layer, first: int, channels: int) -> np.ndarray:
    """Golden numbers of a slice's outputs in the chip's order, [pixels * channels]."""
    return _pixel_major(first, channels, pixels(layer))


def same_maps(layer: Layer, before: Layer) -> bool:
    """Whether the layer sees the maps of the layer before it as maps; otherwise it sees them flattened."""
    return (layer.in_channels, layer.in_height, layer.in_width) == (
        before.out_channels,
        before.out_height,
        before.out_width,
    )


def takes_matrix(network: Network) -> np.ndarray:
    """1 where the layer of a row takes the spikes of the layer of a column, else 0: int64 [layers, layers]."""
    result = np.zeros((len(network.layers),) * 2, dtype=np.int64)
    for number, taken in enumerate(network.taken):
        result[number, list(taken)] = 1
    return result


def input_rows(layer: Layer, before: Layer | None, first: int, channels: int) -> np.ndarray:
    """Golden weight rows of the group of inputs from one producer, in the order in which the chip keeps them.

    Parameters
    ----------
    layer : Layer
        The consumer's layer.
    before : Layer or None
        The producer's layer; ``None`` for the host.
    first, channels : int
        First of the producer's output channels, and how many (the host's are all the input channels).
    """
    if before is not None and not same_maps(layer, before):
        return output_order(before, first, channels)
    taps = layer.kernel**2
    return _pixel_major(first, channels, taps)
