# SPDX-License-Identifier: Apache-2.0
"""Seeded initial weights: by a formula, or fitted so that every hidden layer spikes about equally often.

What a layer learns from is its spikes and the potentials near the threshold. A formula is enough for few layers; in
deep networks, or with few, many or weak input spikes, a layer is soon silent or full, unless the weights fit the data.
"""

import math

import numpy as np

from backspike.golden.arithmetic import BitExact
from backspike.golden.layers import Layer
from backspike.golden.learning import run_layer
from backspike.golden.network import Network
from backspike.golden.presets import SPIKING
from backspike.spec.formats import Format

__all__ = ["balanced_weights", "initial_weights"]

_CURRENT = 0.28  # mean weighted sum of an output at each step, in units of the threshold
_FINEST, _RANGE = 4, 24  # factors are powers of 2**(1/4), from 2**-6 to 2**6


def _uniform(generator: np.random.Generator, layer: Layer, bound: float, low: float) -> np.ndarray:
    """Weights from ``low`` to ``bound``, biases 0."""
    weight = np.zeros(layer.shape)
    rows = layer.in_channels * layer.kernel**2
    weight[:rows] = generator.uniform(low, bound, (rows, layer.out_channels))
    return weight


def _fan_in(layer: Layer) -> int:
    """Inputs that reach one output."""
    return layer.in_channels * layer.kernel**2 * layer.pool**2


def initial_weights(network: Network, seed: int) -> list[np.ndarray]:
    """Uniform in ``+-theta * sqrt(6 / inputs)``, last layer from 0 to ``5 theta / inputs``.

    ``inputs`` are those that reach one output: ``in_channels * kernel**2 * pool**2``. So the outputs start just below
    the threshold, inside the surrogate's window, where every one of them can learn. A bias starts at 0. All are rounded
    to the network's format. The first layer's are smaller by half the range of inputs that are integers.

    Parameters
    ----------
    network : Network
        The layers.
    seed : int
        At least 0; equal seeds give equal weights.

    Returns
    -------
    list of array of float64
        One for each layer, as ``layer.shape``.
    """
    generator = np.random.default_rng(seed)
    weights = []
    for layer in network.layers:
        last = layer is network.layers[-1]
        bound = layer.neuron.theta * (5 / _fan_in(layer) if last else math.sqrt(6 / _fan_in(layer)))
        if layer is network.layers[0]:
            bound /= 1 << network.input_bits - 1
        weights.append(network.format.round(_uniform(generator, layer, bound, 0 if last else -bound)) + 0.0)
    return weights


def balanced_weights(network: Network, seed: int, spikes: np.ndarray) -> list[np.ndarray]:
    """Weights with which about 0.15 of the neurons of each hidden layer spike at a step, for networks of any depth.

    Those of ``initial_weights``, times a power of ``2**(1/4)`` for each layer that ``spikes`` decide. The outputs' mean
    weighted sum is 0.28 of the threshold: just below it. All sums are exact, so that the same weights come out
    everywhere.

    Parameters
    ----------
    network, seed
        As for ``initial_weights``.
    spikes : array of uint8 [T, B, inputs]
        A few dozen samples of the training set.

    Returns
    -------
    list of array of float64
        One for each layer, as ``layer.shape``.
    """
    arithmetic = BitExact(network.format)
    weights = initial_weights(network, seed)
    for number, layer in enumerate(network.layers[:-1]):
        most = 1 if number else network.largest_input
        low, high = -_RANGE, _RANGE
        while low < high:
            middle = (low + high) // 2
            tried = _scaled(weights[number], middle, network.format)
            trace = run_layer(layer, tried, spikes, arithmetic, most=most)
            if trace.spikes.mean() < SPIKING:
                low = middle + 1
            else:
                high = middle
        weights[number] = _scaled(weights[number], low, network.format)
        spikes = run_layer(layer, weights[number], spikes, arithmetic, most=most).spikes
    last = network.layers[-1]
    density = max(float(spikes.mean()), 1 / spikes.size)
    mean = _fan_in(last) * density * float(weights[-1][: last.shape[0] - last.bias].mean())
    power = round(_FINEST * math.log2(_CURRENT * last.neuron.theta / mean))
    weights[-1] = _scaled(weights[-1], max(-_RANGE, min(power, _RANGE)), network.format)
    return weights


def _scaled(weight: np.ndarray, power: int, number_format: Format) -> np.ndarray:
    return number_format.round(weight * 2.0 ** (power / _FINEST)) + 0.0
