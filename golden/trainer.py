# SPDX-License-Identifier: Apache-2.0
"""A network in training: weights, velocities and gradients, batch by batch."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from backspike.golden import learning
from backspike.golden.arithmetic import Arithmetic
from backspike.golden.engines import Engine, bit_exact
from backspike.golden.feedback import Feedback
from backspike.golden.gradients import given_operands
from backspike.golden.initial import initial_weights
from backspike.golden.layers import MaxPool
from backspike.golden.losses import RATE, Loss, host_errors
from backspike.golden.network import Network, Training
from backspike.golden.rules import BPTT, Rule
from backspike.golden.update import update
from backspike.spec.checks import check_integer

__all__ = ["Trainer", "initial_weights"]


class Trainer:
    """Trains a network as the chip does.

    Parameters
    ----------
    network : Network
        What is trained.
    training : Training
        Constants of the loss and of the update; may be replaced between batches.
    weights : sequence of array or None
        Initial weights of each layer, as ``layer.shape``; ``None`` with ``seed``.
    seed : int or None
        Of ``initial_weights``; ``None`` with ``weights``.
    rule : Rule
        The learning rule.
    loss : Loss
        What is made small.
    batch : int
        Samples of a batch, of which learned feedback takes the mean: ``train`` must then have as many.
    feedback_seed : int
        Of the random feedback and of the noise of a rule that has them.
    arithmetic : Arithmetic or None
        ``Float64()``, or the bit-exact one, which ``None`` stands for.
    engine : "auto", "compiled" or "numpy"
        What computes the bit-exact arithmetic, if none is given: the same bits, see ``engines``.

    Attributes
    ----------
    network : Network
        What is trained, with the neurons of the rule.
    feedback : Feedback or None
        Of a rule that has it.
    weights, velocities : list of array of float64
        One for each layer.
    gradients : list of sums
        From ``learning.accumulate``, one for each layer; 0 between batches.

    Raises
    ------
    TypeError
        A parameter is of the wrong kind.
    ValueError
        A parameter is out of range, or not representable.
    """

    def __init__(
        self,
        network: Network,
        training: Training,
        *,
        weights: Sequence[ArrayLike] | None = None,
        seed: int | None = None,
        rule: Rule = BPTT,
        loss: Loss = RATE,
        batch: int = 16,
        feedback_seed: int = 0,
        arithmetic: Arithmetic[Any] | None = None,
        engine: Engine = "numpy",
    ) -> None:
        if not isinstance(network, Network):
            raise TypeError(f"network must be a Network, not {network!r}")
        if not isinstance(training, Training):
            raise TypeError(f"training must be a Training, not {training!r}")
        if weights is None and seed is not None:
            weights = initial_weights(network, check_integer("seed", seed, 0))
        elif weights is None or seed is not None:
            raise ValueError("exactly one of weights and seed must be given")
        if not isinstance(rule, Rule):
            raise TypeError(f"rule must be a Rule, such as Rule.parse('sltt'), not {rule!r}")
        if not isinstance(loss, Loss):
            raise TypeError(f"loss must be a Loss, not {loss!r}")
        loss.check(rule)
        self.network, self.training, self.rule, self.loss = rule.adapted(network), training, rule, loss
        if arithmetic is None:
            arithmetic = bit_exact(network.format, engine)
        elif engine != "numpy":
            raise ValueError(f"engine must not be given with an arithmetic, not {engine!r}")
        self.arithmetic = arithmetic
        self.arithmetic.constants(training)
        self._scaled(training)
        self.feedback = None
        if rule.feedback != "weights":
            seed_of_feedback, size = check_integer("feedback_seed", feedback_seed, 0), check_integer("batch", batch, 1)
            self.feedback = Feedback(network, rule, seed=seed_of_feedback, batch=size, arithmetic=self.arithmetic)
        self.weights = self._checked(weights)
        self.velocities = [np.zeros_like(weight) for weight in self.weights]
        self._clear()

    def _checked(self, weights: Sequence[ArrayLike]) -> list[np.ndarray]:
        if len(weights) != len(self.network.layers):
            raise ValueError(f"weights must be {len(self.network.layers)} arrays, not {len(weights)}")
        checked = []
        for number, (layer, weight) in enumerate(zip(self.network.layers, weights, strict=True)):
            values = self.arithmetic.check(f"weights[{number}]", weight)
            if values.shape != layer.shape:
                raise ValueError(f"weights[{number}] must be {list(layer.shape)}, not {list(values.shape)}")
            if isinstance(layer, MaxPool) and (values != layer.weights).any():
                raise ValueError(f"weights[{number}] must be the identity, as those of all maximum poolings")
            checked.append(values.copy())
        return checked

    @property
    def saturated(self) -> bool:
        """Whether any result so far was beyond the largest finite number (never in float64)."""
        return self.arithmetic.saturated

    def forward(self, spikes: ArrayLike) -> learning.Trace:
        """A forward pass with input spikes [T, B, inputs]."""
        return learning.forward(self.network, self.weights, spikes, self.arithmetic)

    def train_batch(self, spikes: ArrayLike, labels: ArrayLike, *, trained: np.ndarray | None = None) -> np.ndarray:
        """Train on one batch.

        Parameters
        ----------
        spikes : array of uint8 or bool [T, B, inputs]
            0 and 1.
        labels : array of integers [B]
            Outputs that should spike.
        trained : array of bool [frames] or None
            The frames that are trained, as ``Rule.draw`` gives them; ``None``: all.

        Returns
        -------
        array of uint8 or bool [T, B, outputs]
            Spikes of the last layer as the samples were trained: before the update, with the noise of learned feedback;
            where weights change after each step, with those of the step.
        """
        inputs = learning.check_spikes(self.network, spikes)
        labels = learning.check_labels(self.network, labels, inputs.shape[1])
        self.rule.check_batch(inputs.shape[1])
        if self.rule.step_updates:
            if trained is not None:
                raise ValueError(f"trained must be None with rule {self.rule}, which trains every step")
            return self._train_steps(inputs, labels)
        noise = []
        if self.feedback and self.feedback.learned:
            noise = self.feedback.noise(*inputs.shape[:2])
        trace = learning.forward(self.network, self.weights, inputs, self.arithmetic, noise=noise)
        deltas, _ = self.backward(trace, labels, trained)
        self.gradients = learning.accumulate(self.network, trace, deltas, self.arithmetic, rule=self.rule)
        if self.feedback and noise:
            self.feedback.learn(noise, trace, deltas[-1])
        self.apply()
        return trace.layers[-1].spikes

    def backward(
        self, trace: learning.Trace, labels: ArrayLike, trained: np.ndarray | None = None
    ) -> tuple[tuple[np.ndarray, ...], tuple[np.ndarray, ...]]:
        """Deltas and errors of each layer [T, B, N] after a forward pass, see ``learning.backward``."""
        given: dict[str, Any] = {"labels": labels}
        if not self.loss.on_chip:
            targets = learning.check_labels(self.network, labels, trace.inputs.shape[1])
            spikes, steps = trace.layers[-1].spikes, self.network.steps
            errors = host_errors(self.loss, self.training.loss_scale, self.rule, steps, spikes, targets)
            given = {"errors": errors}
        return learning.backward(
            self.network,
            self.weights,
            trace,
            self.training,
            self.arithmetic,
            rule=self.rule,
            trained=trained,
            feedback=self.feedback.matrices if self.feedback else (),
            **given,
        )

    def _train_steps(self, inputs: np.ndarray, labels: np.ndarray) -> np.ndarray:
        """Train on one sample, with an update after each step; the spikes of the last layer."""
        network = replace(self.network, steps=1)
        traces: list[learning.Trace] = []
        for t in range(len(inputs)):
            before = traces[-1] if traces else None
            traces.append(learning.forward(network, self.weights, inputs[t : t + 1], self.arithmetic, before=before))
            whole = learning.Trace.joined(traces)
            given = given_operands(self.network, whole, self.rule, self.arithmetic)
            deltas, _ = self.backward(traces[-1], labels)
            self.gradients = learning.accumulate(
                self.network, traces[-1], deltas, self.arithmetic, rule=self.rule, given=[n[-1:] for n in given]
            )
            self.apply()
        return whole.layers[-1].spikes

    def predictions(self, trace: learning.Trace) -> np.ndarray:
        """The output with the most spikes in the steps of the loss for each sample (the first of equals), [B]."""
        return self.loss.counted(trace.layers[-1].spikes).sum(axis=0).argmax(axis=1)

    def apply(self) -> None:
        """The update at the end of a batch; clears the gradients."""
        training = self._scaled(self.training)
        moved = [number for number, layer in enumerate(self.network.layers) if layer.learns]
        weights, velocities, gradients = (
            [values[number] for number in moved] for values in (self.weights, self.velocities, self.gradients)
        )
        updated = update(weights, velocities, gradients, training, self.arithmetic)
        self.weights, self.velocities = list(self.weights), list(self.velocities)
        for number, weight, velocity in zip(moved, *updated, strict=True):
            self.weights[number], self.velocities[number] = weight, velocity
        self._clear()

    def _scaled(self, training: Training) -> Training:
        """The constants for gradients in the rule's unit; ``ValueError`` where the rate is too small for that."""
        scale, number_format = self.rule.scale(self.network), self.network.format
        scaled = training.for_gradients(scale)
        if not self.arithmetic.constant(scaled.rate):
            raise ValueError(
                f"rate must be at least {scale * 2.0**number_format.lsb!r} in {number_format} with rule {self.rule}, "
                f"whose gradients are {scale} times as large, not {training.rate!r}"
            )
        return scaled

    def _clear(self) -> None:
        self.gradients = [self.arithmetic.zeros(layer.shape) for layer in self.network.layers]

    def train(self, spikes: ArrayLike, labels: ArrayLike, *, epochs: int = 1, batch: int = 16, seed: int = 0) -> None:
        """Train on all samples, shuffled anew in each epoch.

        Parameters
        ----------
        spikes : array of uint8 or bool [T, samples, inputs]
            0 and 1.
        labels : array of integers [samples]
            Outputs that should spike.
        epochs : int
            How often each sample is taken, at least 0.
        batch : int
            Samples of a batch, at least 1; the last batch of an epoch may be smaller.
        seed : int
            Of the order of the samples, at least 0.

        Raises
        ------
        TypeError, ValueError
            A parameter is of the wrong kind, shape, or out of range; nothing has been trained then.
        """
        spikes = learning.check_spikes(self.network, spikes)
        labels = learning.check_labels(self.network, labels, spikes.shape[1])
        epochs, batch = check_integer("epochs", epochs, 0), check_integer("batch", batch, 1)
        if self.feedback and self.feedback.learned and batch != self.feedback.batch:
            raise ValueError(f"batch must be {self.feedback.batch} as in the trainer, not {batch!r}")
        generator = np.random.default_rng(check_integer("seed", seed, 0))
        for _ in range(epochs):
            order = generator.permutation(len(labels))
            for start in range(0, len(order), batch):
                chosen = order[start : start + batch]
                trained = self.rule.draw(self.network, generator)
                self.train_batch(spikes[:, chosen], labels[chosen], trained=trained)

    def classify(self, spikes: ArrayLike, batch: int = 256) -> np.ndarray:
        """The output with the most spikes for each sample (the first of equals), [B]; so many samples at a time."""
        spikes, batch = learning.check_spikes(self.network, spikes), check_integer("batch", batch, 1)
        parts = [spikes[:, start : start + batch] for start in range(0, spikes.shape[1], batch)]
        return np.concatenate([self.predictions(self.forward(part)) for part in parts])

    def evaluate(self, spikes: ArrayLike, labels: ArrayLike) -> float:
        """Share of samples that are classified rightly."""
        spikes = learning.check_spikes(self.network, spikes)
        labels = learning.check_labels(self.network, labels, spikes.shape[1])
        return float((self.classify(spikes) == labels).mean())
