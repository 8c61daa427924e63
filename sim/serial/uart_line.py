# SPDX-License-Identifier: Apache-2.0
"""The far end of a serial line in simulation, and the damage that bytes take on their way."""

from random import Random
from typing import Any

from cocotb.queue import Queue
from cocotb.triggers import FallingEdge, Timer

__all__ = ["Damage", "UartLine"]


class Damage:
    """Flips bits of bytes, drops and repeats bytes, and cuts the line for a while, at random.

    Parameters
    ----------
    seed : int
        Of the random numbers.
    flip, drop, repeat : float
        Chance for each byte.
    cut : float
        Chance for each byte that it and the next ``cut_bytes`` are lost.
    """

    def __init__(
        self,
        seed: int,
        *,
        flip: float = 0.0,
        drop: float = 0.0,
        repeat: float = 0.0,
        cut: float = 0.0,
        cut_bytes: int = 300,
    ) -> None:
        self.random = Random(seed)
        self.flip, self.drop, self.repeat, self.cut, self.cut_bytes = flip, drop, repeat, cut, cut_bytes
        self.events = 0
        self._silent = 0

    def __call__(self, data: bytes) -> bytes:
        """What arrives of some bytes."""
        result, random = bytearray(), self.random.random
        for byte in data:
            if self._silent:
                self._silent -= 1
            elif random() < self.cut:
                self._silent = self.cut_bytes
                self.events += 1
            elif random() < self.drop:
                self.events += 1
            elif random() < self.flip:
                result.append(byte ^ self.random.randrange(1, 256))
                self.events += 1
            elif random() < self.repeat:
                result += bytes([byte, byte])
                self.events += 1
            else:
                result.append(byte)
        return bytes(result)


class UartLine:
    """Bytes to and from the pins of a simulated chip.

    Parameters
    ----------
    rx, tx : object
        Handles of the chip's input and output.
    bit : int
        Duration of a bit in picoseconds.

    Attributes
    ----------
    received : bytearray
        What has come; its user removes what it has used.
    idle : bool
        Whether everything that was sent has gone over the line.
    """

    def __init__(self, rx: Any, tx: Any, bit: int) -> None:
        self._rx, self._tx, self._bit = rx, tx, bit
        self._waiting: Queue[int] = Queue()
        self._sending = False
        self.received = bytearray()
        rx.value = 1

    @property
    def idle(self) -> bool:
        """Whether everything that was sent has gone over the line."""
        return self._waiting.empty() and not self._sending

    def send(self, data: bytes) -> None:
        """Queue bytes."""
        for byte in data:
            self._waiting.put_nowait(byte)

    async def sender(self) -> None:
        """Sends what is queued, for ever."""
        while True:
            self._sending = False
            byte = await self._waiting.get()
            self._sending = True
            for bit in (0, *(byte >> k & 1 for k in range(8)), 1):
                self._rx.value = bit
                await Timer(self._bit, "ps")

    async def receiver(self) -> None:
        """Receives, for ever; a byte without its stop bit is an error of the chip."""
        while True:
            await FallingEdge(self._tx)
            await Timer(self._bit // 2, "ps")
            assert not int(self._tx.value), "a start bit must last"
            byte = 0
            for k in range(8):
                await Timer(self._bit, "ps")
                byte |= int(self._tx.value) << k
            await Timer(self._bit, "ps")
            assert int(self._tx.value), "the stop bit must be 1"
            self.received.append(byte)
