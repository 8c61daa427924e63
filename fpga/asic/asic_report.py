# SPDX-License-Identifier: Apache-2.0
"""What units are in the cells of a library, as rows of a table and as JSON."""

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

from backspike.fpga.asic.library import Library
from backspike.fpga.asic.mapping import Mapped
from backspike.fpga.asic.switching import Switching
from backspike.fpga.asic.toggles import STREAMS
from backspike.spec.config import ChipConfig

__all__ = ["stimulus_line", "table_rows", "unit_row", "write_asic_report"]

_HEAD = (
    "unit",
    "area",
    "gates",
    "flip-flops",
    "their area",
    "memory bits",
    "delay ns",
    "data pJ",
    "glitches pJ",
    "clock pJ",
    "leakage uW",
)


def unit_row(unit: str, mapped: Mapped, switching: Switching | None) -> dict[str, Any]:
    """A unit as JSON has it: areas in the unit of the file, seconds, joules in a clock cycle, watts."""
    return {
        "unit": unit,
        "area": mapped.area,
        "gates": mapped.gates,
        "flip_flops": mapped.flip_flops,
        "flip_flop_area": mapped.flip_flop_area,
        "delay": mapped.delay,
        "memory_bits": mapped.memory_bits,
        "memories": [asdict(memory) for memory in mapped.netlist.memories],
        "cells": mapped.cells,
        "switching": None if switching is None else asdict(switching) | {"total": switching.total},
    }


def table_rows(rows: list[dict[str, Any]]) -> tuple[list[str], list[list[str]]]:
    """Head and rows of a table; energies are those of a clock cycle, so that a picojoule is a microwatt a megahertz."""
    return list(_HEAD), [_cells(row) for row in rows]


def _cells(row):
    switching = row["switching"] or {}

    def scaled(value, factor, digits):
        return "-" if value is None else f"{value * factor:,.{digits}f}"

    return [
        row["unit"],
        f"{row['area']:,.0f}",
        f"{row['gates']:,.0f}",
        f"{row['flip_flops']:,}",
        f"{row['flip_flop_area'] / row['area']:.0%}" if row["area"] else "-",
        f"{row['memory_bits']:,}",
        scaled(row["delay"], 1e9, 2),
        *(scaled(switching.get(name), 1e12, 1) for name in ("data", "glitches", "clock")),
        scaled(switching.get("leakage"), 1e6, 3),
    ]


def stimulus_line(cycles: int, hold: dict[str, int]) -> str:
    """What the toggles come from, in a sentence."""
    held = f"; held: {', '.join(f'{name} = {value}' for name, value in hold.items())}" if hold else ""
    return f"toggles of {cycles} cycles in {STREAMS} streams: all inputs and read data random in every cycle{held}"


def write_asic_report(
    path: Path | str, config: ChipConfig, library: Library, rows: list[dict[str, Any]], options: dict[str, Any]
) -> None:
    """The rows as JSON, with the chip, the library, and the ``options`` that they depend on."""
    found = {
        "chip": config.to_dict(),
        "library": {"name": library.name, "voltage": library.voltage, "nand_area": library.nand.area},
        "options": options,
        "units": rows,
    }
    Path(path).write_text(json.dumps(found, indent=2) + "\n", encoding="utf-8")
