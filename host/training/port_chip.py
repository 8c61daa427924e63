# SPDX-License-Identifier: Apache-2.0
"""The chips on serial ports, for a training: operations have a limit of time, problems are ``ChipFault``."""

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from backspike.host.driver.operation import Operation
from backspike.host.link.arq import LinkError
from backspike.host.training.chip_group import ChipGroup
from backspike.host.training.chip_session import Chip, ChipFault

__all__ = ["check_ports", "chip_on_port", "chips_on_ports"]


class _PortChip:
    """A ``Chip`` whose operations have a limit of time."""

    def __init__(self, chip: Any, timeout: float) -> None:
        self.config, self._chip, self._timeout = chip.config, chip, timeout

    def run(self, operation: Operation) -> Any:
        return self._chip.run(operation, timeout=self._timeout)


def check_ports(ports: Sequence[str]) -> None:
    """Refuse what can be no serial port, without opening any.

    Raises
    ------
    FileNotFoundError
        There is no such port.
    ValueError
        It is a file or a folder, or is given twice.
    """
    for port in ports:
        path = Path(port)
        if "/" in port and not path.exists():
            raise FileNotFoundError(f"{port} does not exist: no such serial port")
        if path.exists() and not path.is_char_device():
            raise ValueError(f"port must be a serial port, such as /dev/ttyUSB0, not the file or folder {port!r}")
        if ports.count(port) > 1:
            raise ValueError(f"port must be given once for each chip, not twice {port!r}")


@contextmanager
def chips_on_ports(ports: Sequence[str], baud: int, *, timeout: float, resend: float) -> Iterator[Chip | ChipGroup]:
    """The chip on a serial port, or the group of those on several, as for ``open_chip``.

    ``timeout`` holds for each operation, too.

    Raises
    ------
    ValueError, FileNotFoundError
        See ``check_ports``.
    ChipFault
        No chip answers, or another protocol.
    ModuleNotFoundError
        Pyserial is missing.
    """
    from backspike.host.link.serial_port import open_chip  # noqa: PLC0415 - slow, and not needed for --help

    check_ports(ports)
    with ExitStack() as stack:
        chips = []
        for port in ports:
            try:
                chip = stack.enter_context(open_chip(port, baud, timeout=timeout, resend=resend))
            except (LinkError, TimeoutError) as error:
                raise ChipFault(str(error), lost=True) from error
            except RuntimeError as error:
                raise ModuleNotFoundError(str(error)) from error
            chips.append(_PortChip(chip, timeout))
        yield chips[0] if len(chips) == 1 else ChipGroup(chips)


@contextmanager
def chip_on_port(port: str, baud: int, *, timeout: float, resend: float) -> Iterator[Chip]:
    """The chip on one serial port; as ``chips_on_ports``."""
    with chips_on_ports([port], baud, timeout=timeout, resend=resend) as chip:
        assert not isinstance(chip, ChipGroup), "of one port"
        yield chip
