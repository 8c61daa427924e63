# SPDX-License-Identifier: Apache-2.0
"""Shares of non-zeros of a network at work, measured in the golden model, for the compiler's estimates."""

from collections.abc import Sequence

import numpy as np

from backspike.golden import learning
from backspike.golden.arithmetic import BitExact
from backspike.golden.network import Network, Training
from backspike.host.compiler.cost_model import Density

__all__ = ["measure_densities"]


def measure_densities(
    network: Network, weights: Sequence[np.ndarray], training: Training, spikes: np.ndarray, labels: np.ndarray
) -> tuple[Density, ...]:
    """The ``Density`` of each layer in one forward and backward pass, for ``compile_network(density=...)``.

    Parameters
    ----------
    network : Network
        The layers.
    weights : sequence of array of float64
        One for each layer, as ``layer.shape``.
    training : Training
        Constants of the loss.
    spikes : array of uint8 [T, B, inputs]
        Samples.
    labels : array of integers [B]
        Their labels.
    """
    arithmetic = BitExact(network.format)
    trace = learning.forward(network, weights, spikes, arithmetic)
    deltas, _ = learning.backward(network, weights, trace, training, arithmetic, labels=labels)
    inputs = [trace.inputs, *(layer.spikes for layer in trace.layers[:-1])]
    masks = [np.zeros(1), *(layer.masks for layer in trace.layers[:-1])]  # the host wants no errors
    return tuple(
        Density(spikes=float(np.mean(s)), masks=float(np.mean(m)), deltas=float(np.mean(d != 0)))
        for s, m, d in zip(inputs, masks, deltas, strict=True)
    )
