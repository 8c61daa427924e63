# SPDX-License-Identifier: Apache-2.0
"""The host's ends of a chip's AXI4-Stream links, which wake in cycles with a word only.

At a rising edge of the clock signals are read as they were before it, and what is written comes behind it.
"""

from collections import deque
from collections.abc import Callable, Iterable
from typing import Any

import cocotb
from cocotb.triggers import Event, RisingEdge

__all__ = ["StreamSink", "StreamSource"]


class StreamSource:
    """Sends packets on a stream, a word in each cycle in which it is taken.

    Parameters
    ----------
    dut : object
        The chip.
    prefix : str
        Of the link's ports.
    pauses : function or None
        Says before each word, in each cycle, whether it has to wait; ``None``: none does.
    """

    def __init__(self, dut: Any, prefix: str, pauses: Callable[[], bool] | None = None) -> None:
        self._clock, self._pauses = dut.clk, pauses
        self._valid, self._ready = getattr(dut, f"{prefix}_tvalid"), getattr(dut, f"{prefix}_tready")
        self._data, self._last = getattr(dut, f"{prefix}_tdata"), getattr(dut, f"{prefix}_tlast")
        self._words: deque[tuple[int, bool]] = deque()
        self._filled = Event()
        self._valid.value = 0
        cocotb.start_soon(self._run())

    def send(self, words: Iterable[int]) -> None:
        """Queue a packet."""
        words = list(words)
        self._words.extend((word, n == len(words) - 1) for n, word in enumerate(words))
        self._filled.set()

    async def _run(self) -> None:
        edge, ready = RisingEdge(self._clock), RisingEdge(self._ready)
        while True:
            if not self._words:
                self._valid.value = 0
                self._filled.clear()
                await self._filled.wait()
                await edge
            while self._pauses and self._pauses():
                self._valid.value = 0
                await edge
            self._data.value, self._last.value = self._words.popleft()
            self._valid.value = 1
            await edge
            while not self._ready.value:
                await ready
                await edge


class StreamSink:
    """Takes the packets of a stream.

    Parameters
    ----------
    dut : object
        The chip.
    prefix : str
        Of the link's ports.
    pauses : function or None
        Says in each cycle whether no word is taken; ``None``: one always is.

    Attributes
    ----------
    packets : deque of list of int
        What has come.
    came : Event
        Set when a packet comes.
    """

    def __init__(self, dut: Any, prefix: str, pauses: Callable[[], bool] | None = None) -> None:
        self._clock, self._pauses = dut.clk, pauses
        self._valid, self._ready = getattr(dut, f"{prefix}_tvalid"), getattr(dut, f"{prefix}_tready")
        self._data, self._last = getattr(dut, f"{prefix}_tdata"), getattr(dut, f"{prefix}_tlast")
        self.packets: deque[list[int]] = deque()
        self.came = Event()
        self._ready.value = taking = pauses is None
        cocotb.start_soon(self._run(taking))

    async def _run(self, taking: bool) -> None:
        edge, valid = RisingEdge(self._clock), RisingEdge(self._valid)
        words: list[int] = []
        while True:
            if not self._pauses and not self._valid.value:
                await valid
            await edge
            if taking and self._valid.value:
                words.append(int(self._data.value))
                if self._last.value:
                    self.packets.append(words)
                    words = []
                    self.came.set()
            if self._pauses:
                self._ready.value = taking = not self._pauses()
