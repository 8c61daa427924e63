# SPDX-License-Identifier: Apache-2.0
"""The constants of neurons and of their training, as mathematics and as the hardware holds them."""

import math
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Literal

from backspike.spec.checks import check_flag, check_number
from backspike.spec.formats import Format

__all__ = ["UPDATES", "Neuron", "Training", "Update"]

Update = Literal["momentum", "lion", "sign"]
"""What an update subtracts from the weights."""

UPDATES: tuple[Update, ...] = ("momentum", "lion", "sign")


def _keep_number(constants: "Neuron | Training", name: str, high: float = math.inf, *, open_low: bool = False) -> None:
    """Check a number from 0 on, and keep it as Python's own."""
    object.__setattr__(constants, name, check_number(name, getattr(constants, name), 0, high, open_low=open_low))


def _rounded(name: str, value: float, number_format: Format) -> float:
    """``value`` rounded to the format; ``ValueError`` where it overflows, or vanishes without being zero."""
    result = float(number_format.round(value))
    if abs(value) > number_format.max_finite:
        raise ValueError(f"{name} must be at most {number_format.max_finite:g} in {number_format}, not {value!r}")
    if value and not result:
        least = 2.0**number_format.lsb
        raise ValueError(
            f"{name} must not round to zero in {number_format}, but {value!r} does: use at least {least!r}"
        )
    return result


@dataclass(frozen=True, kw_only=True)
class Neuron:
    """Constants of a leaky integrate-and-fire neuron and of its surrogate gradient.

        u[t] = kappa * r[t-1] + input[t]       r = (1 - s) * u             (hard reset)
        u[t] = kappa * u[t-1] - rr * s[t-1] + input[t]                     (soft reset)
        s[t] = u[t] >= theta, or u[t] > theta if strict;  m[t] = |u[t] - theta| < width / 2

    Parameters
    ----------
    kappa : float
        Leak, 0 to 1.
    theta : float
        Threshold, more than 0.
    width : float
        Full width of the rectangular surrogate, more than 0; below 2 * theta, silent outputs may get no gradient.
    reset : "soft" or "hard"
        What a spike takes from the potential: rr, or all of it.
    reset_value : float or None
        rr of the soft reset, at least 0; ``None``: ``kappa * theta``.
    strict : bool
        Whether a neuron fires only above the threshold, not at it.
    kappa_back : float or None
        Leak of the backward recursion, 0 to 1; ``None``: ``kappa``, which is back-propagation through time.
    amplitude : float
        Height of the surrogate, more than 0.

    Raises
    ------
    TypeError
        A parameter is of the wrong kind.
    ValueError
        A parameter is out of range.
    """

    kappa: float = 0.5
    theta: float = 1.0
    width: float = 2.0
    reset: Literal["soft", "hard"] = "soft"
    reset_value: float | None = None
    strict: bool = False
    kappa_back: float | None = None
    amplitude: float = 1.0

    def __post_init__(self) -> None:
        _keep_number(self, "kappa", 1)
        for name in ("theta", "width", "amplitude"):
            _keep_number(self, name, open_low=True)
        if not isinstance(self.reset, str):
            raise TypeError(f"reset must be a string, not {self.reset!r}")
        if self.reset not in ("soft", "hard"):
            raise ValueError(f"reset must be 'soft' or 'hard', not {self.reset!r}")
        if self.reset_value is not None:
            _keep_number(self, "reset_value")
            if self.reset == "hard":
                raise ValueError(f"reset_value must be None with a hard reset, not {self.reset_value!r}")
        object.__setattr__(self, "strict", check_flag("strict", self.strict))
        if self.kappa_back is not None:
            _keep_number(self, "kappa_back", 1)

    @property
    def soft(self) -> bool:
        """Whether the reset is soft."""
        return self.reset == "soft"

    @property
    def rr(self) -> float:
        """What a spike takes from the next potential: ``reset_value`` or its default; 0 with a hard reset."""
        if not self.soft:
            return 0.0
        return self.kappa * self.theta if self.reset_value is None else self.reset_value

    @property
    def leak_back(self) -> float:
        """Leak of the backward recursion: ``kappa_back`` or its default."""
        return self.kappa if self.kappa_back is None else self.kappa_back

    @lru_cache  # noqa: B019 - a few small immutable objects
    def rounded(self, number_format: Format) -> "Neuron":
        """The neuron that the hardware computes: every constant rounded to the format, every default filled in.

        The default reset value is the rounded product of the rounded ``kappa`` and ``theta``.

        Raises
        ------
        ValueError
            A constant overflows, or becomes zero.
        """
        kappa, theta = _rounded("kappa", self.kappa, number_format), _rounded("theta", self.theta, number_format)
        reset_value = None
        if self.soft:
            if self.reset_value is None and kappa * theta and not number_format.round(kappa * theta):
                least = 2.0**number_format.lsb / kappa
                raise ValueError(
                    f"theta must be at least {least!r} with kappa={self.kappa!r} and a soft reset in {number_format}, "
                    f"not {self.theta!r}"
                )
            value = kappa * theta if self.reset_value is None else self.reset_value
            reset_value = _rounded("reset_value", value, number_format)
        return replace(
            self,
            kappa=kappa,
            theta=theta,
            width=_rounded("width", self.width, number_format),
            amplitude=_rounded("amplitude", self.amplitude, number_format),
            kappa_back=_rounded("kappa_back", self.leak_back, number_format),
            reset_value=reset_value,
        )


@dataclass(frozen=True, kw_only=True)
class Training:
    """Constants of the loss and of the update; ``presets.default_training`` gives tried ones.

        e = loss_scale * (count - T * y)
        momentum:  V = mu V + G,  then W = decay W - rate V
        lion:      W = decay W - rate sign(beta V + G) with the old V;  V = mu V + G
        sign:      lion with beta = mu, which is the sign of the new velocity before it is rounded

    G is a sum over the batch, not a mean. V is not normalised: Lion with the paper's b1 and b2 and a moving average
    ``m = b2 m + (1 - b2) g`` has ``m = (1 - b2) V``, so it has ``mu = b2`` and ``beta = b1 (1 - b2) / (1 - b1)`` here.

    Parameters
    ----------
    rate : float
        Learning rate, more than 0: with ``lion`` and ``sign`` the length of each step.
    update : "momentum", "lion" or "sign"
        What is subtracted from the weights: the velocity, or a sign.
    momentum : float or None
        Share mu of the velocity that is kept, 0 to 1; ``None``: 0 with ``momentum``, else 63/64.
    lookahead : float or None
        Share beta of the velocity that counts when Lion looks for the sign, 0 to 1; ``None``: ``7 * (1 - mu)``, at most
        1, which is b1 = 7/8. Only with ``lion``.
    decay : float
        Share of a weight that an update keeps, 0 to 1: 1 less the weight decay of a step, ``rate * lambda``.
    loss_scale : float
        Scale of the rate loss's error, more than 0; best a power of two.

    Raises
    ------
    TypeError
        A parameter is of the wrong kind.
    ValueError
        A parameter is out of range.
    """

    rate: float
    update: Update = "momentum"
    momentum: float | None = None
    lookahead: float | None = None
    decay: float = 1.0
    loss_scale: float = 0.25

    def __post_init__(self) -> None:
        _keep_number(self, "rate", open_low=True)
        if not isinstance(self.update, str):
            raise TypeError(f"update must be a string, not {self.update!r}")
        if self.update not in UPDATES:
            raise ValueError(f"update must be one of {UPDATES}, not {self.update!r}")
        if self.momentum is not None:
            _keep_number(self, "momentum", 1)
        if self.lookahead is not None:
            _keep_number(self, "lookahead", 1)
            if self.update != "lion":
                raise ValueError(f"lookahead must be None with update={self.update!r}, not {self.lookahead!r}")
        _keep_number(self, "decay", 1)
        _keep_number(self, "loss_scale", open_low=True)

    @property
    def mu(self) -> float:
        """Share of the velocity that is kept: ``momentum`` or its default."""
        if self.momentum is None:
            return 0.0 if self.update == "momentum" else 63 / 64
        return self.momentum

    @property
    def beta(self) -> float:
        """Share of the velocity in the sum whose sign counts: ``lookahead`` or its default; mu without ``lion``."""
        if self.update != "lion":
            return self.mu
        return min(1.0, 7 * (1 - self.mu)) if self.lookahead is None else self.lookahead

    def for_gradients(self, scale: float) -> "Training":
        """What does the same with gradients that are ``scale`` times as large: a sign does not see the difference."""
        return replace(self, rate=self.rate / scale) if self.update == "momentum" else self

    @lru_cache  # noqa: B019 - a few small immutable objects
    def rounded(self, number_format: Format) -> "Training":
        """The constants that the hardware holds, every default filled in.

        With ``lion`` these are beta and ``mu - beta``, which are rounded; mu is their exact sum.

        Raises
        ------
        ValueError
            A constant overflows, becomes zero, or becomes 1 though it is less.
        """
        lookahead = None
        if self.update == "lion":
            lookahead = _rounded("lookahead", self.beta, number_format)
            momentum = lookahead + _rest(self.mu, lookahead, number_format)
        else:
            momentum = _share("momentum", self.mu, number_format)
        return Training(
            rate=_rounded("rate", self.rate, number_format),
            update=self.update,
            momentum=momentum,
            lookahead=lookahead,
            decay=_share("decay", self.decay, number_format),
            loss_scale=_rounded("loss_scale", self.loss_scale, number_format),
        )


def _share(name: str, value: float, number_format: Format) -> float:
    """As ``_rounded``, for a number from 0 to 1 that may be 1 only if it is meant."""
    result = _rounded(name, value, number_format)
    if value < 1 and result == 1:
        most = 1 - 2.0 ** -(number_format.mantissa + 1)
        raise ValueError(
            f"{name} must not round to 1 in {number_format}, but {value!r} does: use {name}={most!r} or {name}=1"
        )
    return result


def _rest(mu: float, beta: float, number_format: Format) -> float:
    """``mu - beta`` rounded to the format, down where the sum with beta would otherwise reach 1 and mu does not."""
    rest = float(number_format.round(mu - beta))
    if beta + rest > 1 or beta + rest == 1 > mu:
        rest = float(number_format.decode(int(number_format.encode(rest)) - 1))
    return rest
