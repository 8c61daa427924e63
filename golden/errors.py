# SPDX-License-Identifier: Apache-2.0
"""How errors come to a layer: through the weights of the layers behind it, or from the last layer by others."""

from collections.abc import Sequence
from functools import partial, reduce

import numpy as np

from backspike.golden.arithmetic import Arithmetic, Sum
from backspike.golden.forward import blocks
from backspike.golden.layers import Dense, Layer
from backspike.golden.passes import Passes
from backspike.golden.windows import delta_windows, pooled_any, to_map, transposed, unpooled

__all__ = ["active", "error_sums", "fed_back", "pass_back", "passed_back"]


def passed_back(
    takers: Sequence[tuple[Layer, np.ndarray, np.ndarray]], masks: np.ndarray, arithmetic: Arithmetic[Sum]
) -> np.ndarray:
    """As ``pass_back``, from all layers that take the spikes: one sum and one rounding.

    Parameters
    ----------
    takers : sequence of (Layer, array of float64, array of float64 [T, B, outputs])
        These layers, their weights and deltas.
    masks : array of bool [T, B, N]
        Of the layer that gets the errors.
    arithmetic : Arithmetic
        How results are rounded.
    """
    if len(takers) == 1:
        return pass_back(*takers[0], masks, arithmetic)
    sums = [
        error_sums(layer, weight, deltas.reshape(-1, layer.outputs), arithmetic) for layer, weight, deltas in takers
    ]
    return arithmetic.masked(reduce(arithmetic.add, sums), masks.reshape(-1, masks.shape[2])).reshape(masks.shape)


def pass_back(
    layer: Layer, weight: np.ndarray, deltas: np.ndarray, masks: np.ndarray, arithmetic: Arithmetic[Sum]
) -> np.ndarray:
    """``e_j = round(sum_i W_ji delta_i)`` where a mask asks for it, else 0 (so that it cannot saturate).

    One sum and one rounding serve all inputs of a pooling field. What has no deltas is left out: its errors are 0.
    """
    if isinstance(arithmetic, Passes):
        done = arithmetic.pass_back(layer, weight, deltas, masks)
        if done is not None:
            return done
    shape = masks.shape
    errors, masks = np.zeros((shape[0] * shape[1], shape[2])), masks.reshape(-1, shape[2])
    rows_used, deltas, largest = active(deltas)
    weight = transposed(layer, weight)
    for rows in blocks(len(rows_used), _pixels(layer) * len(weight)):
        total = _pooled_sums(layer, weight, deltas[rows], arithmetic, largest)
        asked = masks[rows_used[rows]]
        values = unpooled(layer, arithmetic.masked(total, pooled_any(layer, asked)))
        errors[rows_used[rows]] = values if layer.pool == 1 else np.where(asked, values, 0.0)
    return errors.reshape(shape)


def error_sums(layer: Layer, weight: np.ndarray, deltas: np.ndarray, arithmetic: Arithmetic[Sum]) -> Sum:
    """``sum_i W_ji delta_i`` of deltas [B, outputs], not rounded: [B, inputs]."""
    total = _pooled_sums(layer, transposed(layer, weight), deltas, arithmetic)
    return arithmetic.map(total, partial(unpooled, layer))


def _pixels(layer: Layer) -> int:
    """Pooled input pixels, of which a kernel that is the whole map sees one."""
    return 1 if layer.whole else layer.pooled_height * layer.pooled_width


def _pooled_sums(
    layer: Layer, weight: np.ndarray, deltas: np.ndarray, arithmetic: Arithmetic[Sum], largest: float | None = None
) -> Sum:
    """``sum_i W_ji delta_i`` of each pooled input, with ``transposed`` weights; ``largest`` bounds the deltas."""
    total = arithmetic.matmul(delta_windows(layer, deltas), weight, largest=largest)
    return arithmetic.map(total, partial(to_map, _pixels(layer)))


def fed_back(feedback: np.ndarray, deltas: np.ndarray, masks: np.ndarray, arithmetic: Arithmetic[Sum]) -> np.ndarray:
    """``e_j = round(sum_i M_ij delta_i)`` where a mask asks for it, else 0.

    Parameters
    ----------
    feedback : array of float64 [outputs, N]
        The matrix M.
    deltas : array of float64 [T, B, outputs]
        Of the last layer.
    masks : array of bool [T, B, N]
        Of the layer that gets the errors.
    arithmetic : Arithmetic
        How results are rounded.
    """
    if isinstance(arithmetic, Passes):
        layer = Dense(inputs=feedback.shape[1], outputs=feedback.shape[0])
        done = arithmetic.pass_back(layer, feedback.T, deltas, masks)
        if done is not None:
            return done
    total = arithmetic.matmul(deltas.reshape(-1, deltas.shape[2]), feedback)
    return arithmetic.masked(total, masks.reshape(-1, masks.shape[2])).reshape(masks.shape)


def active(deltas: np.ndarray) -> tuple[np.ndarray, np.ndarray, float]:
    """The samples and steps that have any delta: their numbers, their deltas [S, N], and the largest magnitude."""
    deltas = deltas.reshape(-1, deltas.shape[2])
    sizes = np.maximum(deltas.max(axis=1, initial=0.0), -deltas.min(axis=1, initial=0.0))
    used = np.flatnonzero(sizes)
    return used, deltas[used], float(sizes.max(initial=0.0))
