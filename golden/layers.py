# SPDX-License-Identifier: Apache-2.0
"""Layers of spiking neurons: fully connected, convolutional with average pooling of the inputs, and maximum pooling.

All have the attributes of a convolution: ``in_channels, in_height, in_width, out_channels, out_height, out_width,
kernel, stride, padding, pool``. To a ``Dense`` every input and every output is a channel of a single pixel.
"""

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

import numpy as np

from backspike.golden.constants import Neuron
from backspike.spec.checks import check_flag, check_integer

__all__ = ["Conv", "Dense", "Layer", "MaxPool"]

_NEURON = Neuron()


class _Layer:
    """What follows from the attributes that all kinds of layer have."""

    bias: bool

    learns = True
    """Whether there are weights that training changes."""

    if TYPE_CHECKING:
        # Fields of one kind of layer, properties or constants of another
        @property
        def neuron(self) -> Neuron: ...
        @property
        def in_channels(self) -> int: ...
        @property
        def in_height(self) -> int: ...
        @property
        def in_width(self) -> int: ...
        @property
        def out_channels(self) -> int: ...
        @property
        def out_height(self) -> int: ...
        @property
        def out_width(self) -> int: ...
        @property
        def kernel(self) -> int: ...
        @property
        def stride(self) -> int: ...
        @property
        def padding(self) -> int: ...
        @property
        def pool(self) -> int: ...

    def _keep_integer(self, name: str, low: int = 1, high: int | None = None) -> None:
        """Check a field, and keep it as Python's own integer."""
        object.__setattr__(self, name, check_integer(name, getattr(self, name), low, high))

    def _check_cells(self) -> None:
        if not isinstance(self.neuron, Neuron):
            raise TypeError(f"neuron must be a Neuron, not {self.neuron!r}")
        object.__setattr__(self, "bias", check_flag("bias", self.bias))

    @property
    def in_map(self) -> tuple[int, int, int]:
        """``(channels, height, width)`` of the inputs."""
        return (self.in_channels, self.in_height, self.in_width)

    @property
    def out_map(self) -> tuple[int, int, int]:
        """``(channels, height, width)`` of the outputs."""
        return (self.out_channels, self.out_height, self.out_width)

    @property
    def pooled_height(self) -> int:
        """Height of the map that the kernel sees."""
        return self.in_height // self.pool

    @property
    def pooled_width(self) -> int:
        """Width of the map that the kernel sees."""
        return self.in_width // self.pool

    @property
    def whole(self) -> bool:
        """Whether the kernel is the whole pooled map, so that there is one output pixel and every input reaches it."""
        return self.kernel == self.pooled_height == self.pooled_width and not self.padding

    @property
    def channels(self) -> int:
        """Columns of the weight matrix."""
        return self.out_channels

    @property
    def shape(self) -> tuple[int, int]:
        """Shape of the weights: rows (input channel, kernel y, kernel x), then the bias; columns: output channels."""
        return (self.in_channels * self.kernel**2 + self.bias, self.out_channels)


class _Maps(_Layer):
    """What follows from the maps of a layer that has some."""

    @property
    def inputs(self) -> int:
        """Neurons of the layer before."""
        return self.in_channels * self.in_height * self.in_width

    @property
    def outputs(self) -> int:
        """Neurons."""
        return self.out_channels * self.out_height * self.out_width

    def _check_fields(self) -> None:
        """Refuse a map that pooling fields do not divide."""
        for name in ("in_height", "in_width"):
            if getattr(self, name) % self.pool:
                raise ValueError(f"{name} must be divisible by pool {self.pool}, not {getattr(self, name)!r}")


@dataclass(frozen=True, kw_only=True)
class Dense(_Layer):
    """A fully connected layer of spiking neurons.

    Parameters
    ----------
    inputs, outputs : int
        Sizes.
    neuron : Neuron
        Constants of all its neurons.
    bias : bool
        Whether a last weight row belongs to an input that always spikes.

    Raises
    ------
    TypeError
        A parameter is of the wrong kind.
    ValueError
        A parameter is out of range.
    """

    inputs: int
    outputs: int
    neuron: Neuron = _NEURON
    bias: bool = False

    in_height = in_width = out_height = out_width = kernel = stride = pool = 1
    padding = 0

    def __post_init__(self) -> None:
        self._keep_integer("inputs")
        self._keep_integer("outputs")
        self._check_cells()

    @property
    def in_channels(self) -> int:
        """Every input is a channel."""
        return self.inputs

    @property
    def out_channels(self) -> int:
        """Every output is a channel."""
        return self.outputs


@dataclass(frozen=True, kw_only=True)
class Conv(_Maps):
    """A convolutional layer of spiking neurons; average pooling of its inputs is part of it.

        S[c, Y, X] = sum of s over the pool x pool field of inputs c, Y * pool + i, X * pool + j
        current[k, y, x] = sum over c, ky, kx of W[k, c, ky, kx] * S[c, Y, X]
        where Y = y * stride + ky - padding, X = x * stride + kx - padding

    The weights are ``1 / pool**2`` of those that multiply an average. Neurons are in the order (channel, y, x).

    Parameters
    ----------
    in_channels, in_height, in_width : int
        The map of the inputs, before pooling; height and width must be divisible by ``pool``.
    out_channels : int
        Number of kernels.
    kernel : int
        Side of a kernel in pooled pixels, at most that of the padded map.
    stride : int
        Pooled pixels between two kernels.
    padding : int
        Rows and columns of zeros on each side of the pooled map, 0 to ``kernel - 1``.
    pool : int
        Side of a pooled field in pixels.
    neuron : Neuron
        Constants of all its neurons.
    bias : bool
        Whether a last weight row belongs to an input that always spikes.

    Raises
    ------
    TypeError
        A parameter is of the wrong kind.
    ValueError
        A parameter is out of range.
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

    def __post_init__(self) -> None:
        for name in ("in_channels", "out_channels", "in_height", "in_width", "kernel", "stride", "pool"):
            self._keep_integer(name)
        self._check_fields()
        self._keep_integer("padding", 0, self.kernel - 1)
        for name, size in (("in_height", self.pooled_height), ("in_width", self.pooled_width)):
            most = size + 2 * self.padding
            if self.kernel > most:
                raise ValueError(f"kernel must be at most {most}, {name} / pool + 2 * padding, not {self.kernel!r}")
        self._check_cells()

    @property
    def out_height(self) -> int:
        """Height of the map of the outputs."""
        return (self.pooled_height + 2 * self.padding - self.kernel) // self.stride + 1

    @property
    def out_width(self) -> int:
        """Width of the map of the outputs."""
        return (self.pooled_width + 2 * self.padding - self.kernel) // self.stride + 1


@dataclass(frozen=True, kw_only=True)
class MaxPool(_Maps):
    """Maximum pooling of spikes: a neuron spikes whenever an input of its field does, and keeps nothing.

        u[c, Y, X] = sum of s over the pool x pool field of inputs c, Y * pool + i, X * pool + j
        s[c, Y, X] = u[c, Y, X] >= 1

    It is a convolution of 1 x 1 behind average pooling, whose weights are the identity, and stay. Every potential is
    within the surrogate's window, so that the error of a neuron goes to all inputs of its field.

    Parameters
    ----------
    in_channels, in_height, in_width : int
        The map of the inputs; height and width must be divisible by ``pool``.
    pool : int
        Side of a field in pixels, at least 2.

    Raises
    ------
    TypeError
        A parameter is of the wrong kind.
    ValueError
        A parameter is out of range.
    """

    in_channels: int
    in_height: int
    in_width: int
    pool: int

    learns = False
    kernel = stride = 1
    padding = 0
    bias = False

    def __post_init__(self) -> None:
        for name, low in (("in_channels", 1), ("in_height", 1), ("in_width", 1), ("pool", 2)):
            self._keep_integer(name, low)
        self._check_fields()

    @property
    def neuron(self) -> Neuron:
        """What spikes at one input spike or more, without leak or reset."""
        width = 2.0 ** math.ceil(math.log2(2 * self.pool**2))
        return Neuron(kappa=0, theta=1, width=width, reset="hard", kappa_back=0, amplitude=1)

    @property
    def out_channels(self) -> int:
        """As many as of the inputs."""
        return self.in_channels

    @property
    def out_height(self) -> int:
        """Height of the map of the outputs."""
        return self.pooled_height

    @property
    def out_width(self) -> int:
        """Width of the map of the outputs."""
        return self.pooled_width

    @property
    def weights(self) -> np.ndarray:
        """The identity, as ``shape``."""
        return np.eye(self.in_channels)


Layer: TypeAlias = Dense | Conv | MaxPool
"""Any kind of layer."""
