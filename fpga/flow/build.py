# SPDX-License-Identifier: Apache-2.0
"""From a chip's configuration to a bitstream."""

import hashlib
import json
import re
import time
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any

from amaranth.lib.wiring import Component

from backspike.fpga.boards import Board
from backspike.fpga.ecp5.floorplan import GRIDS, put_places
from backspike.fpga.ecp5.late_reset import put_reset
from backspike.fpga.flow.fit import check_fit, count_modules, explain_failure
from backspike.fpga.flow.flow_report import read_nextpnr, slowest_clock, summary
from backspike.fpga.flow.pll import pll_setting
from backspike.fpga.flow.tools import find_tool, last_words, run_tool, yosys_arguments
from backspike.fpga.flow.top import Top, clock_frequency, oscillator_frequency
from backspike.hw.verilog.emit import TILE_MODULE, to_verilog
from backspike.spec.config import ChipConfig

__all__ = ["build_chip", "build_design"]

_STAGES = {"yosys": "synthesis", "nextpnr": "place and route"}  # others: packing
_PROGRESS = {
    "yosys": ("top.rpt", r"^\d[\d.]*\. Executing (.*?)\.?$"),
    "nextpnr": (
        "top.tim",
        r"^Info: +((?:at|iter|Initial|Running|Routing|Packing|Placed|Promoting|\d+ \||'.*' is routed).*)$",
    ),
}
_PASS = re.compile(r"iter=(\d+) .*overused=(\d+)")
_PATIENCE = 50
"""Passes of the router without progress, until it is ended if it has come back far from its best."""


def build_chip(
    board: Board,
    config: ChipConfig,
    folder: Path | str,
    *,
    clock: float | None = None,
    baud: int | None = None,
    seed: int = 1,
    say: Callable[[str], object] = print,
) -> dict[str, Any]:
    """A bitstream of a chip behind a serial link.

    Parameters
    ----------
    board : Board
    config : ChipConfig
    folder : Path or str
        For everything that is written; ``report.json`` among it.
    clock : float or None
        MHz, reached from below if the PLL cannot make just that; None: as the board says.
    baud : int or None
        Symbols per second of the serial port; None: as the board says.
    seed : int
        Of the placement.
    say : callable
        Called with each line of progress.

    Returns
    -------
    dict[str, Any]
        The report, as in ``report.json``.

    Raises
    ------
    ValueError
        The chip does not fit the board, is not routed, or does not reach the clock.
    RuntimeError
        A tool failed.
    ModuleNotFoundError
        A tool is missing.
    """
    from backspike.hw.chip import Tile  # noqa: PLC0415 - slow to load, and not needed to list boards
    from backspike.hw.serial import UartChip  # noqa: PLC0415

    start = time.monotonic()
    frequency = clock_frequency(board, clock)
    baud = board.baud if baud is None else baud
    say(
        f"{board.title} ({board.device}): {config.columns} x {config.rows} cores of {config.lanes} lane(s), "
        f"{float(frequency):g} MHz, {baud:,} baud"
    )
    say("generating the circuit")
    tile = to_verilog(Tile(config), TILE_MODULE, reset=not board.family.late_reset)
    link = UartChip(config, clock_hz=round(frequency * 10**6), baud=baud, tile_module=TILE_MODULE)
    return build_design(
        board,
        link,
        folder,
        modules={TILE_MODULE: tile},
        frequency=frequency,
        seed=seed,
        core=TILE_MODULE,
        cores=config.cores,
        say=say,
        start=start,
        about={"cores": config.cores, "lanes": config.lanes, "baud": baud, "chip": config.to_dict()},
    )


def build_design(
    board: Board,
    link: Component,
    folder: Path | str,
    *,
    frequency: Fraction | int,
    modules: dict[str, str] | None = None,
    seed: int = 1,
    core: str | None = None,
    cores: int = 0,
    about: dict[str, Any] | None = None,
    say: Callable[[str], object] = print,
    start: float | None = None,
) -> dict[str, Any]:
    """A bitstream of a component with a serial port and three LEDs, as ``Top`` takes it; see ``build_chip``.

    Parameters
    ----------
    link : Component
        The component.
    frequency : Fraction or int
        MHz, one that the board's clock can have.
    modules : dict[str, str] or None
        ``{name: Verilog text}`` of what the component instantiates; each is synthesised once.
    core, cores
        One of these modules, and how often it is there; for places, and advice if they do not fit. If the board's
        family has ``late_reset``, its text has no reset.
    about : dict[str, Any] or None
        What to add to the report.
    start : float or None
        ``time.monotonic()`` when the work began.
    """
    start = time.monotonic() if start is None else start
    folder = Path(folder)
    family = board.family
    tools = {}
    commands = _prepare(board, link, folder, modules or {}, frequency, seed)
    for name, _ in commands:
        tools[name] = find_tool(name)
        say(f"tool: {tools[name]}")
    seconds = {"generation": time.monotonic() - start}
    needs, one = None, None
    for name, arguments in commands:
        stage = _STAGES.get(name.split("-")[0], "packing")
        further = family.placing(needs, board.resources) if stage == "place and route" else ()
        say(stage)
        log = f"{name}.log"
        code, seconds[stage] = run_tool(
            tools[name],
            _arguments(tools[name], [*arguments, *further]),
            folder,
            log if name != "yosys" else "yosys.out",
            progress=_PROGRESS.get(name.split("-")[0]),
            say=_until_hopeless(say),
        )
        if name == "yosys":
            needs, one = _synthesised(code, folder, family, core)
            check_fit(board, needs, core=one, cores=cores)
            _complete(folder / family.netlist, board, core)
        elif code and stage == "place and route":
            text = (folder / log).read_text(encoding="utf-8")
            raise explain_failure(board, text, needs=needs, core=one, cores=cores)
        elif code:
            raise RuntimeError(f"{name} failed: {last_words(folder / log)}")
        elif stage == "place and route":
            text = (folder / "top.report.json").read_text(encoding="utf-8")
            clocks, used = read_nextpnr(text, family)
            _check_timing(board, clocks, frequency)
    bitstream = folder / family.bitstream
    report = {
        "board": board.name,
        "device": board.device,
        **(about or {}),
        "clock_mhz": round(float(frequency), 6),
        "seed": seed,
        "resources": {
            name: {"used": used.get(name, needs[name]), "available": available}
            for name, available in board.resources.resources().items()
        },
        "core": one,
        "clocks": clocks,
        "bitstream": {
            "file": str(bitstream),
            "bytes": bitstream.stat().st_size,
            "sha256": hashlib.sha256(bitstream.read_bytes()).hexdigest(),
        },
        "tools": [str(tool) for tool in tools.values()],
        "seconds": {name: round(value, 1) for name, value in {**seconds, "total": time.monotonic() - start}.items()},
    }
    (folder / "report.json").write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")
    say("\n" + summary(report))
    return report


def _prepare(board, link, folder, modules, frequency, seed):
    """Write the build plan of Amaranth's platform; returns its commands, ``[(tool, arguments)]``."""
    platform = board.platform()
    for name, text in modules.items():
        platform.add_file(f"{name}.v", text)
    overrides = board.family.overrides(keep=modules, clock=frequency, seed=seed)
    plan = platform.build(Top(board, link, frequency), name="top", do_build=False, **overrides)
    folder.mkdir(parents=True, exist_ok=True)
    for name in ("top.stat", "top.report.json", board.family.bitstream, "report.json"):
        (folder / name).unlink(missing_ok=True)  # of an earlier build, which must not be taken for this one's
    plan.extract(folder)
    listed = json.loads(plan.files["build_top.json"])["commands"]
    return [_modern(*command) for command in listed if command[0] not in board.skip]


def _modern(name, *arguments):
    """Amaranth's call of the retired nextpnr-gowin, for its successor; other calls as they are."""
    arguments = [argument for argument in arguments if argument != "--quiet"]  # what it says is shown as progress
    if name != "nextpnr-gowin":
        return name, arguments
    changed = []
    for argument in arguments:
        if argument in ("--family", "--cst"):
            changed.append("--vopt")
            option = argument.removeprefix("--")
        elif changed[-1:] == ["--vopt"]:
            changed.append(f"{option}={argument}")
        else:
            changed.append(argument)
    return "nextpnr-himbaechel", changed


def _arguments(tool, arguments):
    if tool.name != "yosys":
        return arguments
    return yosys_arguments(tool, arguments[arguments.index("-l") + 1], arguments[-1])


def _until_hopeless(say):
    """``say``, which raises ValueError if a line tells that the router will not come to its end by itself.

    Past the point where detours take more wires than they free, it would go on for a thousand passes.
    """
    best, when = float("inf"), 0

    def watched(line):
        nonlocal best, when
        say(line)
        found = _PASS.search(line)
        if not found:
            return
        number, overused = int(found[1]), int(found[2])
        if overused < best:
            best, when = overused, number
        elif number > when + _PATIENCE and overused > 2 * best + 100:
            raise ValueError(
                f"the design was not routed: {best:,} wires were in use twice in pass {when} of the "
                f"router, and {overused:,} in pass {number}; fewer cores would be, as may be another seed"
            )

    return watched


def _synthesised(code, folder, family, core):
    """What the design and one core need."""
    if code:
        raise RuntimeError(f"synthesis failed: {last_words(folder / 'top.rpt', folder / 'yosys.out')}")
    counted = count_modules((folder / "top.stat").read_text(encoding="utf-8"), family)
    return counted["top"], counted.get(core)


def _complete(path, board, core):
    """Put into a netlist what Yosys and nextpnr are not told otherwise: settings, reset and places of the cores."""
    grid, family = GRIDS.get(board.device), board.family
    if not (family.settings or family.late_reset or grid):
        return
    netlist = json.loads(path.read_text(encoding="utf-8"))
    netlist["modules"]["top"]["settings"] = family.settings
    if core and family.late_reset:
        put_reset(netlist, core)
    if core and grid:
        put_places(netlist, core, grid)
    path.write_text(json.dumps(netlist), encoding="utf-8")


def _check_timing(board, clocks, frequency):
    worst = slowest_clock(clocks)
    if worst is None or worst[0] >= worst[1]:
        return
    try:
        possible = float(pll_setting(board.resources.family, oscillator_frequency(board.platform()), worst[0]).output)
        advice = f"{possible:.2f} MHz is possible with this board's PLL"
    except ValueError:
        advice = "this board's PLL has no clock that slow"
    raise ValueError(
        f"the clock must be at most {worst[0]:.1f} MHz, not {float(frequency):g}, for the timing of this "
        f"design; {advice}, as may be another seed of the placement"
    )
