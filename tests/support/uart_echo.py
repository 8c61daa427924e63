# SPDX-License-Identifier: Apache-2.0
"""A serial link whose chip sends every packet back."""

from amaranth.hdl import Module, ResetInserter
from amaranth.lib.fifo import SyncFIFOBuffered
from amaranth.lib.wiring import Component, In, Out

from backspike.hw.serial.uart_link import UartLink
from backspike.spec.config import ChipConfig

__all__ = ["BAUD", "CLOCK_HZ", "CONFIG", "UartEcho"]

CONFIG = ChipConfig(columns=3, rows=1, slots=5, weights=4096, momentum=False)
CLOCK_HZ, BAUD = 50_000_000, 10_000_000


class UartEcho(Component):
    """Echo of packets over :class:`UartLink`.

    Members
    -------
    rx, tx : the line
    stall : In(1)
        The echo takes nothing.
    tick : In(1), fault : Out(1), reset : Out(1)
        As of the link.
    """

    rx: In(1)
    tx: Out(1)
    stall: In(1)
    tick: In(1)
    fault: Out(1)
    reset: Out(1)

    def elaborate(self, platform):
        m = Module()
        m.submodules.link = link = UartLink(CONFIG, clock_hz=CLOCK_HZ, baud=BAUD)
        fifo = SyncFIFOBuffered(width=33, depth=32)
        m.submodules.fifo = ResetInserter(link.reset)(fifo)
        into, out_of = link.m_axis, link.s_axis
        m.d.comb += [
            link.rx.eq(self.rx),
            self.tx.eq(link.tx),
            link.tick.eq(self.tick),
            self.fault.eq(link.fault),
            self.reset.eq(link.reset),
            fifo.w_data.eq(into.tdata | into.tlast << 32),
            fifo.w_en.eq(into.tvalid & ~self.stall),
            into.tready.eq(fifo.w_rdy & ~self.stall),
            out_of.tdata.eq(fifo.r_data),
            out_of.tlast.eq(fifo.r_data[32]),
            out_of.tvalid.eq(fifo.r_rdy),
            fifo.r_en.eq(out_of.tready),
        ]
        return m
