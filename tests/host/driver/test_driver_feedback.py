# SPDX-License-Identifier: Apache-2.0
"""Errors that go from the last layer straight to each hidden one, on a chip at packet level and in the golden model."""

import re
from collections import Counter
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest

from backspike.golden.network import Conv, Dense, Network
from backspike.golden.rules import Rule
from backspike.golden.trainer import Trainer
from backspike.host.compiler.capacity import CapacityError
from backspike.host.compiler.compile import check_fit, compile_network
from backspike.host.compiler.partition import Piece
from backspike.spec.config import ChipConfig
from backspike.spec.packets import Kind
from tests.host.driver.test_driver import CONVOLUTIONS, TRAINING, data, same, start
from tests.host.driver.test_driver_frames import network

SPIKES = Rule(name="dfa-spikes", frame=1, per_step=True, temporal=False, feedback="fixed")
"""Direct feedback, of which a spike is the operand."""

SEED = 7


def trained(net, rule=SPIKES, *, options=None, batches=2, samples=3, **config):
    """Train on the chip and in the golden model, and compare; returns the chip and its driver."""
    chip, driver, weights = start(net, options={"rule": rule, "feedback_seed": SEED, **(options or {})}, **config)
    trainer = Trainer(net, TRAINING, weights=weights, rule=rule, feedback_seed=SEED)
    for batch in range(batches):
        spikes, labels = data(net, samples, batch)
        expected = trainer.forward(spikes).layers[-1].spikes
        trainer.train_batch(spikes, labels)
        assert np.array_equal(chip.run(driver.train_batch(spikes, labels)).spikes, expected)
        assert same(chip.run(driver.read_weights()), trainer.weights)
    assert same(chip.run(driver.read_velocities()), trainer.velocities)
    assert not any(np.array_equal(a, b) for a, b in zip(trainer.weights, weights, strict=True))
    spikes, _ = data(net, samples, 9)
    assert np.array_equal(chip.run(driver.evaluate(spikes)).spikes, trainer.forward(spikes).layers[-1].spikes)
    assert not driver.faults
    assert not driver.unexpected
    return chip, driver


def deep(steps=2):
    """Three hidden layers, the first of which lies far from the last."""
    sizes = (20, 37, 9, 33, 5)
    return Network(layers=[Dense(inputs=a, outputs=b, bias=b != 9) for a, b in pairwise(sizes)], steps=steps)


@pytest.mark.parametrize(
    ("options", "config"),
    [
        ({}, {}),
        ({"cores": 1}, {"lanes": 4, "slots": 3}),
        ({"strategy": "shuffled", "seed": 1}, {"lanes": 2, "slices": 8, "dense_only": True}),
        ({"strategy": "shuffled", "seed": 2}, {"columns": 3, "rows": 3, "slots": 4, "slices": 8, "routes": 128}),
        ({"strategy": "shuffled", "seed": 3}, {"columns": 4, "rows": 1, "chain": True, "slices": 8, "list_depth": 32}),
    ],
)
@pytest.mark.parametrize("net", [network(3), deep()], ids=["near", "deep"])
def test_direct_feedback_equals_the_golden_model_on_any_placement(net, options, config):
    _, driver = trained(net, options=options, steps=1, **config)
    if "seed" in options:
        assert len(driver.plan.slices) > len(driver.plan.layers)


@pytest.mark.parametrize(
    ("seed", "config"), [(1, {}), (2, {"lanes": 2, "dense_only": True}), (3, {"columns": 4, "rows": 1, "chain": True})]
)
@pytest.mark.parametrize("net", [network(4), deep(3)], ids=["near", "deep"])
def test_direct_feedback_learns_from_traces(net, seed, config):
    """What only gets errors has no trace: of the last layer's inputs, those of the layer before it have."""
    options = {"strategy": "shuffled", "seed": seed}
    _, driver = trained(net, Rule.parse("dfa"), options=options, steps=1, slices=8, operand_bits=7, **config)
    for part in driver.plan.layers[-1]:
        words = sum(producer.words for producer in driver.plan.layers[-2])
        assert driver.plan.descriptor(part)["tape_words"] == words
        assert (part.external_words > words) == (len(net.layers) > 2)


def test_feedback_through_all_steps_of_a_frame():
    """Errors that go back in time as well; the loss is that of the frame."""
    for frame in (2, None):
        trained(deep(4), Rule(name="dfa-frames", frame=frame, feedback="fixed"), steps=4)


@pytest.mark.parametrize("name", sorted(CONVOLUTIONS))
@pytest.mark.parametrize("seed", [None, 4])
def test_maps_get_errors_of_the_last_layer(name, seed):
    net = Network(layers=CONVOLUTIONS[name], steps=2)
    options = {} if seed is None else {"strategy": "shuffled", "seed": seed}
    trained(net, options=options, batches=1, samples=2, steps=1, neurons=2048, slices=8, routes=128, tape_words=128)


def test_the_last_layer_may_see_pooled_maps():
    layers = [
        Conv(in_channels=1, in_height=6, in_width=6, out_channels=3, kernel=3, padding=1),
        Conv(in_channels=3, in_height=6, in_width=6, out_channels=4, kernel=3, pool=2, bias=True),
    ]
    trained(Network(layers=layers, steps=2), batches=1, samples=2, steps=1, lanes=2)


def test_errors_from_the_host_go_straight_to_each_layer():
    """Hidden layers learn the more, the larger the host's errors are."""
    net = network(2)
    chip, driver, _ = start(net, options={"rule": SPIKES, "loss": "external"}, steps=1)
    spikes, _ = data(net, 2)
    chip.run(driver.train_batch(spikes, errors=lambda sample, outputs: np.ones((1, net.outputs)), update=False))
    assert all(gradients.any() for gradients in chip.run(driver.read_gradients()))


def test_hidden_layers_send_no_errors_and_need_them_of_the_last_only():
    chip, driver = trained(deep(), batches=1, samples=2, steps=1, columns=5, rows=1, options={"cores": 5})
    plan = driver.plan
    last = len(plan.layers[-1])
    for number, own in enumerate(plan.layers):
        for part in own:
            needs, d = plan.expectations(part), plan.descriptor(part)
            following = len(plan.layers[number + 1]) if number < 3 else 0
            assert d["errors"] == (2 if number == 3 else 0)
            assert needs["errors_done"] == (last if number < 3 else 0)
            assert needs["credits"] == following + (last if number < 2 else 0)
    assert not any(words[0] & 15 == Kind.ERROR for words in chip.sent)


def test_feedback_is_written_once_and_does_not_learn():
    chip, driver = trained(deep(), batches=2, samples=2, steps=1)
    plan, config = driver.plan, driver.plan.config
    counts = Counter()
    for part in plan.layers[-1]:
        base, end = part.feedback_base * config.lanes, (part.feedback_base + part.feedback_words) * config.lanes
        memory = chip.cores[part.core].memory
        assert plan.descriptor(part)["weight_base"] + plan.descriptor(part)["weight_words"] == part.feedback_base
        words = {address: memory.words[0][address] for address in range(base, end)}
        written = {}
        for packet in plan.load_packets([np.zeros(layer.shape) for layer in plan.network.layers]):
            if (packet.x, packet.y) == part.core and packet.tag["region"] == 0:
                written.update(enumerate(packet.payload[1:], start=packet.payload[0]))
        assert words == {address: written[address] for address in range(base, end)}
        counts.update(np.asarray(list(words.values())).tolist())
    assert counts.total() >= sum(layer.outputs for layer in plan.network.layers[:-1]) * 5
    assert len(counts) > 100


def test_the_words_of_the_layer_before_serve_both_passes():
    """They are sent once; words of layers further away are sent for their masks."""
    plan = compile_network(deep(), TRAINING, ChipConfig(steps=1), rule=SPIKES, cores=1)
    (last,) = plan.layers[-1]
    assert last.external_words == 2 + 2 + 1
    assert last.tape_words == last.external_words + 1
    assert [len(own[0].targets) for own in plan.layers] == [2, 2, 1, 1]
    assert {(group.origin.layer, group.tape - last.tape_base) for group in last.feedback} == {(2, 0), (0, 2), (1, 4)}


def test_another_seed_is_another_feedback():
    plans = [compile_network(deep(), TRAINING, ChipConfig(steps=1), rule=SPIKES, feedback_seed=k) for k in (0, 1)]
    weights = [np.zeros(layer.shape) for layer in deep().layers]
    texts = [[packet.words() for packet in plan.load_packets(weights)] for plan in plans]
    assert texts[0] != texts[1]
    again = plans[1].retrained(replace(TRAINING, rate=0.5))
    assert [packet.words() for packet in again.load_packets(weights)][-20:] == texts[1][-20:]


def test_feedback_is_counted_among_the_weights():
    net = Network(layers=[Dense(inputs=9, outputs=300), Dense(inputs=300, outputs=10)], steps=1)
    config = ChipConfig(columns=1, rows=1, steps=1, neurons=512, weights=6000)
    text = (
        "layer 1 needs 6,000 weights on 1 core of 6,000 that hold the layers before it: use at least 2 cores or "
        "weights=8700"
    )
    for refuse in (compile_network, check_fit):
        with pytest.raises(CapacityError, match=f"^{re.escape(text)}$"):
            refuse(net, TRAINING, config, rule=SPIKES)


def test_consumers_of_a_layer_are_counted_with_the_last():
    layers = [Dense(inputs=4, outputs=3), Dense(inputs=3, outputs=40), Dense(inputs=40, outputs=30)]
    pieces = [Piece(0, 0, 0, 0, 3)]
    pieces += [Piece(1, n % 8, n // 8, n, 1) for n in range(40)]
    pieces += [Piece(2, n % 8, n // 8 + 5 if n < 24 else n // 8 - 3, n, 1) for n in range(30)]
    config = ChipConfig(columns=8, rows=8, steps=1, routes=256, fan_in=128, tape_words=128)
    text = "layer 1 and layer 2 are cut into 70 slices: use at most 63"
    with pytest.raises(CapacityError, match=text):
        compile_network(Network(layers=layers, steps=1), TRAINING, config, rule=SPIKES, strategy=pieces)
