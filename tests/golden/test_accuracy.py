# SPDX-License-Identifier: Apache-2.0
"""The default constants learn the handwritten digits, bit-exactly as well as in float64."""

import numpy as np
import pytest

from backspike.golden.arithmetic import BitExact, Float64
from backspike.golden.initial import balanced_weights, initial_weights
from backspike.golden.network import Conv, Network
from backspike.golden.presets import default_schedule, default_training
from backspike.golden.trainer import Trainer
from backspike.host.data import datasets as data

SEEDS = range(3)


def learn(network, dataset, arithmetic, seed):
    schedule = default_schedule(network, 10)
    weights = initial_weights(network, seed)
    if any(isinstance(layer, Conv) for layer in network.layers):
        weights = balanced_weights(network, seed, dataset.train_spikes[:, :64])
    trainer = Trainer(network, schedule[0], weights=weights, arithmetic=arithmetic)
    for epoch, training in enumerate(schedule):
        trainer.training = training
        trainer.train(dataset.train_spikes, dataset.train_labels, seed=100 * seed + epoch)
    return trainer, trainer.evaluate(dataset.test_spikes, dataset.test_labels)


@pytest.mark.parametrize("reset", ["soft", "hard"])
def test_digits_are_learnt_as_well_as_in_float64(reset):
    dataset = data.digits(4)
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
    dataset = data.digits(4)
    network = Network.parse("64-128-10", steps=4, reset=reset)
    accuracies = []
    for seed in range(8):
        trainer = Trainer(network, default_training(network), seed=seed)
        chosen = np.random.default_rng(seed).permutation(len(dataset.train_labels))[: 13 * 16]
        trainer.train(dataset.train_spikes[:, chosen], dataset.train_labels[chosen], seed=seed)
        accuracies.append(trainer.evaluate(dataset.test_spikes, dataset.test_labels))
    print(f"{reset}: after 208 samples {np.round(accuracies, 3)}")
    assert np.mean(accuracies) >= 0.6


def test_an_odd_network_with_three_layers_learns():
    dataset = data.digits(5)
    network = Network.parse("64-96-37-10", steps=5)
    accuracies = [learn(network, dataset, BitExact(network.format), seed)[1] for seed in SEEDS]
    print(f"{network}, T = 5: {np.round(accuracies, 4)}")
    assert np.mean(accuracies) >= 0.9


def test_convolutions_with_and_without_pooling_learn():
    dataset = data.digits(4)
    for sizes in ("1x8x8-c16k3p1-c32k3s2p1-32-10", "1x8x8-c16k3p1-a2-c32k3p1-32-10"):
        network = Network.parse(sizes, steps=4)
        accuracies = [learn(network, dataset, BitExact(network.format), seed)[1] for seed in (0, 1)]
        print(f"{network}: {np.round(accuracies, 4)}")
        assert np.mean(accuracies) >= 0.95


def test_default_training_uses_powers_of_two():
    training = default_training(Network.parse("1x28x28-c12k5s2p2-c16k3s2p1-10", steps=4))
    assert (training.rate, training.momentum, training.loss_scale) == (2.0**-13, 0.875, 0.25)
    assert default_training(Network.parse("1x28x28-c12k5s2p2-c16k3s2p1-10", steps=2)).rate == 2.0**-12
    assert default_training(Network.parse("1x8x8-c12k3p1-a2-c16k3p1-10", steps=4), momentum=0.0).rate == 2.0**-9
    training = default_training(Network.parse("784-128-10", steps=4))
    assert (training.rate, training.momentum, training.loss_scale) == (2.0**-12, 0.875, 0.25)
    assert default_training(Network.parse("64-128-10"), momentum=0.0).rate == 2.0**-6
    with pytest.raises(ValueError, match=r"^batch must be at least 1, not 0"):
        default_training(Network.parse("784-128-10"), batch=0)
    with pytest.raises(TypeError, match=r"^batch must be an integer, not 1.0"):
        default_training(Network.parse("784-128-10"), batch=1.0)
