# SPDX-License-Identifier: Apache-2.0
"""The examples run, and do what they say."""

import importlib.util
import os
import re
import signal
import subprocess
import sys
from pathlib import Path
from unittest import mock

import pytest

from backspike.sim.verilator.runner import tool_environment

EXAMPLES = Path(__file__).resolve().parents[1] / "examples"


def run(name, *arguments):
    command = [sys.executable, EXAMPLES / name, *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


def test_own_design(tmp_path):
    """The design has an LED per core, holds the chip, and Verilator has no complaint about it."""
    paths = [tmp_path / "new" / f"{name}.v" for name in ("backspike_tile", "blinking")]
    assert run("own_design.py", tmp_path / "new").split() == [str(path) for path in paths]
    text = paths[1].read_text()
    body = text[text.index("module blinking(") :]
    body = body[: body.index("endmodule")]
    ports = set(re.findall(r"^  (?:input|output) (?:\[\d+:0\] )?(\w+) ?;", body, re.MULTILINE))
    streams = {f"{side}_{part}" for side in ("from_host", "to_host") for part in ("tdata", "tlast", "tvalid", "tready")}
    assert ports == {"clk", "rst", "leds", "busy_cycles"} | streams
    assert "output [5:0] leds" in body
    with mock.patch.dict(os.environ, tool_environment()):
        done = subprocess.run(
            ["verilator", "--lint-only", "--quiet", "--top-module", "blinking", *paths],
            capture_output=True,
            text=True,
            check=False,
        )
    assert (done.returncode, done.stderr) == (0, "")


def test_train_golden():
    accuracies = [float(value) for value in re.findall(r"epoch +\d+: ([\d.]+)%", run("train_golden.py"))]
    assert len(accuracies) == 10
    assert accuracies[-1] >= 96


@pytest.mark.slow
def test_adapt():
    """A network that was trained in PyTorch gains from a few samples of a sensor with dead lines."""
    pytest.importorskip("torch", reason="SKIPPED without the extra 'reference': the example needs PyTorch")
    told = run("adapt.py", "--seeds", "1")
    rows = {cells[0]: cells[1:] for cells in re.findall(r"\| (\w+) \| ([\d.]+) .*? \| ([\d.]+|-)", told)}
    assert float(rows["50"][0]) > float(rows["none"][0]) + 10
    assert float(rows["50"][0]) > float(rows["50"][1])


def test_compare_pytorch():
    """A table of real data, without PyTorch: with it, it takes minutes."""
    rows = run("compare_pytorch.py", "--sets", "wine", "iris", "--seeds", "2", "--without-torch").splitlines()[2:]
    cells = [[cell.strip() for cell in row.strip("|").split("|")] for row in rows]
    assert [row[:3] for row in cells] == [["wine", "26-128-3, 8", "125, 53"], ["iris", "8-128-3, 8", "105, 45"]]
    assert all(float(row[3].split()[0]) > 90 and row[4:] == ["-", "-"] for row in cells)


def loaded(path):
    """A file of the examples as a module."""
    spec = importlib.util.spec_from_file_location(path.stem, path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.slow
def test_deployment(tmp_path):
    """Flower's server and nodes give the bits of workers that this process starts."""
    pytest.importorskip("flwr", reason="the extra 'federated' is not installed")
    from backspike.host.federated.federation import run_federation  # noqa: PLC0415
    from backspike.host.training.checkpoint import Checkpoint  # noqa: PLC0415

    federation = loaded(EXAMPLES / "flower_app/digits_federation.py").FEDERATION
    rounds = []
    weights = run_federation(federation, federation.spec.dataset(), rounds.append)
    told = run("deployment.py", "--weights", tmp_path / "weights.npz")
    lines = [f"round {entry.number}/2: accuracy {entry.accuracy:.1%}, weights {entry.digest}" for entry in rounds]
    assert told.splitlines() == lines
    found = Checkpoint.load(tmp_path / "weights.npz").weights
    assert all((a == b).all() for a, b in zip(found, weights, strict=True))


@pytest.mark.slow
def test_all_processes_of_an_interrupted_deployment_end():
    pytest.importorskip("flwr", reason="the extra 'federated' is not installed")
    example = loaded(EXAMPLES / "deployment.py")
    with subprocess.Popen([sys.executable, example.__file__], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout.readline().startswith("round 0/2: ")
        started = example.descendants([process.pid])
        assert (
            len(started) > 6
        )  # itself, the server, three nodes, the command that runs the app, and what those started
        process.send_signal(signal.SIGINT)
        assert process.wait(120) == 130
    assert not started & example.running().keys()
