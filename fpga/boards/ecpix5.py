# SPDX-License-Identifier: Apache-2.0
"""ECPIX-5: ECP5-5G of speed grade 8 in two sizes, serial port through the FTDI chip; the first coloured LED."""

from amaranth_boards import ecpix5

from backspike.fpga.boards import Board

BOARDS = [
    Board(
        name=f"ecpix5_{size}f",
        title=f"ECPIX-5 {size}F",
        device=f"LFE5UM5G-{size}F",
        platform=getattr(ecpix5, f"ECPIX5{size}Platform"),
        clock=50,
        cores=cores,
        leds=(("rgb_led", 0, "g"), ("rgb_led", 0, "b"), ("rgb_led", 0, "r")),
    )
    for size, cores in (("45", 4), ("85", 8))
]
