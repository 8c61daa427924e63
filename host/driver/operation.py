# SPDX-License-Identifier: Apache-2.0
"""A call of the driver while it runs. Any transport runs it in the same way:

while not operation.done:
    if (words := operation.next_packet()) is not None:
        send(words)
    else:
        operation.receive(wait_for_packet())
result = operation.result
"""

from collections.abc import Callable, Generator, Sequence
from typing import TYPE_CHECKING, Any, Generic, Protocol, TypeAlias, TypeVar

from backspike.spec.packets import Packet

if TYPE_CHECKING:
    from backspike.host.driver.driver import Driver

__all__ = ["DriverError", "Operation", "Run", "Script", "Transaction"]

Result = TypeVar("Result")
_Answer = TypeVar("_Answer")
_Given_co = TypeVar("_Given_co", covariant=True)

Script: TypeAlias = Generator[Packet | None, None, Result]
"""Yields packets to send, or ``None`` while nothing may be sent before something is received; returns a result."""


class Transaction(Protocol[_Given_co]):
    """A part of the conversation with the chip: what is sent, and what is expected to come."""

    def packets(self) -> Script[_Given_co]:
        """The packets to send; ends when all is said and has come."""
        ...

    def accept(self, packet: Packet) -> bool:
        """Take a received packet, if it was expected; whether it was."""
        ...

    def missing(self) -> str:
        """What is still to come, in words, or nothing."""
        ...


class Run(Protocol):
    """Plays one transaction of a script, and returns what it gives."""

    def __call__(self, transaction: Transaction[_Answer], /) -> Script[_Answer]: ...


class DriverError(RuntimeError):
    """The chip reported a fault, sent what nobody asked for, or the driver was used out of order.

    Where an operation failed because of the chip, samples may be stuck in it: reset it and ``load`` again.
    """


class Operation(Generic[Result]):
    """One call. Packets are lists of 32-bit words, header first.

    Parameters
    ----------
    driver : Driver
        Whose call it is.
    name : str
        Of the call, for errors.
    script : function of Run to Script
        What is to be done.

    Attributes
    ----------
    done : bool
        Whether it has ended, with success or without.
    """

    def __init__(self, driver: "Driver", name: str, script: Callable[[Run], Script[Result]]) -> None:
        self._driver, self.name = driver, name
        self._transactions: list[Transaction[Any]] = []
        self._script = script(self._run)
        self._packet: Packet | None = None
        self._result: Result  # once it is done
        self._error: DriverError | None = None
        self.done = False
        if driver.problem:
            self.fail(driver.problem)
        else:
            self.advance()

    def _run(self, transaction: Transaction[_Answer]) -> Script[_Answer]:
        """Play one transaction of the script. Those before it still accept what comes late."""
        self._transactions.append(transaction)
        return (yield from transaction.packets())

    def advance(self) -> None:
        """Let the script go on to its next packet, or to its end."""
        if self.done or self._packet is not None:
            return
        try:
            self._packet = next(self._script)
        except StopIteration as end:
            self._result, self.done = end.value, True
        except Exception as error:
            self.fail(str(error))
            raise

    def fail(self, problem: str) -> None:
        """End the operation with a ``DriverError``."""
        self._error = DriverError(f"{self.name}: {problem}")
        self._packet, self.done, self._driver.problem = None, True, None
        self._script.close()

    def next_packet(self) -> list[int] | None:
        """Words of the next packet to send, or ``None`` where nothing may be sent before something is received."""
        self.advance()
        if self._packet is None:
            return None
        words, self._packet = self._packet.words(), None
        self.advance()
        return words

    def receive(self, words: Sequence[int]) -> None:
        """Take the words of one received packet."""
        self._driver.receive(words)

    def accept(self, packet: Packet) -> bool:
        """Whether the operation expected this packet."""
        return any(transaction.accept(packet) for transaction in reversed(self._transactions))

    def waiting_for(self) -> str:
        """What has not come yet, in words, for the message of a transport that gives up."""
        return "; ".join(filter(None, (each.missing() for each in self._transactions))) or "nothing"

    def cancel(self) -> None:
        """End the operation without a result. The chip may still be at work on it."""
        if not self.done:
            self.fail("cancelled")

    @property
    def result(self) -> Result:
        """What the call returns; ``DriverError`` where it failed or has not ended."""
        if not self.done:
            raise DriverError(f"{self.name}: not done, waits for {self.waiting_for()}")
        if self._error:
            raise self._error
        return self._result
