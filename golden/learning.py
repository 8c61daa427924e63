# SPDX-License-Identifier: Apache-2.0
"""Back-propagation through time over a batch, as pure functions.

Arrays are [T, B, N]: step, sample, neuron. ``arithmetic`` is a ``Float64`` or a ``BitExact``; with the latter each
stored number is the hardware's, bit for bit. Only ``BitExact.saturated`` changes on the way. The neurons of a map are
in the order (channel, y, x); weights are [rows, channels] as ``layers`` describes.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
from numpy.typing import ArrayLike

from backspike.golden.arithmetic import Arithmetic, Sum
from backspike.golden.constants import Training
from backspike.golden.layers import Layer
from backspike.golden.network import Network
from backspike.golden.neuron import Output, initial_state, rate_error, step, step_back
from backspike.golden.windows import (
    delta_windows,
    input_windows,
    pooled_any,
    row_order,
    to_map,
    to_pixels,
    transposed,
    unpooled,
)

__all__ = [
    "LayerTrace",
    "Trace",
    "accumulate",
    "backward",
    "check_labels",
    "check_spikes",
    "forward",
    "run_layer",
    "update",
]

_BLOCK = 1 << 17  # numbers in a matrix of windows that is made at a time


@dataclass(frozen=True)
class LayerTrace:
    """What a layer did in a forward pass.

    Parameters
    ----------
    potentials : array of float64 [T, B, N]
        Before the fire test.
    spikes, masks : array of bool [T, B, N]
        Spikes and surrogate masks.
    """

    potentials: np.ndarray
    spikes: np.ndarray
    masks: np.ndarray


@dataclass(frozen=True)
class Trace:
    """A forward pass.

    Parameters
    ----------
    inputs : array of uint8 or bool [T, B, inputs]
        The input spikes.
    layers : tuple of LayerTrace
        What each layer did.
    """

    inputs: np.ndarray
    layers: tuple[LayerTrace, ...]

    @property
    def counts(self) -> np.ndarray:
        """Spikes of each output of the last layer, [B, N]."""
        return self.layers[-1].spikes.sum(axis=0)


def check_spikes(network: Network, spikes: ArrayLike) -> np.ndarray:
    """``spikes`` as an array [T, B, inputs] of 0 and 1, uint8 or bool, else ``TypeError`` or ``ValueError``."""
    spikes = np.asarray(spikes)
    if spikes.dtype not in (np.uint8, np.bool_):
        raise TypeError(f"spikes must be an array of uint8 or bool, not {spikes.dtype}")
    if spikes.ndim != 3 or spikes.shape[0] != network.steps or spikes.shape[2] != network.inputs:
        raise ValueError(f"spikes must be [{network.steps}, B, {network.inputs}], not {list(spikes.shape)}")
    if spikes.dtype == np.uint8 and spikes.max(initial=0) > 1:
        raise ValueError(f"spikes must be 0 or 1, not {int(spikes.max())!r}")
    return spikes


def check_labels(network: Network, labels: ArrayLike, samples: int) -> np.ndarray:
    """``labels`` as an integer array [B] of output numbers, else ``TypeError`` or ``ValueError``."""
    labels = np.asarray(labels)
    if not np.issubdtype(labels.dtype, np.integer):
        raise TypeError(f"labels must be an array of integers, not {labels.dtype}")
    if labels.shape != (samples,):
        raise ValueError(f"labels must be [{samples}], not {list(labels.shape)}")
    if samples and not 0 <= labels.min() <= labels.max() < network.outputs:
        wrong = labels[(labels < 0) | (labels >= network.outputs)][0]
        raise ValueError(f"labels must be 0 to {network.outputs - 1}, not {int(wrong)!r}")
    return labels


def _blocks(rows: int, width: int) -> list[slice]:
    """Slices of so many rows that a block of them stays in the cache."""
    size = max(1, _BLOCK // width)
    return [slice(start, min(start + size, rows)) for start in range(0, rows, size)]


def _currents(layer: Layer, weight: np.ndarray, spikes: np.ndarray, arithmetic: Arithmetic[Sum]) -> Sum:
    """``sum_j W_ji s_j`` for spikes [S, inputs], not rounded: [S, outputs]."""
    pixels = layer.out_height * layer.out_width
    weight = weight[row_order(layer)]
    totals = []
    for rows in _blocks(len(spikes), pixels * len(weight)):
        total = arithmetic.matmul(input_windows(layer, spikes[rows]), weight, counts=layer.pool**2)
        totals.append(arithmetic.map(total, partial(to_map, pixels)))
    return arithmetic.join(totals) if totals else arithmetic.zeros((0, layer.outputs))


def run_layer(layer: Layer, weight: np.ndarray, spikes: np.ndarray, arithmetic: Arithmetic[Sum]) -> LayerTrace:
    """What a layer does with spikes [T, B, inputs]; current = sum_j W_ji s_j[t], see ``neuron.step``."""
    neuron = arithmetic.constants(layer.neuron)
    samples = spikes.shape[1]
    current = _currents(layer, weight, spikes.reshape(-1, layer.inputs), arithmetic)
    state = initial_state((samples, layer.outputs))
    steps = []
    for t in range(len(spikes)):
        state, output = step(neuron, state, current[t * samples : (t + 1) * samples], arithmetic)
        steps.append((state.potentials, output.spikes, output.masks))
    return LayerTrace(*(np.stack(arrays) for arrays in zip(*steps, strict=True)))


def forward(network: Network, weights: Sequence[np.ndarray], spikes: ArrayLike, arithmetic: Arithmetic[Sum]) -> Trace:
    """A forward pass.

    Parameters
    ----------
    network : Network
        The layers.
    weights : sequence of array of float64
        One for each layer, as ``layer.shape``.
    spikes : array of uint8 or bool [T, B, inputs]
        0 and 1.
    arithmetic : Arithmetic
        How results are rounded.

    Raises
    ------
    TypeError, ValueError
        ``spikes`` are of another kind or shape.
    """
    inputs = before = check_spikes(network, spikes)
    traces: list[LayerTrace] = []
    for layer, weight in zip(network.layers, weights, strict=True):
        traces.append(run_layer(layer, weight, before, arithmetic))
        before = traces[-1].spikes
    return Trace(inputs, tuple(traces))


def backward(
    network: Network,
    weights: Sequence[np.ndarray],
    trace: Trace,
    training: Training,
    arithmetic: Arithmetic[Sum],
    *,
    labels: ArrayLike | None = None,
    errors: ArrayLike | None = None,
) -> tuple[tuple[np.ndarray, ...], tuple[np.ndarray, ...]]:
    """A backward pass.

        e_j[t] = round(sum_i W_ji delta_i[t])        from the layer above, needed where m_j[t] = 1
        delta[t], and e of the last layer            see ``neuron.step_back`` and ``neuron.rate_error``

    Parameters
    ----------
    network, weights, arithmetic
        As for ``forward``.
    trace : Trace
        Of the forward pass.
    training : Training
        Constants of the loss.
    labels : array of integers [B] or None
        Outputs that should spike.
    errors : array of float64 [T, B, outputs] or None
        Instead of labels: the host's own errors, which are rounded and used where the masks are set.

    Returns
    -------
    deltas, errors : tuple of array of float64 [T, B, N]
        dLoss/du and dLoss/ds of each layer. Errors are 0 where no mask asks for them (but in the last layer).

    Raises
    ------
    TypeError, ValueError
        Labels or errors are of another kind or shape, or not exactly one of them is given.
    """
    samples, last = trace.inputs.shape[1], trace.layers[-1]
    if (labels is None) == (errors is None):
        raise ValueError("exactly one of labels and errors must be given")
    if labels is not None:
        constants = arithmetic.constants(training)
        error = rate_error(constants, trace.counts, check_labels(network, labels, samples), network.steps, arithmetic)
        error = np.broadcast_to(error, last.spikes.shape)
    else:
        error = np.asarray(errors, dtype=np.float64)
        if error.shape != last.spikes.shape:
            raise ValueError(f"errors must be {list(last.spikes.shape)}, not {list(error.shape)}")
        if not np.isfinite(error).all():
            raise ValueError(f"errors must be finite, not {float(error[~np.isfinite(error)][0])!r}")
        error = arithmetic.round(np.where(last.masks, error, 0.0))
    all_deltas, all_errors = [], []
    for number in reversed(range(len(network.layers))):
        layer, traced = network.layers[number], trace.layers[number]
        neuron = arithmetic.constants(layer.neuron)
        deltas = np.empty(traced.spikes.shape)
        delta = np.zeros(traced.spikes.shape[1:])
        for t in reversed(range(network.steps)):
            output = Output(traced.spikes[t], traced.masks[t])
            deltas[t] = delta = step_back(neuron, delta, error[t], output, arithmetic)
        all_deltas.append(deltas)
        all_errors.append(error)
        if number:
            below = trace.layers[number - 1]
            error = _pass_back(layer, weights[number], deltas, below.masks, arithmetic)
    return tuple(reversed(all_deltas)), tuple(reversed(all_errors))


def _pass_back(
    layer: Layer, weight: np.ndarray, deltas: np.ndarray, masks: np.ndarray, arithmetic: Arithmetic[Sum]
) -> np.ndarray:
    """``e_j = round(sum_i W_ji delta_i)`` where a mask asks for it, else 0 (so that it cannot saturate).

    One sum and one rounding serve all inputs of a pooling field. What has no deltas is left out: its errors are 0.
    """
    shape = masks.shape
    errors, masks = np.zeros((shape[0] * shape[1], shape[2])), masks.reshape(-1, shape[2])
    active, deltas, largest = _active(deltas)
    pixels = 1 if layer.whole else layer.pooled_height * layer.pooled_width
    weight = transposed(layer, weight)
    for rows in _blocks(len(active), pixels * len(weight)):
        total = arithmetic.matmul(delta_windows(layer, deltas[rows]), weight, largest=largest)
        total = arithmetic.map(total, partial(to_map, pixels))
        asked = masks[active[rows]]
        values = unpooled(layer, arithmetic.masked(total, pooled_any(layer, asked)))
        errors[active[rows]] = values if layer.pool == 1 else np.where(asked, values, 0.0)
    return errors.reshape(shape)


def _active(deltas: np.ndarray) -> tuple[np.ndarray, np.ndarray, float]:
    """The samples and steps that have any delta: their numbers, their deltas [S, N], and the largest magnitude."""
    deltas = deltas.reshape(-1, deltas.shape[2])
    sizes = np.maximum(deltas.max(axis=1, initial=0.0), -deltas.min(axis=1, initial=0.0))
    active = np.flatnonzero(sizes)
    return active, deltas[active], float(sizes.max(initial=0.0))


def accumulate(
    network: Network,
    trace: Trace,
    deltas: Sequence[np.ndarray],
    arithmetic: Arithmetic[Sum],
    gradients: Sequence[Sum] | None = None,
) -> list[Sum]:
    """``G_ji = sum over samples and steps of delta_i[t] s_j[t]``, exact and not rounded, added to those given.

    In a convolutional layer the sum is also over all output pixels, and over the inputs of a pooling field.

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

    Returns
    -------
    list of sums
        Of each layer, shaped as the weights: an array of float64, or an ``Exact`` in units of the format's ``2**lsb``,
        whose ``integers()`` are what the chip's memory holds.
    """
    spikes = (trace.inputs, *(layer.spikes for layer in trace.layers[:-1]))
    sums = [
        _correlated(layer, before, delta, arithmetic)
        for layer, before, delta in zip(network.layers, spikes, deltas, strict=True)
    ]
    if gradients is None:
        return sums
    return [arithmetic.add(old, new) for old, new in zip(gradients, sums, strict=True)]


def _correlated(layer: Layer, spikes: np.ndarray, deltas: np.ndarray, arithmetic: Arithmetic[Sum]) -> Sum:
    active, deltas, _ = _active(deltas)
    if not active.size:
        return arithmetic.zeros(layer.shape)
    spikes = spikes.reshape(-1, layer.inputs)
    pixels = layer.out_height * layer.out_width
    blocks = (
        (input_windows(layer, spikes[active[rows]]), slice(rows.start * pixels, rows.stop * pixels))
        for rows in _blocks(len(active), pixels * layer.shape[0])
    )
    total = arithmetic.correlate(blocks, to_pixels(pixels, deltas), layer.pool**2)
    back = np.argsort(row_order(layer))
    return arithmetic.map(total, lambda array: array[back])


def update(
    weights: Sequence[np.ndarray],
    velocities: Sequence[np.ndarray],
    gradients: Sequence[Sum],
    training: Training,
    arithmetic: Arithmetic[Sum],
) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """``(weights, velocities)`` after a batch: ``V = round(mu V + G)``, then ``W = round(W - rate V)``.

    Parameters
    ----------
    weights, velocities : sequence of array of float64
        One for each layer, as ``layer.shape``.
    gradients : sequence of sums
        From ``accumulate``.
    training : Training
        Rate and momentum.
    arithmetic : Arithmetic
        How results are rounded.
    """
    constants = arithmetic.constants(training)
    terms = [[(constants.momentum, velocity)] if constants.momentum else [] for velocity in velocities]
    velocities = [arithmetic.combine(*term, total=total) for term, total in zip(terms, gradients, strict=True)]
    pairs = zip(weights, velocities, strict=True)
    return [arithmetic.combine((1.0, w), (-constants.rate, v)) for w, v in pairs], velocities
