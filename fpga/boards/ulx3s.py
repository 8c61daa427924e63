# SPDX-License-Identifier: Apache-2.0
"""ULX3S: ECP5 in four sizes, serial port through the FTDI chip of the USB socket US1."""

from amaranth_boards import ulx3s

from backspike.fpga.boards import Board

BOARDS = [
    Board(
        name=f"ulx3s_{size.lower()}",
        title=f"ULX3S {size}",
        device=f"LFE5U-{size}",
        platform=getattr(ulx3s, f"ULX3S_{size}_Platform"),
        clock=50,
        leds=(("led", 0), ("led", 1), ("led", 2)),
        cores=cores,
    )
    for size, cores in (("12F", 2), ("25F", 2), ("45F", 4), ("85F", 8))
]
