# SPDX-License-Identifier: Apache-2.0
"""The mathematical description of a network and of its training; nothing about cores, lanes or time."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar

from backspike.golden.constants import Neuron, Training
from backspike.golden.layers import Conv, Dense, Layer, MaxPool
from backspike.golden.notation import describe, parse_layers
from backspike.golden.operands import MOST_BITS
from backspike.golden.sources import chain, check_sources
from backspike.spec.checks import check_flag, check_integer
from backspike.spec.formats import BINARY16, Format

__all__ = ["Conv", "Dense", "MaxPool", "Network", "Neuron", "Training"]


@dataclass(frozen=True, kw_only=True)
class Network:
    """Layers that feed each other, the number of time steps, and the format of every stored number.

    A ``Dense`` takes the neurons of the layer before in the order (channel, y, x), a ``Conv`` its map. The last layer
    must have a single output pixel: its channels are the outputs.

    Parameters
    ----------
    layers : sequence of Dense, Conv or MaxPool
        At least one.
    steps : int
        Time steps T, at least 1.
    format : Format
        Of every stored number.
    input_bits : int
        Of what the host gives: 1 for spikes, up to 8 for integers, which are a current of the first layer.
    sources : sequence of sequence of int or None
        For each layer the numbers of the layers before it whose spikes, added up, are its inputs; none for the first,
        whose inputs are the network's. ``None``: each takes those of the layer before.

    Raises
    ------
    TypeError
        A parameter is of the wrong kind.
    ValueError
        Layers do not chain, or the format cannot hold a constant.
    """

    layers: Sequence[Layer]
    steps: int
    format: Format = BINARY16
    input_bits: int = 1
    sources: Sequence[Sequence[int]] | None = None

    ends_in_pixel: ClassVar[bool] = True
    """Whether the last layer must have a single output pixel: not in a part of a network."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "layers", tuple(self.layers))
        if not self.layers:
            raise ValueError("layers must be at least one Dense or Conv, not ()")
        for layer in self.layers:
            if not isinstance(layer, Dense | Conv | MaxPool):
                raise TypeError(f"layers must be Dense, Conv or MaxPool, not {layer!r}")
        check_sources(self)
        if not self.layers[-1].learns:
            raise ValueError("the last layer must be a Dense or Conv, whose spikes are the outputs, not a MaxPool")
        last = self.layers[-1].out_map
        if self.ends_in_pixel and last[1:] != (1, 1):
            raise ValueError(f"the last layer must have one output pixel, not a map of {' x '.join(map(str, last))}")
        object.__setattr__(self, "steps", check_integer("steps", self.steps, 1))
        object.__setattr__(self, "input_bits", check_integer("input_bits", self.input_bits, 1, MOST_BITS))
        if self.input_bits > 1 and not self.layers[0].learns:
            raise ValueError(f"input_bits must be 1 with maximum pooling of the inputs, not {self.input_bits!r}")
        if not isinstance(self.format, Format):
            raise TypeError(f"format must be a Format, not {self.format!r}")
        for layer in self.layers:
            layer.neuron.rounded(self.format)

    @classmethod
    def parse(
        cls,
        sizes: str,
        *,
        steps: int = 4,
        format: Format = BINARY16,
        bias: bool = False,
        neurons: Sequence[dict[str, Any]] | None = None,
        **neuron: Any,
    ) -> "Network":
        """A network from its notation, whose neurons are equal but for the width of the last layer, or given by layer.

        Parameters
        ----------
        sizes : str
            Such as ``"64-128-10"`` or ``"1x28x28-c16k3s2p1-m2-10"``; see ``notation``.
        steps, format
            As for ``Network``.
        bias : bool
            Whether every neuron has a bias.
        neurons : sequence of dict or None
            Parameters of each layer's ``Neuron``, where they differ; ``None``: all have those of ``neuron``.
        **neuron
            Parameters of ``Neuron``. Without a ``width`` it is twice the threshold, four times in the last layer: an
            output that never spikes is then still inside the window when inputs drive it down.

        Raises
        ------
        TypeError, ValueError
            As for ``Network``, ``Neuron`` and the layers; or the text is not in the notation.
        """
        most = format.max_finite if isinstance(format, Format) else math.inf

        def described(given: dict[str, Any], thresholds: int) -> Neuron:
            found = Neuron(**given)
            return found if "width" in given else replace(found, width=min(thresholds * found.theta, most))

        hidden, last = described(neuron, 2), described(neuron, 4)
        layers, sources = parse_layers(sizes, neuron=hidden, last=last, bias=check_flag("bias", bias))
        if neurons is not None:
            if neuron or len(neurons) != len(layers):
                raise ValueError(f"neurons must be those of all {len(layers)} layers of {sizes}, not {neurons!r}")
            widths = [2] * (len(layers) - 1) + [4]
            layers = tuple(
                layer if isinstance(layer, MaxPool) else replace(layer, neuron=described(given, width))
                for layer, given, width in zip(layers, neurons, widths, strict=True)
            )
        return cls(layers=layers, sources=sources, steps=steps, format=format)

    @property
    def taken(self) -> tuple[tuple[int, ...], ...]:
        """``sources``, with their default filled in."""
        return tuple(map(tuple, self.sources)) if self.sources is not None else chain(len(self.layers))

    @property
    def takers(self) -> tuple[tuple[int, ...], ...]:
        """For each layer the numbers of those that take its spikes."""
        numbers = range(len(self.layers))
        return tuple(tuple(taker for taker in numbers if number in self.taken[taker]) for number in numbers)

    @property
    def inputs(self) -> int:
        """Neurons that the host gives."""
        return self.layers[0].inputs

    @property
    def largest_input(self) -> int:
        """The largest integer that the host gives: 1 for spikes."""
        return (1 << self.input_bits) - 1

    @property
    def outputs(self) -> int:
        """Neurons of the last layer."""
        return self.layers[-1].outputs

    def __str__(self) -> str:
        return describe(self.layers, self.taken)
