# SPDX-License-Identifier: Apache-2.0
"""The commands ``backspike boards``, ``bitstream`` and ``synth``."""

import argparse
from pathlib import Path

from backspike.spec.config import ChipConfig, mesh_shape

__all__ = ["add_commands"]


def add_commands(commands, fields):
    """Add the commands to the parser of the program.

    Parameters
    ----------
    commands: what ``add_subparsers`` returned
    fields: sizes of ``ChipConfig`` that are options
    """
    chip = argparse.ArgumentParser(add_help=False)
    chip.add_argument(
        "--board",
        metavar="NAME",
        default="ulx3s_85f",
        help="one of those that 'backspike boards' lists (default %(default)s)",
    )
    chip.add_argument("--lanes", type=int, metavar="N", help="lanes of each engine: 1, 2, 4 or 8 (default 1)")
    chip.add_argument("--steps", type=int, metavar="N", help="largest number of time steps (default 4)")
    chip.add_argument(
        "--dense-only",
        type=int,
        choices=(0, 1),
        help="1: smaller engines, for dense layers only; 0: others too (default: that of the board)",
    )
    chip.add_argument(
        "--chain",
        type=int,
        choices=(0, 1),
        help="1: a chain of cores, with small routers; 0: a mesh (default: that of the board)",
    )
    for name in fields:
        chip.add_argument(
            f"--{name.replace('_', '-')}",
            type=int,
            metavar="N",
            help=f"{name.replace('_', ' ')} per core (default: that of the board)",
        )

    boards = commands.add_parser(
        "boards",
        help="list the FPGA boards",
        description="List the FPGA boards that a bitstream can be made for, with the largest chip that has been built.",
    )
    boards.set_defaults(run=_with_extra(_boards))

    bitstream = commands.add_parser(
        "bitstream",
        parents=[chip],
        help="turn a chip into a bitstream for an FPGA board",
        description="Generate a chip with a serial link, synthesise it, place and route it, and pack the bitstream.",
    )
    bitstream.add_argument(
        "--cores", type=int, metavar="N", help="cores, in the most nearly square mesh (default: that of the board)"
    )
    bitstream.add_argument("--clock", type=float, metavar="MHZ", help="clock of the chip (default: that of the board)")
    bitstream.add_argument("--baud", type=int, metavar="N", help="of the serial port (default: that of the board)")
    bitstream.add_argument("--seed", type=int, default=1, metavar="N", help="of the placement (default 1)")
    bitstream.add_argument(
        "--record", action="store_true", help="add the result to what has been built: fpga/built.json and docs/fpga.md"
    )
    bitstream.add_argument("--output", type=Path, metavar="DIR", help="default build/fpga/BOARD")
    bitstream.set_defaults(run=_with_extra(_bitstream), fields=fields)

    synth = commands.add_parser(
        "synth",
        parents=[chip],
        help="area and clock of a chip's units",
        description="Synthesise units of a chip: all of them, without their clocks, or those that are named, alone.",
    )
    synth.add_argument(
        "--unit",
        metavar="NAMES",
        help="paths of units or ends of paths, joined by commas, such as router,core.forward (default: all units)",
    )
    synth.add_argument("--output", type=Path, default=Path("build/synth"), metavar="DIR", help="default %(default)s")
    synth.set_defaults(run=_with_extra(_synth), fields=fields)


def _with_extra(run):
    """A command that says how to get the packages that it needs."""

    def checked(arguments):
        try:
            return run(arguments)
        except ModuleNotFoundError as error:
            if "extra" in str(error):
                raise
            raise ModuleNotFoundError(f"{error.name} is missing; install the package with its extra 'fpga'") from error

    return checked


def _configuration(board, arguments, cores):
    columns, rows = mesh_shape(cores)
    names = ("lanes", "steps", *arguments.fields)
    given = {name: getattr(arguments, name) for name in names if getattr(arguments, name) is not None}
    flags = {name: getattr(arguments, name) for name in ("dense_only", "chain")}
    given |= {name: bool(value) for name, value in flags.items() if value is not None}
    return ChipConfig(columns=columns, rows=rows, **{**board.chip, **given})


def _boards(arguments):
    from backspike.fpga.flow.build_log import board_rows, read_built  # noqa: PLC0415 - each command loads only what it needs
    from backspike.fpga.flow.flow_report import text_table  # noqa: PLC0415

    print(text_table(*board_rows(read_built())))
    return 0


def _bitstream(arguments):
    from backspike.fpga.boards import board_named  # noqa: PLC0415
    from backspike.fpga.flow.build import build_chip  # noqa: PLC0415
    from backspike.fpga.flow.build_log import record  # noqa: PLC0415

    if arguments.clock is not None and not arguments.clock > 0:
        raise ValueError(f"clock must be more than 0, not {arguments.clock:g}")
    if arguments.seed < 0:
        raise ValueError(f"seed must be at least 0, not {arguments.seed}")
    board = board_named(arguments.board)
    config = _configuration(board, arguments, board.cores if arguments.cores is None else arguments.cores)
    folder = arguments.output or Path("build") / "fpga" / board.name
    report = build_chip(
        board, config, folder, clock=arguments.clock, baud=arguments.baud, seed=arguments.seed, say=_say
    )
    if arguments.record:
        record(report)
    print(f"report: {folder / 'report.json'}")
    return 0


def _synth(arguments):
    from backspike.fpga.boards import board_named  # noqa: PLC0415
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
    config = _configuration(board, arguments, 1)
    family, folder = board.family, arguments.output
    if arguments.unit:
        units, text = unit_sources(config, family)
        paths = [find_unit(units, unit) for unit in arguments.unit.split(",")]
        rows = [synthesise_unit(path, units[path], text, family, folder, say=_say) for path in paths]
    else:
        rows = synthesise_all(config, family, folder, say=_say)
    write_rows(rows, folder / "units.json", config)
    print(text_table(*table_rows(rows)))
    print(f"report: {folder / 'units.json'}")
    return 0


def _say(line):
    print(line, flush=True)
