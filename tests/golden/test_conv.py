# SPDX-License-Identifier: Apache-2.0
"""Convolution and pooling, bit for bit against the slow model, whose links come from the definition."""

import numpy as np
import pytest

from backspike.golden import errors as passing
from backspike.golden import forward
from backspike.golden.network import Network, Training
from backspike.golden.trainer import Trainer
from tests.golden.test_trainer import BINARY16, FP8, pair, random_weights, run_both, same_bits

NETWORKS = {
    "kernel, padding": "2x4x4-c3k3p1-4",
    "stride 2": "1x6x5-c3k3s2p1-c2k2-3",
    "stride 3, the last rows reach nothing": "2x8x8-c2k2s3-c3k3-3",
    "stride beyond the kernel, padding": "1x9x9-c2k2s4p1-c2k2p1-3",
    "pooling": "1x6x6-c2k3p1-a2-c3k3p1-3",
    "pooling before a dense layer": "1x6x6-c3k3p1-a2-4-3",
    "pooling of the input to one pixel": "2x6x6-a3-c3k2-4",
    "global pooling": "1x5x5-c4k2-a4-3",
    "padding that is wider than the map": "1x2x2-c2k5p4-c2k4s2-3",
    "pooling, stride and padding": "1x8x8-a2-c3k3s2p2-c4k3-3",
    "kernel beyond the chip's": "1x11x11-c6k9p1-c4k3-4",
    "pool beyond the chip's": "1x18x18-a18-c2k1-3",
    "stride beyond the chip's": "2x12x12-c4k3s6p1-c4k2-3",
    "one pixel": "9x1x1-c8k1-c7k1-4",
}
STEPS, SAMPLES = 3, 3


def exercise(sizes, number_format, neuron, bias, *, scale, errors=None, batches=2):
    generator = np.random.default_rng(20240609)
    network = Network.parse(sizes, steps=STEPS, format=number_format, bias=bias, **neuron)
    training = Training(rate=0.03, momentum=0.9 if bias else 0.0, loss_scale=0.3)
    ours, slow = pair(network, training, random_weights(generator, network, scale))
    learnt = [0] * len(network.layers)
    for _ in range(batches):
        spikes = generator.integers(0, 2, (STEPS, SAMPLES, network.inputs), dtype=np.uint8)
        if errors:
            size = errors * generator.choice([1.0, 2.0**-10, 2.0**6], (STEPS, SAMPLES, network.outputs))
            run_both(ours, slow, spikes, errors=number_format.round(size * generator.normal(0, 1, size.shape)))
        else:
            run_both(ours, slow, spikes, labels=generator.integers(0, network.outputs, SAMPLES))
        learnt = [count + np.count_nonzero(v) for count, v in zip(learnt, ours.velocities, strict=True)]
    return ours, learnt


@pytest.mark.parametrize(
    "bias, neuron", [(False, {}), (True, {"reset": "hard", "kappa": 0.7})], ids=["soft", "hard, bias"]
)
@pytest.mark.parametrize("number_format", [BINARY16, FP8], ids=["binary16", "e4m3"])
@pytest.mark.parametrize("sizes", NETWORKS.values(), ids=NETWORKS)
def test_every_number_is_that_of_the_slow_model(sizes, number_format, bias, neuron):
    _, learnt = exercise(sizes, number_format, {"width": 4.0, **neuron}, bias, scale=0.5, batches=3)
    assert all(learnt), f"some layer learnt nothing, the comparison was empty: {learnt}"


@pytest.mark.parametrize("scale", [2.0**-20, 2.0**-13, 3.0, 9000.0], ids=["subnormal", "tiny", "large", "saturating"])
@pytest.mark.parametrize("sizes", ["1x6x6-c2k3p1-a2-c3k3p1-3", "1x6x5-c3k3s2p1-c2k2-3"])
def test_extreme_numbers(sizes, scale):
    neuron = {"theta": scale, "width": min(20 * scale, 60000.0)}
    ours, learnt = exercise(sizes, BINARY16, neuron, True, scale=scale, errors=scale)
    assert ours.saturated if scale > 1000 else scale > 1 or not ours.saturated
    assert any(learnt)


def test_errors_of_all_taps_are_added_before_the_one_rounding():
    """2049 is no number of binary16: 2048 + 1 + 1, each from another output, is 2050 if it is rounded once only."""
    network = Network.parse("1x1x3-c1k1-c1k3p2-c1k7p4-1", steps=1)
    assert network.layers[1].out_map == (1, 3, 5)
    trainer = Trainer(network, Training(rate=0.1), seed=0)
    masks = np.ones((1, 1, 3), dtype=bool)
    deltas = np.zeros((1, 1, 15))
    deltas[0, 0, 5:8] = [2048.0, 1.0, 1.0]  # row 1: outputs that the first input reaches with kernel row 1
    ones = np.ones((9, 1))
    errors = passing.pass_back(network.layers[1], ones, deltas, masks, trainer.arithmetic)
    assert errors[0, 0, 0] == 2050


def test_blocks_of_any_size_give_the_same_bits(monkeypatch):
    network = Network.parse("2x8x8-c5k3p1-a2-c6k3s2p1-4", steps=3, bias=True)
    generator = np.random.default_rng(3)
    spikes, labels = generator.integers(0, 2, (3, 12, 128), dtype=np.uint8), generator.integers(0, 4, 12)
    results = []
    for block in (1, 5000, 1 << 20):
        monkeypatch.setattr(forward, "_BLOCK", block)
        trainer = Trainer(network, Training(rate=2.0**-5), seed=3)
        trainer.train(spikes, labels, epochs=2, batch=5)
        results.append(trainer.weights)
    first = Trainer(network, Training(rate=2.0**-5), seed=3).weights
    assert not any(same_bits(a, b) for a, b in zip(first, results[0], strict=True))
    for other in results[1:]:
        assert all(same_bits(a, b) for a, b in zip(results[0], other, strict=True))


def test_results_do_not_depend_on_the_order_of_samples():
    network = Network.parse("1x6x6-c4k3p1-a2-c5k3-3", steps=3)
    generator = np.random.default_rng(4)
    spikes, labels = generator.integers(0, 2, (3, 9, 36), dtype=np.uint8), generator.integers(0, 3, 9)
    results = []
    for order in (np.arange(9), generator.permutation(9)):
        trainer = Trainer(network, Training(rate=0.1), seed=3)
        trainer.train_batch(spikes[:, order], labels[order])
        results.append(trainer.weights)
    assert all(same_bits(a, b) for a, b in zip(*results, strict=True))


def test_no_samples_are_no_error():
    network = Network.parse("1x4x4-c2k3-3", steps=2)
    trainer = Trainer(network, Training(rate=0.1), seed=0)
    assert trainer.forward(np.zeros((2, 0, 16), dtype=np.uint8)).counts.shape == (0, 3)
    before = [weight.copy() for weight in trainer.weights]
    trainer.train_batch(np.zeros((2, 0, 16), dtype=np.uint8), np.zeros(0, dtype=int))
    assert all(same_bits(a, b) for a, b in zip(before, trainer.weights, strict=True))
