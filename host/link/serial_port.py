# SPDX-License-Identifier: Apache-2.0
"""A chip on a serial port: the driver's transport for boards.

with open_chip("/dev/ttyUSB0", 3_000_000) as chip:
    driver = Driver(compile_network(network, training, chip.config))
    chip.run(driver.load(weights))
"""

import contextlib
import time

from backspike.host.link.arq import Link, LinkError

__all__ = ["LinkTimeoutError", "SerialChip", "open_chip"]

_LOOK = 0.005  # seconds between two looks at the port at least, while nothing comes
_REOPEN = 0.2  # seconds between two attempts to open a port that has vanished
_AHEAD = 1 << 14  # bytes that wait in the link at most before the operation is asked for more


class LinkTimeoutError(LinkError, TimeoutError):
    """The chip has not answered in time."""


def _pyserial():
    try:
        import serial  # noqa: PLC0415 - optional
    except ImportError:
        raise RuntimeError("serial ports need the package pyserial: pip install 'backspike[fpga]'") from None
    return serial


def open_chip(port, baud, *, timeout=10.0, resend=0.1):
    """Begin a session with the chip on a serial port. The chip is reset: whatever it held is lost.

    Parameters
    ----------
    port: name of the port, such as ``/dev/ttyUSB0``; names in ``/dev/serial/by-id`` outlast a reconnection
    baud: the rate for which the chip was built
    timeout: seconds until the chip must have answered
    resend: seconds without an answer until something is sent again; more than the delay of the adapter and the host

    Raises
    ------
    RuntimeError: pyserial is not installed
    LinkTimeoutError: nothing answered, or there is no such port
    LinkError: what answered speaks another version of the protocol
    """
    if not isinstance(baud, int) or isinstance(baud, bool) or baud < 1:
        raise ValueError(f"baud must be a positive integer, not {baud!r}")
    chip = SerialChip(port, baud, resend=resend)
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

    Members
    -------
    config: the chip's ``ChipConfig``
    reconnections: how often the port was opened again
    """

    def __init__(self, port, baud, *, resend):
        self._serial = _pyserial()
        self._name, self._baud = port, baud
        self._port, self._problem, self._retry = None, None, 0.0
        self._link = Link(timeout=resend)
        self._opened = -1

    @property
    def config(self):
        return self._link.config

    @property
    def reconnections(self):
        return max(0, self._opened)

    @property
    def damaged(self):
        """Damaged frames that have come, and how often something was sent again."""
        return self._link.damaged, self._link.resent

    def begin(self, timeout):
        """Wait until the chip has answered."""
        self._until(lambda: self._link.config is not None, timeout, lambda: "its answer to the first message")

    def run(self, operation, timeout=30.0):
        """Run an operation of the driver to its end, and return its result.

        Parameters
        ----------
        operation: ``Operation``
        timeout: seconds in which the chip takes and sends nothing after which the operation is given up; a cut
            connection may last as long

        Raises
        ------
        LinkTimeoutError: the chip was silent for too long; the message says what has not come
        LinkError: the chip was restarted meanwhile: open it again, and load
        DriverError: the operation failed
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

    def _until(self, condition, timeout, waiting_for):
        deadline = _Deadline(self._link, timeout)
        while not condition():
            self._step(deadline, waiting_for)

    def _step(self, deadline, waiting_for):
        """Exchange what is there with the port, or wait a moment for something to come."""
        now = time.monotonic()
        if deadline.passed(now):
            reason = f" ({self._problem})" if self._problem else ""
            raise LinkTimeoutError(
                f"the chip on {self._name} was silent for {deadline.timeout:g} s{reason}; waiting for {waiting_for()}"
            )
        if self._port is None and not self._open(now):
            time.sleep(min(_REOPEN, deadline.timeout / 4))
            return
        try:
            self._write(self._link.output(now))
            data = self._port.read(max(1, self._port.in_waiting))
        except (self._serial.SerialException, OSError) as error:
            self._lose(error)
            return
        self._link.receive(data, time.monotonic())

    def _write(self, data):
        # What the port does not take in time counts as lost.
        with contextlib.suppress(self._serial.SerialTimeoutException):
            if data:
                self._port.write(data)

    def _open(self, now):
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

    def _lose(self, error):
        self._problem = str(error)
        with contextlib.suppress(Exception):
            self._port.close()
        self._port = None

    def close(self):
        """Close the port. The chip keeps its session until another begins."""
        if self._port is not None:
            self._port.close()
            self._port = None

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


class _Deadline:
    """``timeout`` seconds after the link's last progress."""

    def __init__(self, link, timeout):
        self._link, self.timeout = link, timeout
        self._progress, self._since = link.progress, time.monotonic()

    def passed(self, now):
        if self._link.progress != self._progress:
            self._progress, self._since = self._link.progress, now
        return now > self._since + self.timeout
