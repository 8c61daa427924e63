# SPDX-License-Identifier: Apache-2.0
"""Bit-exact training keeps at least a third of the speed of float64, measured in one run and one thread.

Processor time, and the best of many short rounds: other work on the machine slows both, though not always alike.
"""

import time

import numpy as np
import pytest

from backspike.golden.arithmetic import BitExact, Float64
from backspike.golden.initial import balanced_weights
from backspike.golden.network import Network
from backspike.golden.presets import default_training
from backspike.golden.trainer import Trainer
from backspike.host.data.encoders.threshold import threshold_code

BATCH, BATCHES, ROUNDS = 16, 5, 12


def images(generator, count):
    """Blurred random strokes around ten prototypes, about as dense as MNIST's digits (0.13 of the pixels' spikes)."""
    prototypes = generator.random((10, 784)) * (generator.random((10, 784)) < 0.22)
    labels = generator.integers(0, 10, count)
    values = prototypes[labels] * generator.normal(1.0, 0.2, (count, 784)) + 0.15 * (prototypes[labels] > 0)
    flips = generator.random((count, 784)) < 0.03
    return np.clip(np.where(flips, generator.random((count, 784)), values), 0, 1), labels


@pytest.mark.parametrize("sizes, steps", [("784-128-10", 4), ("1x28x28-c12k3s2p1-c16k3p1-a2-c24k3p1-32-10", 2)])
def test_bit_exact_is_at_least_a_third_as_fast_as_float64(sizes, steps):
    values, labels = images(np.random.default_rng(1), BATCH * BATCHES * ROUNDS)
    network = Network.parse(sizes, steps=steps)
    spikes = threshold_code(values, network.steps)
    training = default_training(network)
    weights = balanced_weights(network, 1, spikes[:, :32])
    kinds = (Float64(), BitExact(network.format))
    trainers = [Trainer(network, training, weights=weights, arithmetic=kind) for kind in kinds]
    best = [np.inf, np.inf]
    for part in range(ROUNDS):
        chosen = slice(part * BATCH * BATCHES, (part + 1) * BATCH * BATCHES)
        for index, trainer in enumerate(trainers):
            start = time.process_time()
            trainer.train(spikes[:, chosen], labels[chosen], batch=BATCH)
            best[index] = min(best[index], time.process_time() - start)
    assert all(velocity.any() for trainer in trainers for velocity in trainer.velocities), "some layer learnt nothing"
    ratio = best[0] / best[1]
    milliseconds = [1000 * seconds / BATCHES for seconds in best]
    print(f"float64 {milliseconds[0]:.2f}, bit-exact {milliseconds[1]:.2f} ms per batch, ratio {ratio:.2f}")
    assert spikes.mean() > 0.1
    assert ratio >= 1 / 3
