# SPDX-License-Identifier: Apache-2.0
"""The serial port of a chip, which ``backspike train`` and ``backspike evaluate`` have in common."""

from argparse import ArgumentParser, Namespace
from contextlib import AbstractContextManager

from backspike.cli.options import positive, seconds
from backspike.host.training import port_chip
from backspike.host.training.chip_group import ChipGroup
from backspike.host.training.chip_session import Chip

__all__ = ["add_port_options", "chip_on_port", "chips_on_ports"]


def add_port_options(parser: ArgumentParser, *, several: bool = False) -> None:
    """Options of the port, or of several, of its patience, and of the comparison."""
    text = "serial port of the chip, such as /dev/ttyUSB0"
    parser.add_argument(
        "--port",
        required=True,
        action="append",
        metavar="DEVICE",
        help=f"{text}; given several times, each chip trains a part of every batch" if several else text,
    )
    parser.add_argument(
        "--baud",
        type=positive,
        default=1_000_000,
        metavar="N",
        help="symbols per second, as the chip was built for (default %(default)s)",
    )
    parser.add_argument(
        "--timeout",
        type=seconds,
        default=30.0,
        metavar="S",
        help="seconds after which a silent chip is given up (default %(default)s)",
    )
    parser.add_argument(
        "--resend",
        type=seconds,
        default=0.1,
        metavar="S",
        help="seconds without an answer until something is sent again (default %(default)s)",
    )
    parser.add_argument(
        "--compare", action="store_true", help="run the golden model beside, and stop at the first difference"
    )


def chips_on_ports(arguments: Namespace) -> AbstractContextManager[Chip | ChipGroup]:
    """The chip on the serial port, or the group of those on several."""
    return port_chip.chips_on_ports(arguments.port, arguments.baud, timeout=arguments.timeout, resend=arguments.resend)


def chip_on_port(arguments: Namespace) -> AbstractContextManager[Chip]:
    """The chip on the one serial port; ``ValueError`` where there are several."""
    if len(arguments.port) > 1:
        raise ValueError(f"port must be given once, not {len(arguments.port)} times")
    (port,) = arguments.port
    return port_chip.chip_on_port(port, arguments.baud, timeout=arguments.timeout, resend=arguments.resend)
