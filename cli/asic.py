# SPDX-License-Identifier: Apache-2.0
"""``backspike asic``: what units of a chip are in standard cells."""

import argparse
from argparse import ArgumentParser, Namespace
from pathlib import Path

from backspike.cli.board_options import say
from backspike.cli.options import add_chip_options, add_output_option, given_chip, positive
from backspike.cli.output import output_folder
from backspike.spec.checks import check_integer, check_number
from backspike.spec.config import ChipConfig

__all__ = ["DESCRIPTION", "EXTRA", "add_options", "run"]

DESCRIPTION = (
    "Area, delay and switching energy of units in the standard cells of a liberty file, by Yosys and ABC. Memories are "
    "counted apart, in bits. See docs/asic.md."
)
EXTRA = "asic"


def _held(text: str) -> dict[str, int]:
    """``NAME=VALUE`` joined by commas."""
    found = {}
    for part in text.split(","):
        name, _, value = part.rpartition("=")
        if not name or not value.isdecimal():
            raise argparse.ArgumentTypeError(
                f"must be ports and values joined by commas, such as valid=1, not {text!r}"
            )
        found[name] = int(value)
    return found


def add_options(parser: ArgumentParser) -> None:
    """The command's options."""
    parser.add_argument(
        "--liberty", type=Path, required=True, metavar="FILE", help="liberty file of the standard cells"
    )
    parser.add_argument(
        "--unit",
        default="tile",
        metavar="NAMES",
        help="paths of units or ends of paths, joined by commas, such as router,sums.lane_0 (default %(default)s)",
    )
    parser.add_argument(
        "--cycles",
        type=positive,
        metavar="N",
        help="simulate a unit with random inputs for N cycles, for its switching energy (default: not)",
    )
    parser.add_argument(
        "--hold",
        type=_held,
        default={},
        metavar="NAME=VALUE",
        help="input ports that keep a value in that simulation, joined by commas, such as valid=1",
    )
    parser.add_argument(
        "--wire",
        type=float,
        default=0.0,
        metavar="FF",
        help="capacitance of wires in femtofarads for each pin that they go to (default 0)",
    )
    parser.add_argument("--seed", type=int, default=1, metavar="N", help="of the random inputs (default %(default)s)")
    add_chip_options(parser, cores=False)
    add_output_option(parser, "build/asic")


def run(arguments: Namespace) -> int:
    """Map the units, and simulate them where that is asked for; returns the exit code."""
    from backspike.fpga.asic.asic_report import (  # noqa: PLC0415 - --help works without the extra
        stimulus_line,
        table_rows,
        unit_row,
        write_asic_report,
    )
    from backspike.fpga.asic.library import read_library  # noqa: PLC0415
    from backspike.fpga.asic.mapping import map_unit  # noqa: PLC0415
    from backspike.fpga.asic.switching import switching_energy  # noqa: PLC0415
    from backspike.fpga.asic.toggles import count_toggles  # noqa: PLC0415
    from backspike.fpga.flow.flow_report import text_table  # noqa: PLC0415
    from backspike.fpga.flow.unit_area import find_unit, unit_sources  # noqa: PLC0415

    check_number("wire", arguments.wire, 0)
    check_integer("seed", arguments.seed, 0)
    if arguments.hold and not arguments.cycles:
        raise ValueError("hold needs a simulation, such as --cycles=100")
    config = ChipConfig(columns=1, rows=1, **given_chip(arguments, "lanes", "steps"))
    library = read_library(arguments.liberty)
    rows = []
    with output_folder(arguments.output) as folder:
        units, text = unit_sources(config)
        for path in [find_unit(units, unit) for unit in arguments.unit.split(",")]:
            mapped = map_unit(units[path], text, library, folder / path, say=say)
            switching = None
            if arguments.cycles:
                toggles = count_toggles(
                    mapped.netlist, library, cycles=arguments.cycles, seed=arguments.seed, hold=arguments.hold
                )
                switching = switching_energy(mapped.netlist, library, toggles, wire=arguments.wire * 1e-15)
            rows.append(unit_row(path, mapped, switching))
        options = {name: getattr(arguments, name) for name in ("cycles", "hold", "wire", "seed")}
        write_asic_report(folder / "report.json", config, library, rows, options)
    print(f"{library.name}, {library.voltage:g} V; a gate is {library.nand.name}, area {library.nand.area:g}")
    print(text_table(*table_rows(rows)))
    if arguments.cycles:
        print(f"energy in a clock cycle; {stimulus_line(arguments.cycles, arguments.hold)}")
    print(f"report: {folder / 'report.json'}")
    return 0
