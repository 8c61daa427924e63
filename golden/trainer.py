# SPDX-License-Identifier: Apache-2.0
"""A network in training: weights, velocities and gradients, batch by batch."""

import numpy as np

from backspike.golden import learning
from backspike.golden.arithmetic import BitExact
from backspike.golden.checks import check_count
from backspike.golden.initial import initial_weights
from backspike.golden.network import Network, Training

__all__ = ["Trainer", "initial_weights"]


class Trainer:
    """Trains a network as the chip does.

    Parameters
    ----------
    network: the ``Network``
    training: the ``Training``
    weights: initial weights per layer, shaped as ``layer.shape``; not needed with ``seed``
    seed: seed of ``initial_weights``
    arithmetic: ``BitExact(network.format)`` (default) or ``Float64()``

    Attributes
    ----------
    weights, velocities: float64 arrays per layer
    gradients: the sums of ``learning.accumulate`` per layer; 0 between batches

    Raises
    ------
    TypeError, ValueError: a parameter of the wrong kind, out of range, or not representable
    """

    def __init__(self, network, training, *, weights=None, seed=None, arithmetic=None):
        if not isinstance(network, Network):
            raise TypeError(f"network must be a Network, not {network!r}")
        if not isinstance(training, Training):
            raise TypeError(f"training must be a Training, not {training!r}")
        if (weights is None) == (seed is None):
            raise ValueError("exactly one of weights and seed must be given")
        self.network, self.training = network, training
        self.arithmetic = BitExact(network.format) if arithmetic is None else arithmetic
        self.arithmetic.constants(training)
        self.weights = self._checked(initial_weights(network, seed) if weights is None else weights)
        self.velocities = [np.zeros_like(weight) for weight in self.weights]
        self._clear()

    def _checked(self, weights):
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
    def saturated(self):
        """Whether any result so far was beyond the largest finite number (never in float64)."""
        return self.arithmetic.saturated

    def forward(self, spikes):
        """The ``Trace`` of input spikes [T, B, inputs]."""
        return learning.forward(self.network, self.weights, spikes, self.arithmetic)

    def train_batch(self, spikes, labels):
        """Train on spikes [T, B, inputs] and labels [B]; how many samples were classified rightly before the update."""
        trace = self.forward(spikes)
        deltas, _ = learning.backward(self.network, self.weights, trace, self.training, self.arithmetic, labels=labels)
        self.gradients = learning.accumulate(self.network, trace, deltas, self.arithmetic)
        self.apply()
        return int((trace.counts.argmax(axis=1) == labels).sum())

    def apply(self):
        """The update at the end of a batch; clears the gradients."""
        self.weights, self.velocities = learning.update(
            self.weights, self.velocities, self.gradients, self.training, self.arithmetic
        )
        self._clear()

    def _clear(self):
        self.gradients = [self.arithmetic.zeros(layer.shape) for layer in self.network.layers]

    def train(self, spikes, labels, *, epochs=1, batch=16, seed=0):
        """Train on all samples, shuffled anew in each epoch; the last batch of an epoch may be smaller."""
        check_count("epochs", epochs, 0)
        check_count("batch", batch)
        spikes = learning.check_spikes(self.network, spikes)
        labels = learning.check_labels(self.network, labels, spikes.shape[1])
        generator = np.random.default_rng(seed)
        for _ in range(epochs):
            order = generator.permutation(len(labels))
            for start in range(0, len(order), batch):
                chosen = order[start : start + batch]
                self.train_batch(spikes[:, chosen], labels[chosen])

    def classify(self, spikes, batch=256):
        """The output with the most spikes for each sample (the first of equals), [B]."""
        check_count("batch", batch)
        spikes = learning.check_spikes(self.network, spikes)
        parts = [spikes[:, start : start + batch] for start in range(0, spikes.shape[1], batch)]
        return np.concatenate([self.forward(part).counts.argmax(axis=1) for part in parts])

    def evaluate(self, spikes, labels):
        """Share of samples that are classified rightly."""
        labels = learning.check_labels(self.network, labels, spikes.shape[1])
        return float((self.classify(spikes) == labels).mean())
