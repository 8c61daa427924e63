# SPDX-License-Identifier: Apache-2.0
"""Errors that go back once a sample, as through the clamped mean of a neuron's input (DSR).

Meng et al., "Training high-performance low-latency spiking neural networks by differentiation on spike representation",
CVPR 2022, section 4: integrate-and-fire neurons, with thresholds that stay.
"""

from collections.abc import Sequence

import numpy as np

from backspike.golden.arithmetic import Arithmetic, Sum
from backspike.golden.constants import Training
from backspike.golden.errors import pass_back
from backspike.golden.forward import LayerTrace, Trace, currents
from backspike.golden.layers import Layer
from backspike.golden.network import Network
from backspike.golden.neuron import rate_error

__all__ = ["clamp_backward", "clamp_masks"]


def clamp_masks(
    layer: Layer, weight: np.ndarray, before: np.ndarray, traced: LayerTrace, arithmetic: Arithmetic[Sum]
) -> np.ndarray:
    """Where the sum of a neuron's inputs over all steps lies within 0 and T thresholds: bool [1, B, N].

        I = round(kappa u[T-1] + x[T] + rr (N - s[T-1]))        N: spikes before the last step;  m = 0 <= I <= rr T

    That is the last potential with all that the spikes took from it put back. It is found at the last step from the
    terms of that step, in one rounding.

    Parameters
    ----------
    layer : Layer
        With integrate-and-fire neurons, as ``Rule.adapted`` makes them.
    weight : array of float64
        As ``layer.shape``.
    before : array of bool [T, B, inputs]
        Spikes of the layer before.
    traced : LayerTrace
        Of the layer itself.
    arithmetic : Arithmetic
        How results are rounded.
    """
    neuron = arithmetic.constants(layer.neuron)
    steps = len(before)
    potentials = np.zeros(traced.potentials.shape[1:])
    counted = np.zeros(potentials.shape)
    if steps > 1:
        potentials = traced.potentials[-2]
        counted = traced.spikes[:-2].sum(axis=0, dtype=np.float64)
    current = currents(layer, weight, before[-1], arithmetic)
    total = arithmetic.combine((neuron.kappa, potentials), (neuron.rr, counted), total=current)
    high = arithmetic.constant(neuron.rr * steps)
    return ((total >= 0) & (total <= high))[np.newaxis]


def clamp_backward(
    network: Network,
    weights: Sequence[np.ndarray],
    trace: Trace,
    training: Training,
    arithmetic: Arithmetic[Sum],
    labels: np.ndarray,
) -> tuple[tuple[np.ndarray, ...], tuple[np.ndarray, ...]]:
    """A backward pass, once a sample.

        e = round(loss_scale (N - T y))         of the last layer, whose masks are all set
        delta = round(amplitude m e);  e_j = round(sum_i W_ji delta_i)

    Parameters
    ----------
    network, weights, trace, training, arithmetic
        As for ``learning.backward``.
    labels : array of integers [B]
        Outputs that should spike.

    Returns
    -------
    deltas, errors : tuple of array of float64 [1, B, N]
        Of each layer.
    """
    spikes = (trace.inputs, *(layer.spikes for layer in trace.layers))
    error = rate_error(arithmetic.constants(training), trace.counts, labels, network.steps, arithmetic)[np.newaxis]
    masks = np.ones(error.shape, dtype=bool)
    all_deltas, all_errors = [], []
    for number in reversed(range(len(network.layers))):
        layer = network.layers[number]
        amplitude = arithmetic.constants(layer.neuron).amplitude
        deltas = arithmetic.combine((amplitude, np.where(masks, error, 0.0)))
        all_deltas.append(deltas)
        all_errors.append(error)
        if number:
            below = network.layers[number - 1]
            masks = clamp_masks(below, weights[number - 1], spikes[number - 1], trace.layers[number - 1], arithmetic)
            error = pass_back(layer, weights[number], deltas, masks, arithmetic)
    return tuple(reversed(all_deltas)), tuple(reversed(all_errors))
