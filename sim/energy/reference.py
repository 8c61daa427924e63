# SPDX-License-Identifier: Apache-2.0
"""The energy of a dense training step by the model of the reference architecture.

Source: NeuroMC, whose values for single layers SpikingJelly publishes (docs of ``op_counter``,
``energy_model_validation.csv``). Memory outside the chip and the network on chip count as nothing.
"""

import math

from backspike.golden.network import Network

__all__ = ["backward_energy", "forward_energy", "gradient_energy", "network_energy"]

# pJ of one access or one operation
_BIT = 0.00901 / 7.1 * 2  # register of 1 bit
_REGISTER = 16 * _BIT
_SUMS = 5.792676768  # memories of 16 bits
_WEIGHTS = 5.302477904
_SPIKES = 0.44854798  # memory of 1 bit
_POTENTIAL, _FLAG = 92.68282828 / 16, 7.176767677 / 16  # a word of 16 potentials, and one of 16 spikes or masks, shared
_MUX, _ADD, _MULTIPLY, _COMPARE = 0.548 / 16, 0.548, 0.812, 0.056
_ARRAY = 16  # channels that the array takes at a time

_OUTPUTS = 1 << 17
"""Outputs of a layer from which the memory of its neurons counts by outputs, and by weights below: published values
have the change between 100,352 and 150,528."""


def forward_energy(inputs: int, outputs: int, kernel: int, size: float) -> float:
    """Energy in pJ of FP for one step: ``size`` x ``size`` output pixels, channels in and out."""
    macs, cells = _macs(inputs, outputs, kernel, size), outputs * size**2
    weights, chunks = inputs * outputs * kernel**2, -(-inputs // _ARRAY) * kernel**2
    neurons = cells if cells > _OUTPUTS else weights
    return (
        macs * (_ADD + _MUX)
        + cells * (_MUX + _ADD + _MULTIPLY + 3 * _COMPARE)
        + 2 * macs * _BIT
        + _moved(macs, weights, cells, chunks)
        + weights * _WEIGHTS
        + cells * chunks * _SPIKES
        + cells * (2 * chunks - 1) * _SUMS
        + neurons * (4 * _POTENTIAL + 3 * _FLAG + 8 * _REGISTER + 6 * _BIT)
    )


def backward_energy(inputs: int, outputs: int, kernel: int, size: float) -> float:
    """Energy in pJ of BP for one step: as ``forward_energy``, ``size`` of the inputs' map."""
    macs, cells = _macs(inputs, outputs, kernel, size), inputs * size**2
    weights, chunks = inputs * outputs * kernel**2, -(-outputs // _ARRAY) * kernel**2
    return (
        macs * (_MULTIPLY + _ADD)
        + cells * 4.37825
        + 2 * macs * _REGISTER
        + _moved(macs, weights, cells, chunks)
        + weights * _WEIGHTS
        + cells * (3 * chunks - 1) * _SUMS
        + cells * (4 * _POTENTIAL + _FLAG + 8 * _REGISTER + 2 * _BIT)
    )


def gradient_energy(inputs: int, outputs: int, kernel: int, size: float) -> float:
    """Energy in pJ of WG for one step: ``size`` x ``size`` output pixels."""
    macs, weights = _macs(inputs, outputs, kernel, size), inputs * outputs * kernel**2
    return (
        macs * (_ADD + _MUX)
        + macs * (2 * _BIT + 4 * _REGISTER)
        + math.ceil(macs / min(outputs, _ARRAY)) * _SPIKES
        + math.ceil(macs / min(inputs, _ARRAY)) * _SUMS
        + weights * _WEIGHTS
    )


def network_energy(network: Network) -> dict[str, float]:
    """Energy in pJ of FP, BP and WG for one training sample; BP has none in the first layer."""
    result = {"FP": 0.0, "BP": 0.0, "WG": 0.0}
    for number, layer in enumerate(network.layers):
        given = (layer.in_channels, layer.out_channels, layer.kernel)
        out = math.sqrt(layer.out_height * layer.out_width)
        back = math.sqrt(layer.pooled_height * layer.pooled_width)
        result["FP"] += network.steps * forward_energy(*given, out)
        result["WG"] += network.steps * gradient_energy(*given, out)
        if number:
            result["BP"] += network.steps * backward_energy(*given, back)
    return result


def _macs(inputs: int, outputs: int, kernel: int, size: float) -> float:
    return inputs * outputs * kernel**2 * size**2


def _moved(macs: float, weights: int, cells: float, chunks: int) -> float:
    """Registers of weights, sums and partial sums."""
    return _REGISTER * (2 * weights + 3 * macs - cells + cells * (chunks - 1))
