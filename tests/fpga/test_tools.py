# SPDX-License-Identifier: Apache-2.0
"""The tools: native ones first, packages otherwise, and what is shown while they run."""

import os
import shutil
import sys
import sysconfig

import pytest

from backspike.fpga.flow import tools
from backspike.fpga.flow.tools import Tool, find_tool, run_tool, yosys_arguments


@pytest.fixture
def path(tmp_path, monkeypatch):
    """An empty folder that is all of PATH; tools that were found before are forgotten."""
    monkeypatch.setenv("PATH", str(tmp_path))
    find_tool.cache_clear()
    yield tmp_path
    find_tool.cache_clear()


def program(folder, name, text):
    (folder / name).write_text(f"#!{sys.executable}\nprint({text!r})\n")
    (folder / name).chmod(0o755)


@pytest.mark.parametrize("name", tools._REGISTRY)
def test_the_packages_are_found(name, path):
    tool = find_tool(name)
    assert tool.source == f"package {tools._REGISTRY[name][0]}"
    assert str(tool) == f"{name} {tool.version} (package {tools._REGISTRY[name][0]})"
    assert tool.version[0].isdigit()


def test_a_native_tool_is_preferred(path):
    program(path, "nextpnr-ecp5", '"nextpnr-ecp5" -- Next Generation Place and Route (Version nextpnr-0.9-12-gabc)')
    tool = find_tool("nextpnr-ecp5")
    assert tool.command == (str(path / "nextpnr-ecp5"),)
    assert str(tool) == f"nextpnr-ecp5 0.9-12-gabc (native, {path / 'nextpnr-ecp5'})"


def test_the_program_of_a_package_is_not_native(path, monkeypatch):
    """An active environment is on PATH, with the program that a package put there, which does not know its version."""
    monkeypatch.setenv("PATH", sysconfig.get_path("scripts"))
    assert shutil.which("gowin_pack")
    assert find_tool("gowin_pack").source == "package apycula"


def test_a_native_tool_may_lie_beside_python(path, monkeypatch):
    program(path, "nextpnr-ecp5", "Version nextpnr-0.9")
    monkeypatch.setattr(sys, "executable", str(path / "python"))
    assert find_tool("nextpnr-ecp5").source == f"native, {path / 'nextpnr-ecp5'}"


@pytest.mark.parametrize(("version", "native"), [("0.9+4081", False), ("0.39", False), ("0.40", True), ("1.2", True)])
def test_an_old_yosys_is_passed_over(version, native, path):
    program(path, "yosys", f"Yosys {version} (git sha1 a5c7f69ed)")
    tool = find_tool("yosys")
    assert tool.source.startswith("native") == native
    expected = ["-q", "-l", "a.rpt", "a.ys"] if native else ["a.rpt", "a.ys"]
    assert yosys_arguments(tool, "a.rpt", "a.ys") == expected


def test_a_missing_package_is_named(path, monkeypatch):
    monkeypatch.setitem(tools._REGISTRY, "ecppack", ("a-package-that-is-not-there", ""))
    with pytest.raises(ModuleNotFoundError) as caught:
        find_tool("ecppack")
    assert str(caught.value) == (
        "ecppack is not on PATH, and the package a-package-that-is-not-there is missing; "
        "install backspike with its extra 'fpga'"
    )


def python(text):
    return Tool("python", (sys.executable, "-c", text), "3", "here")


def test_progress_is_the_last_interesting_line(tmp_path, monkeypatch):
    monkeypatch.setattr(tools, "_SILENCE", 0.5)
    text = (
        "import time\nfor i in range(4): print('Info: step', i, flush=True); print('noise', flush=True)\ntime.sleep(2)"
    )
    said = []
    code, seconds = run_tool(python(text), [], tmp_path, "x.log", progress=("x.log", "^Info: (.*)$"), say=said.append)
    assert code == 0
    assert 2 <= seconds < 20
    assert said and said[-1].endswith(" s  step 3")
    assert (tmp_path / "x.log").read_text().count("noise") == 4


def test_a_failure_is_passed_on(tmp_path):
    code, _ = run_tool(python("import sys; print('ERROR: no'); sys.exit(3)"), [], tmp_path, "x.log")
    assert code == 3
    assert (tmp_path / "x.log").read_text() == "ERROR: no\n"


@pytest.mark.parametrize(
    ("name", "said"), [("SIGKILL", "signal 9, perhaps for want of memory"), ("SIGTERM", "signal 15")]
)
def test_a_tool_that_is_killed_has_not_just_failed(name, said, tmp_path):
    with pytest.raises(RuntimeError) as caught:
        run_tool(python(f"import os, signal; os.kill(os.getpid(), signal.{name})"), [], tmp_path, "x.log")
    assert str(caught.value) == f"python was ended by {said}"


def test_a_tool_ends_with_the_program(tmp_path):
    """Whoever interrupts the program does not leave an hour of place and route behind."""

    def interrupted(line):
        raise KeyboardInterrupt

    tool = python("import os, time; print(os.getpid(), flush=True); time.sleep(60)")
    with pytest.MonkeyPatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(tools, "_SILENCE", 0.5)
        run_tool(tool, [], tmp_path, "x.log", progress=("x.log", "^(.*)$"), say=interrupted)
    pid = int((tmp_path / "x.log").read_text())
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)
