# SPDX-License-Identifier: Apache-2.0
"""Ctrl-C and SIGTERM: an exception that ends a command, or a wish that a training fulfils after its batch."""

import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType, TracebackType
from typing import Any, Self

__all__ = ["StopRequest", "Terminated", "terminable"]


class Terminated(KeyboardInterrupt):
    """SIGTERM has come. Whatever tidies up after Ctrl-C does so after this, too."""


@contextmanager
def terminable() -> Iterator[None]:
    """A context in which the first SIGTERM raises ``Terminated``, and later ones do not disturb the tidying up."""

    def stop(number: int, frame: FrameType | None) -> None:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        raise Terminated

    if threading.current_thread() is not threading.main_thread() or signal.getsignal(signal.SIGTERM) is signal.SIG_IGN:
        yield
        return
    before = signal.signal(signal.SIGTERM, stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


class StopRequest:
    """A context in which the first Ctrl-C or SIGTERM is noted, and the second one ends the command at once.

    Attributes
    ----------
    exit_code : int
        128 and the number of the first signal; 0 before.
    """

    def __init__(self) -> None:
        self.exit_code = 0
        self._before: dict[int, Callable[..., Any] | int | None] = {}

    def asked(self) -> bool:
        """Whether a signal has come."""
        return bool(self.exit_code)

    def __enter__(self) -> Self:
        for number in (signal.SIGINT, signal.SIGTERM):
            self._before[number] = signal.signal(number, self._note)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _note(self, number: int, frame: FrameType | None) -> None:
        if self.asked():
            raise Terminated if number == signal.SIGTERM else KeyboardInterrupt
        self.exit_code = 128 + number
        os.write(2, b"\nstopping after this batch; Ctrl-C again stops at once\n")  # a handler must not use buffers
