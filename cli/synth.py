# SPDX-License-Identifier: Apache-2.0
"""``backspike synth``: what the units of a chip cost on an FPGA."""

from argparse import ArgumentParser, Namespace

from backspike.cli.board_options import add_board_options, board_chip, say
from backspike.cli.options import add_output_option
from backspike.cli.output import output_folder

__all__ = ["DESCRIPTION", "EXTRA", "add_options", "run"]

DESCRIPTION = "Synthesise units of a chip: all of them, without their clocks, or those that are named, alone."
EXTRA = "fpga"


def add_options(parser: ArgumentParser) -> None:
    """The command's options."""
    add_board_options(parser, cores=False)
    parser.add_argument(
        "--unit",
        metavar="NAMES",
        help="paths of units or ends of paths, joined by commas, such as router,core.forward (default all units)",
    )
    add_output_option(parser, "build/synth")


def run(arguments: Namespace) -> int:
    """Synthesise; returns the exit code."""
    from backspike.fpga.boards import board_named  # noqa: PLC0415 - --help works without the extra
    from backspike.fpga.flow.flow_report import text_table  # noqa: PLC0415
    from backspike.fpga.flow.unit_area import (  # noqa: PLC0415
        find_unit,
        synthesise_all,
        synthesise_unit,
        table_rows,
        unit_sources,
        write_rows,
    )

    board = board_named(arguments.board)
    config = board_chip(board, arguments, 1)
    family, folder = board.family, arguments.output
    with output_folder(folder):
        if arguments.unit:
            units, text = unit_sources(config, late_reset=family.late_reset)
            paths = [find_unit(units, unit) for unit in arguments.unit.split(",")]
            rows = [synthesise_unit(path, units[path], text, family, folder, say=say) for path in paths]
        else:
            rows = synthesise_all(config, family, folder, say=say)
        write_rows(rows, folder / "units.json", config)
    print(text_table(*table_rows(rows)))
    print(f"report: {folder / 'units.json'}")
    return 0
