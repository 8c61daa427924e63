# SPDX-License-Identifier: Apache-2.0
"""What a command has started ends with the program that runs it."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from backspike.sim.verilator.processes import run_command

TREE = "sleep {0} & sleep {0} & wait"  # a shell with two children, as make with its compilers


def alive(mark):
    """Process numbers of all commands with the mark among their arguments that still run."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            if (
                mark in (folder / "cmdline").read_text().split("\0")
                and "State:\tZ" not in (folder / "status").read_text()
            ):
                found.append(int(folder.name))
        except OSError:  # it has just ended
            continue
    return found


def wait_for(condition, seconds=20):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it has not come to this in time"
        time.sleep(0.02)


@pytest.fixture
def mark(request):
    """Seconds of sleep that nobody else sleeps."""
    return f"{3000 + os.getpid() % 1000}.{abs(hash(request.node.name)) % 10**6:06}"


def test_exit_codes_are_given():
    assert run_command(["sh", "-c", "exit 7"]) == 7
    assert run_command(["sh", "-c", "kill -s KILL $$"]) == -signal.SIGKILL


def test_what_has_ended_is_left_alone(tmp_path):
    """The shell that watches ends, too, and says nothing."""
    log = tmp_path / "log"
    with log.open("w") as stdout:
        assert run_command(["echo", "said"], stdout=stdout, stderr=subprocess.STDOUT) == 0
    assert log.read_text() == "said\n"


def test_a_limit_ends_the_whole_tree(mark):
    start = time.monotonic()
    with pytest.raises(TimeoutError, match=r"^sh has not ended within 0\.5 s$"):
        run_command(["sh", "-c", TREE.format(mark)], limit=0.5)
    assert time.monotonic() - start < 20
    wait_for(lambda: not alive(mark))


def test_what_does_not_want_to_end_is_killed(mark):
    with pytest.raises(TimeoutError):
        run_command(["sh", "-c", f"trap '' TERM; {TREE.format(mark)}; sleep {mark}"], limit=0.5)
    wait_for(lambda: not alive(mark))


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="processes are found in /proc")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL, signal.SIGHUP])
def test_the_tree_ends_with_the_program(number, mark):
    """Interrupted, terminated, killed: the commands are gone, and the exit code is that of the signal."""
    program = (
        f"from backspike.sim.verilator.processes import run_command; run_command(['sh', '-c', {TREE.format(mark)!r}])"
    )
    parent = subprocess.Popen([sys.executable, "-c", program], stderr=subprocess.PIPE)
    wait_for(lambda: len(alive(mark)) == 2)
    parent.send_signal(number)
    parent.communicate(timeout=20)
    assert parent.returncode == -number
    wait_for(lambda: not alive(mark))
