# SPDX-License-Identifier: Apache-2.0
"""Networks that run in phases, on a chip at packet level: bits of the golden model, bytes of the formula."""

import re

import numpy as np
import pytest

from backspike.golden.losses import Loss, host_errors
from backspike.golden.network import Network, Training
from backspike.golden.rules import Rule
from backspike.golden.trainer import Trainer
from backspike.host.compiler.phases.cut import compile_program
from backspike.host.driver.driver import Driver, DriverError
from backspike.host.driver.packet_decoder import parse_packet
from backspike.host.driver.phased_driver import PhasedDriver, driver_for
from backspike.spec.config import ChipConfig
from backspike.spec.packets import Kind
from tests.host.driver.test_driver import TRAINING, data, same
from tests.support.chip_model import ModelChip

DENSE, MAPS = "30-24-16-6", "1x6x6-c4k3p1-c6k3s2p1-a3-12-5"
CORE = {"columns": 1, "rows": 1}


class Case:
    """A network in phases on a chip, and in the golden model."""

    def __init__(self, sizes, *, rule="bptt", loss="rate", bias=True, training=TRAINING, **config):
        self.rule, self.loss = Rule.parse(rule), Loss(kind=loss)
        self.network = net = Network.parse(sizes, steps=4, bias=bias)
        self.config, chip_loss = ChipConfig(**config), "rate" if loss == "rate" else "external"
        self.program = compile_program(net, training, self.config, rule=self.rule, loss=chip_loss)
        self.driver, self.draw = driver_for(self.program), np.random.default_rng(3)
        self.chip = ModelChip(self.config)
        bounds = [np.sqrt(24 / layer.shape[0]) / layer.pool for layer in net.layers]
        weights = [
            net.format.round(self.draw.uniform(-bound, bound, layer.shape) + min(0.125, bound / 8))
            for bound, layer in zip(bounds, net.layers, strict=True)
        ]
        self.golden = Trainer(net, training, weights=weights, rule=self.rule, loss=self.loss)
        self.call("load", weights)

    def call(self, name, *arguments, **options):
        return self.chip.run(getattr(self.driver, name)(*arguments, **options))

    def operation(self, spikes, labels, trained):
        if self.loss.on_chip:
            return self.driver.train_batch(spikes, labels, trained=trained)
        steps, frame = self.network.steps, self.rule.frame_steps(self.network.steps)

        def errors(sample, outputs):
            found = host_errors(self.loss, TRAINING.loss_scale, self.rule, steps, outputs[:, None], labels[[sample]])
            return found[-frame:, 0]

        return self.driver.train_batch(spikes, errors=errors, trained=trained)

    def train(self, samples=2, seed=0):
        """A batch on both; everything is compared."""
        spikes, labels = data(self.network, samples, seed)
        trained = self.rule.draw(self.network, self.draw)
        result = self.chip.run(self.operation(spikes, labels, trained))
        before = self.golden.weights
        assert np.array_equal(result.spikes, self.golden.forward(spikes).layers[-1].spikes)
        self.golden.train_batch(spikes, labels, trained=trained)
        assert seed or not any(np.array_equal(a, b) for a, b in zip(before, self.golden.weights, strict=True))
        self.same()

    def same(self):
        assert same(self.call("read_weights"), self.golden.weights)
        if self.config.momentum:
            assert same(self.call("read_velocities"), self.golden.velocities)
        assert self.driver.traffic == self.driver.expected
        assert not self.driver.faults and not self.driver.unexpected

    @property
    def tiles(self):
        return [len(phase.tiles) for phase in self.program.phases]


@pytest.mark.parametrize(
    ("sizes", "options", "tiles"),
    [
        (DENSE, {**CORE, "weights": 300}, [3, 2, 1]),
        (DENSE, {**CORE, "weights": 300, "slots": 3, "loss": "cross-entropy"}, [3, 2, 1]),
        (DENSE, {**CORE, "weights": 64, "loss": "cross-entropy", "dense_only": True}, [12, 8, 2]),
        (DENSE, {**CORE, "weights": 64, "rule": "sltt", "steps": 1}, [12, 8, 2]),
        (DENSE, {"weights": 80, "rule": "tbptt:2", "steps": 2, "lanes": 2, "bias": False}, [3, 2, 1]),
        (DENSE, {**CORE, "weights": 600, "momentum": False, "training": Training(rate=0.25, loss_scale=1.0)}, [2, 1]),
        (MAPS, {"columns": 2, "rows": 1, "weights": 160, "neurons": 128, "bias": False}, [1, 1, 1]),
        (MAPS, {**CORE, "weights": 160, "neurons": 96, "list_depth": 64, "rule": "sltt-k:2"}, [2, 2, 1]),
    ],
)
def test_in_phases_the_bits_are_those_of_the_golden_model(sizes, options, tiles):
    case = Case(sizes, **options)
    print(case.program.summary())
    assert case.tiles == tiles
    case.train(3)
    case.train(2, seed=1)
    spikes, _ = data(case.network, 2, 9)
    assert np.array_equal(case.call("evaluate", spikes).spikes, case.golden.forward(spikes).layers[-1].spikes)
    case.same()
    assert case.driver.samples == {"training": 5, "evaluation": 2}
    training = case.driver.traffic["training"]
    assert training.weights and training.spikes and training.masks and training.errors
    assert bool(training.velocities) == case.config.momentum
    assert bool(training.sums) == any(count > 1 for count in tiles[1:])


def test_a_network_that_fits_has_the_plain_driver():
    network = Network.parse(DENSE)
    assert type(driver_for(compile_program(network, TRAINING, ChipConfig()))) is Driver
    assert isinstance(driver_for(compile_program(network, TRAINING, ChipConfig(weights=64))), PhasedDriver)


def test_a_batch_that_fails_has_no_effect_and_can_be_trained_again():
    case = Case(DENSE, **CORE, weights=300)
    spikes, labels = data(case.network, 2)
    operation = case.operation(spikes, labels, None)
    updates = 0
    while updates < 2:  # until the second tile on the way back has learned
        if (words := operation.next_packet()) is not None:
            packet = parse_packet(words)
            updates += packet.kind == Kind.UPDATE and not packet.tag["clear"]
            case.chip.send(words)
        else:
            operation.receive(case.chip.receive())
    operation.cancel()
    case.same()
    case.call("recover")
    case.train()


def test_a_training_goes_on_from_weights_and_velocities():
    case, other = Case(DENSE, **CORE, weights=300), Case(DENSE, **CORE, weights=160)
    case.train()
    other.call("load", case.call("read_weights"), case.call("read_velocities"))
    other.golden = case.golden
    other.call("change_training", changed := Training(rate=0.25, momentum=0.75, loss_scale=0.5))
    other.golden.training = changed
    other.train(seed=1)


def test_what_there_is_not_in_phases_is_refused():
    case = Case(DENSE, **CORE, weights=300)
    text = "needs a network that fits: in phases, a batch is done as a whole"
    for name in ("update", "clear_gradients", "read_gradients"):
        with pytest.raises(DriverError, match=f"^{name} {text}"):
            case.call(name)
    with pytest.raises(DriverError, match=re.escape(text)):
        case.call("train_batch", *data(case.network, 2), update=False)
    with pytest.raises(ValueError, match=re.escape("weights of layer 1 must have shape (25, 16), not (2, 2)")):
        case.call("load", [case.golden.weights[0], np.zeros((2, 2)), case.golden.weights[2]])
    with pytest.raises(ValueError, match=re.escape("samples between two updates must be at most 16384, not 20000")):
        case.call("train_batch", np.zeros((4, 20000, 30)), np.zeros(20000, dtype=int))
    unloaded = PhasedDriver(case.program)
    with pytest.raises(DriverError, match="weights must be loaded first"):
        case.chip.run(unloaded.evaluate(data(case.network, 1)[0]))
