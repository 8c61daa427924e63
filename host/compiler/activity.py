# SPDX-License-Identifier: Apache-2.0
"""Shares of non-zeros of a network at work, measured in the golden model, for the compiler's estimates."""

import numpy as np

from backspike.golden.trainer import Trainer
from backspike.host.compiler.cost_model import Density

__all__ = ["measure_densities"]


def measure_densities(trainer: Trainer, spikes: np.ndarray, labels: np.ndarray) -> tuple[Density, ...]:
    """The ``Density`` of each layer in one forward and backward pass, for ``compile_network(density=...)``.

    Parameters
    ----------
    trainer : Trainer
        With the weights.
    spikes : array of uint8 [T, B, inputs]
        Samples.
    labels : array of integers [B]
        Their labels.
    """
    trace = trainer.forward(spikes)
    deltas, _ = trainer.backward(trace, labels)
    taken = trainer.network.taken
    inputs = [[trace.layers[number].spikes for number in own] or [trace.inputs] for own in taken]
    # The host wants no errors
    masks = [[trace.layers[number].masks for number in own] or [np.zeros(1)] for own in taken]
    return tuple(
        Density(spikes=float(np.mean(s)), masks=float(np.mean(m)), deltas=float(np.mean(d != 0)))
        for s, m, d in zip(inputs, masks, deltas, strict=True)
    )
