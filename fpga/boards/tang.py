# SPDX-License-Identifier: Apache-2.0
"""Tang Nano 9K and Tang Primer 20K with its dock: Gowin, serial port through the USB debugger of the board."""

from amaranth_boards.tang_nano_9k import TangNano9kPlatform
from amaranth_boards.tang_primer_20k import TangPrimer20kDockPlatform

from backspike.fpga.boards import Board

BOARDS = [
    Board(
        name="tang_nano_9k", title="Tang Nano 9K", device="GW1NR-9C", platform=TangNano9kPlatform, clock=18,
        leds=(("led", 0), ("led", 1), ("led", 2))),
    Board(
        name="tang_primer_20k", title="Tang Primer 20K", device="GW2A-18C", platform=TangPrimer20kDockPlatform,
        clock=18, leds=(("led", 0), ("led", 1), ("led", 2))),
]
