# SPDX-License-Identifier: Apache-2.0
"""iCEBreaker: iCE40UP5K, serial port through the FTDI chip; busy is the upper green LED of the break-off part."""

from amaranth_boards.icebreaker import ICEBreakerPlatform

from backspike.fpga.boards import Board


def _platform():
    made = ICEBreakerPlatform()
    made.add_resources(made.break_off_pmod)
    return made


BOARDS = [
    Board(
        name="icebreaker", title="iCEBreaker", device="iCE40UP5K", platform=_platform, clock=12,
        leds=(("led_g", 0), ("led_g", 1), ("led_r", 0))),
]
