# SPDX-License-Identifier: Apache-2.0
"""The chip of a board, which ``backspike bitstream`` and ``backspike synth`` have in common."""

from argparse import ArgumentParser, Namespace
from typing import Any

from backspike.cli.options import add_chip_options, given_chip
from backspike.spec.config import ChipConfig, mesh_shape

__all__ = ["add_board_options", "board_chip", "say"]


def add_board_options(parser: ArgumentParser, *, cores: bool) -> None:
    """Options of the board and its chip; ``cores``: whether their number is one."""
    parser.add_argument(
        "--board",
        metavar="NAME",
        default="ulx3s_85f",
        help="one of those that 'backspike boards' lists (default %(default)s)",
    )
    add_chip_options(parser, board=True, cores=cores)


def board_chip(board: Any, arguments: Namespace, cores: int) -> ChipConfig:
    """The chip that the options ask for on a ``Board``."""
    columns, rows = mesh_shape(cores)
    return ChipConfig(columns=columns, rows=rows, **board.chip | given_chip(arguments, "lanes", "steps"))


def say(line: str) -> None:
    """A line that is seen at once."""
    print(line, flush=True)
