# SPDX-License-Identifier: Apache-2.0
"""Layers of spiking neurons: fully connected, and convolutional with average pooling of the inputs.

Both have the attributes of a convolution: ``in_channels, in_height, in_width, out_channels, out_height, out_width,
kernel, stride, padding, pool``. To a ``Dense`` every input and every output is a channel of a single pixel.
"""

from dataclasses import dataclass

from backspike.golden.checks import check_count
from backspike.golden.constants import Neuron

__all__ = ["LARGEST_KERNEL", "LARGEST_POOL", "LARGEST_STRIDE", "LARGEST_WHOLE_KERNEL", "Conv", "Dense"]

LARGEST_KERNEL = 7
LARGEST_WHOLE_KERNEL = 15  # of a kernel that covers the whole pooled map: a fully connected layer behind pooled maps
LARGEST_STRIDE = 4
LARGEST_POOL = 16
_NEURON = Neuron()


def _check_cells(layer):
    if not isinstance(layer.neuron, Neuron):
        raise TypeError(f"neuron must be a Neuron, not {layer.neuron!r}")
    if not isinstance(layer.bias, bool):
        raise TypeError(f"bias must be True or False, not {layer.bias!r}")


class _Layer:
    """What follows from the attributes that both kinds of layer have."""

    @property
    def in_map(self):
        """``(channels, height, width)`` of the inputs."""
        return (self.in_channels, self.in_height, self.in_width)

    @property
    def out_map(self):
        """``(channels, height, width)`` of the outputs."""
        return (self.out_channels, self.out_height, self.out_width)

    @property
    def pooled_height(self):
        """Height of the map that the kernel sees."""
        return self.in_height // self.pool

    @property
    def pooled_width(self):
        """Width of the map that the kernel sees."""
        return self.in_width // self.pool

    @property
    def whole(self):
        """Whether the kernel is the whole pooled map, so that there is one output pixel and every input reaches it."""
        return self.kernel == self.pooled_height == self.pooled_width and not self.padding

    @property
    def channels(self):
        """Columns of the weight matrix."""
        return self.out_channels

    @property
    def shape(self):
        """Shape of the weights: rows (input channel, kernel y, kernel x), then the bias; columns: output channels."""
        return (self.in_channels * self.kernel**2 + self.bias, self.out_channels)


@dataclass(frozen=True, kw_only=True)
class Dense(_Layer):
    """A fully connected layer of spiking neurons.

    Parameters
    ----------
    inputs, outputs: sizes
    neuron: constants of all its neurons
    bias: whether a last weight row belongs to an input that always spikes

    Raises
    ------
    TypeError, ValueError: a parameter of the wrong kind, or out of range
    """

    inputs: int
    outputs: int
    neuron: Neuron = _NEURON
    bias: bool = False

    in_height = in_width = out_height = out_width = kernel = stride = pool = 1
    padding = 0

    def __post_init__(self):
        check_count("inputs", self.inputs)
        check_count("outputs", self.outputs)
        _check_cells(self)

    @property
    def in_channels(self):
        return self.inputs

    @property
    def out_channels(self):
        return self.outputs


@dataclass(frozen=True, kw_only=True)
class Conv(_Layer):
    """A convolutional layer of spiking neurons; average pooling of its inputs is part of it.

        S[c, Y, X] = sum of s over the pool x pool field of inputs c, Y * pool + i, X * pool + j
        current[k, y, x] = sum over c, ky, kx of W[k, c, ky, kx] * S[c, Y, X]
        where Y = y * stride + ky - padding, X = x * stride + kx - padding

    The weights are ``1 / pool**2`` of those that multiply an average. Neurons are in the order (channel, y, x).

    Parameters
    ----------
    in_channels, in_height, in_width: the map of the inputs, before pooling; the sizes must be divisible by ``pool``
    out_channels: kernels
    kernel: side of a kernel, 1 to 7, or up to 15 where it is the whole pooled map (without padding)
    stride: 1 to 4
    padding: rows and columns of zeros on each side of the pooled map, 0 to ``kernel - 1``
    pool: side of a pooled field, 1 to 16
    neuron: constants of all its neurons
    bias: whether a last weight row belongs to an input that always spikes

    Raises
    ------
    TypeError, ValueError: a parameter of the wrong kind, or out of range
    """

    in_channels: int
    out_channels: int
    in_height: int
    in_width: int
    kernel: int
    stride: int = 1
    padding: int = 0
    pool: int = 1
    neuron: Neuron = _NEURON
    bias: bool = False

    def __post_init__(self):
        for name in ("in_channels", "out_channels", "in_height", "in_width", "kernel"):
            check_count(name, getattr(self, name))
        check_count("stride", self.stride, 1, LARGEST_STRIDE)
        check_count("pool", self.pool, 1, LARGEST_POOL)
        for name in ("in_height", "in_width"):
            if getattr(self, name) % self.pool:
                raise ValueError(f"{name} must be divisible by pool {self.pool}, not {getattr(self, name)!r}")
        check_count("padding", self.padding, 0, self.kernel - 1)
        if self.kernel > LARGEST_KERNEL and not (self.whole and self.kernel <= LARGEST_WHOLE_KERNEL):
            raise ValueError(
                f"kernel must be 1 to {LARGEST_KERNEL}, or at most {LARGEST_WHOLE_KERNEL} and the whole pooled map of "
                f"{self.pooled_height} x {self.pooled_width} without padding, not {self.kernel!r}"
            )
        for name, size in (("in_height", self.pooled_height), ("in_width", self.pooled_width)):
            most = size + 2 * self.padding
            if self.kernel > most:
                raise ValueError(f"kernel must be at most {most}, {name} / pool + 2 * padding, not {self.kernel!r}")
        _check_cells(self)

    @property
    def out_height(self):
        return (self.pooled_height + 2 * self.padding - self.kernel) // self.stride + 1

    @property
    def out_width(self):
        return (self.pooled_width + 2 * self.padding - self.kernel) // self.stride + 1

    @property
    def inputs(self):
        """Neurons of the layer before."""
        return self.in_channels * self.in_height * self.in_width

    @property
    def outputs(self):
        """Neurons."""
        return self.out_channels * self.out_height * self.out_width
