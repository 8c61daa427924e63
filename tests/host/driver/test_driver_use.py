# SPDX-License-Identifier: Apache-2.0
"""Operations of the driver one by one, wrong input, and a chip that reports faults or talks nonsense."""

import re

import numpy as np
import pytest

from backspike.golden import learning
from backspike.golden.arithmetic import BitExact
from backspike.golden.network import Training
from backspike.golden.trainer import Trainer
from backspike.host.driver.driver import LINK, Driver, DriverError
from backspike.host.driver.packet_decoder import parse_packet
from backspike.spec.counters import COUNTERS, LINK_COUNTERS
from backspike.spec.packets import NO_LABEL, Cause, Kind, Packet, header
from backspike.spec.tables import Region
from tests.host.driver.test_driver import TRAINING, data, network, same, start


def exactly(text):
    return f"^{re.escape(text)}$"


def fault(link=0):
    dropped = header(Kind.LABEL, 1, 0, slice=2, slot=1, label=7)
    tag = {"cause": Cause.STATE, "from_x": 1, "from_y": 0, "link": link}
    return Packet(Kind.FAULT, tag, (dropped,), host=1).words()


FAULT_TEXT = "core (1, 0) dropped a LABEL packet with slice=2, slot=1, label=7: cause STATE"


def test_gradients_add_up_until_an_update():
    net = network()
    chip, driver, weights = start(net)
    trainer = Trainer(net, TRAINING, weights=weights)
    for batch in range(2):
        spikes, labels = data(net, 3, batch)
        chip.run(driver.train_batch(spikes, labels, update=False))
        trace = trainer.forward(spikes)
        deltas, _ = learning.backward(net, weights, trace, TRAINING, trainer.arithmetic, labels=labels)
        trainer.gradients = learning.accumulate(net, trace, deltas, trainer.arithmetic, trainer.gradients)
    found = chip.run(driver.read_gradients())
    assert same(found, [exact.integers() for exact in trainer.gradients])
    assert all((gradient < 0).any() and (gradient >> 32).any() for gradient in found)
    assert same(chip.run(driver.read_weights()), weights)
    chip.run(driver.update())
    trainer.apply()
    assert same(chip.run(driver.read_weights()), trainer.weights)
    chip.run(driver.train_batch(spikes, labels, update=False))
    chip.run(driver.clear_gradients())
    assert not any(gradient.any() for gradient in chip.run(driver.read_gradients()))
    assert same(chip.run(driver.read_velocities()), trainer.velocities)


def test_errors_from_the_host():
    net = network()
    chip, driver, weights = start(net, options={"loss": "external"})
    spikes, _ = data(net, 5)
    target = np.random.default_rng(3).normal(size=(net.steps, 5, net.outputs))
    arithmetic = BitExact(net.format)
    trainer = Trainer(net, TRAINING, weights=weights)
    trace = trainer.forward(spikes)
    errors = trace.layers[-1].spikes - target
    deltas, _ = learning.backward(net, weights, trace, TRAINING, arithmetic, errors=errors)
    trainer.gradients = learning.accumulate(net, trace, deltas, arithmetic)
    trainer.apply()
    chip.run(driver.train_batch(spikes, errors=lambda sample, outputs: outputs - target[:, sample]))
    assert same(chip.run(driver.read_weights()), trainer.weights)
    assert any(parse_packet(words).kind == Kind.ERROR for words in chip.sent)


def test_labels_are_relative_to_each_slice():
    net = network()
    chip, driver, _ = start(net, options={"strategy": "shuffled", "seed": 5}, slices=16)
    last = driver.plan.layers[-1]
    assert len(last) > 1
    spikes, labels = data(net, 4)
    chip.sent.clear()
    chip.run(driver.train_batch(spikes, labels))
    sent = [packet for packet in map(parse_packet, chip.sent) if packet.kind == Kind.LABEL]
    for part in last:
        own = [p.tag["label"] for p in sent if (p.x, p.y, p.tag["slice"]) == (part.x, part.y, part.index)]
        inside = [part.first <= label < part.first + part.channels for label in labels]
        assert sorted(own) == sorted(
            label - part.first if here else NO_LABEL for label, here in zip(labels, inside, strict=True)
        )


def test_slots_go_on_in_turn_from_batch_to_batch():
    chip, driver, _ = start(slots=3)
    net = driver.plan.network
    for batch, samples in enumerate((1, 4, 2)):
        chip.run(driver.evaluate(data(net, samples, batch)[0]))
    slots = [p.tag["slot"] for p in map(parse_packet, chip.sent) if p.kind == Kind.SPIKES and p.tag["step"] == 0]
    in_turn = [slot for k, slot in enumerate(slots) if not k or slots[k - 1] != slot]
    assert in_turn == [n % 3 for n in range(7)]
    assert driver.next_slot == 1
    chip.run(driver.load([np.zeros(layer.shape) for layer in net.layers]))
    assert driver.next_slot == 0


def test_a_batch_beyond_the_exact_sums_is_refused():
    """Three steps each: 4 samples are 12 terms, and count until the gradients are used or cleared."""
    chip, driver, _ = start(batch_terms=14)
    net = driver.plan.network

    def train(samples, update=False):
        chip.run(driver.train_batch(*data(net, samples), update=update))

    def refuse(samples, total):
        message = (
            f"samples between two updates must be at most 4, not {total}: each adds 3 terms to a gradient, and "
            "the chip's batch_terms is 14"
        )
        with pytest.raises(ValueError, match=exactly(message)):
            driver.train_batch(*data(net, samples))

    refuse(5, 5)
    train(3)
    refuse(2, 5)
    chip.run(driver.evaluate(data(net, 6)[0]))
    train(1)
    refuse(1, 5)
    chip.run(driver.update())
    train(4)
    chip.run(driver.clear_gradients())
    train(1)
    chip.run(driver.load([np.zeros(layer.shape) for layer in net.layers]))
    train(4, update=True)
    train(4)
    operation = driver.update()
    operation.receive(fault())
    refuse(1, 5)
    chip.run(driver.recover())
    train(4)


def test_one_read_at_a_time_per_core():
    chip, driver, _ = start()
    operation = driver.read_weights()
    sent = []
    while (words := operation.next_packet()) is not None:
        sent.append(words)
    assert len(sent) == len(driver.plan.cores) > 1
    for words in sent:
        chip.send(words)
    chip.run(operation)


def test_counters_and_control():
    chip, driver, _ = start()
    counters = chip.run(driver.read_counters())
    assert counters.keys() == {LINK, (0, 0), (0, 1), (1, 0), (1, 1)}
    assert counters[LINK].keys() == set(LINK_COUNTERS)
    assert counters[1, 0].keys() == set(COUNTERS)
    assert counters[LINK]["packets_in"] > len(driver.plan.table_packets()) and not counters[LINK]["dropped"]
    assert all(counters[core]["packets_in"] > 10 for core in driver.plan.cores)
    chip.run(driver.set_skipping(False))
    assert chip.receive() is None
    assert chip.run(driver.read_control())[1, 1] == {"skipping": False, "busy": False, "saturated": False}
    chip.run(driver.set_skipping(True))
    assert chip.receive() is None
    chip.cores[0, 1].memory.words[Region.CONTROL][0] = 4
    assert chip.run(driver.read_control())[0, 1] == {"skipping": True, "busy": False, "saturated": True}
    chip.run(driver.reset_counters())
    assert chip.receive() is None
    assert chip.run(driver.read_control())[0, 1] == {"skipping": True, "busy": False, "saturated": False}
    assert all(core["packets_in"] < 4 for place, core in chip.run(driver.read_counters()).items() if place != LINK)


@pytest.mark.parametrize(
    ("error", "change", "message"),
    [
        (ValueError, {"spikes": np.zeros((3, 2, 34))}, "spikes must have shape (3, samples, 35), not (3, 2, 34)"),
        (ValueError, {"spikes": np.zeros((2, 2, 35))}, "spikes must have shape (3, samples, 35), not (2, 2, 35)"),
        (ValueError, {"spikes": np.zeros((3, 35))}, "spikes must have shape (3, samples, 35), not (3, 35)"),
        (ValueError, {"spikes": np.zeros((3, 0, 35))}, "spikes must hold at least one sample, not shape (3, 0, 35)"),
        (ValueError, {"spikes": np.full((3, 2, 35), 0.5)}, "spikes must be 0 or 1, not 0.5 at (0, 0, 0)"),
        (ValueError, {"spikes": np.full((3, 2, 35), -1)}, "spikes must be 0 or 1, not -1 at (0, 0, 0)"),
        (ValueError, {"spikes": np.full((3, 2, 35), np.nan)}, "spikes must be 0 or 1, not nan at (0, 0, 0)"),
        (ValueError, {"labels": [0, 5]}, "labels must be 0 to 4, not 5 of sample 1"),
        (ValueError, {"labels": [-1, 5]}, "labels must be 0 to 4, not -1 of sample 0"),
        (ValueError, {"labels": [0]}, "labels must have shape (2,), one per sample, not (1,)"),
        (TypeError, {"labels": [0.0, 1.0]}, "labels must be integers, not float64"),
        (ValueError, {"labels": None}, "train_batch must get labels, not errors, as the plan's loss is 'rate'"),
        (ValueError, {"errors": print}, "train_batch must get labels, not errors, as the plan's loss is 'rate'"),
    ],
)
def test_bad_input_is_refused(error, change, message):
    chip, driver, _ = start()
    good = {"spikes": np.zeros((3, 2, 35)), "labels": [0, 4]}
    with pytest.raises(error, match=exactly(message)):
        driver.train_batch(**{**good, **change})
    chip.run(driver.train_batch(**good))


def test_errors_of_a_wrong_shape_are_refused():
    chip, driver, _ = start(options={"loss": "external"})
    operation = driver.train_batch(np.zeros((3, 1, 35)), errors=lambda sample, outputs: np.zeros((1, 2)))
    with pytest.raises(ValueError, match=r"^errors must return finite numbers of shape \(3, 5\), not array"):
        chip.run(operation)
    with pytest.raises(DriverError, match=r"^train_batch: errors must return finite numbers of shape"):
        _ = operation.result


@pytest.mark.parametrize("errors", [np.zeros((3, 1, 5)), [0.0] * 5])
def test_errors_that_are_no_function_are_refused_before_samples_are_sent(errors):
    chip, driver, _ = start(options={"loss": "external"})
    message = f"errors must be a function of a sample's number and its output spikes, not {errors!r}"
    with pytest.raises(TypeError, match=exactly(message)):
        driver.train_batch(np.zeros((3, 1, 35)), errors=errors)
    assert driver.next_slot == 0
    chip.run(driver.train_batch(np.zeros((3, 1, 35)), errors=lambda sample, outputs: np.zeros((3, 5))))


def test_a_fault_ends_the_operation():
    chip, driver, _ = start()
    operation = driver.evaluate(np.zeros((3, 1, 35)))
    operation.receive(fault())
    assert operation.done
    assert operation.next_packet() is None
    with pytest.raises(DriverError, match=exactly(f"evaluate: {FAULT_TEXT}")):
        _ = operation.result
    assert [str(each) for each in driver.faults] == [FAULT_TEXT]
    assert not driver.unexpected
    chip.run(driver.read_control())


def test_a_fault_between_operations_ends_the_next():
    chip, driver, _ = start()
    driver.receive(fault(link=1))
    with pytest.raises(DriverError, match=exactly(f"update: {FAULT_TEXT.replace('core (1, 0)', 'the host link')}")):
        _ = driver.update().result
    chip.run(driver.update())


def test_without_strict_faults_are_only_kept():
    chip, driver, _ = start(strict=False)
    operation = driver.evaluate(np.zeros((3, 1, 35)))
    operation.receive(fault())
    operation.receive([0])
    chip.run(operation)
    assert len(driver.faults) == 1
    assert driver.unexpected == [[0]]


def spikes_packet(slot=0, step=0, word=0, **tag):
    tag = {"slice": 0, "slot": slot, "step": step, "word": word, "train": 0, **tag}
    return Packet(Kind.SPIKES, tag, (0, 0), host=1)


@pytest.mark.parametrize(
    ("packet", "reason"),
    [
        (spikes_packet(slot=1), "a slot without sample"),
        (spikes_packet(slot=3), "a slot that does not exist"),
        (spikes_packet(step=3), "a step that does not exist"),
        (spikes_packet(word=100), "an output word that does not exist"),
        (spikes_packet(slice=1), "a slice other than the host's"),
        (spikes_packet(train=1), "not an evaluation"),
        (Packet(Kind.SPIKES, spikes_packet().tag, (32, 0), host=1), "an output beyond the last"),
        (Packet(Kind.SPIKES, spikes_packet().tag, (0, 0)), "addressed to a core"),
        (Packet(Kind.CREDIT, {"slice": 3, "slot": 0, "from_x": 0, "from_y": 0}, host=1), "no first-layer slice"),
        (Packet(Kind.CREDIT, {"slice": 0, "slot": 1, "from_x": 0, "from_y": 0}, host=1), "a slot without sample"),
        (Packet(Kind.UPDATED, {"slice": 0, "from_x": 0, "from_y": 0}, host=1), "no update"),
        (Packet(Kind.DATA, {"region": 9, "from_x": 0, "from_y": 0, "link": 0}, (0, 0), host=1), "no read"),
        (Packet(Kind.ERRORS_DONE, {"slice": 0, "slot": 0}, host=1), "not for the host"),
    ],
    ids=lambda value: value if isinstance(value, str) else value.kind.name,
)
def test_unexpected_packets_end_the_operation_and_are_kept(packet, reason):
    _, driver, _ = start()
    operation = driver.evaluate(np.zeros((3, 1, 35)))
    operation.receive(packet.words())
    text = f"evaluate: received an unexpected {packet.kind.name} packet, {packet.tag}"
    with pytest.raises(DriverError, match=exactly(text)):
        _ = operation.result
    assert driver.unexpected == [packet.words()], reason


def test_a_reply_to_another_read_is_unexpected():
    _, driver, _ = start(strict=False)
    operation = driver.read_control()
    tag = {"region": Region.CONTROL, "from_x": 0, "from_y": 0, "link": 0}
    wrong = [
        Packet(Kind.DATA, tag, (1, 0), host=1),
        Packet(Kind.DATA, tag, (0, 0, 0), host=1),
        Packet(Kind.DATA, {**tag, "region": Region.EXPECTATION}, (0, 0), host=1),
        Packet(Kind.DATA, {**tag, "link": 1}, (0, 0), host=1),
    ]
    for packet in wrong:
        operation.receive(packet.words())
    assert driver.unexpected == [packet.words() for packet in wrong]


def test_no_two_operations_at_once():
    _, driver, _ = start()
    operation = driver.update()
    with pytest.raises(DriverError, match=exactly("evaluate must wait until update is done")):
        driver.evaluate(np.zeros((3, 1, 35)))
    with pytest.raises(DriverError, match=r"^update: not done, waits for UPDATED from core \(0, 0\), "):
        _ = operation.result
    operation.cancel()
    with pytest.raises(DriverError, match=exactly("update: cancelled")):
        _ = operation.result


def test_velocities_need_their_memory():
    _, driver, _ = start(training=Training(rate=0.5), momentum=False)
    with pytest.raises(DriverError, match=exactly("read_velocities needs a chip with velocity memory, momentum=True")):
        driver.read_velocities()


@pytest.mark.parametrize(
    ("error", "options", "message"),
    [
        (ValueError, {"next_slot": 2}, "next_slot must be 0 to 1, not 2"),
        (TypeError, {"next_slot": 1.0}, "next_slot must be an integer, not 1.0"),
        (TypeError, {"strict": 1}, "strict must be True or False, not 1"),
    ],
)
def test_driver_parameters(error, options, message):
    _, driver, _ = start()
    with pytest.raises(error, match=exactly(message)):
        Driver(driver.plan, **options)
    with pytest.raises(TypeError, match=exactly("skipping must be True or False, not 1")):
        driver.set_skipping(1)


def test_errors_that_are_no_function_are_refused_before_anything_is_sent():
    chip, driver, _ = start(options={"loss": "external"})
    message = "errors must be a function of a sample's number and its output spikes, not array([0.])"
    with pytest.raises(TypeError, match=exactly(message)):
        driver.train_batch(np.zeros((3, 1, 35)), errors=np.zeros(1))
    chip.run(driver.evaluate(np.zeros((3, 1, 35))))
