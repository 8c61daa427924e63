# SPDX-License-Identifier: Apache-2.0
"""A stored number, or one times a small integer, as a fixed-point term of a sum."""

from amaranth.hdl import Cat, Const, Module, Mux, Signal, signed
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from backspike.hw.arith.numbers import check_format, check_integer, to_fixed_model

__all__ = ["CountedTerm", "FixedTerm"]


FINE = 4
"""Bits of a shift that a multiplier is for: 16 powers of two fit into one of 18 x 18 bits."""


def _shifted(m, fmt, given, negative, code, significand, width):
    """``significand`` shifted by the exponent's ``code``, where it is given, as ``(term, carry)`` of the cycle after.

    A multiplier shifts: by up to 15 places, as a product with a power of two. The choice of zero becomes the
    synchronous clear of the flip-flops and costs no logic.
    """
    fine, normal = min(FINE, fmt.exponent), code.any()
    shifted = Signal(len(significand) + (1 << fine) - 1)
    power, sign = Signal(1 << fine), Signal()
    # Shifted by the code is shifted by one place too many, but for a subnormal number, which counts as code 1.
    m.d.comb += power.eq(Cat(code[:fine] == k for k in range(1 << fine)))
    m.d.comb += power[:2].eq(Cat((code[:fine] == 0) & normal, (code[:fine] == 1) | ~normal))
    m.d.sync += [shifted.eq(Mux(given, significand * power, 0)), sign.eq(negative & given)]
    magnitude = Cat(shifted, Const(0, width))
    if fmt.exponent > fine:
        coarse = Signal(fmt.exponent - fine)
        # A shift by what is not known would make 0 unknown in simulators that know unknown values.
        m.d.sync += coarse.eq(Mux(given, code[fine:], 0))
        magnitude = shifted << Cat(Const(0, fine), coarse)
    magnitude = magnitude[1:width]
    return Cat(magnitude ^ sign.replicate(width - 1), sign).as_signed(), sign


class FixedTerm(wiring.Component):
    """Turns a stored number into a term that an adder with carry-in can take.

    The number is ``term + carry`` in units of ``2**fmt.lsb``: a negative one is given as the ones' complement of its
    magnitude, and the missing 1 is left to the carry input of the adder that follows.

    Latency 2, one number per cycle; no reset, no handshake. The first cycle is for memories, which put the number out
    late.

    Parameters
    ----------
    fmt: storage format

    Members
    -------
    operand: In(fmt.width)
    nonzero: In(1), 0 makes the term zero whatever the operand is
    term: Out(signed(fmt.fixed_width))
    carry: Out(1)
    """

    latency = 2

    def __init__(self, fmt):
        self.fmt = check_format(fmt)
        super().__init__(
            {
                "operand": In(fmt.width),
                "nonzero": In(1),
                "term": Out(signed(fmt.fixed_width)),
                "carry": Out(1),
            }
        )

    def elaborate(self, platform):
        m = Module()
        fmt, operand, given = self.fmt, Signal(self.fmt.width), Signal()
        m.d.sync += [operand.eq(self.operand), given.eq(self.nonzero)]
        code = operand[fmt.mantissa : -1]
        significand = Cat(operand[: fmt.mantissa], code.any())
        term, carry = _shifted(m, fmt, given, operand[-1], code, significand, fmt.fixed_width)
        m.d.comb += [self.term.eq(term), self.carry.eq(carry)]
        return m

    def model(self, operand, nonzero=1):
        """``term + carry`` for integers or arrays of bit patterns; an object array of Python integers."""
        return to_fixed_model(operand, self.fmt).astype(object) * nonzero


class CountedTerm(wiring.Component):
    """Turns a stored number times an integer into a term that an adder with carry-in can take, as ``FixedTerm`` does.

    Latency 3, one number per cycle; no reset, no handshake. The first cycle is for memories, the second for the
    product, the third for the shift.

    Parameters
    ----------
    fmt: storage format
    bits: of the integer; with up to 7 of them, a product of binary16 is shifted by one multiplier of 18 x 18 bits

    Members
    -------
    operand: In(fmt.width)
    count: In(bits), the integer
    term: Out(signed(fmt.fixed_width + bits))
    carry: Out(1)
    """

    latency = 3

    def __init__(self, fmt, bits):
        self.fmt, self.bits = check_format(fmt), check_integer("bits", bits, 1)
        super().__init__(
            {
                "operand": In(fmt.width),
                "count": In(bits),
                "term": Out(signed(fmt.fixed_width + bits)),
                "carry": Out(1),
            }
        )

    def elaborate(self, platform):
        m = Module()
        fmt, operand, count = self.fmt, Signal(self.fmt.width), Signal(self.bits)
        negative, code = Signal(), Signal(fmt.exponent)
        product = Signal(fmt.mantissa + 1 + self.bits)
        m.d.sync += [
            operand.eq(self.operand),
            count.eq(self.count),
            code.eq(operand[fmt.mantissa : -1]),
            negative.eq(operand[-1]),
            product.eq(Cat(operand[: fmt.mantissa], operand[fmt.mantissa : -1].any()) * count),
        ]
        term, carry = _shifted(m, fmt, Const(1, 1), negative, code, product, fmt.fixed_width + self.bits)
        m.d.comb += [self.term.eq(term), self.carry.eq(carry)]
        return m

    def model(self, operand, count):
        """``term + carry`` for integers or arrays; an object array of Python integers."""
        return to_fixed_model(operand, self.fmt).astype(object) * count
