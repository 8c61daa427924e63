# SPDX-License-Identifier: Apache-2.0
"""The mathematical description of a network and of its training; nothing about cores, lanes or time."""

import math
from dataclasses import dataclass, replace
from functools import lru_cache
from itertools import pairwise

from backspike.golden.formats import BINARY16, Format

__all__ = ["Dense", "Network", "Neuron", "Training"]


def _number(name, value, low, high, *, open_low=False):
    """``value`` as a float within the bounds."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise TypeError(f"{name} must be a number, not {value!r}")
    if not math.isfinite(value) or not low <= value <= high or (open_low and value == low):
        bounds = f"more than {low:g}" if open_low else f"at least {low:g}"
        if high < math.inf:
            bounds += f" and at most {high:g}"
        raise ValueError(f"{name} must be {bounds}, not {value!r}")


def _count(name, value):
    if isinstance(value, bool) or not isinstance(value, int):
        raise TypeError(f"{name} must be an integer, not {value!r}")
    if value < 1:
        raise ValueError(f"{name} must be at least 1, not {value!r}")


def _rounded(name, value, number_format):
    """``value`` rounded to the format; refused where it overflows, or vanishes without being zero."""
    result = float(number_format.round(value))
    if abs(value) > number_format.max_finite:
        raise ValueError(f"{name} must be at most {number_format.max_finite:g} in {number_format}, not {value!r}")
    if value and not result:
        raise ValueError(f"{name} must not round to zero in {number_format}, but {value!r} does")
    return result


@dataclass(frozen=True, kw_only=True)
class Neuron:
    """Constants of a leaky integrate-and-fire neuron and of its surrogate gradient.

        u[t] = kappa * r[t-1] + input[t]       r = (1 - s) * u             (hard reset)
        u[t] = kappa * u[t-1] - rr * s[t-1] + input[t]                     (soft reset)
        s[t] = u[t] >= theta, or u[t] > theta if strict;  m[t] = |u[t] - theta| < width / 2

    Parameters
    ----------
    kappa: leak, 0 to 1
    theta: threshold, more than 0
    width: full width of the rectangular surrogate, more than 0; below 2 * theta, silent outputs may get no gradient
    reset: ``"soft"`` or ``"hard"``
    reset_value: rr of the soft reset, at least 0; ``None``: ``kappa * theta``
    strict: whether a neuron fires only above the threshold, not at it
    kappa_back: leak of the backward recursion, 0 to 1; ``None``: ``kappa``, which is back-propagation through time
    amplitude: height of the surrogate, more than 0

    Raises
    ------
    TypeError, ValueError: a parameter of the wrong kind, or out of range
    """

    kappa: float = 0.5
    theta: float = 1.0
    width: float = 2.0
    reset: str = "soft"
    reset_value: float | None = None
    strict: bool = False
    kappa_back: float | None = None
    amplitude: float = 1.0

    def __post_init__(self):
        _number("kappa", self.kappa, 0, 1)
        _number("theta", self.theta, 0, math.inf, open_low=True)
        _number("width", self.width, 0, math.inf, open_low=True)
        _number("amplitude", self.amplitude, 0, math.inf, open_low=True)
        if not isinstance(self.reset, str):
            raise TypeError(f"reset must be a string, not {self.reset!r}")
        if self.reset not in ("soft", "hard"):
            raise ValueError(f"reset must be 'soft' or 'hard', not {self.reset!r}")
        if self.reset_value is not None:
            _number("reset_value", self.reset_value, 0, math.inf)
            if self.reset == "hard":
                raise ValueError(f"reset_value must be None with a hard reset, not {self.reset_value!r}")
        if not isinstance(self.strict, bool):
            raise TypeError(f"strict must be True or False, not {self.strict!r}")
        if self.kappa_back is not None:
            _number("kappa_back", self.kappa_back, 0, 1)

    @property
    def soft(self):
        return self.reset == "soft"

    @property
    def rr(self):
        """What a spike takes from the next potential: ``reset_value`` or its default; 0 with a hard reset."""
        if not self.soft:
            return 0.0
        return self.kappa * self.theta if self.reset_value is None else self.reset_value

    @property
    def leak_back(self):
        return self.kappa if self.kappa_back is None else self.kappa_back

    @lru_cache  # noqa: B019 - a few small immutable objects
    def rounded(self, number_format):
        """The neuron that the hardware computes: every constant rounded to the format, every default filled in.

        The default reset value is the rounded product of the rounded ``kappa`` and ``theta``. Raises ``ValueError``
        for a constant that overflows or becomes zero.
        """
        names = ("kappa", "theta", "width", "amplitude")
        constants = {name: _rounded(name, getattr(self, name), number_format) for name in names}
        constants["kappa_back"] = _rounded("kappa_back", self.leak_back, number_format)
        if self.soft:
            default = constants["kappa"] * constants["theta"]
            value = default if self.reset_value is None else self.reset_value
            constants["reset_value"] = _rounded("reset_value", value, number_format)
        return replace(self, **constants)


@dataclass(frozen=True, kw_only=True)
class Dense:
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
    neuron: Neuron = Neuron()
    bias: bool = False

    def __post_init__(self):
        _count("inputs", self.inputs)
        _count("outputs", self.outputs)
        if not isinstance(self.neuron, Neuron):
            raise TypeError(f"neuron must be a Neuron, not {self.neuron!r}")
        if not isinstance(self.bias, bool):
            raise TypeError(f"bias must be True or False, not {self.bias!r}")

    @property
    def shape(self):
        """Shape of the weights: one row per input, the bias last; one column per output."""
        return (self.inputs + self.bias, self.outputs)


@dataclass(frozen=True, kw_only=True)
class Network:
    """Layers that feed each other, the number of time steps, and the format of every stored number.

    Raises
    ------
    TypeError, ValueError: a parameter of the wrong kind, sizes that do not chain, a constant that the format
        cannot hold
    """

    layers: tuple
    steps: int
    format: Format = BINARY16

    def __post_init__(self):
        object.__setattr__(self, "layers", tuple(self.layers))
        if not self.layers:
            raise ValueError("layers must be at least one Dense, not ()")
        for layer in self.layers:
            if not isinstance(layer, Dense):
                raise TypeError(f"layers must be Dense, not {layer!r}")
        for number, (before, layer) in enumerate(pairwise(self.layers), start=1):
            if before.outputs != layer.inputs:
                raise ValueError(f"layers[{number}].inputs must be {before.outputs}, not {layer.inputs!r}")
        _count("steps", self.steps)
        if not isinstance(self.format, Format):
            raise TypeError(f"format must be a Format, not {self.format!r}")
        for layer in self.layers:
            layer.neuron.rounded(self.format)

    @classmethod
    def parse(cls, sizes, *, steps=4, format=BINARY16, bias=False, **neuron):
        """A network of equal neurons from sizes such as ``"64-128-10"``; other keywords are those of ``Neuron``."""
        if not isinstance(sizes, str):
            raise TypeError(f"sizes must be a string, not {sizes!r}")
        words = sizes.split("-")
        if len(words) < 2 or not all(word.isascii() and word.isdigit() and int(word) for word in words):
            raise ValueError(f"sizes must be two or more positive integers joined by '-', not {sizes!r}")
        counts = [int(word) for word in words]
        cell = Neuron(**neuron)
        layers = [Dense(inputs=a, outputs=b, neuron=cell, bias=bias) for a, b in pairwise(counts)]
        return cls(layers=layers, steps=steps, format=format)

    @property
    def inputs(self):
        return self.layers[0].inputs

    @property
    def outputs(self):
        return self.layers[-1].outputs

    def __str__(self):
        return "-".join(str(size) for size in (self.inputs, *(layer.outputs for layer in self.layers)))


@dataclass(frozen=True, kw_only=True)
class Training:
    """Constants of the loss and of the update; ``presets.default_training`` gives tried ones.

        e = loss_scale * (count - T * y);   V = momentum * V + G;   W = W - rate * V

    G is a sum over the batch, not a mean.

    Parameters
    ----------
    rate: learning rate, more than 0
    momentum: 0 to 1
    loss_scale: scale of the rate loss's error, more than 0; best a power of two

    Raises
    ------
    TypeError, ValueError: a parameter of the wrong kind, or out of range
    """

    rate: float
    momentum: float = 0.0
    loss_scale: float = 0.25

    def __post_init__(self):
        _number("rate", self.rate, 0, math.inf, open_low=True)
        _number("momentum", self.momentum, 0, 1)
        _number("loss_scale", self.loss_scale, 0, math.inf, open_low=True)

    @lru_cache  # noqa: B019 - a few small immutable objects
    def rounded(self, number_format):
        """The constants that the hardware holds; ``ValueError`` where one overflows or becomes zero."""
        names = ("rate", "momentum", "loss_scale")
        return Training(**{name: _rounded(name, getattr(self, name), number_format) for name in names})
