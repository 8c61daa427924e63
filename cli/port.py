# SPDX-License-Identifier: Apache-2.0
"""The serial port of a chip, which ``backspike train`` and ``backspike evaluate`` have in common."""

from argparse import ArgumentParser, Namespace
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from backspike.cli.options import positive, seconds
from backspike.host.driver.operation import Operation
from backspike.host.link.arq import LinkError
from backspike.host.training.chip_group import ChipGroup
from backspike.host.training.chip_session import Chip, ChipFault

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


class _PortChip:
    """A ``Chip`` whose operations have the command's patience."""

    def __init__(self, chip: Any, timeout: float) -> None:
        self.config, self._chip, self._timeout = chip.config, chip, timeout

    def run(self, operation: Operation) -> Any:
        return self._chip.run(operation, timeout=self._timeout)


@contextmanager
def chips_on_ports(arguments: Namespace) -> Iterator[Chip | ChipGroup]:
    """The chip on the serial port, or the group of those on several.

    Raises
    ------
    ValueError
        A port is given twice.
    FileNotFoundError
        There is no such port.
    ChipFault
        No chip answers, or another protocol.
    ModuleNotFoundError
        Pyserial is missing.
    """
    from backspike.host.link.serial_port import open_chip  # noqa: PLC0415 - slow, and not needed for --help

    for port in arguments.port:
        if "/" in port and not Path(port).exists():
            raise FileNotFoundError(f"{port} does not exist: no such serial port")
        if arguments.port.count(port) > 1:
            raise ValueError(f"port must be given once for each chip, not twice {port!r}")
    with ExitStack() as stack:
        chips = []
        for port in arguments.port:
            try:
                chip = stack.enter_context(
                    open_chip(port, arguments.baud, timeout=arguments.timeout, resend=arguments.resend)
                )
            except (LinkError, TimeoutError) as error:
                raise ChipFault(str(error), lost=True) from error
            except RuntimeError as error:
                raise ModuleNotFoundError(str(error)) from error
            chips.append(_PortChip(chip, arguments.timeout))
        yield chips[0] if len(chips) == 1 else ChipGroup(chips)


@contextmanager
def chip_on_port(arguments: Namespace) -> Iterator[Chip]:
    """The chip on the one serial port; as ``chips_on_ports``."""
    if len(arguments.port) > 1:
        raise ValueError(f"port must be given once, not {len(arguments.port)} times")
    with chips_on_ports(arguments) as chip:
        assert not isinstance(chip, ChipGroup), "of one port"
        yield chip
