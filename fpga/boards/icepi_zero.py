# SPDX-License-Identifier: Apache-2.0
"""ICEPi Zero: ECP5 25F, serial port through the FTDI chip of the USB socket."""

from amaranth_boards.icepi_zero import IcepiZero1_3Platform

from backspike.fpga.boards import Board

BOARDS = [
    Board(
        name="icepi_zero",
        title="ICEPi Zero",
        device="LFE5U-25F",
        platform=IcepiZero1_3Platform,
        clock=50,
        cores=2,
        leds=(("led", 0), ("led", 1), ("led", 2)),
    ),
]
