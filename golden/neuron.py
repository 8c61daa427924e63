# SPDX-License-Identifier: Apache-2.0
"""One time step of a layer of neurons, forward and backward, side by side. Each result is rounded once."""

from typing import NamedTuple

import numpy as np

__all__ = ["Output", "State", "initial_state", "rate_error", "step", "step_back"]


class State(NamedTuple):
    """What a layer keeps from one step to the next: potentials before the fire test, and spikes (0.0 or 1.0)."""

    potentials: np.ndarray
    spikes: np.ndarray


class Output(NamedTuple):
    """Spikes and surrogate masks of one step, as booleans."""

    spikes: np.ndarray
    masks: np.ndarray


def initial_state(shape):
    return State(np.zeros(shape), np.zeros(shape))


def step(neuron, state, current, arithmetic):
    """The next ``(state, output)``; ``current`` is the unrounded weighted sum of input spikes.

    hard reset::   u[t] = round(kappa * (1 - s[t-1]) * u[t-1] + current[t])
    soft reset::   u[t] = round(kappa * u[t-1] - rr * s[t-1] + current[t])

    ``s[t] = u[t] >= theta`` (``>`` if strict) and ``m[t] = |u[t] - theta| < width / 2``.
    """
    u, s = state
    if neuron.soft:
        u = arithmetic.combine((neuron.kappa, u), (-neuron.rr, s), total=current)
    else:
        u = arithmetic.combine((neuron.kappa, u * (1.0 - s)), total=current)
    fired = u > neuron.theta if neuron.strict else u >= neuron.theta
    masks = np.abs(u - neuron.theta) < neuron.width / 2
    return State(u, fired.astype(np.float64)), Output(fired, masks)


def step_back(neuron, delta_next, errors, output, arithmetic):
    """``dLoss/du[t]`` from ``dLoss/du[t+1]`` and ``errors = dLoss/ds[t]``.

    ``delta[t] = round(amplitude * m[t] * e[t] + kappa_back * rho[t] * delta[t+1])`` with ``rho = 1 - s[t]`` for the
    hard and 1 for the soft reset: the reset itself passes no gradient.
    """
    passed = delta_next if neuron.soft else np.where(output.spikes, 0.0, delta_next)
    used = np.where(output.masks, errors, 0.0)
    return arithmetic.combine((neuron.amplitude, used), (neuron.leak_back, passed))


def rate_error(training, counts, labels, steps, arithmetic):
    """``e = round(loss_scale * (count - T * y))``, y = 1 for the labelled output: squared error of the spike rate.

    ``counts`` [B, N] are the spikes of each output; the error is the same for every step.
    """
    errors = np.array(counts, dtype=np.float64)
    errors[np.arange(len(labels)), labels] -= steps
    return arithmetic.round(training.loss_scale * errors)
