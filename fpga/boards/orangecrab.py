# SPDX-License-Identifier: Apache-2.0
"""OrangeCrab r0.2: ECP5 25F or 85F; its USB socket is no serial port, so an adapter at the pins 0 (in) and 1 (out)."""

from amaranth.build import Attrs
from amaranth_boards import orangecrab_r0_2
from amaranth_boards.resources import UARTResource

from backspike.fpga.boards import Board


def _with_uart(kind):
    def platform():
        made = kind()
        made.add_resources(
            [UARTResource(0, rx="0", tx="1", conn=("io", 0), attrs=Attrs(IO_TYPE="LVCMOS33", PULLMODE="UP"))]
        )
        return made

    return platform


BOARDS = [
    Board(
        name=f"orangecrab_{size}f",
        title=f"OrangeCrab {size}F",
        device=f"LFE5U-{size}F",
        platform=_with_uart(getattr(orangecrab_r0_2, f"OrangeCrabR0_2_{size}FPlatform")),
        clock=48,
        cores=cores,
        leds=(("rgb_led", 0, "g"), ("rgb_led", 0, "b"), ("rgb_led", 0, "r")),
        skip=("dfu-suffix",),
    )  # it only marks the file as one for this board, which dfu-util does not insist on
    for size, cores in (("25", 2), ("85", 8))
]
