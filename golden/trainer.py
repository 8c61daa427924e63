# SPDX-License-Identifier: Apache-2.0
"""A network in training: weights, velocities and gradients, batch by batch."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from backspike.golden import learning
from backspike.golden.arithmetic import Arithmetic, BitExact
from backspike.golden.initial import initial_weights
from backspike.golden.network import Network, Training
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
    arithmetic : Arithmetic or None
        ``Float64()``, or ``BitExact(network.format)``, which ``None`` stands for.

    Attributes
    ----------
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
        arithmetic: Arithmetic[Any] | None = None,
    ) -> None:
        if not isinstance(network, Network):
            raise TypeError(f"network must be a Network, not {network!r}")
        if not isinstance(training, Training):
            raise TypeError(f"training must be a Training, not {training!r}")
        if weights is None and seed is not None:
            weights = initial_weights(network, check_integer("seed", seed, 0))
        elif weights is None or seed is not None:
            raise ValueError("exactly one of weights and seed must be given")
        self.network, self.training = network, training
        self.arithmetic: Arithmetic[Any] = BitExact(network.format) if arithmetic is None else arithmetic
        self.arithmetic.constants(training)
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
            checked.append(values.copy())
        return checked

    @property
    def saturated(self) -> bool:
        """Whether any result so far was beyond the largest finite number (never in float64)."""
        return self.arithmetic.saturated

    def forward(self, spikes: ArrayLike) -> learning.Trace:
        """A forward pass with input spikes [T, B, inputs]."""
        return learning.forward(self.network, self.weights, spikes, self.arithmetic)

    def train_batch(self, spikes: ArrayLike, labels: ArrayLike) -> int:
        """Train on one batch.

        Parameters
        ----------
        spikes : array of uint8 or bool [T, B, inputs]
            0 and 1.
        labels : array of integers [B]
            Outputs that should spike.

        Returns
        -------
        int
            Samples that were classified rightly before the update.
        """
        trace = self.forward(spikes)
        deltas, _ = learning.backward(self.network, self.weights, trace, self.training, self.arithmetic, labels=labels)
        self.gradients = learning.accumulate(self.network, trace, deltas, self.arithmetic)
        self.apply()
        return int((trace.counts.argmax(axis=1) == labels).sum())

    def apply(self) -> None:
        """The update at the end of a batch; clears the gradients."""
        self.weights, self.velocities = learning.update(
            self.weights, self.velocities, self.gradients, self.training, self.arithmetic
        )
        self._clear()

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
        generator = np.random.default_rng(check_integer("seed", seed, 0))
        for _ in range(epochs):
            order = generator.permutation(len(labels))
            for start in range(0, len(order), batch):
                chosen = order[start : start + batch]
                self.train_batch(spikes[:, chosen], labels[chosen])

    def classify(self, spikes: ArrayLike, batch: int = 256) -> np.ndarray:
        """The output with the most spikes for each sample (the first of equals), [B]; so many samples at a time."""
        spikes, batch = learning.check_spikes(self.network, spikes), check_integer("batch", batch, 1)
        parts = [spikes[:, start : start + batch] for start in range(0, spikes.shape[1], batch)]
        return np.concatenate([self.forward(part).counts.argmax(axis=1) for part in parts])

    def evaluate(self, spikes: ArrayLike, labels: ArrayLike) -> float:
        """Share of samples that are classified rightly."""
        spikes = learning.check_spikes(self.network, spikes)
        labels = learning.check_labels(self.network, labels, spikes.shape[1])
        return float((self.classify(spikes) == labels).mean())
