# SPDX-License-Identifier: Apache-2.0
"""The driver's transport in simulation: AXI4-Stream packets to and from a simulated chip."""

from collections.abc import Iterable
from random import Random
from typing import Any

import cocotb
from cocotb.clock import Clock
from cocotb.triggers import ClockCycles, Timer
from cocotb.utils import get_sim_steps, get_sim_time

from backspike.host.driver.operation import Operation
from backspike.sim.run.axi_stream import StreamSink, StreamSource

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
        self._deadline: int | None = None  # of a packet that is waited for, in steps of the simulation

    async def start(self) -> None:
        """Start the clock, reset the chip, attach to the link."""
        dut = self.dut
        Clock(dut.clk, CLOCK_NS, unit="ns").start()
        dut.rst.value = 1
        pauses = (lambda: self._random.random() < self._idle) if self._idle else None
        self.source = StreamSource(dut, "s_axis", pauses)
        self.sink = StreamSink(dut, "m_axis", pauses)
        cocotb.start_soon(self._give_up())
        await ClockCycles(dut.clk, 4)
        dut.rst.value = 0
        await ClockCycles(dut.clk, 2)

    async def _give_up(self) -> None:
        """End a wait of ``patience`` cycles. One timer for all waits: most packets come soon."""
        patience = get_sim_steps(self.patience * CLOCK_NS, "ns")
        while True:
            left = patience if self._deadline is None else self._deadline - get_sim_time("step")
            if left <= 0:
                self._deadline = None
                self.sink.came.set()
            else:
                await Timer(left, "step")

    async def send(self, words: Iterable[int]) -> None:
        """Put a packet of 32-bit words on the link's queue."""
        self.source.send(words)

    async def receive(self) -> list[int]:
        """Words of the next packet from the chip; ``TimeoutError`` where none comes."""
        if not self.sink.packets:
            self._deadline = get_sim_time("step") + get_sim_steps(self.patience * CLOCK_NS, "ns")
            self.sink.came.clear()
            await self.sink.came.wait()
            self._deadline = None
        if not self.sink.packets:
            raise TimeoutError(f"no packet from the chip within {self.patience} cycles")
        return self.sink.packets.popleft()

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
