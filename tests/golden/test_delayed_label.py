# SPDX-License-Identifier: Apache-2.0
"""A digit in the first 3 of 10 steps, then noise, and a loss of the last step: errors must go back in time.

It shows that rules differ where they must. The setting was chosen on a part of the training samples: a leak of 1, so
that potentials keep what they were given; a surrogate that is wide, as they move far; half the usual weights.
"""

from dataclasses import replace

import numpy as np
import pytest

from backspike.golden.initial import initial_weights
from backspike.golden.losses import Loss
from backspike.golden.network import Network, Training
from backspike.golden.rules import Rule
from backspike.golden.trainer import Trainer
from backspike.host.data.load import load

SHOWN, STEPS, NOISE = 3, 10, 0.1


def delayed(spikes, seed):
    """Spikes of a digit, and noise after them."""
    generator = np.random.default_rng(seed)
    noise = generator.random((STEPS - SHOWN, *spikes.shape[1:])) < NOISE
    return np.concatenate([spikes, noise.astype(np.uint8)])


def learn(rule, seed, epochs):
    """Accuracy of the last step's spikes on the test set, bit-exact; the last quarter at a quarter of the rate."""
    dataset = load("digits", SHOWN)
    network = Network.parse("64-128-10", steps=STEPS, kappa=1.0, width=8.0)
    scaled = zip(initial_weights(network, seed), (0.5, 0.3), strict=True)
    weights = [network.format.round(weight * factor) for weight, factor in scaled]
    training = Training(rate=2.0**-10, momentum=0.875, loss_scale=1.0)
    trainer = Trainer(network, training, weights=weights, rule=Rule.parse(rule), loss=Loss(span="last"))
    spikes = delayed(dataset.train.spikes, 1)
    for epoch in range(epochs):
        if epoch == epochs - epochs // 4:
            trainer.training = replace(training, rate=training.rate / 4)
        trainer.train(spikes, dataset.train.labels, seed=100 * seed + epoch)
    assert not trainer.saturated
    return trainer.evaluate(delayed(dataset.test.spikes, 2), dataset.test.labels)


def test_only_errors_through_time_learn_what_was_seen_before():
    accuracies = {rule: learn(rule, 0, 10) for rule in ("bptt", "sltt")}
    print(", ".join(f"{rule} {accuracy:.3f}" for rule, accuracy in accuracies.items()))
    assert accuracies["bptt"] >= 0.88
    assert accuracies["sltt"] < 0.2


@pytest.mark.slow
def test_rules_learn_as_far_as_their_errors_go_back():
    """Frames of 5 steps leave the digit to the first one, which has no loss."""
    seeds = {"bptt": 4, "tbptt:5": 2, "sltt": 2, "ottt": 2}
    accuracies = {rule: [learn(rule, seed, 30) for seed in range(count)] for rule, count in seeds.items()}
    for rule, each in accuracies.items():
        print(f"{rule}: {np.round(each, 3)}")
    assert min(accuracies["bptt"]) >= 0.92
    assert max(max(accuracies[rule]) for rule in seeds if rule != "bptt") < 0.25
