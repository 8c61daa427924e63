# SPDX-License-Identifier: Apache-2.0
"""Tang Nano 9K and Tang Primer 20K with its dock: Gowin, serial port through the USB debugger of the board."""

from amaranth_boards.tang_nano_9k import TangNano9kPlatform
from amaranth_boards.tang_primer_20k import TangPrimer20kDockPlatform

from backspike.fpga.boards import Board


class _Primer20k(TangPrimer20kDockPlatform):
    """With the die that the board has: for the tools a GW2A-18, not the GW2A-18C that amaranth-boards gives it.

    Source: Apicula's examples for this board, and https://github.com/YosysHQ/nextpnr/issues/1330.
    """

    family = "GW2A-18"


BOARDS = [
    Board(
        name="tang_nano_9k",
        title="Tang Nano 9K",
        device="GW1NR-9C",
        platform=TangNano9kPlatform,
        clock=18,
        leds=(("led", 0), ("led", 1), ("led", 2)),
    ),
    Board(
        name="tang_primer_20k",
        title="Tang Primer 20K",
        device="GW2A-18",
        platform=_Primer20k,
        clock=45,
        leds=(("led", 0), ("led", 1), ("led", 2)),
    ),
]
