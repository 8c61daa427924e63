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
from backspike.host.training.chip_session import Chip, ChipFault

__all__ = ["add_port_options", "chip_on_port"]


def add_port_options(parser: ArgumentParser) -> None:
    """Options of the port, of its patience, and of the comparison."""
    parser.add_argument("--port", required=True, metavar="DEVICE", help="serial port of the chip, such as /dev/ttyUSB0")
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
def chip_on_port(arguments: Namespace) -> Iterator[Chip]:
    """The chip on the serial port.

    Raises
    ------
    FileNotFoundError
        There is no such port.
    ChipFault
        No chip answers, or another protocol.
    ModuleNotFoundError
        Pyserial is missing.
    """
    from backspike.host.link.serial_port import open_chip  # noqa: PLC0415 - slow, and not needed for --help

    if "/" in arguments.port and not Path(arguments.port).exists():
        raise FileNotFoundError(f"{arguments.port} does not exist: no such serial port")
    with ExitStack() as stack:
        try:
            chip = stack.enter_context(
                open_chip(arguments.port, arguments.baud, timeout=arguments.timeout, resend=arguments.resend)
            )
        except (LinkError, TimeoutError) as error:
            raise ChipFault(str(error), lost=True) from error
        except RuntimeError as error:
            raise ModuleNotFoundError(str(error)) from error
        yield _PortChip(chip, arguments.timeout)
