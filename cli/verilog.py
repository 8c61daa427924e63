# SPDX-License-Identifier: Apache-2.0
"""``backspike verilog``: a chip as Verilog."""

from argparse import ArgumentParser, Namespace

from backspike.cli.options import add_chip_options, add_output_option, given_chip
from backspike.cli.output import output_folder
from backspike.spec.config import ChipConfig, mesh_shape

__all__ = ["DESCRIPTION", "EXTRA", "add_options", "run"]

DESCRIPTION = "Write a chip as Verilog, with a JSON description beside it."
EXTRA = None


def add_options(parser: ArgumentParser) -> None:
    """The command's options."""
    add_chip_options(parser)
    add_output_option(parser, "build/verilog")


def run(arguments: Namespace) -> int:
    """Write the files; returns the exit code."""
    from backspike.hw.verilog.emit import emit_chip  # noqa: PLC0415 - slow, and not needed for --help

    columns, rows = mesh_shape(4 if arguments.cores is None else arguments.cores)
    config = ChipConfig(columns=columns, rows=rows, **given_chip(arguments, "lanes", "steps"))
    with output_folder(arguments.output):
        for path in emit_chip(config, arguments.output):
            print(f"{path} ({path.stat().st_size:,} bytes)")
    return 0
