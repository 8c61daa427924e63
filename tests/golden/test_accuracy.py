# SPDX-License-Identifier: Apache-2.0
"""The default constants learn the handwritten digits, bit-exactly as well as in float64."""

import numpy as np
import pytest

from backspike.golden.arithmetic import BitExact, Float64
from backspike.golden.initial import balanced_weights
from backspike.golden.network import Network
from backspike.golden.presets import default_schedule, default_training
from backspike.golden.trainer import Trainer
from backspike.host.data.load import load

SEEDS = range(3)


def learn(network, dataset, arithmetic, seed):
    some = dataset.train[:64].spikes
    updates = 10 * -(-len(dataset.train) // 16)
    schedule = default_schedule(network, 10, updates=updates, density=float(some.mean()))
    weights = balanced_weights(network, seed, some)
    trainer = Trainer(network, schedule[0], weights=weights, arithmetic=arithmetic)
    for epoch, training in enumerate(schedule):
        trainer.training = training
        trainer.train(dataset.train.spikes, dataset.train.labels, seed=100 * seed + epoch)
    return trainer, trainer.evaluate(dataset.test.spikes, dataset.test.labels)


@pytest.mark.parametrize("reset", ["soft", "hard"])
def test_digits_are_learnt_as_well_as_in_float64(reset):
    dataset = load("digits", 4)
    network = Network.parse("64-128-10", steps=4, reset=reset)
    ours, theirs = [], []
    for seed in SEEDS:
        trainer, accuracy = learn(network, dataset, BitExact(network.format), seed)
        assert not trainer.saturated
        assert max(np.abs(weight).max() for weight in trainer.weights) < 8
        ours.append(accuracy)
        theirs.append(learn(network, dataset, Float64(), seed)[1])
    print(f"{reset}: bit-exact {np.round(ours, 4)}, float64 {np.round(theirs, 4)}")
    assert np.mean(ours) >= 0.97
    assert abs(np.mean(ours) - np.mean(theirs)) <= 0.01


@pytest.mark.parametrize("reset", ["soft", "hard"])
def test_thirteen_batches_already_teach_most_of_the_digits(reset):
    dataset = load("digits", 4)
    network = Network.parse("64-128-10", steps=4, reset=reset)
    accuracies = []
    for seed in range(8):
        weights = balanced_weights(network, seed, dataset.train[:64].spikes)
        trainer = Trainer(network, default_training(network, update="momentum"), weights=weights)
        chosen = np.random.default_rng(seed).permutation(len(dataset.train))[: 13 * 16]
        trainer.train(dataset.train[chosen].spikes, dataset.train.labels[chosen], seed=seed)
        accuracies.append(trainer.evaluate(dataset.test.spikes, dataset.test.labels))
    print(f"{reset}: after 208 samples {np.round(accuracies, 3)}")
    assert np.mean(accuracies) >= 0.6


def test_an_odd_network_with_three_layers_learns():
    dataset = load("digits", 5)
    network = Network.parse("64-96-37-10", steps=5)
    accuracies = [learn(network, dataset, BitExact(network.format), seed)[1] for seed in SEEDS]
    print(f"{network}, T = 5: {np.round(accuracies, 4)}")
    assert np.mean(accuracies) >= 0.9


def test_convolutions_with_and_without_pooling_learn():
    dataset = load("digits", 4)
    for sizes in ("1x8x8-c16k3p1-c32k3s2p1-32-10", "1x8x8-c16k3p1-a2-c32k3p1-32-10"):
        network = Network.parse(sizes, steps=4)
        accuracies = [learn(network, dataset, BitExact(network.format), seed)[1] for seed in (0, 1)]
        print(f"{network}: {np.round(accuracies, 4)}")
        assert np.mean(accuracies) >= 0.95


@pytest.mark.slow
@pytest.mark.parametrize("pooling", ["m2", "a2"])
def test_maximum_pooling_learns_nearly_as_well_as_average_pooling(pooling):
    dataset = load("digits", 4)
    network = Network.parse(f"1x8x8-c8k3p1-{pooling}-c16k3p1-32-10", steps=4)
    accuracies = [learn(network, dataset, BitExact(network.format), seed)[1] for seed in SEEDS]
    print(f"{network}: {np.round(accuracies, 4)}")
    assert np.mean(accuracies) >= 0.96


@pytest.mark.parametrize("steps", [2, 8, 16])
def test_the_number_of_steps_needs_no_other_constants(steps):
    dataset = load("digits", steps)
    network = Network.parse("64-128-10", steps=steps)
    accuracies = [learn(network, dataset, Float64(), seed)[1] for seed in (0, 1)]
    print(f"T = {steps}: {np.round(accuracies, 4)}")
    assert min(accuracies) >= (0.94 if steps == 2 else 0.97)
