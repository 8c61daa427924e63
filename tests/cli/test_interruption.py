# SPDX-License-Identifier: Apache-2.0
"""Ctrl-C, SIGTERM and readers that go away: what each command then does, and its exit code."""

import os
import signal
import subprocess
import sys
import time

import pytest

from backspike.cli import main as program
from backspike.cli.interruption import StopRequest, Terminated

NEEDED = {
    "train": ["--port=COM9"],
    "evaluate": ["--port=COM9", "--load=a.npz"],
    "nir": ["import", "a.nir"],
    "memory": ["64-10"],
    "energy": ["report.json"],
    "asic": ["--liberty=cells.lib"],
    "data": ["digits"],
}
"""What a command cannot do without."""

CODE = """
import sys, time
from pathlib import Path
import backspike.hw.verilog.emit as emit
from backspike.cli.main import main

def emit_chip(config, folder):
    try:
        print("working", flush=True)
        time.sleep(600)
    finally:
        time.sleep(0.2)
        Path(sys.argv[1]).write_text("tidied up")

emit.emit_chip = emit_chip
sys.exit(main(["verilog", "--output", sys.argv[2]]))
"""


@pytest.mark.parametrize(
    ("number", "code", "text"), [(signal.SIGINT, 130, "interrupted"), (signal.SIGTERM, 143, "terminated")]
)
def test_a_signal_ends_a_command_in_good_order(number, code, text, tmp_path):
    """A second SIGTERM does not disturb the tidying up, and the output folder is free again."""
    command = [sys.executable, "-c", CODE, tmp_path / "note", tmp_path / "output"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert process.stdout.readline() == "working\n"
    process.send_signal(number)
    if number == signal.SIGTERM:
        time.sleep(0.05)
        process.send_signal(number)
    assert process.wait(60) == code
    assert process.stderr.read() == f"backspike verilog: {text}\n"
    assert (tmp_path / "note").read_text() == "tidied up"
    assert list((tmp_path / "output").iterdir()) == []


@pytest.mark.parametrize("command", list(program.COMMANDS))
def test_every_command_ends_with_the_code_of_its_signal(command, monkeypatch, capsys):
    needed = NEEDED.get(command, [])
    before = signal.getsignal(signal.SIGTERM)
    for number, code in ((signal.SIGINT, 130), (signal.SIGTERM, 143)):
        monkeypatch.setattr(program._module(command), "run", lambda _, number=number: os.kill(os.getpid(), number))
        assert program.main([command, *needed]) == code
        assert capsys.readouterr().err.startswith(f"backspike {command}: ")
    assert signal.getsignal(signal.SIGTERM) is before


def test_a_stop_request_notes_the_first_signal_and_ends_with_the_second(capfd):
    before = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]
    with StopRequest() as request:
        assert not request.asked()
        os.kill(os.getpid(), signal.SIGTERM)
        assert request.asked() and request.exit_code == 143
        with pytest.raises(Terminated):
            os.kill(os.getpid(), signal.SIGTERM)
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), signal.SIGINT)
    assert capfd.readouterr().err.count("stopping after this batch") == 1
    assert [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)] == before


def test_nobody_reads_the_output_any_more():
    """As in ``backspike boards | head -1``: no traceback."""
    reader, writer = os.pipe()
    os.close(reader)
    command = [sys.executable, "-m", "backspike.cli", "boards"]
    done = subprocess.run(command, stdout=writer, stderr=subprocess.PIPE, text=True, check=False)
    os.close(writer)
    assert (done.returncode, done.stderr) == (141, "")
