# SPDX-License-Identifier: Apache-2.0
"""The update of weights and velocities at the end of a batch, as a pure function."""

from collections.abc import Sequence

import numpy as np

from backspike.golden.arithmetic import Arithmetic, Sum
from backspike.golden.constants import Training
from backspike.golden.exact import Exact
from backspike.golden.passes import Passes

__all__ = ["update"]


def update(
    weights: Sequence[np.ndarray],
    velocities: Sequence[np.ndarray],
    gradients: Sequence[Sum],
    training: Training,
    arithmetic: Arithmetic[Sum],
) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """``(weights, velocities)`` after a batch, V being the velocity before it:

        momentum     W = round(decay W - rate V')                  V' = round(mu V + G)
        lion, sign   W = round(decay W - rate sign(beta V + G))    V' = round(mu V + G)

    The sign is that of the exact sum, 0 where that is zero. ``sign`` is ``lion`` with ``beta = mu``. Lion is that of
    Chen et al., "Symbolic discovery of optimization algorithms", arXiv 2302.06675; ``Training`` says how its constants
    follow from those of the paper.

    Parameters
    ----------
    weights, velocities : sequence of array of float64
        One for each layer, as ``layer.shape``.
    gradients : sequence of sums
        From ``learning.accumulate``: exact sums over the batch.
    training : Training
        Which update, and its constants.
    arithmetic : Arithmetic
        How results are rounded.
    """
    constants = arithmetic.constants(training)
    new_weights, new_velocities = [], []
    for weight, velocity, gradient in zip(weights, velocities, gradients, strict=True):
        moved, following = updated(weight, velocity, gradient, constants, arithmetic)
        new_weights.append(moved)
        new_velocities.append(following)
    return new_weights, new_velocities


def updated(
    weight: np.ndarray, velocity: np.ndarray, gradient: Sum, constants: Training, arithmetic: Arithmetic[Sum]
) -> tuple[np.ndarray, np.ndarray]:
    """``update`` of a layer, with constants as the arithmetic holds them."""
    if isinstance(arithmetic, Passes) and isinstance(gradient, Exact):
        done = arithmetic.update(weight, velocity, gradient, constants)
        if done is not None:
            return done
    following = arithmetic.combine(*_scaled(constants.mu, velocity), total=gradient)
    if constants.update == "momentum":
        direction = following
    else:
        direction = arithmetic.sign(*_scaled(constants.beta, velocity), total=gradient)
    return arithmetic.combine((constants.decay, weight), (-constants.rate, direction)), following


def _scaled(factor: float, velocity: np.ndarray) -> list[tuple[float, np.ndarray]]:
    """The velocity's term, none with a factor of 0: it may then be anything."""
    return [(factor, velocity)] if factor else []
