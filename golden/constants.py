# SPDX-License-Identifier: Apache-2.0
"""The constants of neurons and of their training, as mathematics and as the hardware holds them."""

import math
from dataclasses import dataclass, replace
from functools import lru_cache

from backspike.golden.checks import check_number, rounded_constant

__all__ = ["Neuron", "Training"]


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
        check_number("kappa", self.kappa, 0, 1)
        check_number("theta", self.theta, 0, math.inf, open_low=True)
        check_number("width", self.width, 0, math.inf, open_low=True)
        check_number("amplitude", self.amplitude, 0, math.inf, open_low=True)
        if not isinstance(self.reset, str):
            raise TypeError(f"reset must be a string, not {self.reset!r}")
        if self.reset not in ("soft", "hard"):
            raise ValueError(f"reset must be 'soft' or 'hard', not {self.reset!r}")
        if self.reset_value is not None:
            check_number("reset_value", self.reset_value, 0, math.inf)
            if self.reset == "hard":
                raise ValueError(f"reset_value must be None with a hard reset, not {self.reset_value!r}")
        if not isinstance(self.strict, bool):
            raise TypeError(f"strict must be True or False, not {self.strict!r}")
        if self.kappa_back is not None:
            check_number("kappa_back", self.kappa_back, 0, 1)

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
        constants = {name: rounded_constant(name, getattr(self, name), number_format) for name in names}
        constants["kappa_back"] = rounded_constant("kappa_back", self.leak_back, number_format)
        if self.soft:
            default = constants["kappa"] * constants["theta"]
            if self.reset_value is None and default and not number_format.round(default):
                least = 2.0**number_format.lsb / constants["kappa"]
                raise ValueError(
                    f"theta must be at least {least!r} with kappa={self.kappa!r} and a soft reset in {number_format}, "
                    f"not {self.theta!r}"
                )
            value = default if self.reset_value is None else self.reset_value
            constants["reset_value"] = rounded_constant("reset_value", value, number_format)
        return replace(self, **constants)


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
        check_number("rate", self.rate, 0, math.inf, open_low=True)
        check_number("momentum", self.momentum, 0, 1)
        check_number("loss_scale", self.loss_scale, 0, math.inf, open_low=True)

    @lru_cache  # noqa: B019 - a few small immutable objects
    def rounded(self, number_format):
        """The constants that the hardware holds; ``ValueError`` where one overflows or becomes zero."""
        names = ("rate", "momentum", "loss_scale")
        return Training(**{name: rounded_constant(name, getattr(self, name), number_format) for name in names})
