# SPDX-License-Identifier: Apache-2.0
"""Errors that go back as ternary spikes of neurons that integrate and fire (SPIDE).

Xiao et al., "SPIDE: A purely spike-based method for training feedback spiking neural networks", Neural Networks 161,
2023, section 4: without feedback weights, with squared errors.
"""

from collections.abc import Sequence

import numpy as np

from backspike.golden.arithmetic import Arithmetic, Sum
from backspike.golden.constants import Training
from backspike.golden.errors import error_sums
from backspike.golden.forward import Trace
from backspike.golden.network import Network

__all__ = ["ternary_backward"]

_THRESHOLD = 0.5


def ternary_backward(
    back_steps: int,
    network: Network,
    weights: Sequence[np.ndarray],
    trace: Trace,
    training: Training,
    arithmetic: Arithmetic[Sum],
    labels: np.ndarray,
) -> tuple[tuple[np.ndarray, ...], tuple[np.ndarray, ...]]:
    """A backward pass of so many steps; in each, from the last layer to the first:

        p = round(p - q + g)                    g = sum_i W_ji q_i, exact;  last layer: loss_scale (N - T y)
        q = +1 if p >= 1/2, -1 if p <= -1/2, else 0
        m = 0 < N < T                           last layer: all set

    Neurons whose mask is clear do nothing: their p and q stay 0. A delta is the sum of a neuron's q, an integer that is
    not rounded; the mathematical one is its share of the steps.

    Parameters
    ----------
    back_steps : int
        Steps of the backward pass.
    network, weights, trace, training, arithmetic
        As for ``learning.backward``.
    labels : array of integers [B]
        Outputs that should spike.

    Returns
    -------
    deltas, potentials : tuple of array of float64 [1, B, N]
        Of each layer; potentials are p after the last step.
    """
    scale = arithmetic.constants(training).loss_scale
    steps, last = network.steps, len(network.layers) - 1
    wrong = trace.counts.astype(np.float64)
    wrong[np.arange(len(labels)), labels] -= steps
    masks = [(n > 0) & (n < steps) for n in (layer.spikes.sum(axis=0) for layer in trace.layers)]
    masks[last][...] = True
    potentials, spikes, deltas = ([np.zeros(mask.shape) for mask in masks] for _ in range(3))
    for _ in range(back_steps):
        for number in range(last, -1, -1):
            asked = masks[number]
            terms = [(1.0, potentials[number][asked]), (-1.0, spikes[number][asked])]
            if number == last:
                now = arithmetic.combine(*terms, (scale, wrong[asked]))
            else:
                total = error_sums(network.layers[number + 1], weights[number + 1], spikes[number + 1], arithmetic)
                now = arithmetic.combine(*terms, total=total[asked])
            potentials[number][asked] = now
            spikes[number][asked] = np.where(now >= _THRESHOLD, 1.0, 0.0) - np.where(now <= -_THRESHOLD, 1.0, 0.0)
            deltas[number] += spikes[number]
    return tuple(delta[np.newaxis] for delta in deltas), tuple(p[np.newaxis] for p in potentials)
