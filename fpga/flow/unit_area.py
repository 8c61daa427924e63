# SPDX-License-Identifier: Apache-2.0
"""What each unit of a chip costs: area of the modules of a tile and of the link, and the clock of a unit alone."""

import json
import re
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from backspike.fpga.flow.devices import RESOURCES
from backspike.fpga.flow.families import Family
from backspike.fpga.flow.fit import count_modules
from backspike.fpga.flow.flow_report import read_nextpnr, slowest_clock
from backspike.fpga.flow.tools import find_tool, last_words, run_tool, run_yosys
from backspike.hw.verilog.emit import TILE_MODULE, to_verilog
from backspike.hw.verilog.ports import CLOCK_PORTS
from backspike.spec.config import ChipConfig

__all__ = ["find_unit", "synthesise_all", "synthesise_unit", "table_rows", "unit_sources", "write_rows"]

_CHIP = "backspike_uart_chip"
_ROOTS = {TILE_MODULE: "tile", _CHIP: "chip"}
_MODULE = re.compile(r"^module (?:\\(\S+)|(\w+)) ?\(", re.MULTILINE)
_PORT = re.compile(r"^  (input|output) (?:\[(\d+):0\] )?(\\\S+|\w+) ?;", re.MULTILINE)


def unit_sources(config: ChipConfig, *, late_reset: bool = False) -> tuple[dict[str, str], str]:
    """All units of a chip with a serial link.

    A unit's name is its path: ``tile`` is a core with its router, ``chip`` the tiles and what is around them.

    Parameters
    ----------
    config : ChipConfig
    late_reset : bool
        Whether a tile's registers have no reset, as when a build for a family with ``late_reset`` synthesises it.

    Returns
    -------
    units : dict[str, str]
        ``{path: name of the module}``.
    text : str
        The Verilog of all modules.
    """
    from backspike.hw.chip import Tile  # noqa: PLC0415 - slow to load
    from backspike.hw.serial import UartChip  # noqa: PLC0415

    chip = UartChip(config, clock_hz=50_000_000, baud=1_000_000, tile_module=TILE_MODULE)
    text = to_verilog(Tile(config), TILE_MODULE, reset=not late_reset) + to_verilog(chip, _CHIP)
    modules = [match[1] or match[2] for match in _MODULE.finditer(text)]
    return {_path(module): module for module in modules}, text


def find_unit(units: Iterable[str], unit: str) -> str:
    """The path of a unit that is named by it, or by its end.

    Raises
    ------
    ValueError
        There is none, or more than one.
    """
    ends = [path for path in units if path == unit or path.endswith(f".{unit}")]
    if unit in ends or len(ends) == 1:
        return unit if unit in ends else ends[0]
    if ends:
        raise ValueError(f"unit must be one of {', '.join(sorted(ends))}, not just {unit!r}")
    top = sorted({".".join(path.split(".")[:3]) for path in units})
    raise ValueError(f"unit must be a path or the end of one, such as {', '.join(top)}; there is no {unit!r}")


def synthesise_all(
    config: ChipConfig, family: Family, folder: Path | str, *, say: Callable[[str], object] = print
) -> list[dict[str, Any]]:
    """Area of every unit, in a synthesis that keeps all of them apart, and so needs somewhat more than a build.

    Parameters
    ----------
    config : ChipConfig
    family : Family
    folder : Path or str
        For everything that is written.
    say : callable
        Called with lines of progress.

    Returns
    -------
    list of dict
        ``{"unit": path, resource: amount, "mhz": None}``, each with what is inside, ``chip`` with all tiles.
    """
    units, text = unit_sources(config, late_reset=family.late_reset)
    counted = _synthesise(text, _CHIP, family, folder, options="-noflatten", say=say)
    rows = [{"unit": path, **counted[module], "mhz": None} for path, module in units.items() if module in counted]
    return sorted(rows, key=lambda row: row["unit"].split("."))


def synthesise_unit(
    path: str, module: str, text: str, family: Family, folder: Path | str, *, say: Callable[[str], object] = print
) -> dict[str, Any]:
    """Area of a unit, and its clock if the family's tools can tell, with registers at all of its ports.

    Parameters
    ----------
    path, module : str
        Of the unit.
    text : str
        The Verilog of all modules.
    other parameters, and the row that is returned
        As of ``synthesise_all``.
    """
    wrapper, bits = _wrapper(text, module)
    top = "unit"
    area = _synthesise(text + wrapper, top, family, folder, say=say)[top]
    area["ff"] -= bits  # those of the wrapper
    return {"unit": path, **area, "mhz": _clock(top, family, folder, say)}


def _path(module):
    root = next(root for root in _ROOTS if module == root or module.startswith(f"{root}."))
    return _ROOTS[root] + re.sub(r"\$\d+", "", module.removeprefix(root))  # Amaranth's, where names would clash


def _wrapper(text, module):
    """A Verilog module "unit" with registers around another, and the number of them."""
    body = text[re.search(rf"^module \\?{re.escape(module)} ?\(", text, re.MULTILINE).start() :]
    ports = _PORT.findall(body[: body.index("\nendmodule")])
    wires, connections, registers, bits = [], [], [], 0
    for index, (direction, high, port) in enumerate(ports):
        name = port.removeprefix("\\")
        if name in CLOCK_PORTS:
            connections.append(f".{name}({name})")
            continue
        bits += int(high or 0) + 1
        wires.append(
            f"  {direction} [{high or 0}:0] p{index}; (* keep *) reg [{high or 0}:0] r{index};"
            + f" wire [{high or 0}:0] w{index};"
        )
        connections.append(f".{port} (w{index})")
        registers.append(
            f"  assign w{index} = r{index}; always @(posedge clk) r{index} <= p{index};"
            if direction == "input"
            else f"  assign p{index} = r{index}; always @(posedge clk) r{index} <= w{index};"
        )
    names = ", ".join(["clk", "rst", *re.findall(r"(?<= )p\d+(?=;)", "\n".join(wires))])
    escaped = f"\\{module} " if "." in module else f"{module} "
    lines = [
        f"module unit({names});",
        "  input clk; input rst;",
        *wires,
        *registers,
        f"  {escaped}u({', '.join(connections)});",
        "endmodule",
    ]
    return "\n" + "\n".join(lines) + "\n", bits


def _synthesise(text, top, family, folder, *, options="", say):
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{top}.v").write_text(text, encoding="utf-8")
    before, first, after = family.script(top, further=options)
    lines = [
        f"read_verilog {top}.v",
        before,
        f"{family.synth.split()[0]} {first} -top {top}",
        after,
        f"write_json {top}.json",
    ]
    (folder / f"{top}.stat").unlink(missing_ok=True)
    tool, seconds = run_yosys(lines, folder, top)
    say(f"{tool}: {seconds:.0f} s")
    return count_modules((folder / f"{top}.stat").read_text(encoding="utf-8"), family)


def _clock(top, family, folder, say):
    """MHz after place and route; None if the tools of the family need pins, or the unit has no path to measure."""
    if family.unit_options is None:
        return None
    tool = find_tool("nextpnr-ecp5")
    arguments = [
        "--json",
        f"{top}.json",
        *family.unit_options,
        "--freq",
        "150",
        "--timing-allow-fail",
        "--report",
        f"{top}.report.json",
    ]
    code, seconds = run_tool(tool, arguments, folder, f"{top}.log")
    if code:
        raise RuntimeError(f"place and route failed: {last_words(Path(folder) / f'{top}.log')}")
    say(f"{tool}: {seconds:.0f} s")
    clocks, _ = read_nextpnr((Path(folder) / f"{top}.report.json").read_text(encoding="utf-8"), family)
    worst = slowest_clock(clocks)
    return None if worst is None else worst[0]


def table_rows(rows: list[dict[str, Any]]) -> tuple[list[str], list[list[str]]]:
    """Head and rows of a table; units are indented by their depth."""
    head = ["unit", *RESOURCES.values(), "MHz alone"]
    return head, [
        [row["unit"], *(f"{row[name]:,}" for name in RESOURCES), f"{row['mhz']:.0f}" if row["mhz"] else "-"]
        for row in rows
    ]


def write_rows(rows: list[dict[str, Any]], path: Path | str, config: ChipConfig) -> None:
    """The rows and the configuration as JSON."""
    Path(path).write_text(json.dumps({"chip": config.to_dict(), "units": rows}, indent=2) + "\n", encoding="utf-8")
