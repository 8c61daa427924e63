# SPDX-License-Identifier: Apache-2.0
"""The exact gradients of a batch: sums of deltas times what each input gives."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from backspike.golden.arithmetic import Arithmetic, Sum
from backspike.golden.errors import active
from backspike.golden.forward import Trace, blocks
from backspike.golden.layers import Layer
from backspike.golden.network import Network
from backspike.golden.operands import OPERAND_BITS, Operand
from backspike.golden.passes import Passes
from backspike.golden.rules import BPTT, Rule
from backspike.golden.sources import added
from backspike.golden.windows import input_windows, row_order, to_pixels

__all__ = ["accumulate", "given_operands"]


def accumulate(
    network: Network,
    trace: Trace,
    deltas: Sequence[np.ndarray],
    arithmetic: Arithmetic[Sum],
    gradients: Sequence[Sum] | None = None,
    *,
    rule: Rule = BPTT,
    given: Sequence[np.ndarray] | None = None,
) -> list[Sum]:
    """``G_ji = sum over samples and steps of delta_i[t] n_j[t]``, exact and not rounded, added to those given.

    ``n_j`` is what the rule takes from an input: its spike, an integer of the host, a trace, or a count. In a
    convolutional layer the sum is also over all output pixels, and over the inputs of a pooling field. Where spikes of
    several layers are added up, so is what they give. A layer that does not learn has none: 0.

    Parameters
    ----------
    network, arithmetic
        As for ``forward``.
    trace : Trace
        Of the forward pass.
    deltas : sequence of array of float64 [T, B, N]
        Of each layer, from ``backward``.
    gradients : sequence of sums or None
        What samples before gave.
    rule : Rule
        Says what an input gives.
    given : sequence of array [T, B, N] or None
        What the inputs of each layer give, if it is known; ``None``: it follows from the spikes of ``trace``.

    Returns
    -------
    list of sums
        Of each layer, shaped as the weights: an array of float64, or an ``Exact`` in units of the format's ``2**lsb``,
        whose ``integers()`` are what the chip's memory holds.
    """
    given = given_operands(network, trace, rule, arithmetic) if given is None else given
    sums = [
        correlated(layer, values, delta, operand, arithmetic) if layer.learns else arithmetic.zeros(layer.shape)
        for layer, operand, values, delta in zip(network.layers, rule.operands(network), given, deltas, strict=True)
    ]
    if gradients is None:
        return sums
    return [arithmetic.add(old, new) for old, new in zip(gradients, sums, strict=True)]


def given_operands(network: Network, trace: Trace, rule: Rule, arithmetic: Arithmetic[Sum]) -> list[np.ndarray]:
    """What the inputs of each layer give at each step [T, B, N], or once a sample [1, B, N]."""
    result = []
    for operand, taken in zip(rule.operands(network), network.taken, strict=True):
        parts = [trace.layers[number].spikes for number in taken] or [trace.inputs]
        if not operand.spikes:
            parts = [arithmetic.operands(part, operand.leak, operand.one, OPERAND_BITS) for part in parts]
        values = added(parts)
        result.append(values[-1:] if operand.once else values)
    return result


def correlated(
    layer: Layer, given: np.ndarray, deltas: np.ndarray, operand: Operand, arithmetic: Arithmetic[Sum]
) -> Sum:
    """The exact sum of a layer: its deltas [T, B, N] times what each input gives, shaped as the weights."""
    if isinstance(arithmetic, Passes):
        done: Any = arithmetic.correlated(layer, given, deltas, operand)
        if done is not None:
            return done
    used, deltas, _ = active(deltas)
    if not used.size:
        return arithmetic.zeros(layer.shape)
    given = given.reshape(-1, layer.inputs)
    pixels = layer.out_height * layer.out_width
    windows = (
        (
            input_windows(layer, given[used[rows]], operand.bias),
            slice(rows.start * pixels, rows.stop * pixels),
        )
        for rows in blocks(len(used), pixels * layer.shape[0])
    )
    total = arithmetic.correlate(windows, to_pixels(pixels, deltas), layer.pool**2 * operand.most)
    back = np.argsort(row_order(layer))
    return arithmetic.map(total, lambda array: array[back])
