# SPDX-License-Identifier: Apache-2.0
"""The driver's transport in simulation: AXI4-Stream packets to and from a simulated chip."""

from collections.abc import Iterable, Iterator
from random import Random
from typing import Any

from cocotb.clock import Clock
from cocotb.triggers import ClockCycles, SimTimeoutError, with_timeout
from cocotbext.axi import AxiStreamBus, AxiStreamSink, AxiStreamSource

from backspike.host.driver.operation import Operation

__all__ = ["CLOCK_NS", "ChipTransport"]

CLOCK_NS = 10


class ChipTransport:
    """Runs the driver's operations on a simulated ``Chip``.

    Parameters
    ----------
    dut : object
        The simulated chip.
    seed : int
        Of the random pauses.
    idle : float
        Chance that the host pauses in a cycle, on each side of the link.
    patience : int
        Clock cycles without a packet until an operation is given up.
    """

    def __init__(self, dut: Any, *, seed: int = 0, idle: float = 0.0, patience: int = 2_000_000) -> None:
        self.dut, self.patience = dut, patience
        self._random = Random(seed)
        self._idle = idle

    async def start(self) -> None:
        """Start the clock, reset the chip, attach to the link."""
        dut = self.dut
        Clock(dut.clk, CLOCK_NS, unit="ns").start()
        dut.rst.value = 1
        self.source = AxiStreamSource(AxiStreamBus.from_prefix(dut, "s_axis"), dut.clk, dut.rst, byte_lanes=1)
        self.sink = AxiStreamSink(AxiStreamBus.from_prefix(dut, "m_axis"), dut.clk, dut.rst, byte_lanes=1)
        for side in (self.source, self.sink):
            side.log.disabled = True
            if self._idle:
                side.set_pause_generator(self._pauses())
        await ClockCycles(dut.clk, 4)
        dut.rst.value = 0
        await ClockCycles(dut.clk, 2)

    def _pauses(self) -> Iterator[bool]:
        while True:
            yield self._random.random() < self._idle

    async def send(self, words: Iterable[int]) -> None:
        """Put a packet of 32-bit words on the link's queue."""
        await self.source.send(list(words))

    async def receive(self) -> list[int]:
        """Words of the next packet from the chip; ``TimeoutError`` where none comes."""
        try:
            frame = await with_timeout(self.sink.recv(), self.patience * CLOCK_NS, "ns")
        except SimTimeoutError:
            raise TimeoutError(f"no packet from the chip within {self.patience} cycles") from None
        return [int(word) for word in frame.tdata]

    async def run(self, operation: Operation) -> Any:
        """Run one operation of the driver to its end; returns its result."""
        while not operation.done:
            words = operation.next_packet()
            if words is not None:
                await self.send(words)
                continue
            try:
                operation.receive(await self.receive())
            except TimeoutError as error:
                raise TimeoutError(f"{operation.name}: {error}; waiting for {operation.waiting_for()}") from None
        return operation.result
