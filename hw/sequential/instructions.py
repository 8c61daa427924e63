# SPDX-License-Identifier: Apache-2.0
"""The instructions of the sequential core's processor, declared once for hardware, assembler and model.

An instruction is 32 bits, a register 16 bits. X is register ``a``, Y the immediate, or the register in its low bits if
the instruction is not ``constant``. Where the immediate is an offset or a target, a second operand is register ``d``.
Register 0 is 0 and never written.
"""

from enum import IntEnum

from backspike.host.protocol import Fields

__all__ = ["BRANCHES", "INSTRUCTION", "REGISTERS", "WORD_BITS", "Input", "Op", "Output"]

WORD_BITS = 16
REGISTERS = 32

INSTRUCTION = Fields(immediate=16, a=5, d=5, constant=1, op=5)
"""From the least significant bit. ``constant``: Y is the immediate."""


class Op(IntEnum):
    """What an instruction does. Only the first four, and ROUND, change the carry."""

    ADD = 0  # d = X + Y
    ADC = 1  # d = X + Y + carry
    SUB = 2  # d = X - Y; the carry says that nothing had to be borrowed
    SBC = 3  # d = X - Y - 1 + carry
    AND = 4
    OR = 5
    XOR = 6
    MUL = 7  # d = low half of X * Y, unsigned; the high half is kept
    HIGH = 8  # d = what is kept
    BIT = 9  # d = 1 << (Y modulo 16)
    TOP = 10  # d = number of the highest set bit of X, 0 if there is none
    LOAD = 11  # d = memory[X + Y]
    STORE = 12  # memory[X + immediate] = register d
    EQUAL = 13  # go to the target (immediate) if X = register d
    DIFFERENT = 14
    BELOW = 15  # X < register d, unsigned
    NOT_BELOW = 16
    JUMP = 17  # d = address of the next instruction; go to X + immediate
    ARRIVED = 18  # go to the target if a flit waits
    SENDING = 19  # if the packet buffer is not free
    ENDED = 20  # if the flit that was taken last ended its packet
    IN = 21  # d = what port (immediate) gives
    OUT = 22  # port (immediate) = X
    CLEAR = 23  # sum of the lane = 0
    TERM = 24  # the product of the stored numbers X and Y is added to the lane's sum
    WORD = 25  # X * 2**(16 * immediate) is added
    SUM = 26  # d = word (immediate) of the lane's sum
    ROUND = 27  # d = the sum, rounded to a stored number; the carry says that it saturated
    LIST = 28  # what the next three play is in the memory from X to before register d; E is an entry, A = X + immediate
    FORWARD = 29  # for each E: the stored number at E + A is added to the lane's sum
    ERRORS = 30  # for each E and what follows it, F: the product of the stored numbers at E + A, and F, is added
    GRADIENT = 31  # for each E: registers d, d + 1, ..., an integer, are added to that in the memory from E + A on


BRANCHES = (Op.EQUAL, Op.DIFFERENT, Op.BELOW, Op.NOT_BELOW, Op.JUMP, Op.ARRIVED, Op.SENDING, Op.ENDED)
"""Instructions whose immediate is a target."""


class Input(IntEnum):
    """Ports of IN."""

    LOW = 0  # lower half of the flit that waits
    HIGH = 1  # its upper half; takes the flit
    CYCLES = 2  # lower half of the number of clock cycles since reset; the upper half is kept for HIGH
    PLACE = 3  # x + 8 y of the core


class Output(IntEnum):
    """Ports of OUT."""

    HALF = 0  # the next half of a flit for the packet buffer, the lower one first
    SEND = 1  # the packet in the buffer is complete, whatever X is
    ACTIVITY = 2  # engines at work: 1 feed-forward, 2 back-propagation, 4 weight gradient
