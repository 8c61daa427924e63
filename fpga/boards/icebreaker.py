# SPDX-License-Identifier: Apache-2.0
"""iCEBreaker: iCE40UP5K, serial port through the FTDI chip; busy is the upper green LED of the break-off part."""

from amaranth_boards.icebreaker import ICEBreakerPlatform

from backspike.fpga.boards import SMALL_SEQUENTIAL, Board


def _platform():
    made = ICEBreakerPlatform()
    made.add_resources(made.break_off_pmod)
    return made


_CHIP = SMALL_SEQUENTIAL | {
    "slices": 4, "weights": 10240, "neurons": 160, "tape_words": 32, "groups": 16, "peers": 32, "window": 1024,
}

BOARDS = [
    Board(
        name="icebreaker", title="iCEBreaker", device="iCE40UP5K", platform=_platform, clock=18,
        leds=(("led_g", 0), ("led_g", 1), ("led_r", 0)), chip=_CHIP),
]
