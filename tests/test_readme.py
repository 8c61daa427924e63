# SPDX-License-Identifier: Apache-2.0
"""The README: its commands exist, its tables are those of the program, its links lead somewhere."""

import json
import re
import shutil
import subprocess
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
TEXT = (ROOT / "README.md").read_text()
COMMANDS = re.findall(r"^    (make .*)$", TEXT, re.MULTILINE)


def make(*arguments):
    if shutil.which("make") is None:
        pytest.skip("make is not installed")
    command = ["env", "-u", "MAKEFLAGS", "-u", "MAKELEVEL", "make", *arguments]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout


def test_there_are_commands():
    assert {"make sim", "make test", "make verilog CORES=20 LANES=2", "make help"} <= set(COMMANDS)


@pytest.mark.parametrize("command", COMMANDS)
def test_the_command_is_one_of_make_and_of_ci(command):
    make("-n", *command.split()[1:])
    script = (ROOT / ".ci" / "run").read_text()
    assert f"try {command.removesuffix(' WAVES=1')}" in script


def test_the_tables_of_variables_are_those_of_make_help():
    told = dict(re.findall(r"^  ([A-Z_]+)=(\S+)", make("help"), re.MULTILINE))
    table = dict(re.findall(r"^\| `([A-Z_]+)` \| (\S+) \|", TEXT, re.MULTILINE))
    assert table == told


@pytest.mark.parametrize("link", sorted(set(re.findall(r"\]\(([^)h][^)]*)\)", TEXT))))
def test_links_lead_somewhere(link):
    assert (ROOT / link).is_file()


def test_every_dependency_is_listed_with_its_purpose():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    needs = [*project["dependencies"], *(need for extra in project["optional-dependencies"].values() for need in extra)]
    names = {re.match(r"[\w-]+", need)[0] for need in needs} - {"backspike"}
    section = TEXT[TEXT.index("## Dependencies") : TEXT.index("## Contributing")]
    listed = set(re.findall(r"[\w-]+", " ".join(line.split("|")[1] for line in section.splitlines() if "|" in line)))
    assert names <= listed


def test_keys_of_the_report_are_explained():
    """In the last report that `make sim` left here, if there is one."""
    path = ROOT / "build" / "sim" / "report.json"
    if not path.is_file():
        pytest.skip("no report: make sim has not run here")
    section = TEXT[TEXT.index("`build/sim/report.json`:") : TEXT.index("## What it does not do yet")]
    report = json.loads(path.read_text())
    keys = {*report, *report["training"], *report["evaluation"], *report["engines"]["FP"]}
    assert {key for key in keys if key not in section} == set()
