# SPDX-License-Identifier: Apache-2.0
"""``backspike bitstream``: a chip for an FPGA board."""

from argparse import ArgumentParser, Namespace
from pathlib import Path

from backspike.cli.board_options import add_board_options, board_chip, say
from backspike.cli.options import add_output_option
from backspike.cli.output import output_folder

__all__ = ["DESCRIPTION", "EXTRA", "add_options", "run"]

DESCRIPTION = "Generate a chip with a serial link, synthesise it, place and route it, and pack the bitstream."
EXTRA = "fpga"


def add_options(parser: ArgumentParser) -> None:
    """The command's options."""
    add_board_options(parser, cores=True)
    parser.add_argument("--clock", type=float, metavar="MHZ", help="clock of the chip (default that of the board)")
    parser.add_argument("--baud", type=int, metavar="N", help="of the serial port (default that of the board)")
    parser.add_argument("--seed", type=int, default=1, metavar="N", help="of the placement (default 1)")
    parser.add_argument(
        "--record", action="store_true", help="add the result to what has been built: fpga/built.json and docs/fpga.md"
    )
    add_output_option(parser, None, "default build/fpga/BOARD")


def run(arguments: Namespace) -> int:
    """Build; returns the exit code."""
    from backspike.fpga.boards import board_named  # noqa: PLC0415 - --help works without the extra
    from backspike.fpga.flow.build import build_chip  # noqa: PLC0415
    from backspike.fpga.flow.build_log import record  # noqa: PLC0415

    if arguments.clock is not None and not 0 < arguments.clock < float("inf"):
        raise ValueError(f"clock must be more than 0, not {arguments.clock:g}")
    if arguments.seed < 0:
        raise ValueError(f"seed must be at least 0, not {arguments.seed}")
    board = board_named(arguments.board)
    config = board_chip(board, arguments, board.cores if arguments.cores is None else arguments.cores)
    folder = arguments.output or Path("build") / "fpga" / board.name
    with output_folder(folder):
        report = build_chip(
            board, config, folder, clock=arguments.clock, baud=arguments.baud, seed=arguments.seed, say=say
        )
        if arguments.record:
            record(report)
    print(f"report: {folder / 'report.json'}")
    return 0
