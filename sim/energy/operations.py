# SPDX-License-Identifier: Apache-2.0
"""Multiply-accumulates of a training sample without any skipping."""

from backspike.golden.network import Network
from backspike.golden.rules import Rule
from backspike.host.compiler.geometry import pixels, tap_count

__all__ = ["dense_terms", "engine_terms", "padded_terms"]


def dense_terms(network: Network) -> tuple[int, int]:
    """Terms of one training sample without any skipping: of FP (and as many of WG), and of BP."""
    inner = [
        network.steps * layer.out_channels * layer.in_channels * tap_count(layer) * layer.pool**2
        for layer in network.layers
    ]
    bias = sum(network.steps * layer.out_channels * pixels(layer) for layer in network.layers if layer.bias)
    return sum(inner) + bias, sum(inner[1:])


def engine_terms(network: Network, rule: Rule) -> dict[str, int]:
    """Terms of each engine, as ``dense_terms``; of BP and WG in as many steps as errors go back in, if these differ."""
    forward, back = dense_terms(network)
    steps = rule.back_steps or network.steps
    return {"FP": forward, "BP": back * steps // network.steps, "WG": forward * steps // network.steps}


def padded_terms(network: Network) -> int:
    """Terms of FP, BP and WG together for one training sample, with those taps that lie outside of the map."""
    counts = [
        layer.out_channels * layer.in_channels * layer.kernel**2 * layer.pool**2 * pixels(layer)
        for layer in network.layers
    ]
    return network.steps * (2 * sum(counts) + sum(counts[1:]))
