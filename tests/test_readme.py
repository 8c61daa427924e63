# SPDX-License-Identifier: Apache-2.0
"""The README and the other pages: commands, tables, links, paths and modules are those that there are."""

import importlib
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
PAGES = [ROOT / name for name in ("README.md", "CONTRIBUTING.md", "CHANGELOG.md")] + sorted(
    (ROOT / "docs").glob("*.md")
)
FOLDERS = "spec|golden|hw|host|sim|fpga|cli|tests|docs|examples"


def make(*arguments):
    if shutil.which("make") is None:
        pytest.skip("make is not installed")
    command = ["env", "-u", "MAKEFLAGS", "-u", "MAKELEVEL", "make", *arguments]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout


def test_there_are_commands():
    assert {"make sim", "make test", "make verilog CORES=20 LANES=2", "make help"} <= set(COMMANDS)


@pytest.mark.parametrize("command", COMMANDS)
def test_the_command_is_one_of_make_and_of_ci(command):
    """And so a change, or a night, shows whether it works."""
    make("-n", *command.split()[1:])
    steps = [line.split("#")[0].strip() for name in ("run", "nightly") for line in (ROOT / ".ci" / name).open()]
    alike = re.compile(rf"try {re.escape(command.removesuffix(' WAVES=1'))}( OUTPUT=\S+)?( SAMPLES=\d+ OUTPUT=\S+)?")
    assert any(alike.fullmatch(step) for step in steps), command


@pytest.mark.parametrize("script", ["run", "nightly"])
def test_the_steps_of_ci_are_commands_of_make(script):
    steps = re.findall(r"^try make (.*?)(?: *#.*)?$", (ROOT / ".ci" / script).read_text(), re.MULTILINE)
    assert steps
    for step in steps:
        make("-n", *step.split())


def test_the_tables_of_variables_are_those_of_make_help():
    told = dict(re.findall(r"^  ([A-Z_]+)=(\S+)", make("help"), re.MULTILINE))
    table = dict(re.findall(r"^\| `([A-Z_]+)` \| (\S+) \|", TEXT, re.MULTILINE))
    assert table == told


def links(page):
    """``(file, anchor)`` of each link of a page to a file or to a heading."""
    for link in re.findall(r"\]\(([^)\s]+)\)", page.read_text()):
        if not re.match(r"\w+:", link):
            path, _, anchor = link.partition("#")
            yield page.parent / path if path else page, anchor


def anchors(page):
    """Names of the headings of a page, as code forges make them."""
    headings = re.findall(r"^#+ (.*)$", page.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page):
    for path, anchor in links(page):
        assert path.is_file(), path
        assert not anchor or anchor in anchors(path), f"{path}#{anchor}"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_paths_that_are_named_are_there(page):
    """Capital letters stand for any name."""
    for path in re.findall(rf"`((?:{FOLDERS}|\.ci|\.github)/[\w./-]*)`", page.read_text()):
        assert list(ROOT.glob(re.sub(r"[A-Z]{2,}", "*", path))), path


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_modules_that_are_named_are_there(page):
    for name in set(re.findall(rf"\bbackspike\.((?:{FOLDERS})(?:\.\w+)*)", page.read_text())):
        parts = name.split(".")
        depth = max(k for k in range(1, len(parts) + 1) if (ROOT.joinpath(*parts[:k])).is_dir())
        module = ROOT.joinpath(*parts[: depth + 1]).with_suffix(".py")
        assert depth == len(parts) or module.is_file(), name
        assert len(parts) < depth + 2 or re.search(rf"\b{parts[depth + 1]}\b", module.read_text()), name


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_what_examples_import_is_there(page):
    """Names of the project in Python examples."""
    for block in re.findall(r"```python\n(.*?)```", page.read_text(), re.DOTALL):
        for module, names in re.findall(r"^from (backspike[\w.]*) import (.*)$", block, re.MULTILINE):
            loaded = importlib.import_module(module)
            assert all(hasattr(loaded, name.strip()) for name in names.split(",")), module


def test_every_dependency_is_listed_with_its_purpose():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    needs = [*project["dependencies"], *(need for extra in project["optional-dependencies"].values() for need in extra)]
    names = {re.match(r"[\w-]+", need)[0] for need in needs} - {"backspike"}
    section = TEXT[TEXT.index("## Dependencies") : TEXT.index("## Contributing")]
    listed = set(re.findall(r"[\w-]+", " ".join(line.split("|")[1] for line in section.splitlines() if "|" in line)))
    assert names <= listed


def test_the_changelog_begins_with_the_version():
    version = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    assert re.search(r"^## \[(.*?)\]", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)[1] == version


def test_keys_of_the_report_are_explained():
    """In the last report that `make sim` left here, if there is one."""
    path = ROOT / "build" / "sim" / "report.json"
    if not path.is_file():
        pytest.skip("no report: make sim has not run here")
    section = TEXT[TEXT.index("`build/sim/report.json`:") : TEXT.index("## What it does not do yet")]
    report = json.loads(path.read_text())
    keys = {*report, *report["training"], *report["evaluation"], *report["engines"]["FP"]}
    assert {key for key in keys if key not in section} == set()
