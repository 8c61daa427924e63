# SPDX-License-Identifier: Apache-2.0
"""The way from the driver to a board without a board: a simulated chip behind a pseudo-terminal, on a bad line."""

import re

import pytest

from backspike.golden.network import Network
from backspike.golden.presets import default_training
from backspike.golden.trainer import Trainer
from backspike.host.compiler.compile import compile_network
from backspike.host.driver.driver import Driver
from backspike.host.link.arq import LinkError
from backspike.host.link.serial_port import LinkTimeoutError, open_chip
from backspike.sim.serial.serial_chip import BAUD, build_serial_chip, serial_chip
from backspike.sim.verilator.runner import default_seed
from backspike.spec.config import ChipConfig
from tests.support.session import random_samples

pytest.importorskip("serial", reason="needs pyserial")

CONFIG = ChipConfig(
    columns=1, rows=1, weights=2048, neurons=64, tape_words=8, routes=16, fan_in=8, slices=3, list_depth=64
)
NETWORK = Network.parse("20-20-10")
TRAINING = default_training(NETWORK, batch=4)
BAD = {"flip": 4e-4, "drop": 4e-4, "repeat": 4e-4, "cut": 5e-5, "cut_bytes": 400}


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    return build_serial_chip(CONFIG, tmp_path_factory.mktemp("serial_chip"))


def opened(port, **options):
    return open_chip(port, BAUD, timeout=60, resend=0.5, **options)


class Pair:
    """A chip and the golden model, which train the same."""

    def __init__(self, chip, seed):
        self.chip, self.seed = chip, seed
        self.golden = Trainer(NETWORK, TRAINING, seed=seed)
        self.driver = Driver(compile_network(NETWORK, TRAINING, chip.config))
        self.run(self.driver.load(self.golden.weights))

    def run(self, operation):
        return self.chip.run(operation, timeout=120)

    def train(self, batches):
        for batch in range(batches):
            spikes, labels = random_samples(NETWORK, 4, self.seed + batch)
            expected = self.golden.forward(spikes).layers[-1].spikes
            result = self.run(self.driver.train_batch(spikes, labels))
            self.golden.train_batch(spikes, labels)
            assert (result.spikes == expected).all()

    def compare(self):
        fmt = NETWORK.format
        for found, expected in (
            (self.run(self.driver.read_weights()), self.golden.weights),
            (self.run(self.driver.read_velocities()), self.golden.velocities),
        ):
            assert all((fmt.encode(a) == fmt.encode(b)).all() for a, b in zip(found, expected, strict=True))


def test_training_on_a_bad_line(built, tmp_path):
    """Flipped, lost and repeated bytes, a line that is silent at times, a port that vanishes: the same bits."""
    with (
        serial_chip(built, tmp_path / "port", seed=default_seed(), vanish=[1500, 4500], **BAD) as (port, seen),
        opened(port) as chip,
    ):
        assert chip.config == CONFIG
        pair = Pair(chip, default_seed())
        pair.train(4)
        pair.compare()
        damaged, resent = chip.damaged
        assert damaged > 0
        assert resent > 0
        assert chip.reconnections == 2
    assert seen["lamps"] == ["busy", "fault"]
    assert seen["damages"] > 5


def test_sessions(built, tmp_path):
    """A host that ends in the middle of a batch leaves no stuck chip; who comes too late is told."""
    with serial_chip(built, tmp_path / "port", seed=default_seed()) as (port, seen):
        with opened(port) as chip:
            pair = Pair(chip, 1)
            operation = pair.driver.train_batch(*random_samples(NETWORK, 30, 1))
            while (words := operation.next_packet()) is not None:
                chip._link.send(words)
            for _ in range(10):
                chip._step(_Never(), operation.waiting_for)
            assert not operation.done
        with opened(port) as other:
            pair = Pair(other, 2)
            pair.train(2)
            pair.compare()
            with pytest.raises(LinkTimeoutError, match=re.escape(f"the chip on {port} was silent for 0.5 s (")):
                open_chip(port, BAUD, timeout=0.5)
        late = pair.driver.read_control()
        chip._link.packets.clear()
        with pytest.raises(LinkError, match="read_control: the chip was restarted, or another program has opened it"):
            chip.run(late, timeout=60)
        chip.close()
        unanswered = pair.driver.read_control()
    assert "busy" in seen["lamps"]
    silent = r"^read_control: the chip on .* was silent for 0\.3 s .*; waiting for .+"
    with pytest.raises(LinkTimeoutError, match=silent):
        other.run(unanswered, timeout=0.3)


class _Never:
    """A deadline that does not pass."""

    timeout = 1.0

    def passed(self, now):
        return False
