# SPDX-License-Identifier: Apache-2.0
"""What lies between two layers of neurons in a NIR file, nodes without a state, as the one kernel of a layer.

All of them are linear: scales, averages, and maps one after the other are multiplied out in float64.
"""

from typing import Any

import numpy as np

from backspike.golden.layers import Conv, Dense, MaxPool

__all__ = ["KERNELS", "Kernel", "by_channel"]

KERNELS = ("Affine", "Linear", "Conv2d", "AvgPool2d", "SumPool2d", "Flatten", "Scale")
"""Kinds of nodes that a kernel takes."""


class Kernel:
    """What comes in, times a scale, behind a pooling; times weights, plus biases.

    Parameters
    ----------
    shape : tuple of int
        What comes in: a number of neurons, or channels, height and width.

    Attributes
    ----------
    shape : tuple of int
        What comes out.
    """

    def __init__(self, shape: tuple[int, ...]) -> None:
        self.in_shape = self.shape = shape
        self._seen = shape  # by the weights: behind the pooling
        self._scale = np.ones(shape)
        self._pool = 1
        self._weight: np.ndarray | None = None  # [outputs, inputs] or [outputs, channels, side, side]
        self._bias: np.ndarray | None = None
        self._stride, self._padding = 1, 0
        self._last = ""

    def add(self, name: str, node: Any) -> None:
        """Another node; ``ValueError``, whose message names it, where the kernel of a layer cannot do what it does."""
        kind = type(node).__name__
        if kind in ("Affine", "Linear"):
            self._connect(name, node.weight, getattr(node, "bias", None))
        elif kind == "Conv2d":
            self._convolve(name, node)
        elif kind in ("AvgPool2d", "SumPool2d"):
            self._add_pool(name, node, average=kind == "AvgPool2d")
        elif kind == "Scale":
            self._multiply(name, np.asarray(node.scale, dtype=np.float64))
        else:  # neurons of a map are in the order of the flat one
            self.shape = (int(np.prod(self.shape)),)
        self._last = name

    @property
    def pooled(self) -> np.ndarray | None:
        """What one spike gives to each neuron, if there is a pooling and nothing but that, else ``None``."""
        alone = self._weight is None and self._bias is None and self._pool > 1
        return self._scale if alone else None

    def maximum(self) -> MaxPool:
        """The maximum pooling that stands in place of the sum."""
        channels, height, width = self.in_shape
        self.shape = self._seen
        return MaxPool(in_channels=channels, in_height=height, in_width=width, pool=self._pool)

    def finish(self) -> tuple[Conv | Dense, np.ndarray, np.ndarray | None]:
        """The layer, without its neurons, weights [rows, channels], and biases, if there are any."""
        if self._weight is None:  # each neuron takes one input
            self.shape = self._seen
            weight = np.diag(by_channel(self._last, "scale", self._scale, self._seen))
            self._weight = weight.reshape(*weight.shape, 1, 1) if len(self._seen) == 3 else weight
        weight = self._weight
        layer: Conv | Dense
        if weight.ndim == 4:
            channels, height, width = self.in_shape
            layer = Conv(
                in_channels=channels,
                in_height=height,
                in_width=width,
                out_channels=len(weight),
                kernel=weight.shape[2],
                stride=self._stride,
                padding=self._padding,
                pool=self._pool,
            )
        else:
            layer = Dense(inputs=weight.shape[1], outputs=len(weight))
        return layer, weight.reshape(len(weight), -1).T, self._bias

    def _connect(self, name: str, weight: np.ndarray, bias: np.ndarray | None) -> None:
        weight, count = np.asarray(weight, dtype=np.float64), int(np.prod(self.shape))
        if weight.ndim != 2 or weight.shape[1] != count:
            raise ValueError(f"node {name!r}: weight must be [outputs, {count}], not {list(weight.shape)}")
        if bias is not None:
            bias = by_channel(name, "bias", bias, (len(weight),))
        if self._weight is None:
            weight = weight * self._scale.reshape(-1)
            if self._pool > 1:
                _, height, width = self._seen
                if height != width:
                    raise ValueError(
                        f"node {name!r}: the pooled map before it must be square, not {height} x {width}: use a square "
                        f"map, or no pooling there"
                    )
                weight = weight.reshape(len(weight), *self._seen)
        elif self._weight.ndim == 4:
            raise ValueError(f"node {name!r}: {self._needs_neurons()}")
        else:
            if self._bias is not None:
                bias = weight @ self._bias + (0 if bias is None else bias)
            weight = weight @ self._weight
        self._weight, self._bias, self.shape = weight, bias, (len(weight),)

    def _needs_neurons(self) -> str:
        return f"there must be neurons between it and node {self._last!r}: put a LIF there"

    def _convolve(self, name: str, node: Any) -> None:
        if self._weight is not None:
            raise ValueError(f"node {name!r}: {self._needs_neurons()}")
        channels, *sizes = _map(name, self.shape)
        weight = _ungrouped(np.asarray(node.weight, dtype=np.float64), int(np.asarray(node.groups)))
        if weight.ndim != 4 or weight.shape[1] != channels or weight.shape[2] != weight.shape[3]:
            raise ValueError(
                f"node {name!r}: weight must be [outputs, {channels}, K, K], a square kernel, not {list(weight.shape)}"
            )
        side = weight.shape[2]
        if _one(name, "dilation", node.dilation) != 1:
            raise ValueError(f"node {name!r}: dilation must be 1, not {node.dilation!r}: train without")
        self._stride = _one(name, "stride", node.stride)
        self._padding = self._given_padding(name, node.padding, side)
        if self._padding >= side:
            raise ValueError(
                f"node {name!r}: padding must be 0 to {side - 1}, less than its kernel, not {self._padding}"
            )
        if min(sizes) + 2 * self._padding < side:
            raise ValueError(f"node {name!r}: its kernel of {side} must fit into the map {list(self.shape)}")
        scale = by_channel(name, "the scale before it", self._scale, self.shape)
        self._weight = weight * scale[:, None, None]
        bias = by_channel(name, "bias", 0 if node.bias is None else node.bias, (len(weight),))
        self._bias = bias if bias.any() else None
        height, width = ((size + 2 * self._padding - side) // self._stride + 1 for size in sizes)
        self.shape = (len(weight), height, width)

    def _given_padding(self, name: str, padding: Any, side: int) -> int:
        padding = padding.decode() if isinstance(padding, bytes) else padding
        if not isinstance(padding, str):
            return _one(name, "padding", padding)
        if padding == "same" and (side % 2 == 0 or self._stride != 1):
            raise ValueError(f"node {name!r}: padding must be a number unless kernel is odd and stride 1, not 'same'")
        return side // 2 if padding == "same" else 0

    def _add_pool(self, name: str, node: Any, *, average: bool) -> None:
        side = _one(name, "kernel_size", node.kernel_size)
        if _one(name, "stride", node.stride) != side or _one(name, "padding", node.padding):
            raise ValueError(
                f"node {name!r}: stride must be the kernel_size {side} and padding 0, as fields do not overlap: use a "
                f"convolution"
            )
        channels, height, width = _map(name, self.shape)
        factor = side**-2 if average else 1
        if self._weight is not None:
            # Fields of a convolution are those of a larger kernel, at a larger stride
            self._weight = factor * _field(self._weight, side, self._stride)
            self._bias = None if self._bias is None else factor * side**2 * self._bias
            self._stride *= side
            self.shape = (channels, height // side, width // side)
            return
        if height % side or width % side:
            raise ValueError(
                f"node {name!r}: kernel_size must divide the map of {height} x {width}, not {side}: choose another size"
            )
        scale = factor * by_channel(name, "the scale before it", self._scale, self.shape)
        self._pool *= side
        self._seen = self.shape = (channels, height // side, width // side)
        self._scale = np.broadcast_to(scale[:, None, None], self._seen)

    def _multiply(self, name: str, values: np.ndarray) -> None:
        if self._weight is not None:
            rows = by_channel(name, "scale", values, self.shape)
            self._weight = self._weight * rows.reshape(-1, *[1] * (self._weight.ndim - 1))
            self._bias = None if self._bias is None else self._bias * rows
        elif values.size == self._scale.size:
            self._scale = self._scale * values.reshape(self._seen)
        else:
            rows = by_channel(name, "scale", values, self._seen)
            self._scale = self._scale * rows.reshape(-1, *[1] * (len(self._seen) - 1))


def by_channel(name: str, part: str, values: Any, shape: tuple[int, ...]) -> np.ndarray:
    """A value for each channel of a shape, from one, or from those of channels or neurons.

    ``ValueError``, which names the node, where neurons of a channel differ.
    """
    values = np.asarray(values, dtype=np.float64)
    if values.size == 1:
        return np.full(shape[0], values.flat[0])
    if values.size == shape[0]:
        return values.reshape(-1)
    if values.size != np.prod(shape):
        raise ValueError(f"node {name!r}: {part} must be {list(shape)}, not {list(values.shape)}")
    neurons = values.reshape(shape[0], -1)
    if np.ptp(neurons, axis=1).any():
        raise ValueError(
            f"node {name!r}: {part} must be the same for all neurons of a channel, which share their weights"
        )
    return neurons[:, 0]


def _map(name: str, shape: tuple[int, ...]) -> tuple[int, int, int]:
    if len(shape) != 3:
        raise ValueError(
            f"node {name!r}: what comes in must be channels, height and width, not {list(shape)}: export the network "
            f"with the shape of its input, such as (1, 28, 28)"
        )
    channels, height, width = shape
    return channels, height, width


def _one(name: str, part: str, value: Any) -> int:
    """The number that height and width have in common."""
    numbers = {int(number) for number in np.asarray(value).reshape(-1)}
    if len(numbers) != 1:
        raise ValueError(f"node {name!r}: {part} must be the same for height and width, not {sorted(numbers)}")
    return numbers.pop()


def _ungrouped(weight: np.ndarray, groups: int) -> np.ndarray:
    """The weights of all channels, 0 between groups."""
    outputs, inputs = weight.shape[:2]
    result = np.zeros((outputs, inputs * groups, *weight.shape[2:]))
    for group, rows in enumerate(np.split(np.arange(outputs), groups)):
        result[rows, group * inputs : (group + 1) * inputs] = weight[rows]
    return result


def _field(weight: np.ndarray, side: int, stride: int) -> np.ndarray:
    """The kernel whose results are the sums over fields of ``side`` x ``side`` results of another one."""
    kernel = weight.shape[2]
    size = kernel + (side - 1) * stride
    result = np.zeros((*weight.shape[:2], size, size))
    for y in range(0, side * stride, stride):
        for x in range(0, side * stride, stride):
            result[:, :, y : y + kernel, x : x + kernel] += weight
    return result
