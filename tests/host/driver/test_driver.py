# SPDX-License-Identifier: Apache-2.0
"""The driver and the compiler's tables on a chip at packet level, compared with the golden model."""

import numpy as np
import pytest

from backspike.golden.network import Conv, Dense, Network, Neuron, Training
from backspike.golden.trainer import Trainer
from backspike.host.compiler.compile import compile_network
from backspike.host.compiler.partition import Piece
from backspike.host.driver.driver import Driver
from backspike.spec.config import ChipConfig
from backspike.spec.formats import BINARY16, Format
from tests.support.chip_model import ModelChip, ModelCore

TRAINING = Training(rate=0.0625, momentum=0.5, loss_scale=0.25)


def network(number_format=BINARY16):
    soft, hard = Neuron(), Neuron(reset="hard", strict=True, kappa=0.75, kappa_back=0.5)
    return Network(
        layers=[
            Dense(inputs=35, outputs=41, neuron=soft, bias=True),
            Dense(inputs=41, outputs=9, neuron=hard, bias=True),
            Dense(inputs=9, outputs=5, neuron=Neuron(theta=0.5, width=2.0)),
        ],
        steps=3,
        format=number_format,
    )


def data(net, samples, seed=0):
    draw = np.random.default_rng(seed)
    spikes = (draw.random((net.steps, samples, net.inputs)) < 0.3).astype(np.uint8)
    return spikes, draw.integers(0, net.outputs, samples)


def start(net=None, *, training=TRAINING, seed=0, late=(), strict=True, options=None, **config):
    """A chip with the network loaded, its driver, and the weights."""
    net, config = net or network(), ChipConfig(**config)
    plan = compile_network(net, training, config, **(options or {}))
    chip, driver = ModelChip(config, seed, late), Driver(plan, strict=strict)
    draw = np.random.default_rng(1)
    bounds = [np.sqrt(24 / layer.shape[0]) * layer.neuron.theta / layer.pool for layer in net.layers]
    pairs = zip(bounds, net.layers, strict=True)
    weights = [
        net.format.round(draw.uniform(-bound, bound, layer.shape) + min(0.125, bound / 8)) for bound, layer in pairs
    ]
    chip.run(driver.load(weights))
    return chip, driver, weights


def same(ours, theirs):
    return all(np.array_equal(a, b) for a, b in zip(ours, theirs, strict=True))


@pytest.mark.parametrize(
    ("options", "config"),
    [
        ({}, {}),
        ({"cores": 1}, {"lanes": 4, "slots": 3}),
        ({"strategy": "shuffled", "seed": 1}, {"lanes": 8, "slices": 8}),
        ({"strategy": "shuffled", "seed": 2}, {"columns": 3, "rows": 3, "slots": 4}),
        ({"strategy": "shuffled", "seed": 3}, {"columns": 3, "rows": 1, "lanes": 2, "slices": 8}),
        ({}, {"lanes": 2, "format": Format(exponent=4, mantissa=3)}),
    ],
)
def test_training_equals_the_golden_model_on_any_placement(options, config):
    net = network(config.get("format", BINARY16))
    chip, driver, weights = start(net, options=options, seed=5, **config)
    assert_equal_training(chip, driver, weights)


def assert_equal_training(chip, driver, weights, samples=5):
    """Train two batches and evaluate one, on the chip and in the golden model."""
    net = driver.plan.network
    trainer = Trainer(net, TRAINING, weights=weights)
    for batch in range(2):
        spikes, labels = data(net, samples, batch)
        counts = trainer.forward(spikes).counts
        trainer.train_batch(spikes, labels)
        result = chip.run(driver.train_batch(spikes, labels))
        assert 0.1 < counts.mean() / net.steps < 0.9
        assert np.array_equal(result.counts, counts)
        assert np.array_equal(result.predictions, counts.argmax(axis=1))
    assert not any(np.array_equal(a, b) for a, b in zip(trainer.weights, weights, strict=True))
    assert same(chip.run(driver.read_weights()), trainer.weights)
    assert same(chip.run(driver.read_velocities()), trainer.velocities)
    assert not any(gradient.any() for gradient in chip.run(driver.read_gradients()))
    spikes, _ = data(net, samples, 9)
    assert np.array_equal(chip.run(driver.evaluate(spikes)).spikes, trainer.forward(spikes).layers[-1].spikes)
    assert not driver.faults
    assert not driver.unexpected


MAPS = Neuron(width=3.0)


def conv(channels, size, count, kernel, **options):
    height, width = size
    return Conv(
        in_channels=channels,
        in_height=height,
        in_width=width,
        out_channels=count,
        kernel=kernel,
        **{"neuron": MAPS, **options},
    )


CONVOLUTIONS = {
    "flattened": [
        conv(2, (5, 6), 3, 3, stride=2, padding=1, bias=True),
        Dense(inputs=27, outputs=4, bias=True, neuron=MAPS),
    ],
    "pooled": [
        conv(1, (6, 8), 5, 3, padding=2, pool=2),
        conv(5, (5, 6), 4, 2, padding=1),
        conv(4, (6, 7), 3, 6, bias=True, neuron=Neuron(width=2.0, reset="hard")),
        Dense(inputs=6, outputs=3, neuron=MAPS),
    ],
    "pooled to one pixel": [conv(3, (6, 6), 6, 3, padding=1, bias=True), conv(6, (6, 6), 5, 3, pool=2, bias=True)],
    "kernel of one": [
        conv(3, (4, 3), 40, 1, bias=True),
        conv(40, (4, 3), 6, 1, stride=2),
        Dense(inputs=24, outputs=3, neuron=MAPS),
    ],
}


@pytest.mark.parametrize("name", CONVOLUTIONS)
@pytest.mark.parametrize(
    ("options", "config"),
    [
        (
            {"strategy": "shuffled", "seed": 1},
            {"lanes": 2, "list_depth": 128, "slices": 8, "neurons": 512, "fan_in": 64},
        ),
        ({"cores": 1}, {"slots": 5, "neurons": 1024}),
        ({}, {"columns": 3, "lanes": 4, "list_depth": 64, "neurons": 1024}),
    ],
    ids=["shuffled", "one core", "balanced"],
)
def test_convolutions_equal_the_golden_model(name, options, config):
    net = Network(layers=CONVOLUTIONS[name], steps=2)
    chip, driver, weights = start(net, options=options, seed=2, **config)
    assert_equal_training(chip, driver, weights, samples=3)


def one_layer_per_core(net):
    return [Piece(n, n, 0, 0, layer.outputs) for n, layer in enumerate(net.layers)]


def test_labels_reach_a_last_layer_that_frees_its_slots_late():
    net = network()
    spikes, labels = data(net, 7)
    options = {"strategy": one_layer_per_core(net)}
    chip, driver, weights = start(options=options, late=[(2, 0)], columns=3, rows=1)
    trainer = Trainer(net, TRAINING, weights=weights)
    trainer.train_batch(spikes, labels)
    chip.run(driver.train_batch(spikes, labels))
    assert same(chip.run(driver.read_weights()), trainer.weights)


def test_a_layer_begins_while_the_one_before_is_at_work(monkeypatch):
    """On the chip that the driver is tested with, steps of one sample are in work in several layers."""
    net, jobs, forward = network(), [], ModelCore.forward
    chip, driver, weights = start(options={"strategy": one_layer_per_core(net)}, columns=3, rows=1)
    monkeypatch.setattr(ModelCore, "forward", lambda core, index: (jobs.append(core.x), forward(core, index)))
    spikes, _ = data(net, 1)
    outputs = Trainer(net, TRAINING, weights=weights).forward(spikes).layers[-1].spikes
    assert np.array_equal(chip.run(driver.evaluate(spikes)).spikes, outputs)
    assert sorted(jobs) == [layer for layer in range(3) for _ in range(net.steps)] != jobs


@pytest.mark.parametrize("steps", [1, 4])
def test_one_layer_with_many_output_words(steps):
    net = Network(layers=[Dense(inputs=33, outputs=150, neuron=Neuron(width=2.0))], steps=steps)
    chip, driver, weights = start(net, seed=3, options={"strategy": "shuffled", "seed": 6}, slices=8)
    assert len(driver.plan.slices) > 2
    trainer = Trainer(net, TRAINING, weights=weights)
    spikes, labels = data(net, 6)
    outputs = trainer.forward(spikes).layers[-1].spikes
    trainer.train_batch(spikes, labels)
    assert np.array_equal(chip.run(driver.train_batch(spikes, labels)).spikes, outputs)
    assert same(chip.run(driver.read_weights()), trainer.weights)
    assert outputs.any(axis=(0, 1)).sum() > 100
