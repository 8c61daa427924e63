# SPDX-License-Identifier: Apache-2.0
"""Back-propagation through time over a batch, as pure functions.

Arrays are [T, B, N]: step, sample, neuron. ``arithmetic`` is a ``Float64`` or a ``BitExact``; with the latter each
stored number is the hardware's, bit for bit. Only ``BitExact.saturated`` changes on the way.
"""

from dataclasses import dataclass

import numpy as np

from backspike.golden.neuron import Output, initial_state, rate_error, step, step_back

__all__ = ["LayerTrace", "Trace", "accumulate", "backward", "check_labels", "check_spikes", "forward", "update"]


@dataclass(frozen=True)
class LayerTrace:
    """Potentials before the fire test, spikes and surrogate masks of a layer, each [T, B, N]."""

    potentials: np.ndarray
    spikes: np.ndarray
    masks: np.ndarray


@dataclass(frozen=True)
class Trace:
    """A forward pass: the input spikes and what each layer did."""

    inputs: np.ndarray
    layers: tuple

    @property
    def counts(self):
        """Spikes of each output of the last layer, [B, N]."""
        return self.layers[-1].spikes.sum(axis=0)


def check_spikes(network, spikes):
    """``spikes`` as an array [T, B, inputs] of 0 and 1, else ``TypeError`` or ``ValueError``."""
    spikes = np.asarray(spikes)
    if spikes.dtype not in (np.uint8, np.bool_):
        raise TypeError(f"spikes must be an array of uint8 or bool, not {spikes.dtype}")
    if spikes.ndim != 3 or spikes.shape[0] != network.steps or spikes.shape[2] != network.inputs:
        raise ValueError(f"spikes must be [{network.steps}, B, {network.inputs}], not {list(spikes.shape)}")
    if spikes.dtype == np.uint8 and spikes.max(initial=0) > 1:
        raise ValueError(f"spikes must be 0 or 1, not {int(spikes.max())!r}")
    return spikes


def check_labels(network, labels, samples):
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


def _presynaptic(layer, spikes):
    """Spikes as numbers, with the bias input, which always spikes, in the last column."""
    if not layer.bias:
        return spikes.astype(np.float64)
    result = np.ones((*spikes.shape[:2], layer.inputs + 1))
    result[:, :, :-1] = spikes
    return result


def forward(network, weights, spikes, arithmetic):
    """The ``Trace`` of input spikes [T, B, inputs]; current = sum_j W_ji s_j[t], see ``neuron.step``."""
    spikes = inputs = check_spikes(network, spikes)
    traces = []
    for layer, weight in zip(network.layers, weights, strict=True):
        neuron = arithmetic.constants(layer.neuron)
        samples = spikes.shape[1]
        current = arithmetic.matmul(_presynaptic(layer, spikes).reshape(-1, len(weight)), weight, spikes=True)
        state = initial_state((samples, layer.outputs))
        steps = []
        for t in range(network.steps):
            state, output = step(neuron, state, current[t * samples : (t + 1) * samples], arithmetic)
            steps.append((state.potentials, *output))
        traces.append(LayerTrace(*(np.stack(arrays) for arrays in zip(*steps, strict=True))))
        spikes = traces[-1].spikes
    return Trace(inputs, tuple(traces))


def backward(network, weights, trace, training, arithmetic, *, labels=None, errors=None):
    """``(deltas, errors)`` per layer, each [T, B, N]; errors are 0 where no mask asks for them (but in the last layer).

        e_j[t] = round(sum_i W_ji delta_i[t])        from the layer above, needed where m_j[t] = 1
        delta[t], and e of the last layer            see ``neuron.step_back`` and ``neuron.rate_error``

    Either ``labels`` [B] are given, or the host's own ``errors`` [T, B, outputs], which are rounded and used where the
    masks are set.
    """
    samples, last = trace.inputs.shape[1], trace.layers[-1]
    if (labels is None) == (errors is None):
        raise ValueError("exactly one of labels and errors must be given")
    if errors is None:
        labels = check_labels(network, labels, samples)
        constants = arithmetic.constants(training)
        error = rate_error(constants, trace.counts, labels, network.steps, arithmetic)
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
            error = _pass_back(weights[number][: layer.inputs], deltas, below.masks, arithmetic)
    return tuple(reversed(all_deltas)), tuple(reversed(all_errors))


def _pass_back(weight, deltas, masks, arithmetic):
    """``e_j[t] = round(sum_i W_ji delta_i[t])`` where the mask asks for it, else 0 (so that it cannot saturate)."""
    inputs, outputs = weight.shape
    total = arithmetic.matmul(deltas.reshape(-1, outputs), weight.T)
    return arithmetic.masked(total, masks.reshape(-1, inputs)).reshape(masks.shape)


def accumulate(network, trace, deltas, gradients, arithmetic):
    """New gradients: ``G_ji = round(G_ji + sum_t delta_i[t] s_j[t])``, one rounding per weight and sample, in order."""
    spikes = (trace.inputs, *(layer.spikes for layer in trace.layers[:-1]))
    return [
        arithmetic.accumulate(gradient, _presynaptic(layer, before), delta)
        for layer, before, delta, gradient in zip(network.layers, spikes, deltas, gradients, strict=True)
    ]


def update(weights, velocities, gradients, training, arithmetic):
    """``(weights, velocities)`` after a batch: ``V = round(mu V + G)``, then ``W = round(W - rate V)``.

    Without momentum V is G itself.
    """
    constants = arithmetic.constants(training)
    if constants.momentum:
        pairs = zip(velocities, gradients, strict=True)
        velocities = [arithmetic.combine((constants.momentum, v), (1.0, g)) for v, g in pairs]
    else:
        velocities = list(gradients)
    pairs = zip(weights, velocities, strict=True)
    return [arithmetic.combine((1.0, w), (-constants.rate, v)) for w, v in pairs], velocities
