# SPDX-License-Identifier: Apache-2.0
"""One time step of a layer of neurons, forward and backward, side by side. Each result is rounded once."""

from typing import NamedTuple

import numpy as np

from backspike.golden.arithmetic import Arithmetic, Sum
from backspike.golden.constants import Neuron, Training

__all__ = ["NOISE", "Output", "State", "initial_state", "rate_error", "step", "step_back"]

NOISE = 0.25
"""How far noise moves a threshold, in thresholds."""


class State(NamedTuple):
    """What a layer keeps from one step to the next.

    Attributes
    ----------
    potentials : array of float64 [B, N]
        Membrane potentials before the fire test.
    spikes : array of float64 [B, N]
        0.0 or 1.0.
    """

    potentials: np.ndarray
    spikes: np.ndarray


class Output(NamedTuple):
    """Spikes and surrogate masks of one step, as booleans."""

    spikes: np.ndarray
    masks: np.ndarray


def initial_state(shape: tuple[int, ...]) -> State:
    """The state before the first step: no potentials, no spikes."""
    return State(np.zeros(shape), np.zeros(shape))


def step(
    neuron: Neuron, state: State, current: Sum, arithmetic: Arithmetic[Sum], noise: np.ndarray | None = None
) -> tuple[State, Output]:
    """One step forward.

    hard reset::   u[t] = round(kappa * (1 - s[t-1]) * u[t-1] + current[t])
    soft reset::   u[t] = round(kappa * u[t-1] - rr * s[t-1] + current[t])

    ``s[t] = u[t] >= theta`` (``>`` if strict) and ``m[t] = |u[t] - theta| < width / 2``. Noise moves the threshold of
    the spike alone, to ``round((1 - NOISE z) theta)``.

    Parameters
    ----------
    neuron : Neuron
        Constants as the arithmetic holds them.
    state : State
        After the step before.
    current : sum of the arithmetic [B, N]
        Weighted sums of input spikes, not rounded.
    arithmetic : Arithmetic
        How results are rounded.
    noise : array [B, N] or None
        z: +1 or -1.
    """
    u, s = state
    if neuron.soft:
        u = arithmetic.combine((neuron.kappa, u), (-neuron.rr, s), total=current)
    else:
        u = arithmetic.combine((neuron.kappa, u * (1.0 - s)), total=current)
    threshold = neuron.theta if noise is None else arithmetic.round((1 - NOISE * noise) * neuron.theta)
    fired = u > threshold if neuron.strict else u >= threshold
    masks = np.abs(u - neuron.theta) < neuron.width / 2
    return State(u, fired.astype(np.float64)), Output(fired, masks)


def step_back(
    neuron: Neuron, delta_next: np.ndarray, errors: np.ndarray, output: Output, arithmetic: Arithmetic[Sum]
) -> np.ndarray:
    """One step backward.

    ``delta[t] = round(amplitude * m[t] * e[t] + kappa_back * rho[t] * delta[t+1])`` with ``rho = 1 - s[t]`` for the
    hard and 1 for the soft reset: the reset itself passes no gradient.

    Parameters
    ----------
    neuron : Neuron
        Constants as the arithmetic holds them.
    delta_next : array [B, N]
        ``dLoss/du[t+1]``.
    errors : array [B, N]
        ``dLoss/ds[t]``.
    output : Output
        Spikes and masks of step t.
    arithmetic : Arithmetic
        How results are rounded.

    Returns
    -------
    array [B, N]
        ``dLoss/du[t]``.
    """
    passed = delta_next if neuron.soft else np.where(output.spikes, 0.0, delta_next)
    used = np.where(output.masks, errors, 0.0)
    return arithmetic.combine((neuron.amplitude, used), (neuron.leak_back, passed))


def rate_error(
    training: Training, counts: np.ndarray, labels: np.ndarray, steps: int, arithmetic: Arithmetic[Sum]
) -> np.ndarray:
    """``e = round(loss_scale * (count - T * y))``, y = 1 for the labelled output: squared error of the spike rate.

    Parameters
    ----------
    training : Training
        Constants as the arithmetic holds them.
    counts : array of integers [B, N]
        Spikes of each output in all steps.
    labels : array of integers [B]
        Outputs that should spike.
    steps : int
        Time steps T.
    arithmetic : Arithmetic
        How results are rounded.

    Returns
    -------
    array [B, N]
        The error, which is the same for every step.
    """
    errors = np.array(counts, dtype=np.float64)
    errors[np.arange(len(labels)), labels] -= steps
    return arithmetic.round(training.loss_scale * errors)
