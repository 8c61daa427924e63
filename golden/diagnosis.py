# SPDX-License-Identifier: Apache-2.0
"""Why a network does not learn, in sentences that say what to change.

``diagnose_outputs`` needs what a chip reports as well: the spikes of its outputs, and whether numbers saturated.
``diagnose`` looks into the layers, too, which the golden model alone can.
"""

import math
from collections.abc import Sequence

import numpy as np

from backspike.golden.forward import Trace
from backspike.golden.layers import Layer
from backspike.golden.trainer import Trainer

__all__ = ["diagnose", "diagnose_outputs", "saturation"]

_FEW, _MANY = 4, 16
"""Samples of an output, and of all outputs, from which on something that none of them shows is no chance."""


def diagnose_outputs(spikes: np.ndarray, labels: np.ndarray, *, saturated: bool = False) -> list[str]:
    """What the spikes of the outputs show.

    Parameters
    ----------
    spikes : array of 0 and 1 [T, B, N]
        Of the last layer.
    labels : array of integers [B]
        Outputs that should spike.
    saturated : bool
        Whether numbers have saturated.

    Returns
    -------
    list of str
        Sentences; none where nothing is wrong.
    """
    found = []
    wanted = np.bincount(labels, minlength=spikes.shape[2])
    silent = np.flatnonzero(~spikes.any(axis=(0, 1)) & (wanted >= _FEW))
    if silent.size:
        found.append(
            f"{_outputs(silent)} never spike{'s' * (silent.size == 1)}, though {wanted[silent].sum()} of {len(labels)} "
            "samples should make it so: use a smaller rate, more epochs, or a greater width of the surrogate"
        )
    always = np.flatnonzero(spikes.all(axis=(0, 1)) & (wanted <= len(labels) - _FEW))
    if always.size:
        found.append(
            f"{_outputs(always)} spike{'s' * (always.size == 1)} at every step of all {len(labels)} samples: use a "
            "smaller rate, a smaller kappa, or a greater width of the surrogate"
        )
    answers = np.unique(spikes.sum(axis=0, dtype=np.int64).argmax(axis=1))
    alone = answers.size == 1 and len(labels) >= _MANY and len(labels) - wanted[answers[0]] >= _FEW
    if alone and not silent.size and not always.size:
        found.append(
            f"output {answers[0]} is the answer to all {len(labels)} samples, {wanted[answers[0]]} of which are its "
            "own: use a smaller rate, or more epochs"
        )
    return found + saturation(saturated)


def saturation(saturated: bool) -> list[str]:
    """The sentence about numbers that have saturated; none if they have not."""
    if not saturated:
        return []
    return ["numbers have saturated at the largest of the format: use a smaller loss_scale or rate, or smaller weights"]


def diagnose(trainer: Trainer, spikes: np.ndarray, labels: np.ndarray) -> list[str]:
    """What some samples show, of the training set or others; the trainer is not changed.

    Parameters
    ----------
    trainer : Trainer
        With the weights.
    spikes : array of uint8 or bool [T, B, inputs]
        Input spikes, of some dozens of samples or more.
    labels : array of integers [B]
        Outputs that should spike.

    Returns
    -------
    list of str
        Sentences; none where nothing is wrong.
    """
    if not spikes.any():
        return ["no input spikes at any step: look at how the data became spikes"]
    trace = trainer.forward(spikes)
    deltas, _ = trainer.backward(trace, labels)
    wrong = trainer.predictions(trace) != labels
    found = diagnose_outputs(trace.layers[-1].spikes, labels, saturated=trainer.saturated)
    layers, told = trainer.network.layers, len(found)
    for number, traced in enumerate(trace.layers[:-1], start=1):
        share = float(traced.spikes.mean())
        if share == 0:
            found.append(
                f"layer {number} of {len(layers)} never spikes, so the layers behind it learn nothing: use a smaller "
                "theta, a greater kappa, or initial weights that fit the data (initial.balanced_weights)"
            )
            break
        if share == 1:
            found.append(
                f"layer {number} of {len(layers)} spikes in all neurons at every step, so it tells nothing apart: use "
                "a greater theta, a smaller kappa, or initial weights that fit the data (initial.balanced_weights)"
            )
    if trainer.rule.backward == "surrogate" and wrong.sum() >= _FEW and len(found) == told:
        found += _outside(layers, trace, deltas, wrong)
    return found


def _outside(layers: Sequence[Layer], trace: Trace, deltas: Sequence[np.ndarray], wrong: np.ndarray) -> list[str]:
    """Layers that wrong samples teach nothing, as no potential is inside the surrogate's window."""
    found = []
    for number in reversed(range(len(layers))):
        reached = deltas[number].any(axis=(0, 2)) & wrong
        if 2 * reached.sum() >= wrong.sum():
            continue
        neuron, traced = layers[number].neuron, trace.layers[number]
        inside = float(traced.masks[:, wrong].mean())
        width = _fitting(np.abs(traced.potentials[:, wrong] - neuron.theta))
        found.append(
            f"layer {number + 1} of {len(layers)} has no deltas for {wrong.sum() - reached.sum()} of {wrong.sum()} "
            f"wrong samples, as {inside:.1%} of its potentials are inside the surrogate's window of width "
            f"{neuron.width:g}: use width {width:g}, a smaller rate, or initial weights that fit the data"
        )
        break  # the layers below get nothing either
    return found


def _fitting(distances: np.ndarray) -> float:
    """A power of two that is the width of a window with half of the potentials in it."""
    return 2.0 ** math.ceil(math.log2(max(2 * float(np.median(distances)), 2.0**-4) * 1.001))


def _outputs(numbers: np.ndarray) -> str:
    if numbers.size == 1:
        return f"output {numbers[0]}"
    shown = [str(number) for number in numbers[:8]]
    return f"outputs {', '.join(shown[:-1])} and {shown[-1]}" if numbers.size <= 8 else f"{numbers.size} outputs"
