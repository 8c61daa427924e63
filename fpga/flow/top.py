# SPDX-License-Identifier: Apache-2.0
"""What is put on a board: clock and reset, a serial link with its chip, and the LEDs."""

from fractions import Fraction

from amaranth.build import Platform
from amaranth.hdl import ClockDomain, ClockSignal, Const, Elaboratable, Module, ResetSignal, Signal
from amaranth.lib import io
from amaranth.lib.cdc import FFSynchronizer
from amaranth.lib.wiring import Component

from backspike.fpga.boards import Board
from backspike.fpga.flow.devices import DEVICES
from backspike.fpga.flow.pll import pll_instance, pll_setting

__all__ = ["Clocking", "Top", "clock_frequency", "oscillator_frequency"]

_RESET_CYCLES = 1 << 12
"""Cycles after the PLL has locked: 41 us at 100 MHz."""


def oscillator_frequency(platform: Platform) -> Fraction:
    """Frequency of the board's oscillator in MHz, a fraction."""
    return Fraction(round(platform.default_clk_frequency), 10**6)


def clock_frequency(board: Board, wanted: float | None = None) -> Fraction:
    """The chip's clock in MHz, a fraction: the highest that the board's PLL makes, not above ``wanted``.

    Parameters
    ----------
    board : Board
    wanted : float or None
        MHz; None: what the board file says.
    """
    oscillator = oscillator_frequency(board.platform())
    wanted = Fraction(str(board.clock if wanted is None else wanted))
    if wanted == oscillator:
        return oscillator
    return pll_setting(board.resources.family, oscillator, wanted).output


class Clocking(Elaboratable):
    """Clock and synchronous reset of the domain ``sync``; the reset lasts until the clock is stable.

    Parameters
    ----------
    device : str
        A key of ``DEVICES``.
    frequency : Fraction or int
        MHz; a PLL is used if it is not that of the oscillator.
    """

    def __init__(self, device: str, frequency: Fraction | int) -> None:
        self.device = device
        self.frequency = Fraction(frequency)
        self.clock = Signal()

    def elaborate(self, platform: Platform) -> Module:
        m = Module()
        locked = self._clock(m, platform)
        if self.frequency != oscillator_frequency(platform):  # the oscillator's is known to the platform
            platform.add_clock_constraint(self.clock, float(self.frequency * 10**6))
        m.domains.start = ClockDomain(reset_less=True, local=True)
        m.d.comb += [ClockSignal("sync").eq(self.clock), ClockSignal("start").eq(self.clock)]

        pressed = Const(0)
        if platform.default_rst is not None:
            m.submodules.button = button = io.Buffer("i", platform.request(platform.default_rst, dir="-"))
            pressed = button.i
        ready, count = Signal(), Signal(range(_RESET_CYCLES + 1))
        m.submodules.ready = FFSynchronizer(locked & ~pressed, ready, o_domain="start")
        with m.If(~ready):
            m.d.start += count.eq(0)
        with m.Elif(~count[-1]):
            m.d.start += count.eq(count + 1)
        # The reset reaches most registers of the chip: a register of its own, which can be duplicated.
        reset = Signal(init=1)
        m.d.start += reset.eq(~count[-1])
        m.d.comb += ResetSignal("sync").eq(reset)
        return m

    def _clock(self, m, platform):
        """Connects the clock; returns whether it is stable, not yet synchronized."""
        port = platform.request(platform.default_clk, dir="-")
        oscillator = oscillator_frequency(platform)
        m.submodules.clock_buffer = buffer = io.Buffer("i", port)
        if self.frequency == oscillator:
            m.d.comb += self.clock.eq(buffer.i)
            return Const(1)
        locked = Signal()
        setting = pll_setting(DEVICES[self.device].family, oscillator, self.frequency)
        m.submodules.pll = pll_instance(self.device, setting, oscillator, buffer.i, self.clock, locked)
        return locked


class Top(Elaboratable):
    """A board's clock, serial port and LEDs, connected to a link.

    Parameters
    ----------
    board : Board
    link : Component
        A component with the members ``rx``: In(1), asynchronous, and ``tx``, ``alive``, ``busy``, ``fault``: Out(1).
    frequency : Fraction or int
        Clock in MHz.
    """

    def __init__(self, board: Board, link: Component, frequency: Fraction | int) -> None:
        self.board = board
        self.link = link
        self.frequency = frequency

    def elaborate(self, platform: Platform) -> Module:
        m = Module()
        m.domains.sync = ClockDomain()
        m.submodules.clocking = Clocking(self.board.device, self.frequency)
        m.submodules.link = link = self.link
        uart = platform.request(*self.board.uart, dir="-")
        m.submodules.rx = rx = io.Buffer("i", uart.rx)
        m.submodules.tx = tx = io.Buffer("o", uart.tx)
        m.d.comb += [link.rx.eq(rx.i), tx.o.eq(link.tx)]
        names = dict.fromkeys(led[:2] for led in self.board.leds if led)  # one coloured LED may be all three
        ports = {name: platform.request(*name, dir="-") for name in names}
        for shown, led in zip((link.alive, link.busy, link.fault), self.board.leds, strict=True):
            if led is not None:
                port = ports[led[:2]]
                m.submodules += (buffer := io.Buffer("o", getattr(port, led[2]) if len(led) > 2 else port))
                m.d.comb += buffer.o.eq(shown)
        return m
