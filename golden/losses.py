# SPDX-License-Identifier: Apache-2.0
"""The loss, and the errors of the last layer that follow from it: dLoss/ds of each output at each step.

The rate loss is on the chip; the errors of the others come from the host, which rounds them.
"""

from dataclasses import dataclass
from typing import Any, Literal, get_args

import numpy as np

from backspike.golden.arithmetic import Arithmetic
from backspike.golden.constants import Training
from backspike.golden.neuron import rate_error
from backspike.golden.rules import Rule

__all__ = ["RATE", "Loss", "host_errors", "rate_errors"]

Kind = Literal["rate", "cross-entropy"]
Span = Literal["all", "last"]


@dataclass(frozen=True, kw_only=True)
class Loss:
    """What is made small.

    Parameters
    ----------
    kind : "rate" or "cross-entropy"
        Squared error of each output's spike count; or cross-entropy of the softmax of the counts. Counts are those of a
        frame of the rule, or of a step where the rule has a loss of each step.
    span : "all" or "last"
        Whether all steps count, or the last one alone.

    Raises
    ------
    ValueError
        A parameter is none of these.
    """

    kind: Kind = "rate"
    span: Span = "all"

    def __post_init__(self) -> None:
        for name, known in (("kind", get_args(Kind)), ("span", get_args(Span))):
            if getattr(self, name) not in known:
                raise ValueError(f"loss {name} must be {known[0]!r} or {known[1]!r}, not {getattr(self, name)!r}")

    @property
    def on_chip(self) -> bool:
        """Whether the chip finds the errors itself."""
        return self == RATE

    def counted(self, spikes: np.ndarray) -> np.ndarray:
        """The steps of spikes [T, B, N] that count."""
        return spikes[-1:] if self.span == "last" else spikes

    def check(self, rule: Rule) -> None:
        """``ValueError`` where the rule has no such loss."""
        if not self.on_chip and rule.backward != "surrogate":
            raise ValueError(f"rule {rule} has the rate loss of all steps only: use another rule, or loss 'rate'")
        if self.span == "last" and rule.trained is not None:
            raise ValueError(
                f"rule {rule} draws its steps, and may leave out the last: use sltt with a loss of the last"
            )
        if self.span == "last" and rule.step_updates:
            raise ValueError(f"rule {rule} learns from the loss of each step: use ottt with a loss of the last")


RATE = Loss()
"""Squared error of the spike rate."""


def rate_errors(
    training: Training, rule: Rule, spikes: np.ndarray, labels: np.ndarray, arithmetic: Arithmetic[Any]
) -> np.ndarray:
    """``neuron.rate_error`` of each frame, or of each step where the loss is that of each step.

    Parameters
    ----------
    training : Training
        Constants as the arithmetic holds them.
    rule : Rule
        Says what a frame is.
    spikes : array of bool [T, B, N]
        Of the last layer.
    labels : array of integers [B]
        Outputs that should spike.
    arithmetic : Arithmetic
        How results are rounded.

    Returns
    -------
    array [T, B, N]
        The errors, which are the same for every step of a frame.
    """
    steps, samples, outputs = spikes.shape
    frame = 1 if rule.per_step else rule.frame_steps(steps)
    frames = steps // frame
    counts = spikes.reshape(frames, frame, samples, outputs).sum(axis=1).reshape(-1, outputs)
    errors = rate_error(training, counts, np.tile(labels, frames), frame, arithmetic)
    return errors.reshape(frames, samples, outputs).repeat(frame, axis=0)


def host_errors(loss: Loss, scale: float, rule: Rule, steps: int, spikes: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """The errors of a loss that is not on the chip, in float64 and not rounded.

    The cross-entropy's are ``scale * (softmax(counts) - y)`` at each step of a frame, with the counts of its spikes;
    those of the squared error ``scale * (s - y)``. With a loss of each step, or of the last one, a frame is a step.

    Parameters
    ----------
    loss : Loss
        Not that of the chip.
    scale : float
        Factor of the errors.
    rule : Rule
        Says what a frame is.
    steps : int
        Steps T of a sample.
    spikes : array of 0 and 1 [t, B, N]
        Of the last layer, from the first step of the samples to the end of a frame.
    labels : array of integers [B]
        Outputs that should spike.

    Returns
    -------
    array [t, B, N]
        The errors.
    """
    done, samples, outputs = spikes.shape
    frame = 1 if rule.per_step or loss.span == "last" else rule.frame_steps(steps)
    targets = np.zeros((samples, outputs))
    targets[np.arange(samples), labels] = 1
    counts = spikes.reshape(done // frame, frame, samples, outputs).sum(axis=1, dtype=np.float64)
    if loss.kind == "rate":
        errors = counts - frame * targets
    else:
        powers = np.exp(counts - counts.max(axis=2, keepdims=True))
        errors = powers / powers.sum(axis=2, keepdims=True) - targets
    errors = scale * errors.repeat(frame, axis=0)
    if loss.span == "last":
        errors[: steps - 1] = 0
    return errors
