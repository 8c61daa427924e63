# SPDX-License-Identifier: Apache-2.0
"""The update of the weights of a layer: ``update.update`` in one loop."""

import numpy as np

from backspike.golden.compiled.jit import compiled
from backspike.golden.compiled.rounding import Rounding, rounded, rounded_sum, two_sum

__all__ = ["update"]


@compiled
def update(
    by_sign: bool,
    simple: bool,
    mu: float,
    beta: float,
    decay: float,
    rate: float,
    rounding: Rounding,
    weights: np.ndarray,
    velocities: np.ndarray,
    gradients: np.ndarray,
    new_weights: np.ndarray,
    new_velocities: np.ndarray,
) -> bool:
    """Fill new weights and velocities; returns whether one was beyond the largest number.

    Parameters
    ----------
    by_sign, simple : bool
        Whether weights follow a sign, not the velocity; whether float64 holds every new weight before it is rounded.
    mu, beta, decay, rate : float
        Constants, see ``update.update``.
    rounding : Rounding
        Of the format.
    weights, velocities, gradients, new_weights, new_velocities : array of float64
        Of one shape, as flat arrays.
    """
    top, saturated = rounding.top, False
    for i in range(len(weights)):
        velocity = rounded_sum(mu * velocities[i], gradients[i], rounding)
        saturated |= abs(velocity) > top
        velocity = min(max(velocity, -top), top)
        direction = velocity
        if by_sign:
            total, _ = two_sum(beta * velocities[i], gradients[i])
            direction = float((total > 0) - (total < 0))
        if simple:
            weight = rounded(decay * weights[i] - rate * direction, rounding)
        else:
            weight = rounded_sum(decay * weights[i], -rate * direction, rounding)
        saturated |= abs(weight) > top
        new_velocities[i] = velocity
        new_weights[i] = min(max(weight, -top), top)
    return saturated
