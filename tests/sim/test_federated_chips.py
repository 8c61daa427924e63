# SPDX-License-Identifier: Apache-2.0
"""Five workers on five simulated chips behind pseudo-terminals, as a user runs them."""

import contextlib
import json
import os
import subprocess
import sys

import pytest

from backspike.sim.serial.serial_chip import BAUD, build_serial_chip, serial_chip
from tests.sim.test_serial_training import CHIP

pytest.importorskip("flwr", reason="the extra 'federated' is not installed")

OPTIONS = ["--network=64-6-10", "--steps=2", "--samples=30", "--tests=20", "--batch=4", "--rounds=1", "--seed=3"]


def federated(folder, *options):
    """The report of a run."""
    done = subprocess.run(
        [sys.executable, "-m", "backspike.cli", "federated", f"--output={folder}", *OPTIONS, *options],
        capture_output=True,
        text=True,
        timeout=3000,
        check=False,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return json.loads((folder / "report.json").read_text()), done.stdout


@pytest.mark.slow
def test_five_simulated_chips_are_five_golden_workers(tmp_path):
    golden, _ = federated(tmp_path / "golden")
    built = build_serial_chip(CHIP, tmp_path / "chip")
    with contextlib.ExitStack() as chips:
        ports = [chips.enter_context(serial_chip(built, tmp_path / f"port{k}", seed=k))[0] for k in range(5)]
        options = [f"--baud={BAUD}", "--timeout=600", "--resend=3", *(f"--port={port}" for port in ports)]
        found, told = federated(tmp_path / "chips", *options)
    assert "5 of them on chips" in told
    assert found == golden and found["rounds"][1]["digest"] != found["rounds"][0]["digest"]
