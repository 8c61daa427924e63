# SPDX-License-Identifier: Apache-2.0
"""The serial port against a model of the chip behind a pseudo-terminal."""

import os
import re
import sys
import threading
import time
import tty
from random import Random

import numpy as np
import pytest

from backspike.golden.initial import initial_weights
from backspike.golden.network import Network
from backspike.golden.presets import default_training
from backspike.host.compiler.compile import compile_network
from backspike.host.driver.driver import Driver, DriverError
from backspike.host.link.arq import LinkError
from backspike.host.link.serial_port import LinkTimeoutError, open_chip
from backspike.spec.config import ChipConfig
from tests.support.chip_model import ModelChip
from tests.support.link_device import LinkDevice

pytest.importorskip("serial", reason="needs pyserial")

CONFIG = ChipConfig(columns=2, rows=1, weights=2048)
NETWORK = Network.parse("20-16-10")
TRAINING = default_training(NETWORK)


class Board(threading.Thread):
    """A model of a chip on a pseudo-terminal.

    Parameters
    ----------
    path: of the port
    errors: chance for each byte to be flipped or lost, either way
    vanish: numbers of bytes from the host, since the port appeared, after which it vanishes for a moment
    deaf: nothing answers
    """

    def __init__(self, path, *, errors=0.0, vanish=(), deaf=False):
        super().__init__(daemon=True)
        self.path, self.errors, self.vanish, self.deaf = path, errors, list(vanish), deaf
        self.random, self.ended, self.seen = Random(1), threading.Event(), 0
        self.reset()
        self.appear()

    def reset(self):
        """The chip is switched off and on."""
        self.device = _Device(CONFIG)

    def appear(self):
        self.master, self.slave = os.openpty()
        tty.setraw(self.slave)
        os.set_blocking(self.master, False)
        self.path.unlink(missing_ok=True)
        self.path.symlink_to(os.ttyname(self.slave))

    def damaged(self, data):
        random = self.random.random
        return bytes(byte ^ (random() < self.errors) for byte in data if random() >= self.errors)

    def run(self):
        late = time.monotonic()
        while not self.ended.is_set():
            time.sleep(0.0005)
            try:
                data = os.read(self.master, 1 << 12)
            except BlockingIOError:
                data = b""
            self.seen += len(data)
            if self.vanish and self.seen > self.vanish[0]:
                del self.vanish[0]
                self.seen = 0
                os.close(self.master)
                os.close(self.slave)
                time.sleep(0.1)
                self.appear()
            if self.deaf:
                continue
            self.device.receive(self.damaged(data))
            now = time.monotonic()
            out = self.device.output(late=now - late > 0.02)
            late = now if now - late > 0.02 else late
            if out:
                os.write(self.master, self.damaged(out))

    def __enter__(self):
        self.start()
        return self

    def __exit__(self, *_):
        self.ended.set()
        self.join()
        os.close(self.master)
        os.close(self.slave)


class _Device(LinkDevice):
    """A link with a chip behind it."""

    def begin(self, session):
        super().begin(session)
        self.chip = ModelChip(self.config)

    def packets(self, packet):
        self.chip.send(packet)
        while (words := self.chip.receive()) is not None:
            yield words


@pytest.fixture
def port(tmp_path):
    return tmp_path / "port"


def opened(port, resend=0.05):
    return open_chip(str(port), 1_000_000, timeout=5, resend=resend)


@pytest.mark.parametrize(
    "options",
    [{}, {"errors": 0.0003}, {"vanish": [1000, 1500]}, {"errors": 0.0003, "vanish": [500, 500, 1000]}],
    ids=str,
)
def test_what_is_loaded_is_read(port, options):
    with Board(port, **options), opened(port, 0.05 if options else 1.0) as chip:
        assert chip.config == CONFIG
        driver = Driver(compile_network(NETWORK, TRAINING, chip.config))
        weights = initial_weights(NETWORK, 1)
        chip.run(driver.load(weights), timeout=10)
        assert all((a == b).all() for a, b in zip(chip.run(driver.read_weights(), timeout=10), weights, strict=True))
        spikes = (np.random.default_rng(1).random((NETWORK.steps, 3, NETWORK.inputs)) < 0.3).astype(np.uint8)
        assert chip.run(driver.train_batch(spikes, np.array([1, 2, 3])), timeout=10).counts.shape == (3, 10)
        damaged, resent = chip.damaged
        if "errors" in options:
            assert damaged > 0
            assert resent > 0
        if not options:
            assert damaged == resent == 0
        assert chip.reconnections == len(options.get("vanish", []))


def test_a_restarted_chip_is_told_from_a_cut_line(port):
    with Board(port) as board, opened(port) as chip:
        driver = Driver(compile_network(NETWORK, TRAINING, chip.config))
        chip.run(driver.load(initial_weights(NETWORK, 1)))
        board.reset()
        with pytest.raises(LinkError, match=r"^read_weights: the chip was restarted, or another program has opened it"):
            chip.run(driver.read_weights())
        assert driver.read_weights().name == "read_weights", "the driver is free for the next operation"


def test_a_failed_operation_says_why(port):
    with Board(port), opened(port) as chip:
        driver = Driver(compile_network(NETWORK, TRAINING, chip.config))
        operation = driver.load(initial_weights(NETWORK, 1))
        driver.receive([0xB, 0x1])
        with pytest.raises(DriverError, match=r"^load: "):
            chip.run(operation)


def test_a_silent_port(port):
    message = f"the chip on {port} was silent for 0.2 s; waiting for its answer to the first message"
    with Board(port, deaf=True), pytest.raises(LinkTimeoutError, match=f"^{re.escape(message)}$"):
        open_chip(str(port), 1_000_000, timeout=0.2)


def test_a_chip_that_falls_silent(port):
    with Board(port) as board, opened(port) as chip:
        driver = Driver(compile_network(NETWORK, TRAINING, chip.config))
        chip.run(driver.load(initial_weights(NETWORK, 1)))
        board.deaf = True
        with pytest.raises(LinkTimeoutError, match=r"^read_control: .* was silent for 0\.3 s; waiting for .*core"):
            chip.run(driver.read_control(), timeout=0.3)
        board.deaf = False
        assert chip.run(driver.recover()) is None


def test_no_port(port):
    with pytest.raises(LinkTimeoutError, match=r"was silent for 0\.2 s \(.*No such file or directory"):
        open_chip(str(port), 1_000_000, timeout=0.2)


def test_a_bad_rate(port):
    with pytest.raises(ValueError, match=r"^baud must be at least 1, not 0$"):
        open_chip(str(port), 0)


def test_pyserial_is_missing(port, monkeypatch):
    monkeypatch.setitem(sys.modules, "serial", None)
    message = "serial ports need the package pyserial: pip install 'backspike[fpga]'"
    with pytest.raises(RuntimeError, match=f"^{re.escape(message)}$"):
        open_chip(str(port), 1_000_000)
