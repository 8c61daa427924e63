# SPDX-License-Identifier: Apache-2.0
"""Seeded initial weights: by a formula, or fitted so that every hidden layer spikes about equally often.

What a layer learns from is its spikes and the potentials near the threshold. A formula is enough for few layers; in
deep networks, or with few, many or weak input spikes, a layer is soon silent or full, unless the weights fit the data.
"""

import math

import numpy as np

from backspike.golden.arithmetic import BitExact
from backspike.golden.forward import LayerTrace, Trace, run_layer
from backspike.golden.layers import Layer, MaxPool
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


def _fan_in(network: Network, number: int) -> int:
    """Inputs that reach one output of a layer."""
    layer = network.layers[number]
    return layer.in_channels * layer.kernel**2 * layer.pool**2 * max(1, len(network.taken[number]))


def initial_weights(network: Network, seed: int) -> list[np.ndarray]:
    """Uniform in ``+-theta * sqrt(6 / inputs)``, last layer from 0 to ``5 theta / inputs``.

    ``inputs`` are those that reach one output: ``in_channels * kernel**2 * pool**2``, times the layers that it takes.
    So the outputs start just below the threshold, inside the surrogate's window, where every one of them can learn. A
    bias starts at 0; a maximum pooling has the identity. All are rounded
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
    for number, layer in enumerate(network.layers):
        if isinstance(layer, MaxPool):
            weights.append(layer.weights)
            continue
        last, inputs = number == len(network.layers) - 1, _fan_in(network, number)
        bound = layer.neuron.theta * (5 / inputs if last else math.sqrt(6 / inputs))
        if not number:
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
    traces: list[LayerTrace] = []
    for number, (layer, taken) in enumerate(zip(network.layers, network.taken, strict=True)):
        given, most = Trace(spikes, tuple(traces)).given(taken), len(taken) or network.largest_input
        if number == len(network.layers) - 1:
            break
        low, high = (-_RANGE, _RANGE) if layer.learns else (0, 0)
        while low < high:
            middle = (low + high) // 2
            tried = _scaled(weights[number], middle, network.format)
            trace = run_layer(layer, tried, given, arithmetic, most=most)
            if trace.spikes.mean() < SPIKING:
                low = middle + 1
            else:
                high = middle
        weights[number] = _scaled(weights[number], low, network.format)
        traces.append(run_layer(layer, weights[number], given, arithmetic, most=most))
    last = network.layers[-1]
    density = max(float(given.mean()), 1 / given.size)
    inputs = _fan_in(network, number) / (len(taken) or 1)
    mean = inputs * density * float(weights[-1][: last.shape[0] - last.bias].mean())
    power = round(_FINEST * math.log2(_CURRENT * last.neuron.theta / mean))
    weights[-1] = _scaled(weights[-1], max(-_RANGE, min(power, _RANGE)), network.format)
    return weights


def _scaled(weight: np.ndarray, power: int, number_format: Format) -> np.ndarray:
    return number_format.round(weight * 2.0 ** (power / _FINEST)) + 0.0
