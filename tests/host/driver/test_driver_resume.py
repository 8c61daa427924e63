# SPDX-License-Identifier: Apache-2.0
"""What a training needs that is interrupted or disturbed: velocities, other constants, whether weights are known."""

from dataclasses import replace

import numpy as np
import pytest

from backspike.golden.network import Training
from backspike.golden.trainer import Trainer
from backspike.host.compiler.capacity import CapacityError
from backspike.host.compiler.compile import compile_network
from backspike.host.driver.driver import Driver, DriverError
from backspike.spec.config import ChipConfig
from backspike.spec.packets import Kind, parse_header
from tests.host.driver.test_driver import TRAINING, data, network, same, start
from tests.host.driver.test_driver_use import fault
from tests.support.chip_model import ModelChip


@pytest.mark.parametrize(
    ("options", "config"), [({}, {}), ({"strategy": "shuffled", "seed": 4}, {"lanes": 4, "columns": 3, "slots": 3})]
)
def test_training_goes_on_with_loaded_velocities(options, config):
    net = network()
    chip, driver, weights = start(net)
    trainer = Trainer(net, TRAINING, weights=weights)
    for batch in range(2):
        trainer.train_batch(*data(net, 4, batch))
        chip.run(driver.train_batch(*data(net, 4, batch)))
    kept = chip.run(driver.read_weights()), chip.run(driver.read_velocities())
    assert all(velocity.any() for velocity in kept[1])

    second = ModelChip(ChipConfig(**config), 3)
    other = Driver(compile_network(net, TRAINING, second.config, **options))
    second.run(other.load(weights))
    second.run(other.train_batch(*data(net, 3, 8)))
    second.run(other.load(*kept))
    assert same(second.run(other.read_velocities()), trainer.velocities)
    trainer.train_batch(*data(net, 4, 2))
    second.run(other.train_batch(*data(net, 4, 2)))
    assert same(second.run(other.read_weights()), trainer.weights)
    assert same(second.run(other.read_velocities()), trainer.velocities)

    second.run(other.load(kept[0]))
    assert not any(velocity.any() for velocity in second.run(other.read_velocities()))


def test_velocities_that_cannot_be_loaded_are_refused():
    _, driver, weights = start()
    wrong = [np.array(weight) for weight in weights]
    wrong[1][2, 3] = 1 / 3
    with pytest.raises(ValueError, match=r"velocities of layer 1 must be finite .*, not 0\.333\d* at \(2, 3\)"):
        driver.load(weights, wrong)
    with pytest.raises(ValueError, match="velocities must have one array per layer, 3, not 2"):
        driver.load(weights, weights[:2])
    _, driver, weights = start(training=replace(TRAINING, momentum=0.0), momentum=False)
    with pytest.raises(DriverError, match="load with velocities needs a chip with velocity memory"):
        driver.load(weights, weights)


def test_the_rate_can_change_between_batches():
    net = network()
    chip, driver, weights = start(net)
    trainer = Trainer(net, TRAINING, weights=weights)
    for batch, training in enumerate((TRAINING, Training(rate=0.015625, momentum=0.25, loss_scale=0.5))):
        trainer.training = training
        chip.run(driver.change_training(training))
        assert driver.plan.training == training
        trainer.train_batch(*data(net, 4, batch))
        chip.run(driver.train_batch(*data(net, 4, batch)))
    assert same(chip.run(driver.read_weights()), trainer.weights)


def test_impossible_constants_are_refused_before_anything_is_sent():
    chip, driver, _ = start(training=replace(TRAINING, momentum=0.0), momentum=False)
    with pytest.raises(CapacityError, match=r"momentum is 0\.5 and the chip has no velocity memory"):
        driver.change_training(TRAINING)
    with pytest.raises(TypeError, match=r"training must be a Training, not 0\.5"):
        driver.change_training(0.5)
    with pytest.raises(ValueError, match="rate"):
        driver.change_training(replace(TRAINING, momentum=0.0, rate=1e-30))
    chip.run(driver.read_weights())


def kind_of(words):
    return parse_header(words[0])[0]


def disturbed(chip, operation, after):
    """Run an operation until ``after`` says so of a packet that was sent or received; then the chip reports a fault."""
    while not operation.done:
        words = operation.next_packet()
        if words is not None:
            chip.send(words)
        else:
            operation.receive(words := chip.receive())
        if after(kind_of(words)):
            operation.receive(fault())
    with pytest.raises(DriverError, match="cause STATE"):
        _ = operation.result


@pytest.mark.parametrize("kind", [Kind.SPIKES, Kind.UPDATE, Kind.UPDATED])
def test_a_failed_update_leaves_weights_unknown(kind):
    net = network()
    chip, driver, weights = start(net)
    trainer = Trainer(net, TRAINING, weights=weights)
    spikes, labels = data(net, 4)
    disturbed(chip, driver.train_batch(spikes, labels), lambda seen: seen == kind)
    assert driver.weights_known == (kind == Kind.SPIKES)
    chip.run(driver.recover())
    assert driver.weights_known == (kind == Kind.SPIKES)
    if not driver.weights_known:
        chip.run(driver.load(trainer.weights, trainer.velocities))
    assert driver.weights_known
    chip.run(driver.train_batch(spikes, labels))
    trainer.train_batch(spikes, labels)
    assert same(chip.run(driver.read_weights()), trainer.weights)
