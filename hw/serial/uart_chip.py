# SPDX-License-Identifier: Apache-2.0
"""A chip behind a serial line, for a board: clock, two pins, three lamps."""

from amaranth.hdl import ClockDomain, ClockSignal, DomainRenamer, Module, Signal
from amaranth.lib.wiring import Component, In, Out, connect

from backspike.hw.chip import Chip
from backspike.hw.serial.uart_link import UartLink

__all__ = ["UartChip"]

_TICKS = 4  # in ``timeout``
_SHOWN = 8  # ticks for which activity is shown, at least


class UartChip(Component):
    """A :class:`~backspike.hw.chip.Chip` and its :class:`UartLink`, whose latency and throughput it has.

    Parameters
    ----------
    config : ChipConfig
    clock_hz : int
        Frequency of the clock.
    baud : int
        Rate of the line, see :func:`backspike.hw.serial.uart.divisor` for what is possible.
    tile_module : str or None
        As for ``Chip``.
    timeout : float
        Seconds without an answer of the host after which the chip sends again; within a factor of 1.5.

    Members
    -------
    rx : In(1), tx : Out(1)
        The line, 1 when idle; ``rx`` is asynchronous.
    alive : Out(1)
        Blinks, once in 0.7 to 1.4 seconds.
    busy : Out(1)
        An engine of a core is at work; shown for a tenth of a second at least.
    fault : Out(1)
        Since the session began, a damaged frame has come, something was sent again, or the chip has reported a dropped
        packet to the host.

    The chip is reset when a session begins; memory contents are undefined then.

    Raises
    ------
    TypeError, ValueError: a parameter of the wrong kind, or a rate that cannot be had; the message says which could
    """

    rx: In(1)
    tx: Out(1, init=1)
    alive: Out(1)
    busy: Out(1)
    fault: Out(1)

    def __init__(self, config, *, clock_hz, baud, tile_module=None, timeout=0.05):
        if not isinstance(timeout, int | float) or isinstance(timeout, bool):
            raise TypeError(f"timeout must be a number, not {timeout!r}")
        if not 0.001 <= timeout <= 1:
            raise ValueError(f"timeout must be 0.001 to 1, not {timeout!r}")
        self._chip = Chip(config, tile_module=tile_module)
        self._link = UartLink(config, clock_hz=clock_hz, baud=baud)
        self._clock_hz, self._timeout = clock_hz, timeout
        super().__init__()

    def elaborate(self, platform):
        m = Module()
        # The chip's reset is also that of its instances of a tile, which ``ResetInserter`` would not reach.
        m.domains.chip = domain = ClockDomain(local=True)
        m.submodules.link = link = self._link
        m.submodules.chip = DomainRenamer("chip")(self._chip)
        connect(m, link.m_axis, self._chip.s_axis)
        connect(m, self._chip.m_axis, link.s_axis)
        m.d.comb += [
            domain.clk.eq(ClockSignal()),
            domain.rst.eq(link.reset),
            link.rx.eq(self.rx),
            self.tx.eq(link.tx),
            self.fault.eq(link.fault),
        ]
        tick_bit = _bits(self._clock_hz * self._timeout / _TICKS)
        blink = _bits(self._clock_hz)
        count, before = Signal(max(blink, tick_bit + 1)), Signal()
        m.d.sync += [count.eq(count + 1), before.eq(count[tick_bit])]
        m.d.comb += [link.tick.eq(before ^ count[tick_bit]), self.alive.eq(count[blink - 1])]
        shown = Signal(range(_SHOWN + 1))
        m.d.sync += self.busy.eq(shown.any())
        with m.If(self._chip.activity.any()):
            m.d.sync += shown.eq(_SHOWN)
        with m.Elif(link.tick & shown.any()):
            m.d.sync += shown.eq(shown - 1)
        return m


def _bits(cycles):
    """Bits of a counter that runs over after about so many cycles."""
    return max(1, round(cycles).bit_length() - 1)
