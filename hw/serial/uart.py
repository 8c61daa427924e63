# SPDX-License-Identifier: Apache-2.0
"""Asynchronous serial line: eight data bits, no parity, one stop bit, least significant bit first."""

from amaranth.hdl import Cat, Module, Signal
from amaranth.lib import stream
from amaranth.lib.cdc import FFSynchronizer
from amaranth.lib.data import StructLayout
from amaranth.lib.wiring import Component, In, Out

__all__ = ["RECEIVED", "UartReceiver", "UartTransmitter", "divisor"]

RECEIVED = StructLayout({"valid": 1, "data": 8, "broken": 1})
"""A byte in the one cycle in which ``valid`` is set; ``broken``: its stop bit was missing."""

_ERROR = 0.001  # of the rate; the line allows 0.02 for both ends together
_WIDEST = 24


def divisor(clock_hz, baud):
    """``(step, width)`` of a counter that overflows ``baud`` times a second: its growth in each cycle, and its bits.

    The rate is within 0.1 %. A bit must last 4 or 5 whole cycles, or 6 cycles or more.

    Raises
    ------
    TypeError, ValueError: the numbers are no positive integers, or there is no such counter; the message says what
        would do
    """
    for name, value in (("clock_hz", clock_hz), ("baud", baud)):
        if not isinstance(value, int) or isinstance(value, bool):
            raise TypeError(f"{name} must be an integer, not {value!r}")
        if value < 1:
            raise ValueError(f"{name} must be at least 1, not {value!r}")
    if clock_hz < 6 * baud and clock_hz not in (4 * baud, 5 * baud):
        raise ValueError(
            f"baud must be {clock_hz // 4}, {clock_hz // 5}, or at most {clock_hz // 6}, "
            f"a quarter, a fifth or a sixth of the clock's {clock_hz} Hz, not {baud!r}"
        )
    for width in range(1, _WIDEST + 1):
        step = round((baud << width) / clock_hz)
        if step and abs(step * clock_hz / (baud << width) - 1) <= _ERROR:
            return step, width
    raise ValueError(f"baud must be at least {(clock_hz >> _WIDEST) + 1} with a clock of {clock_hz} Hz, not {baud!r}")


class UartReceiver(Component):
    """Receives bytes.

    The line goes through a synchroniser and a majority of three cycles; a bit is then taken in its middle.
    A start bit that has gone by its middle was a disturbance. After a byte without its stop bit (such as a line that
    is held low) the line must be high before the next start bit counts.

    A byte comes five or six cycles after the middle of its stop bit; bytes may follow one another without a pause.
    Reset waits for a start bit.

    Parameters
    ----------
    clock_hz, baud : int
        As for :func:`divisor`.

    Members
    -------
    rx : In(1)
        The line, 1 when idle; asynchronous.
    o : Out(RECEIVED)
    """

    rx: In(1)
    o: Out(RECEIVED)

    def __init__(self, *, clock_hz, baud):
        self.step, self.width = divisor(clock_hz, baud)
        super().__init__()

    def elaborate(self, platform):
        m = Module()
        now = Signal(init=1)
        m.submodules.synchroniser = FFSynchronizer(self.rx, now, init=1)
        seen = Signal(2, init=3)  # the two cycles before
        line, before = Signal(init=1), Signal(init=1)
        m.d.sync += [
            seen.eq(Cat(now, seen[0])),
            line.eq((now & seen[0]) | (now & seen[1]) | (seen[0] & seen[1])),
            before.eq(line),
        ]
        active, phase, tick = Signal(), Signal(self.width), Signal()
        bits = Signal(10)  # the marker behind which bits come in; at the end: marker, start bit, data
        m.d.comb += self.o.data.eq(bits[2:])
        m.d.sync += [self.o.valid.eq(0), Cat(phase, tick).eq(phase + self.step)]
        with m.If(~active):
            m.d.sync += [
                active.eq(before & ~line),
                bits.eq(1 << 9),
                tick.eq(0),
                # Half a bit until its middle, of which one cycle has gone by; and half a cycle, to round.
                phase.eq((1 << self.width - 1) + self.step + self.step // 2),
            ]
        with m.Elif(tick):
            with m.If(bits[0]):
                m.d.sync += [self.o.valid.eq(1), self.o.broken.eq(~line), active.eq(0)]
            with m.Else():
                m.d.sync += bits.eq(Cat(bits[1:], line))
                with m.If(~bits[:9].any() & line):  # the start bit
                    m.d.sync += active.eq(0)
        return m


class UartTransmitter(Component):
    """Sends bytes, one after the other without a pause where there are any.

    The start bit begins in the cycle after a byte was taken; a byte takes ten bits. Reset ends the byte under way, and
    the line is idle.

    Parameters
    ----------
    clock_hz, baud : int
        As for :func:`divisor`.

    Members
    -------
    i : In(Stream(8))
        A byte is taken when the one before has left the line.
    tx : Out(1)
        The line, from a register; 1 when idle.
    """

    i: In(stream.Signature(8))
    tx: Out(1, init=1)

    def __init__(self, *, clock_hz, baud):
        self.step, self.width = divisor(clock_hz, baud)
        super().__init__()

    def elaborate(self, platform):
        m = Module()
        active, phase, tick = Signal(), Signal(self.width), Signal()
        bits = Signal(9)  # what is still to be sent; ends with a 1, the stop bit, and then zeros
        m.d.comb += self.i.ready.eq(~active)
        with m.If(~active):
            m.d.sync += [
                active.eq(self.i.valid),
                bits.eq(Cat(self.i.payload, 1)),
                self.tx.eq(~self.i.valid),
                phase.eq(self.step),
                tick.eq(0),
            ]
        with m.Else():
            m.d.sync += Cat(phase, tick).eq(phase + self.step)
            with m.If(tick):
                m.d.sync += [self.tx.eq(bits[0] | ~bits.any()), bits.eq(bits >> 1), active.eq(bits.any())]
        return m
