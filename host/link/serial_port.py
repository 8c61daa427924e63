# SPDX-License-Identifier: Apache-2.0
"""A chip on a serial port: the driver's transport for boards.

with open_chip("/dev/ttyUSB0", 3_000_000) as chip:
    driver = Driver(compile_network(network, training, chip.config))
    chip.run(driver.load(weights))
"""

import contextlib
import time
from collections.abc import Callable
from types import ModuleType
from typing import Any, TypeVar

from backspike.host.driver.operation import Operation
from backspike.host.link.arq import Link, LinkError
from backspike.spec.checks import check_integer
from backspike.spec.config import ChipConfig

__all__ = ["LinkTimeoutError", "SerialChip", "open_chip"]

_Result = TypeVar("_Result")

_LOOK = 0.005  # seconds between two looks at the port at least, while nothing comes
_REOPEN = 0.2  # seconds between two attempts to open a port that has vanished
_AHEAD = 1 << 14  # bytes that wait in the link at most before the operation is asked for more


class LinkTimeoutError(LinkError, TimeoutError):
    """The chip has not answered in time."""


def _pyserial() -> ModuleType:
    try:
        import serial  # noqa: PLC0415 - optional
    except ImportError:
        raise RuntimeError("serial ports need the package pyserial: pip install 'backspike[fpga]'") from None
    return serial


def open_chip(port: str, baud: int, *, timeout: float = 10.0, resend: float = 0.1) -> "SerialChip":
    """Begin a session with the chip on a serial port. The chip is reset: whatever it held is lost.

    Parameters
    ----------
    port : str
        Name of the port, such as ``/dev/ttyUSB0``; names in ``/dev/serial/by-id`` outlast a reconnection.
    baud : int
        The rate for which the chip was built, in symbols per second.
    timeout : float
        Seconds until the chip must have answered.
    resend : float
        Seconds without an answer until something is sent again; more than the delay of the adapter and the host.

    Raises
    ------
    TypeError, ValueError
        ``baud`` is no integer from 1 on.
    RuntimeError
        pyserial is not installed.
    LinkTimeoutError
        Nothing answered, or there is no such port.
    LinkError
        What answered speaks another version of the protocol.
    """
    chip = SerialChip(port, check_integer("baud", baud, 1), resend=resend)
    try:
        chip.begin(timeout)
    except BaseException:
        chip.close()
        raise
    return chip


class SerialChip:
    """A session with a chip on a serial port; made by :func:`open_chip`.

    Bytes that are damaged or lost are sent again. Where the port vanishes, it is opened again when it is back, and the
    session goes on.

    Parameters
    ----------
    port, baud, resend
        As for ``open_chip``.
    """

    def __init__(self, port: str, baud: int, *, resend: float) -> None:
        self._serial = _pyserial()
        self._name, self._baud = port, baud
        self._port: Any = None  # of pyserial, which has no types
        self._problem: str | None = None
        self._link = Link(timeout=resend)
        self._opened = -1

    @property
    def config(self) -> ChipConfig:
        """The chip; ``LinkError`` before it has answered."""
        if self._link.config is None:
            raise LinkError(f"the chip on {self._name} has not answered yet")
        return self._link.config

    @property
    def reconnections(self) -> int:
        """How often the port was opened again."""
        return max(0, self._opened)

    @property
    def damaged(self) -> tuple[int, int]:
        """Damaged frames that have come, and how often something was sent again."""
        return self._link.damaged, self._link.resent

    def begin(self, timeout: float) -> None:
        """Wait until the chip has answered, at most so many seconds; errors as of ``open_chip``."""
        self._until(lambda: self._link.config is not None, timeout, lambda: "its answer to the first message")

    def run(self, operation: Operation[_Result], timeout: float = 30.0) -> _Result:
        """Run an operation of the driver to its end, and return its result.

        Parameters
        ----------
        operation : Operation
            What a call of the driver returned.
        timeout : float
            Seconds in which the chip takes and sends nothing after which the operation is given up; a cut connection
            may last as long.

        Raises
        ------
        LinkTimeoutError
            The chip was silent for too long; the message says what has not come.
        LinkError
            The chip was restarted meanwhile: open it again, and load.
        DriverError
            The operation failed.
        """
        link = self._link
        deadline = _Deadline(link, timeout)
        try:
            while not operation.done:
                while link.packets and not operation.done:
                    operation.receive(link.packets.popleft())
                while link.pending < _AHEAD and (words := operation.next_packet()) is not None:
                    link.send(words)
                if not operation.done:
                    self._step(deadline, operation.waiting_for)
            result = operation.result
            self._until(lambda: link.idle, timeout, lambda: "acknowledgement of what was sent")
        except LinkError as error:
            operation.cancel()
            raise type(error)(f"{operation.name}: {error}") from None
        return result

    def _until(self, condition: Callable[[], bool], timeout: float, waiting_for: Callable[[], str]) -> None:
        deadline = _Deadline(self._link, timeout)
        while not condition():
            self._step(deadline, waiting_for)

    def _step(self, deadline: "_Deadline", waiting_for: Callable[[], str]) -> None:
        """Exchange what is there with the port, or wait a moment for something to come."""
        now = time.monotonic()
        if deadline.passed(now):
            reason = f" ({self._problem})" if self._problem else ""
            raise LinkTimeoutError(
                f"the chip on {self._name} was silent for {deadline.timeout:g} s{reason}; waiting for {waiting_for()}"
            )
        if self._port is None and not self._open():
            time.sleep(min(_REOPEN, deadline.timeout / 4))
            return
        try:
            self._write(self._link.output(now))
            data = self._port.read(max(1, self._port.in_waiting))
        except (self._serial.SerialException, OSError) as error:
            self._lose(error)
            return
        self._link.receive(data, time.monotonic())

    def _write(self, data: bytes) -> None:
        # What the port does not take in time counts as lost.
        with contextlib.suppress(self._serial.SerialTimeoutException):
            if data:
                self._port.write(data)

    def _open(self) -> bool:
        try:
            self._port = self._serial.Serial(self._name, self._baud, timeout=_LOOK, write_timeout=1.0, exclusive=True)
        except (self._serial.SerialException, OSError) as error:
            self._problem = str(error)
            return False
        with contextlib.suppress(Exception):  # adapters deliver after 1 ms instead of 16 ms, where that can be set
            self._port.set_low_latency_mode(True)
        self._problem = None
        self._opened += 1
        self._link.restart()
        return True

    def _lose(self, error: Exception) -> None:
        self._problem = str(error)
        with contextlib.suppress(Exception):
            self._port.close()
        self._port = None

    def close(self) -> None:
        """Close the port. The chip keeps its session until another begins."""
        if self._port is not None:
            self._port.close()
            self._port = None

    def __enter__(self) -> "SerialChip":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class _Deadline:
    """``timeout`` seconds after the link's last progress."""

    def __init__(self, link: Link, timeout: float) -> None:
        self._link, self.timeout = link, timeout
        self._progress, self._since = link.progress, time.monotonic()

    def passed(self, now: float) -> bool:
        if self._link.progress != self._progress:
            self._progress, self._since = self._link.progress, now
        return now > self._since + self.timeout
