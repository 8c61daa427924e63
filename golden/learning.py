# SPDX-License-Identifier: Apache-2.0
"""The passes over a batch, as pure functions: forward, backward, gradients.

Arrays are [T, B, N]: step, sample, neuron. ``arithmetic`` is a ``Float64`` or a ``BitExact``; with the latter each
stored number is the hardware's, bit for bit. Only ``BitExact.saturated`` changes on the way.
"""

from collections.abc import Sequence
from functools import partial

import numpy as np
from numpy.typing import ArrayLike

from backspike.golden.arithmetic import Arithmetic, Sum
from backspike.golden.clamp import clamp_backward
from backspike.golden.constants import Training
from backspike.golden.errors import fed_back, passed_back
from backspike.golden.forward import LayerTrace, Trace, check_labels, check_spikes, forward, run_layer
from backspike.golden.gradients import accumulate
from backspike.golden.layers import Layer
from backspike.golden.losses import rate_errors
from backspike.golden.network import Network
from backspike.golden.neuron import Output, step_back
from backspike.golden.passes import Passes
from backspike.golden.rules import BPTT, Rule
from backspike.golden.ternary import ternary_backward

__all__ = [
    "Trace",
    "accumulate",
    "backward",
    "check_labels",
    "check_spikes",
    "forward",
    "run_layer",
]


def backward(
    network: Network,
    weights: Sequence[np.ndarray],
    trace: Trace,
    training: Training,
    arithmetic: Arithmetic[Sum],
    *,
    labels: ArrayLike | None = None,
    errors: ArrayLike | None = None,
    rule: Rule = BPTT,
    trained: np.ndarray | None = None,
    feedback: Sequence[np.ndarray] = (),
) -> tuple[tuple[np.ndarray, ...], tuple[np.ndarray, ...]]:
    """A backward pass.

        e_j[t] = round(sum_i W_ji delta_i[t])        from all layers that take s_j, needed where m_j[t] = 1
        delta[t], and e of the last layer            see ``neuron.step_back`` and ``losses.rate_errors``

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
    rule : Rule
        How errors go back, with neurons as ``rule.adapted`` has them.
    trained : array of bool [frames] or None
        The frames that are trained; ``None``: all.
    feedback : sequence of array of float64 [outputs, N]
        Of each hidden layer, where the rule does not take the weights of the layer behind it.

    Returns
    -------
    deltas, errors : tuple of array of float64 [T, B, N]
        dLoss/du and dLoss/ds of each layer, T = 1 with a rule that goes back once a sample. Errors are 0 where no mask
        asks for them (but in the last layer).

    Raises
    ------
    TypeError, ValueError
        Labels or errors are of another kind or shape, or not exactly one of them is given; the rule goes back once a
        sample, but errors are given; trained frames or feedback are not as the rule has them.
    """
    samples, last = trace.inputs.shape[1], trace.layers[-1]
    if (labels is None) == (errors is None):
        raise ValueError("exactly one of labels and errors must be given")
    _check_rule(network, rule, len(last.spikes), errors, trained, feedback)
    if labels is not None:
        targets = check_labels(network, labels, samples)
        if rule.backward != "surrogate":
            once = clamp_backward if rule.backward == "clamp" else partial(ternary_backward, rule.back_steps)
            return once(network, weights, trace, training, arithmetic, targets)
        error = rate_errors(arithmetic.constants(training), rule, last.spikes, targets, arithmetic)
    else:
        error = np.asarray(errors, dtype=np.float64)
        if error.shape != last.spikes.shape:
            raise ValueError(f"errors must be {list(last.spikes.shape)}, not {list(error.shape)}")
        if not np.isfinite(error).all():
            raise ValueError(f"errors must be finite, not {float(error[~np.isfinite(error)][0])!r}")
        error = arithmetic.round(np.where(last.masks, error, 0.0))
    layers, top = network.layers, len(network.layers) - 1
    deltas: dict[int, np.ndarray] = {}
    errors_of = {top: error}
    for number in range(top, -1, -1):
        traced = trace.layers[number]
        if number < top and feedback:
            errors_of[number] = fed_back(feedback[number], deltas[top], traced.masks, arithmetic)
        elif number < top:
            takers = [(layers[taker], weights[taker], deltas[taker]) for taker in network.takers[number]]
            errors_of[number] = passed_back(takers, traced.masks, arithmetic)
        deltas[number] = layer_back(layers[number], traced, errors_of[number], arithmetic, rule, trained)
    return tuple(deltas[n] for n in range(top + 1)), tuple(errors_of[n] for n in range(top + 1))


def _check_rule(
    network: Network,
    rule: Rule,
    steps: int,
    errors: ArrayLike | None,
    trained: np.ndarray | None,
    feedback: Sequence[np.ndarray],
) -> None:
    """``ValueError`` where what ``backward`` is given is not what the rule has."""
    if errors is not None and rule.backward != "surrogate":
        raise ValueError(f"labels must be given with rule {rule}, which has no errors of a step")
    frames = rule.frames(steps)
    if trained is not None and (trained.dtype != np.bool_ or trained.shape != (frames,)):
        raise ValueError(f"trained must be bool [{frames}], not {trained.dtype} {list(trained.shape)}")
    needed = 0 if rule.feedback == "weights" else len(network.layers) - 1
    if len(feedback) != needed:
        raise ValueError(f"feedback must be {needed} arrays with rule {rule}, not {len(feedback)}")


def layer_back(
    layer: Layer,
    traced: LayerTrace,
    error: np.ndarray,
    arithmetic: Arithmetic[Sum],
    rule: Rule,
    trained: np.ndarray | None,
) -> np.ndarray:
    """The deltas [T, B, N] of a layer: frame by frame, each from its last step to its first."""
    if isinstance(arithmetic, Passes):
        done = arithmetic.layer_back(layer, traced, error, rule, trained)
        if done is not None:
            return done
    steps = len(traced.spikes)
    frame = rule.frame_steps(steps)
    neuron = arithmetic.constants(layer.neuron)
    deltas = np.zeros(traced.spikes.shape)
    for t in reversed(range(steps)):
        if trained is not None and not trained[t // frame]:
            continue
        following = np.zeros(traced.spikes.shape[1:]) if (t + 1) % frame == 0 else deltas[t + 1]
        deltas[t] = step_back(neuron, following, error[t], Output(traced.spikes[t], traced.masks[t]), arithmetic)
    return deltas
