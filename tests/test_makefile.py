# SPDX-License-Identifier: Apache-2.0
"""The Makefile: what it runs, which variables it takes, and how it refuses others. Nothing is built here."""

import dataclasses
import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from backspike.cli.main import main, make_parser
from backspike.golden.constants import Neuron
from backspike.sim.run.scenario import Scenario
from backspike.spec.config import ChipConfig

ROOT = Path(__file__).resolve().parents[1]

pytestmark = pytest.mark.skipif(shutil.which("make") is None, reason="make is not installed")


def make(*arguments, folder=ROOT):
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("MAKE", "MFLAGS"))}
    command = ["make", *arguments]
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)


def command(*arguments):
    """The words of the last command that make would run."""
    done = make("-n", *arguments)
    assert done.returncode == 0, done.stderr
    return shlex.split(done.stdout.strip().splitlines()[-1])


@pytest.mark.parametrize(
    ("arguments", "options"),
    [
        (["sim"], ["sim"]),
        (["verilog", "CORES=20", "LANES=2"], ["verilog", "--cores=20", "--lanes=2"]),
        (
            ["sim", "CORES=6", "LANES=1", "NETWORK=64-96-37-10", "STEPS=5", "SAMPLES=200", "SEED=3", "WAVES=1"],
            [
                "sim",
                "--cores=6",
                "--lanes=1",
                "--steps=5",
                "--network=64-96-37-10",
                "--samples=200",
                "--seed=3",
                "--waves",
            ],
        ),
        (["sim", "TAPE_WORDS=8", "BIAS=1", "NO_SKIPPING=0"], ["sim", "--tape-words=8", "--bias"]),
        (["sim", "WAVES=all"], ["sim", "--waves=all"]),
        (["sim", "DATA=a folder's"], ["sim", "--data=a folder's"]),
        (["sim", "CORES="], ["sim"]),
        (["bench"], ["bench"]),
        (["boards"], ["boards"]),
        (
            ["bitstream", "BOARD=ulx3s_85f", "CORES=4", "LANES=1", "CLOCK=50", "RECORD=1"],
            ["bitstream", "--cores=4", "--lanes=1", "--board=ulx3s_85f", "--clock=50", "--record"],
        ),
        (
            ["asic", "LIBERTY=a.lib", "UNIT=lane_0", "CYCLES=9", "HOLD=valid=1", "LANES=2"],
            ["asic", "--lanes=2", "--liberty=a.lib", "--unit=lane_0", "--cycles=9", "--hold=valid=1"],
        ),
        (
            ["synth", "UNIT=router", "DENSE_ONLY=1", "CHAIN=0"],
            ["synth", "--dense-only=1", "--chain=0", "--unit=router"],
        ),
        (
            ["sim", "RATE=0.001", "KAPPA=0.75", "THETA=2", "WIDTH=1", "LOSS_SCALE=0.5", "STRICT=1"],
            ["sim", "--kappa=0.75", "--theta=2", "--width=1", "--rate=0.001", "--loss-scale=0.5", "--strict"],
        ),
        (
            ["bench", "CASES=digits,mlp", "CORES=4,20", "SAMPLES=8", "OUTPUT=build/b"],
            ["bench", "--cases=digits,mlp", "--cores=4,20", "--samples=8", "--output=build/b"],
        ),
    ],
)
def test_variables_become_options(arguments, options):
    assert command(*arguments)[1:] == ["-m", "backspike.cli", *options]


@pytest.mark.parametrize("target", ["sim", "bench", "bitstream", "synth", "asic"])
def test_every_variable_is_an_option_of_the_command(target, capsys):
    """And the other way round; so nothing can be set in one way only."""
    listed = make(target, "NONSENSE=1").stderr.split("it has PYTHON ")[1].split(".")[0].split()
    with pytest.raises(SystemExit):
        main([target, "--help"])
    options = set(re.findall(r"^  --([a-z-]+)", capsys.readouterr().out, re.MULTILINE))
    assert {name.lower().replace("_", "-") for name in listed} == options


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (["sim", "COERS=6"], "make sim has no variable COERS"),
        (["verilog", "CORES=6", "NETWORK=64-10"], "make verilog has no variable NETWORK"),
        (["bench", "NETWORK=64-10"], "make bench has no variable NETWORK"),
        (["boards", "CORES=1"], "make boards has no variable CORES"),
        (["synth", "CORES=1"], "make synth has no variable CORES"),
        (["bitstream", "RECORD=yes"], "RECORD must be 0 or 1, not yes"),
        (["test", "SEED=3"], "make test has no variable SEED"),
        (["CORES=6"], "make help has no variable CORES"),
        (["sim", "WAVES=yes"], "WAVES must be 0, 1 or all, not yes"),
        (["simulate"], "No rule to make target 'simulate'"),
        (["setup", "PYTHON=python-that-is-not-there", "STAMP=build/none"], "make setup has no variable STAMP"),
    ],
)
def test_what_makes_no_sense_is_refused(arguments, text):
    done = make("-n", *arguments)
    assert done.returncode == 2
    assert text in done.stderr


def test_help_tells_the_defaults_of_the_command():
    done = make("help")
    assert done.returncode == 0
    told = dict(re.findall(r"^  ([A-Z_]+)=(\S+)", done.stdout, re.MULTILINE))
    options = {}
    for command in ("federated", "bitstream", "verilog", "sim"):
        options |= vars(make_parser(command).parse_args([command]))
    defaults = {field.name: field.default for kind in (ChipConfig, Scenario) for field in dataclasses.fields(kind)}
    defaults |= dataclasses.asdict(Neuron())
    for name, text in told.items():
        value = options[name.lower()]
        expected = defaults.get(name.lower(), False) if value is None else value
        assert text == str(int(expected) if isinstance(expected, bool) else expected), name
    assert {"CORES", "NETWORK", "SAMPLES", "EPOCHS", "WEIGHTS", "WAVES", "BOARD"} <= told.keys()


@pytest.fixture
def copy(tmp_path):
    """A folder with the Makefile alone, where the environment is not set up."""
    for name in ("Makefile", "pyproject.toml"):
        shutil.copy(ROOT / name, tmp_path)
    return tmp_path


def test_a_missing_python_is_named(copy):
    done = make("setup", "PYTHON=python-that-is-not-there", folder=copy)
    assert done.returncode == 2
    assert "python-that-is-not-there is missing: Python 3.11 or newer is needed" in done.stderr


def test_an_old_python_is_refused(copy):
    old = copy / "python-old"
    old.write_text(f"#!/bin/sh\nshift\nexec {sys.executable} -c 'import sys; sys.version_info = (3, 9, 2)\n'\"$1\"\n")
    old.chmod(0o755)
    done = make("setup", f"PYTHON={old}", folder=copy)
    assert done.returncode == 2
    assert f"Python 3.11 or newer is needed, but {old} is" in done.stderr
    assert not (copy / ".venv").exists()


def test_a_path_with_spaces_is_refused(copy):
    folder = copy / "two words"
    folder.mkdir()
    shutil.copy(ROOT / "Makefile", folder)
    done = make("help", folder=folder)
    assert done.returncode == 2
    assert "must not contain spaces" in done.stderr


def test_the_environment_is_made_anew_only_when_needed(copy):
    """After a change of pyproject.toml, or when the folder has moved."""

    def installs():
        return "pip install" in make("-n", "setup", folder=copy).stdout

    assert installs()
    (copy / ".venv").mkdir()
    (copy / ".venv" / "installed").write_text(f"{copy.resolve()}\n")
    assert not installs()
    later = (copy / ".venv" / "installed").stat().st_mtime + 10
    os.utime(copy / "pyproject.toml", (later, later))
    assert installs()
    os.utime(copy / "pyproject.toml", (later - 20, later - 20))
    assert not installs()
    (copy / ".venv" / "installed").write_text("/elsewhere\n")
    assert installs()
