# SPDX-License-Identifier: Apache-2.0
"""How errors go back in time within a layer: ``neuron.step_back`` over all steps."""

import numpy as np

from backspike.golden.compiled.jit import compiled
from backspike.golden.compiled.rounding import Rounding, rounded_sum

__all__ = ["layer_back"]


@compiled
def layer_back(
    soft: bool,
    amplitude: float,
    leak: float,
    rounding: Rounding,
    frame: int,
    trained: np.ndarray,
    errors: np.ndarray,
    fired: np.ndarray,
    masks: np.ndarray,
    deltas: np.ndarray,
) -> bool:
    """Fill deltas [T, B, N]; returns whether one was beyond the largest number.

    Parameters
    ----------
    soft : bool
        Kind of the reset.
    amplitude, leak : float
        Of the surrogate, and of the backward recursion.
    rounding : Rounding
        Of the format.
    frame : int
        Steps of a frame.
    trained : array of bool [frames]
        The frames that are trained.
    errors : array of float64 [T, B, N]
        dLoss/ds.
    fired, masks : array of uint8 [T, B, N]
        Of the forward pass.
    deltas : array of float64 [T, B, N]
        Result: dLoss/du.
    """
    top, saturated = rounding.top, False
    nothing = np.zeros(errors.shape[2])
    for step in range(len(errors) - 1, -1, -1):
        if not trained[step // frame]:
            deltas[step] = 0.0
            continue
        kept = leak if (step + 1) % frame else 0.0
        for sample in range(errors.shape[1]):
            error, mask, spike = errors[step, sample], masks[step, sample], fired[step, sample]
            later, result = deltas[step + 1, sample] if kept else nothing, deltas[step, sample]
            for i in range(len(error)):
                passed = kept * later[i] if soft or not spike[i] else 0.0
                value = rounded_sum(amplitude * error[i] if mask[i] else 0.0, passed, rounding)
                saturated |= abs(value) > top
                result[i] = min(max(value, -top), top)
    return saturated
