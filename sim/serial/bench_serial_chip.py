# SPDX-License-Identifier: Apache-2.0
"""Cocotb bench that connects the pins of a simulated ``UartChip`` with a pseudo-terminal, until a file says stop.

Settings come as JSON from ``BACKSPIKE_SERIAL``, see :func:`backspike.sim.serial.serial_chip.serial_chip`.
"""

import contextlib
import json
import os
import signal
import time
import tty
from pathlib import Path
from typing import Any

import cocotb
from cocotb.clock import Clock
from cocotb.triggers import ClockCycles, Timer

from backspike.sim.serial.uart_line import Damage, UartLine

_CLOCK_PS = 10_000
_LOOK_BITS = 40  # between two looks at the terminal
_REST = 50  # looks without anything to do until the simulation rests
_KEPT = 1 << 16  # bytes that are kept for a host that does not read


class Terminal:
    """A pseudo-terminal with a name of our choice, which can vanish and come back."""

    def __init__(self, port: str) -> None:
        self.port = Path(port)
        self.master: int | None = None
        self.waiting = b""

    def appear(self) -> None:
        """Open the terminal, and give it its name."""
        master, self.slave = os.openpty()
        tty.setraw(self.slave)
        os.set_blocking(master, False)
        self.master = master
        self.port.unlink(missing_ok=True)
        self.port.symlink_to(os.ttyname(self.slave))

    def vanish(self) -> None:
        """Take the name away, and close the terminal."""
        self.port.unlink(missing_ok=True)
        if self.master is not None:
            os.close(self.slave)
            os.close(self.master)
        self.master, self.waiting = None, b""

    def read(self) -> bytes:
        """Bytes from the host, if there are any."""
        try:
            return os.read(self.master, 128) if self.master is not None else b""
        except BlockingIOError:
            return b""

    def write(self, data: bytes) -> None:
        """Bytes for the host, after those that wait; the oldest are lost where it does not read."""
        if self.master is None:
            return
        self.waiting = (self.waiting + data)[-_KEPT:]
        with contextlib.suppress(BlockingIOError):
            while self.waiting:
                self.waiting = self.waiting[os.write(self.master, self.waiting) :]


@cocotb.test()
async def bridge(dut: Any) -> None:
    """Bytes go to and fro, damaged as the settings say."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # whoever started this is interrupted too, and says stop
    settings = json.loads(os.environ["BACKSPIKE_SERIAL"])
    stop, bit = Path(settings["stop"]), settings["bit_cycles"] * _CLOCK_PS
    damage = {name: settings[name] for name in ("flip", "drop", "repeat", "cut", "cut_bytes") if name in settings}
    inwards, outwards = (Damage(2 * cocotb.RANDOM_SEED + k, **damage) for k in range(2))
    vanish = list(settings.get("vanish", []))
    dut.rst.value = 1
    line = UartLine(dut.rx, dut.tx, bit)
    Clock(dut.clk, _CLOCK_PS, unit="ps").start()
    await ClockCycles(dut.clk, 4)
    dut.rst.value = 0
    for process in (line.sender(), line.receiver()):
        cocotb.start_soon(process)
    terminal = Terminal(settings["port"])
    terminal.appear()
    lamps = set()
    seen = looks = quiet = 0
    back = None
    while True:
        await Timer(_LOOK_BITS * bit, "ps")
        data, out = terminal.read() if line.idle else b"", bytes(line.received)
        line.received.clear()
        seen += len(data)
        line.send(inwards(data))
        terminal.write(outwards(out))
        if back is None and vanish and seen >= vanish[0]:
            vanish.pop(0)
            terminal.vanish()
            back = time.monotonic() + 1.0
        elif back is not None and time.monotonic() > back:
            terminal.appear()
            back = None
        lamps |= {name for name in ("busy", "fault") if int(getattr(dut, name).value)}
        looks += 1
        if looks % 64 == 0 and stop.exists():
            break
        quiet = 0 if data or out or not line.idle or int(dut.busy.value) else quiet + 1
        if quiet > _REST:
            time.sleep(0.002)
    dut._log.info(f"{seen} bytes from the host; damages: {inwards.events} in, {outwards.events} out")
    if terminal.master is not None:
        terminal.vanish()
    stop.write_text(json.dumps({"lamps": sorted(lamps), "damages": inwards.events + outwards.events}))
