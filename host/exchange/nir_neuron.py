# SPDX-License-Identifier: Apache-2.0
"""NIR's neurons, which are differential equations, in steps of a length.

    LIF        tau v' = (v_leak - v) + r I        spike where v > v_threshold, then v = v_reset
    IF         v' = r I
    Threshold  spike where I > threshold

A file holds neither the length of a step nor what a spike takes from the potential, nor the surrogate gradient: whoever
reads it says so. Potentials are counted from ``v_reset``, where they start, so that a hard reset leads to 0.
"""

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from backspike.spec.checks import check_number
from backspike.spec.formats import Format

__all__ = ["NEURONS", "Discrete", "Steps", "discrete"]

NEURONS = ("LIF", "IF", "Threshold")
"""Kinds of nodes that spike."""

Reset = Literal["hard", "subtract", "subtract-delayed"]

_RESETS = ("hard", "subtract", "subtract-delayed")
_FIRES = (">", ">=")
_METHODS = ("euler", "exact")

_SINGLE = 1e-6
"""How far numbers that went through single precision may be from those that were meant."""


@dataclass(frozen=True, kw_only=True)
class Steps:
    """How time passes, which NIR leaves to whoever reads a file.

    Parameters
    ----------
    dt : float
        Length of a step in the unit of the time constants, more than 0; snnTorch and SpikingJelly write files for 1e-4.
    reset : "hard", "subtract", "subtract-delayed" or None
        What a spike does to the potential: v_reset; less the threshold, at once; less the threshold at the next step,
        after the leak, as snnTorch's ``Leaky`` does. ``None``: what the file says, which ours do, else hard.
    fire : ">", ">=" or None
        Whether a neuron fires at its threshold too, as SpikingJelly's do. ``None``: what the file says, else ``>``.
    method : "euler" or "exact"
        Forward Euler, as the other programs, or the exact solution for a current that is constant within a step.

    Raises
    ------
    TypeError, ValueError
        A parameter is none of these.
    """

    dt: float = 1e-4
    reset: Reset | None = None
    fire: Literal[">", ">="] | None = None
    method: Literal["euler", "exact"] = "euler"

    def __post_init__(self) -> None:
        check_number("dt", self.dt, 0, open_low=True)
        for name, known, optional in (("reset", _RESETS, True), ("fire", _FIRES, True), ("method", _METHODS, False)):
            value = getattr(self, name)
            if value not in known and not (optional and value is None):
                raise ValueError(f"{name} must be one of {list(known)}, not {value!r}")


@dataclass(frozen=True)
class Discrete:
    """``u[t] = kappa u[t-1] + gain x[t] + offset`` of the neurons of a node, which fire at ``theta``.

    Parameters
    ----------
    kappa : float
        Leak of all neurons.
    gain, offset, theta : array
        One value for all neurons, or one for each.
    reset, fire
        As for ``Steps``.
    """

    kappa: float
    gain: np.ndarray
    offset: np.ndarray
    theta: np.ndarray
    reset: str
    fire: str


def discrete(name: str, node: Any, steps: Steps, number_format: Format) -> Discrete:
    """The neurons of a node, step by step; a leak within single precision of a number of the format is that number.

    Raises
    ------
    ValueError
        The neurons differ in their leak, or have none that is possible; the message names the node.
    """
    kind = type(node).__name__
    if kind == "Threshold":
        zero = np.zeros(())
        return Discrete(0.0, np.ones(()), zero, _values(name, node, "threshold"), "hard", steps.fire or ">")
    r, threshold, reset = (_values(name, node, part) for part in ("r", "v_threshold", "v_reset"))
    if kind == "IF":
        kappa, gain, offset = np.ones(()), r * steps.dt, np.zeros(())
    else:
        tau, leak = _values(name, node, "tau"), _values(name, node, "v_leak")
        share = steps.dt / tau if steps.method == "euler" else -np.expm1(-steps.dt / tau)
        if not (tau > 0).all() or share.max() > 1 + _SINGLE:
            raise ValueError(
                f"node {name!r}: dt must be at most its smallest tau, {float(tau.min())!r}, not {steps.dt!r}"
            )
        kappa, gain, offset = 1 - share, r * share, (leak - reset) * share
    theta = threshold - reset
    if not (theta > 0).all():
        raise ValueError(f"node {name!r}: v_threshold must be more than v_reset, not {float(theta.min())!r} more")
    metadata = getattr(node, "metadata", None) or {}
    if np.ptp(kappa) > _SINGLE:
        raise ValueError(
            f"node {name!r}: tau must be the same for all its neurons, not {float(tau.min()):g} to "
            f"{float(tau.max()):g}: a layer has one leak; train with one tau for each layer"
        )
    return Discrete(
        _near(float(kappa.flat[0]), number_format),
        np.where(np.abs(gain - 1) < _SINGLE, 1.0, gain),
        offset,
        theta,
        steps.reset or _told(name, metadata, "reset", _RESETS) or "hard",
        steps.fire or _told(name, metadata, "fire", _FIRES) or ">",
    )


def _values(name: str, node: Any, part: str) -> np.ndarray:
    values = np.asarray(getattr(node, part), dtype=np.float64)
    if not values.size or not np.isfinite(values).all():
        raise ValueError(f"node {name!r}: {part} must be finite numbers, not {values!r}")
    return values


def _near(value: float, number_format: Format) -> float:
    """The number of the format that is meant by one that went through single precision, else the value itself."""
    rounded = float(number_format.round(np.array(value)))
    return rounded if abs(rounded - value) < _SINGLE else value


def _told(name: str, metadata: dict[str, Any], key: str, known: tuple[str, ...]) -> Any:
    """What a file of ours says in the metadata of a node."""
    value = metadata.get(key)
    value = value.decode() if isinstance(value, bytes) else value
    if value is not None and value not in known:
        raise ValueError(f"node {name!r}: its metadata must have a {key} of {list(known)}, not {value!r}")
    return value
