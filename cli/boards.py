# SPDX-License-Identifier: Apache-2.0
"""``backspike boards``: the FPGA boards, and what has been built for them."""

from argparse import ArgumentParser, Namespace

__all__ = ["DESCRIPTION", "EXTRA", "add_options", "run"]

DESCRIPTION = "List the FPGA boards that a bitstream can be made for, with the largest chip that has been built."
EXTRA = "fpga"


def add_options(parser: ArgumentParser) -> None:
    """The command has no options."""


def run(arguments: Namespace) -> int:
    """Print the list; returns the exit code."""
    from backspike.fpga.flow.build_log import board_rows, read_built  # noqa: PLC0415 - --help works without the extra
    from backspike.fpga.flow.flow_report import text_table  # noqa: PLC0415

    print(text_table(*board_rows(read_built())))
    return 0
