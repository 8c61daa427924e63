# SPDX-License-Identifier: Apache-2.0
"""``backspike train`` as a user runs it, on simulated chips behind pseudo-terminals: interrupted and resumed."""

import contextlib
import json
import os
import signal
import subprocess
import sys

import numpy as np
import pytest

from backspike.golden.trainer import Trainer
from backspike.host.training.checkpoint import Checkpoint
from backspike.sim.serial.serial_chip import BAUD, build_serial_chip, serial_chip
from backspike.spec.config import ChipConfig

CHIP = ChipConfig(
    columns=1,
    rows=1,
    steps=2,
    slices=2,
    weights=1024,
    neurons=32,
    tape_words=8,
    fan_in=4,
    routes=8,
    list_depth=128,
    batch_terms=1 << 10,
)
ENVIRONMENT = {**os.environ, "OMP_NUM_THREADS": "1"}
OPTIONS = ["--network=64-6-10", "--steps=2", "--samples=10", "--tests=4", "--batch=4", "--epochs=2", "--seed=3"]


def command(name, port, *options):
    return [
        sys.executable,
        "-m",
        "backspike.cli",
        name,
        f"--port={port}",
        f"--baud={BAUD}",
        "--timeout=300",
        "--resend=3",
        *options,
    ]


@pytest.mark.slow
def test_a_network_in_phases_gives_the_golden_models_weights(tmp_path):
    """Over the serial port as anywhere else: interrupted in its first epoch, and resumed."""
    path, log = tmp_path / "weights.npz", tmp_path / "weights.jsonl"
    options = [option for option in OPTIONS if "network" not in option] + ["--network=64-24-10", "--compare"]
    with serial_chip(build_serial_chip(CHIP, tmp_path / "chip"), tmp_path / "port") as (port, _):
        first = subprocess.Popen(
            command("train", port, f"--save={path}", *options), stdout=subprocess.PIPE, text=True, env=ENVIRONMENT
        )
        for line in first.stdout:
            if "batch 1/3" in line:
                first.send_signal(signal.SIGINT)
        assert first.wait(600) == 130
        assert 0 < Checkpoint.load(path).batch < 3
        subprocess.run(command("train", port, f"--save={path}", "--resume", "--compare"), check=True, env=ENVIRONMENT)
    told = [json.loads(line) for line in log.read_text().splitlines()]
    assert Checkpoint.load(path).finished and not any(line["event"] == "difference" for line in told)
    memory = [line for line in told if line["event"] == "memory"]
    assert memory and all(line["counted"] == line["formula"] for line in memory)


def test_an_interrupted_training_gives_the_golden_models_weights(tmp_path):
    """SIGINT in the second batch; then it goes on; then the weights are tested."""
    path, environment = tmp_path / "weights.npz", ENVIRONMENT
    with serial_chip(build_serial_chip(CHIP, tmp_path / "chip"), tmp_path / "port") as (port, _):
        first = subprocess.Popen(
            command("train", port, f"--save={path}", *OPTIONS), stdout=subprocess.PIPE, text=True, env=environment
        )
        for line in first.stdout:
            if "batch 1/3" in line:
                first.send_signal(signal.SIGINT)
        assert first.wait(600) == 130
        state = Checkpoint.load(path)
        assert (state.epoch, state.batch) in ((0, 1), (0, 2))
        again = subprocess.run(
            command("train", port, f"--save={path}", "--resume", "--compare"),
            capture_output=True,
            text=True,
            timeout=1200,
            check=False,
            env=environment,
        )
        assert again.returncode == 0, again.stderr
        tests = subprocess.run(
            command("evaluate", port, f"--load={path}", "--tests=4", "--compare"),
            text=True,
            capture_output=True,
            timeout=600,
            check=False,
            env=environment,
        )
        assert tests.returncode == 0, tests.stderr
    assert "equal in every bit" in again.stdout and "equal in every bit" in tests.stdout
    state = Checkpoint.load(path)
    assert state.finished and state.samples == 20 and state.chip == CHIP.to_dict()
    spec, data = state.spec, state.spec.dataset()
    trainer = Trainer(spec.model, spec.schedule()[0], weights=spec.weights())
    for epoch, training in enumerate(spec.schedule()):
        trainer.training = training
        for chosen in spec.epoch_batches(epoch, 10):
            trainer.train_batch(data.train[chosen].spikes, data.train.labels[chosen])
    for found, expected in ((state.weights, trainer.weights), (state.velocities, trainer.velocities)):
        assert all(np.array_equal(a, b) for a, b in zip(found, expected, strict=True))
    assert not np.array_equal(trainer.weights[1], spec.weights()[1])
    lines = [json.loads(line) for line in path.with_suffix(".jsonl").read_text().splitlines()]
    assert [line["batch"] for line in lines if line["event"] == "batch"] == [1, 2, 3, 1, 2, 3]


@pytest.mark.slow
def test_five_chips_train_as_one(tmp_path):
    """Three batches, each in five parts on five simulated chips: the golden model's bits after each."""
    path, built = tmp_path / "weights.npz", build_serial_chip(CHIP, tmp_path / "chip")
    options = [
        option for option in OPTIONS if "samples" not in option and "batch" not in option and "epochs" not in option
    ]
    with contextlib.ExitStack() as chips:
        ports = [chips.enter_context(serial_chip(built, tmp_path / f"port{k}", seed=k))[0] for k in range(5)]
        more = [f"--port={port}" for port in ports[1:]]
        done = subprocess.run(
            command(
                "train",
                ports[0],
                *more,
                f"--save={path}",
                "--samples=30",
                "--batch=10",
                "--epochs=1",
                "--compare",
                "--save-every=1",
                *options,
            ),
            capture_output=True,
            text=True,
            timeout=3000,
            check=False,
            env={**os.environ, "OMP_NUM_THREADS": "1"},
        )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "on 5 chips, the first of 1 x 1 cores" in done.stdout and "equal in every bit" in done.stdout
    state = Checkpoint.load(path)
    assert state.finished and state.samples == 30
