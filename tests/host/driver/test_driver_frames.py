# SPDX-License-Identifier: Apache-2.0
"""Samples in frames: rules that train step by step, on a chip at packet level and in the golden model."""

import re
from dataclasses import replace
from itertools import groupby

import numpy as np
import pytest

from backspike.golden import learning
from backspike.golden.losses import Loss, host_errors
from backspike.golden.network import Dense, Network, Neuron
from backspike.golden.rules import Rule
from backspike.golden.trainer import Trainer
from backspike.host.compiler.capacity import CapacityError
from backspike.host.compiler.compile import check_fit, compile_network
from backspike.host.driver.checks import check_run
from backspike.host.driver.packet_decoder import parse_packet
from backspike.spec.config import ChipConfig
from backspike.spec.formats import Format
from backspike.spec.packets import INPUT_KINDS, Kind
from tests.host.driver.test_driver import CONVOLUTIONS, TRAINING, data, same, start


def exactly(text):
    return f"^{re.escape(text)}$"


def network(steps=4):
    hard = Neuron(reset="hard", strict=True, kappa=0.75)
    layers = [
        Dense(inputs=35, outputs=41, bias=True),
        Dense(inputs=41, outputs=9, neuron=hard, bias=True),
        Dense(inputs=9, outputs=5, neuron=Neuron(theta=0.5, width=2.0)),
    ]
    return Network(layers=layers, steps=steps)


def integrating_network(steps):
    """For errors that go back once a sample."""
    layers = [
        Dense(inputs=35, outputs=41, bias=True),
        Dense(inputs=41, outputs=9, neuron=Neuron(kappa=1.0, kappa_back=0.0, theta=0.4, reset_value=0.7), bias=True),
        Dense(inputs=9, outputs=5, neuron=Neuron(theta=0.5, strict=True)),
    ]
    return Network(layers=layers, steps=steps)


def trained(net, rule, *, batches=2, samples=5, **config):
    """Train on the chip and in the golden model, compare, and classify; returns the weights and the chip."""
    chip, driver, weights = start(net, options={"rule": rule}, **config)
    trainer, draw = Trainer(net, TRAINING, weights=weights, rule=rule), np.random.default_rng(3)
    for batch in range(batches):
        spikes, labels = data(net, samples, batch)
        chosen = rule.draw(net, draw)
        expected = trainer.train_batch(spikes, labels, trained=chosen)
        result = chip.run(driver.train_batch(spikes, labels, trained=chosen))
        assert np.array_equal(result.spikes, expected)
        assert same(chip.run(driver.read_weights()), trainer.weights)
    assert not any(np.array_equal(a, b) for a, b in zip(trainer.weights, weights, strict=True))
    assert same(chip.run(driver.read_velocities()), trainer.velocities)
    spikes, _ = data(net, samples, 9)
    assert np.array_equal(chip.run(driver.evaluate(spikes)).spikes, trainer.forward(spikes).layers[-1].spikes)
    assert not driver.faults
    assert not driver.unexpected
    return trainer.weights, chip


@pytest.mark.parametrize(
    ("name", "steps", "config"),
    [
        ("tbptt:1", 3, {"steps": 1, "slots": 2}),
        ("tbptt:2", 4, {"steps": 2, "slots": 3}),
        ("tbptt:3", 6, {"steps": 4, "slots": 4, "lanes": 2}),
        ("sltt", 4, {"steps": 1, "slots": 4}),
        ("sltt-k:2", 5, {"steps": 1, "slots": 3, "columns": 3, "rows": 1, "chain": True}),
        ("sltt-k:1", 3, {"steps": 16, "slots": 8, "dense_only": True}),
        ("ottt", 5, {"steps": 1, "slots": 4, "operand_bits": 7}),
        ("ottt", 20, {"steps": 4, "slots": 2, "operand_bits": 7, "lanes": 2, "dense_only": True}),
        ("ottt-o", 5, {"steps": 1, "slots": 4, "operand_bits": 7}),
        ("ottt-o", 3, {"steps": 4, "slots": 2, "operand_bits": 7, "columns": 3, "rows": 1, "dense_only": True}),
    ],
)
def test_rules_of_frames_equal_the_golden_model(name, steps, config):
    rule = Rule.parse(name)
    trained(network(steps), rule, **{"samples": 1, "batches": 3} if rule.step_updates else {}, **config)


def test_an_update_follows_each_step_where_the_rule_says_so():
    """And the steps of a sample are one sample for the chip."""
    net, rule = network(3), Rule.parse("ottt-o")
    chip, driver, _ = start(net, options={"rule": rule}, steps=1, slots=2, operand_bits=7)
    chip.sent.clear()
    chip.run(driver.train_batch(*data(net, 1)))
    kinds = [parse_packet(words).kind for words in chip.sent]
    sent = [kind for n, kind in enumerate(kinds) if kind in (*INPUT_KINDS, Kind.UPDATE) and kind != kinds[n - 1]]
    assert sent == [Kind.SPIKES, Kind.UPDATE, Kind.MORE, Kind.UPDATE, Kind.MORE, Kind.UPDATE]
    assert driver.next_slot == 1


def test_errors_from_the_host_before_each_update():
    net, rule, loss = network(3), Rule.parse("ottt-o"), Loss(kind="cross-entropy")
    chip, driver, weights = start(net, options={"rule": rule, "loss": "external"}, steps=1, operand_bits=7)
    trainer = Trainer(net, TRAINING, weights=weights, rule=rule, loss=loss)
    spikes, labels = data(net, 1)
    seen = []

    def errors(sample, outputs):
        seen.append(outputs)
        found = host_errors(loss, TRAINING.loss_scale, rule, net.steps, outputs[:, np.newaxis], labels[[sample]])
        return found[-1:, 0]

    result = chip.run(driver.train_batch(spikes, errors=errors))
    assert np.array_equal(result.spikes, trainer.train_batch(spikes, labels))
    assert same(chip.run(driver.read_weights()), trainer.weights)
    assert [len(outputs) for outputs in seen] == [1, 2, 3]
    assert np.array_equal(seen[-1], result.spikes[:, 0])


def test_what_an_update_after_each_step_does_not_allow_is_refused():
    net, rule = network(4), Rule.parse("ottt-o")
    text = "batch must be 1 with rule ottt-o, which updates after each step, not 3: use batch=1, or rule ottt"
    config = ChipConfig(steps=1, operand_bits=7)
    check_run(net, TRAINING, config, batch=1, rule=rule)
    with pytest.raises(ValueError, match=exactly(text)):
        check_run(net, TRAINING, config, batch=3, rule=rule)
    _, driver, _ = start(net, options={"rule": rule}, steps=1, operand_bits=7)
    with pytest.raises(ValueError, match=exactly(text)):
        driver.train_batch(*data(net, 3))
    text = "update must be True with rule ottt-o, which updates after each step, not False"
    with pytest.raises(ValueError, match=exactly(text)):
        driver.train_batch(*data(net, 1), update=False)


def test_a_failed_sample_leaves_weights_unknown_where_each_step_updates():
    net = network(2)
    _, driver, _ = start(net, options={"rule": Rule.parse("ottt-o")}, steps=1, operand_bits=7)
    operation = driver.train_batch(*data(net, 1))
    operation.next_packet()
    operation.cancel()
    assert not driver.weights_known


@pytest.mark.parametrize(
    ("steps", "config"),
    [
        (8, {"steps": 1, "slots": 4, "operand_bits": 7, "dense_only": True, "chain": True}),
        (20, {"steps": 4, "slots": 3, "operand_bits": 5, "lanes": 2}),
        (1, {"steps": 1, "slots": 2, "operand_bits": 2}),
    ],
)
def test_errors_once_a_sample_equal_the_golden_model(steps, config):
    trained(integrating_network(steps), Rule.parse("dsr"), **config)


def ternary_network(steps):
    """For errors that go back as ternary spikes."""
    layers = [
        Dense(inputs=35, outputs=41, bias=True),
        Dense(inputs=41, outputs=9, neuron=Neuron(kappa=0.75, strict=True), bias=True),
        Dense(inputs=9, outputs=5),
    ]
    return Network(layers=layers, steps=steps)


@pytest.mark.parametrize(
    ("steps", "name", "config"),
    [
        (8, "spide:4", {"steps": 1, "slots": 4, "operand_bits": 7}),
        (5, "spide:7", {"steps": 4, "slots": 3, "operand_bits": 3, "lanes": 2, "dense_only": True, "chain": True}),
        (2, "spide:1", {"steps": 1, "slots": 2, "operand_bits": 2}),
    ],
)
def test_ternary_spikes_equal_the_golden_model(steps, name, config):
    trained(ternary_network(steps), Rule.parse(name), ternary=True, **config)


def test_ternary_spikes_go_back_in_frames_behind_those_of_a_sample():
    net, rule = ternary_network(3), Rule.parse("spide:2")
    chip, driver, _ = start(net, options={"rule": rule}, steps=1, slots=4, operand_bits=7, ternary=True)
    text = "trained must be None with rule spide:2, whose errors go back once a sample, not [True, False, False]"
    with pytest.raises(ValueError, match=exactly(text)):
        driver.train_batch(*data(net, 2), trained=[True, False, False])
    chip.sent.clear()
    chip.run(driver.train_batch(*data(net, 2)))
    packets = [parse_packet(words) for words in chip.sent]
    inputs = [(p.kind, p.tag["train"], p.tag["slot"]) for p in packets if p.kind in INPUT_KINDS]
    kinds = [(Kind.SPIKES, 0), (Kind.MORE, 0), (Kind.MORE, 0), (Kind.BACK, 1), (Kind.BACK, 1)] * 2
    assert [frame for frame, _ in groupby(inputs)] == [(*kind, n % 4) for n, kind in enumerate(kinds)]
    assert all(packet.payload == (0, 0) for packet in packets if packet.kind == Kind.BACK)
    assert sum(packet.kind == Kind.LABEL for packet in packets) == 4 * len(driver.plan.layers[-1])
    chip.sent.clear()
    chip.run(driver.evaluate(data(net, 2)[0]))
    assert not [words for words in chip.sent if parse_packet(words).kind in (Kind.BACK, Kind.LABEL)]


def test_a_gradient_has_terms_of_each_step_back():
    """In each at most the three spikes of an input."""
    rule, config = Rule.parse("spide:4"), ChipConfig(steps=1, operand_bits=7, ternary=True, batch_terms=24)
    check_run(ternary_network(3), TRAINING, config, batch=2, rule=rule)
    text = "batch is 3 and the chip's gradients hold 2 samples of this network: use batch=2, or batch_terms=36"
    with pytest.raises(CapacityError, match=exactly(text)):
        check_run(ternary_network(3), TRAINING, config, batch=3, rule=rule)


def test_ternary_spikes_need_units_and_counts():
    text = (
        "rule spide:4 has ternary spikes and the chip has no units for them: use a chip with ternary=True and "
        "operand_bits=7, or rule dsr"
    )
    config = ChipConfig(steps=1, operand_bits=7)
    for refuse in (compile_network, check_fit):
        with pytest.raises(CapacityError, match=exactly(text)):
            refuse(ternary_network(3), TRAINING, config, rule=Rule.parse("spide:4"))
    with pytest.raises(ValueError, match=exactly("operand_bits must be 2 to 8, such as 7, with ternary=True, not 1")):
        ChipConfig(ternary=True)


def test_a_sample_may_have_more_steps_than_any_chip():
    _, chip = trained(network(20), Rule.parse("sltt"), batches=1, samples=3, steps=1, slots=3)
    packets = [parse_packet(words) for words in chip.sent]
    assert {packet.tag["step"] for packet in packets if packet.kind in (Kind.SPIKES, Kind.MORE)} == {0}


def test_maps_in_frames_equal_the_golden_model():
    net = Network(layers=CONVOLUTIONS["pooled"], steps=4)
    trained(net, Rule.parse("sltt"), samples=3, steps=1, slots=4)
    trained(net, Rule.parse("ottt"), samples=3, steps=1, slots=4, operand_bits=7, batch_terms=1 << 22)
    soft = Network(layers=[replace(layer, neuron=Neuron()) for layer in net.layers], steps=4)
    trained(soft, Rule.parse("dsr"), samples=3, steps=1, slots=4, operand_bits=3)


def test_a_loss_of_each_step_does_not_depend_on_the_frames():
    rule, net = Rule.parse("sltt"), network(4)
    found = [trained(net, rule.framed(frame), steps=4)[0] for frame in (1, 2, 4)]
    assert all(same(found[0], other) for other in found[1:])


def test_frames_change_what_is_learned_with_errors_that_go_back():
    net = network(4)
    found = [trained(net, Rule.parse(name), steps=4)[0] for name in ("bptt", "tbptt:2", "sltt")]
    assert not any(same(a, b) for n, a in enumerate(found) for b in found[:n])


def test_only_the_frames_that_are_trained_get_a_label():
    net, rule = network(4), Rule.parse("sltt-k:2")
    chip, driver, _ = start(net, options={"rule": rule}, steps=1, slots=3)
    spikes, labels = data(net, 3)
    chip.sent.clear()
    chip.run(driver.train_batch(spikes, labels, trained=[False, True, True, False]))
    packets = [parse_packet(words) for words in chip.sent]
    (to,) = driver.plan.deliveries
    inputs = [p for p in packets if p.kind in (Kind.SPIKES, Kind.MORE)]
    assert {(p.x, p.y, p.host, p.tag["slice"]) for p in inputs} == {(to.x, to.y, to.shared, to.index)}
    frames = [(p.kind, p.tag["train"], p.tag["slot"]) for p in inputs if p.tag["word"] == to.tape]
    kinds = [Kind.SPIKES, Kind.MORE, Kind.MORE, Kind.MORE] * 3
    assert frames == [(kind, n % 4 in (1, 2), n % 3) for n, kind in enumerate(kinds)]
    assert sum(packet.kind == Kind.LABEL for packet in packets) == 3 * 2 * len(driver.plan.layers[-1])
    assert driver.next_slot == 0


def test_errors_from_the_host_for_each_frame():
    """They may depend on all spikes so far, and are asked for where a frame is trained."""
    net, rule = network(4), Rule.parse("tbptt:2")
    chip, driver, weights = start(net, options={"rule": rule, "loss": "external"}, steps=2)
    spikes, _ = data(net, 3)
    target = np.random.default_rng(3).normal(size=(4, 3, net.outputs))
    trainer = Trainer(net, TRAINING, weights=weights, rule=rule)
    trace, asked = trainer.forward(spikes), []
    errors = np.cumsum(trace.layers[-1].spikes, axis=0) - target
    chosen = np.array([False, True])
    deltas, _ = learning.backward(
        net, weights, trace, TRAINING, trainer.arithmetic, errors=errors, rule=rule, trained=chosen
    )
    trainer.gradients = learning.accumulate(net, trace, deltas, trainer.arithmetic)
    trainer.apply()

    def function(sample, outputs):
        asked.append((sample, len(outputs)))
        return np.cumsum(outputs, axis=0)[-2:] - target[len(outputs) - 2 : len(outputs), sample]

    chip.run(driver.train_batch(spikes, errors=function, trained=chosen))
    assert sorted(asked) == [(0, 4), (1, 4), (2, 4)]
    assert same(chip.run(driver.read_weights()), trainer.weights)


@pytest.mark.parametrize(
    ("rule", "given", "kind", "text"),
    [
        ("sltt-k:2", None, ValueError, "trained must say which 2 of 4 frames rule sltt-k:2 trains, not None"),
        ("sltt-k:2", [True] * 3 + [False], ValueError, "trained must be 2 frames with rule sltt-k:2, not 3"),
        ("sltt", [True] * 3, ValueError, "trained must have shape (4,), one for each frame, not (3,)"),
        ("bptt", [1], TypeError, "trained must be an array of bool, not int64"),
    ],
)
def test_wrong_frames_are_refused(rule, given, kind, text):
    net = network(4)
    _, driver, _ = start(net, options={"rule": Rule.parse(rule)})
    with pytest.raises(kind, match=exactly(text)):
        driver.train_batch(*data(net, 2), trained=given)


def test_a_plan_tells_its_frames():
    plan = compile_network(network(6), TRAINING, ChipConfig(), rule=Rule.parse("tbptt:3"))
    assert plan.summary().startswith("35-41-9-5, T = 6 in frames of 3: ")
    values = plan.to_dict()
    assert (values["rule"], values["steps"], values["frame"]) == ("tbptt:3", 6, 3)


def test_a_batch_counts_the_steps_that_are_trained():
    """Two steps of five each: 4 samples are 8 terms."""
    net, rule = network(5), Rule.parse("sltt-k:2")
    chip, driver, _ = start(net, options={"rule": rule}, steps=1, batch_terms=8)
    chosen = rule.draw(net, np.random.default_rng(0))
    chip.run(driver.train_batch(*data(net, 4), trained=chosen))
    text = (
        "samples between two updates must be at most 4, not 5: each adds 2 terms to a gradient, and the chip's "
        "batch_terms is 8"
    )
    with pytest.raises(ValueError, match=exactly(text)):
        driver.train_batch(*data(net, 5), trained=chosen)
    config = ChipConfig(steps=1, batch_terms=8)
    check_run(net, TRAINING, config, batch=4, rule=rule)
    text = "batch is 5 and the chip's gradients hold 4 samples of this network: use batch=4, or batch_terms=10"
    with pytest.raises(CapacityError, match=exactly(text)):
        check_run(net, TRAINING, config, batch=5, rule=rule)


@pytest.mark.parametrize(
    ("steps", "name", "most", "text"),
    [
        (
            *(6, "bptt", 4),
            "the network has 6 steps and the chip holds 4: use a network of at most 4 steps, or a chip with steps=6, "
            "or rule tbptt:3",
        ),
        (
            *(20, "bptt", 1),
            "the network has 20 steps and the chip holds 1: use a network of at most 1 steps, or rule tbptt:1",
        ),
        (
            *(8, "tbptt:4", 2),
            "a frame of rule tbptt:4 has 4 steps and the chip holds 2: use a chip with steps=4, or rule tbptt:2",
        ),
        (
            *(4, "spide:8", 4),
            "rule spide:8 has ternary spikes and the chip has no units for them: use a chip with ternary=True and "
            "operand_bits=7, or rule dsr",
        ),
        (4, "opzo", 4, "rule opzo learns from noise and the chip has none: use a chip with noise=True, or rule dfa"),
        (
            *(4, "ottt", 4),
            "rule ottt has traces of 7 bits and the chip's operands have 1: use a chip with operand_bits=7, or rule "
            "sltt",
        ),
    ],
)
def test_frames_that_the_chip_does_not_hold_are_refused(steps, name, most, text):
    for refuse in (compile_network, check_fit):
        with pytest.raises(CapacityError, match=exactly(text)):
            refuse(network(steps), TRAINING, ChipConfig(steps=most), rule=Rule.parse(name))


@pytest.mark.parametrize(
    ("steps", "config", "text"),
    [
        (
            *(4, {}),
            "rule dsr counts the spikes of 4 steps and the chip counts no spikes: use a chip with operand_bits=7, or "
            "rule sltt",
        ),
        (
            *(8, {"operand_bits": 3}),
            "rule dsr counts the spikes of 8 steps and the chip counts to 7: use a chip with operand_bits=7, or rule "
            "sltt",
        ),
        (
            *(20, {"operand_bits": 7, "format": Format(exponent=4, mantissa=3)}),
            "rule dsr counts the spikes of 20 steps and Format(exponent=4, mantissa=3) holds counts to 16: use a "
            "network of at most 16 steps, or rule sltt",
        ),
    ],
)
def test_counts_that_the_chip_does_not_hold_are_refused(steps, config, text):
    config = ChipConfig(steps=1, **config)
    net = replace(integrating_network(steps), format=config.format)
    for refuse in (compile_network, check_fit):
        with pytest.raises(CapacityError, match=exactly(text)):
            refuse(net, TRAINING, config, rule=Rule.parse("dsr"))


def test_errors_once_a_sample_are_those_of_the_chip_and_of_the_last_frame():
    net, options = integrating_network(3), {"rule": Rule.parse("dsr")}
    text = "loss must be 'rate' with rule dsr, whose errors go back once a sample, not 'external'"
    with pytest.raises(ValueError, match=exactly(text)):
        start(net, options={**options, "loss": "external"}, steps=1, operand_bits=7)
    chip, driver, _ = start(net, options=options, steps=1, slots=4, operand_bits=7)
    text = "trained must be None with rule dsr, whose errors go back once a sample, not [True, False, True]"
    with pytest.raises(ValueError, match=exactly(text)):
        driver.train_batch(*data(net, 2), trained=[True, False, True])
    chip.sent.clear()
    chip.run(driver.train_batch(*data(net, 2)))
    packets = [parse_packet(words) for words in chip.sent]
    inputs = [(p.kind, p.tag["train"], p.tag["slot"]) for p in packets if p.kind in (Kind.SPIKES, Kind.MORE)]
    kinds = [(Kind.SPIKES, 0), (Kind.MORE, 0), (Kind.MORE, 1)] * 2
    assert list(dict.fromkeys(inputs)) == [(*kind, n % 4) for n, kind in enumerate(kinds)]
    assert sum(packet.kind == Kind.LABEL for packet in packets) == 2 * len(driver.plan.layers[-1])


def test_frames_that_do_not_fill_a_sample_are_refused():
    text = "rule tbptt:4 must have frames that divide the 6 steps, not 4: 3 does"
    with pytest.raises(ValueError, match=exactly(text)):
        compile_network(network(6), TRAINING, ChipConfig(), rule=Rule.parse("tbptt:4"))


def test_a_spike_counts_in_a_gradient_as_often_as_the_largest_trace():
    """Four steps of at most 127 each: a batch of two samples is 1,016 terms."""
    rule, config = Rule.parse("ottt"), ChipConfig(steps=1, operand_bits=7, batch_terms=1016)
    check_run(network(4), TRAINING, config, batch=2, rule=rule)
    text = "batch is 3 and the chip's gradients hold 2 samples of this network: use batch=2, or batch_terms=1524"
    with pytest.raises(CapacityError, match=exactly(text)):
        check_run(network(4), TRAINING, config, batch=3, rule=rule)


def test_a_rate_that_is_too_small_for_traces_is_refused():
    rule, config = Rule.parse("ottt"), ChipConfig(steps=1, operand_bits=7)
    one = rule.one(network(4))
    least = one * 2.0**-24
    compile_network(network(4), replace(TRAINING, rate=least), config, rule=rule)
    text = (
        f"rate must be at least {least!r} in {config.format} with rule ottt, whose gradients are {one} times as large, "
        f"not {least / 4!r}"
    )
    for refuse in (compile_network, check_fit):
        with pytest.raises(ValueError, match=exactly(text)):
            refuse(network(4), replace(TRAINING, rate=least / 4), config, rule=rule)
