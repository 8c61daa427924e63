# SPDX-License-Identifier: Apache-2.0
"""Feedback that learns from noise, on a chip at packet level and in the golden model."""

import numpy as np
import pytest

from backspike.golden import learning
from backspike.golden.network import Network
from backspike.golden.rules import Rule
from backspike.golden.trainer import Trainer
from backspike.host.compiler.compile import compile_network
from backspike.spec.config import ChipConfig
from backspike.spec.packets import Kind, parse_header
from tests.host.driver.test_driver import CONVOLUTIONS, TRAINING, data, same, start
from tests.host.driver.test_driver_feedback import deep
from tests.host.driver.test_driver_frames import network

SPIKES = Rule(name="opzo-spikes", frame=1, per_step=True, temporal=False, feedback="learned")
"""Of which a spike is the operand."""

SEED, SAMPLES = 7, 3


def trained(net, rule=SPIKES, *, options=None, batches=3, **config):
    """Train on the chip and in the golden model, and compare; returns the chip, its driver and the golden model."""
    options = {"rule": rule, "feedback_seed": SEED, "batch": SAMPLES, **(options or {})}
    chip, driver, weights = start(net, options=options, noise=True, **config)
    trainer = Trainer(net, TRAINING, weights=weights, rule=rule, feedback_seed=SEED, batch=SAMPLES)
    for batch in range(batches):
        spikes, labels = data(net, SAMPLES, batch)
        result = chip.run(driver.train_batch(spikes, labels))
        assert np.array_equal(result.spikes, trainer.train_batch(spikes, labels))
        assert same(chip.run(driver.read_weights()), trainer.weights)
        assert same(chip.run(driver.read_feedback()), trainer.feedback.matrices)
        assert all(map(np.array_equal, chip.run(driver.read_noise()), trainer.feedback.states))
        spikes, _ = data(net, SAMPLES, 9)
        assert np.array_equal(chip.run(driver.evaluate(spikes)).spikes, trainer.forward(spikes).layers[-1].spikes)
    assert same(chip.run(driver.read_velocities()), trainer.velocities)
    assert all(matrix.any() for matrix in trainer.feedback.matrices)
    assert not driver.faults
    assert not driver.unexpected
    return chip, driver, trainer


@pytest.mark.parametrize(
    ("options", "config"),
    [
        ({"cores": 1}, {"lanes": 4, "slots": 3, "slices": 5}),
        ({"strategy": "shuffled", "seed": 1}, {"lanes": 2, "slices": 8, "dense_only": True}),
        ({"strategy": "shuffled", "seed": 3}, {"columns": 4, "rows": 1, "chain": True, "slices": 8, "list_depth": 32}),
    ],
)
@pytest.mark.parametrize("net", [network(3), deep()], ids=["near", "deep"])
def test_learned_feedback_equals_the_golden_model_on_any_placement(net, options, config):
    trained(net, options=options, steps=1, **config)


def test_learned_feedback_with_traces():
    """What only gets errors has no trace: the words of the last layer's inputs come before those of the noise."""
    net = deep(3)
    _, driver, _ = trained(net, Rule.parse("opzo"), steps=1, operand_bits=7, slices=5, options={"cores": 1})
    (last,) = driver.plan.layers[-1]
    assert driver.plan.descriptor(last)["tape_words"] == driver.plan.layers[-2][0].words
    hidden = [own[0].words for own in driver.plan.layers[:-1]]
    assert last.external_words == hidden[-1] + sum(hidden)


def test_maps_learn_from_noise():
    net = Network(layers=CONVOLUTIONS[min(CONVOLUTIONS)], steps=2)
    place = {"steps": 1, "neurons": 2048, "slices": 8, "routes": 128, "tape_words": 128}
    trained(net, options={"strategy": "shuffled", "seed": 4}, batches=2, **place)


def test_what_feedback_learns_from_is_read_before_the_update():
    """The sum has a term for each masked neuron: those of noise of 0 and 1 would be of one sign."""
    net = network(2)
    chip, driver, trainer = trained(net, steps=1, batches=2)
    spikes, labels = data(net, SAMPLES, 5)
    chip.run(driver.train_batch(spikes, labels, update=False))
    noise = trainer.feedback.noise(*spikes.shape[:2])
    trace = learning.forward(trainer.network, trainer.weights, spikes, trainer.arithmetic, noise=noise)
    deltas, _ = trainer.backward(trace, labels)
    expected = [total.integers() for total in trainer.feedback.correlations(noise, trace, deltas[-1])]
    assert all(map(np.array_equal, chip.run(driver.read_feedback_gradients()), expected))
    zero_one = [np.maximum(signs, 0) for signs in noise]
    other = [total.integers() for total in trainer.feedback.correlations(zero_one, trace, deltas[-1])]
    assert not any(map(np.array_equal, expected, other))
    chip.run(driver.update())
    trainer.feedback.learn(noise, trace, deltas[-1])
    assert same(chip.run(driver.read_feedback()), trainer.feedback.matrices)
    assert not any(sums.any() for sums in chip.run(driver.read_feedback_gradients()))


def test_a_training_goes_on_from_what_was_read():
    net = network(3)
    chip, driver, trainer = trained(net, steps=1, batches=1)
    state = [chip.run(getattr(driver, f"read_{name}")()) for name in ("weights", "velocities", "feedback", "noise")]
    spikes, labels = data(net, SAMPLES, 4)
    chip.run(driver.train_batch(spikes, labels))
    chip.run(driver.load(*state[:2], feedback=state[2], noise=state[3]))
    result = chip.run(driver.train_batch(spikes, labels))
    assert np.array_equal(result.spikes, trainer.train_batch(spikes, labels))
    assert same(chip.run(driver.read_feedback()), trainer.feedback.matrices)


def test_hidden_slices_send_noise_to_the_last_layer_in_packets_of_its_own():
    plan = compile_network(deep(), TRAINING, ChipConfig(noise=True, steps=1, slices=5), rule=SPIKES, cores=1)
    first, second, third, last = (own[0] for own in plan.layers)
    routes = {part.layer: [(r["slice"], r["noise"], r["host"]) for r in plan.routes(part)] for part in plan.slices}
    assert routes[0] == [(1, 0, 0), (3, 1, 0), (0, 0, 1)]
    assert routes[1] == [(2, 0, 0), (3, 1, 0), (0, 0, 0)]
    assert routes[2] == [(3, 0, 0), (3, 1, 0), (1, 0, 0)]
    assert routes[3] == [(0, 0, 1), (0, 0, 0), (1, 0, 0), (2, 0, 0)]
    assert [plan.expectations(part)["credits"] for part in (first, second, third, last)] == [2, 2, 1, 0]
    assert last.external_words == third.words + sum(part.words for part in (first, second, third))


def test_the_feedback_is_updated_when_all_its_gradients_are_there():
    """By a slice without inputs, after the answer of the slice whose gradients they are."""
    plan = compile_network(deep(), TRAINING, ChipConfig(noise=True, steps=1, slices=5), rule=SPIKES, cores=1)
    assert plan.updates() == [[(0, 0, 0), (0, 0, 1), (0, 0, 2), (0, 0, 3)], [(0, 0, 4)]]
    assert plan.core_use()[0, 0]["slices"] == 5
    _, driver, _ = start(deep(), options={"rule": SPIKES, "cores": 1}, noise=True, steps=1, slices=5)
    operation = driver.update()
    sent = [parse_header(words[0]) for words in iter(operation.next_packet, None)]
    assert [(kind, tag["slice"]) for kind, _, tag in sent] == [(Kind.UPDATE, n) for n in range(4)]


def test_other_rules_on_a_chip_with_noise():
    """Thresholds do not move."""
    net, rule = network(3), Rule.parse("sltt")
    chip, driver, weights = start(net, options={"rule": rule}, noise=True, steps=1)
    trainer = Trainer(net, TRAINING, weights=weights, rule=rule)
    spikes, labels = data(net, SAMPLES)
    chip.run(driver.train_batch(spikes, labels))
    trainer.train_batch(spikes, labels)
    assert same(chip.run(driver.read_weights()), trainer.weights)
