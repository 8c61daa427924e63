# SPDX-License-Identifier: Apache-2.0
"""A stored number as a fixed-point term of a sum."""

from amaranth.hdl import Cat, Const, Module, Mux, Signal, signed
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from backspike.hw.arith.numbers import check_format, to_fixed_model

__all__ = ["FixedTerm"]


class FixedTerm(wiring.Component):
    """Turns a stored number into a term that an adder with carry-in can take.

    The number is ``term + carry`` in units of ``2**fmt.lsb``: a negative one is given as the ones' complement of its
    magnitude, and the missing 1 is left to the carry input of the adder that follows.

    Latency 2, one number per cycle; no reset, no handshake. The first cycle is for memories, which put the number out
    late. In the second a multiplier shifts: by up to 15 places, as a product with a power of two.

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

    FINE = 4
    """Bits of the shift that the multiplier is for: 16 powers of two fit into one of 18 x 18 bits."""

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
        fine = min(self.FINE, self.fmt.exponent)
        operand, given = Signal(self.fmt.width), Signal()
        code = operand[self.fmt.mantissa : -1]
        normal = code.any()
        significand = Cat(operand[: self.fmt.mantissa], normal)
        shifted = Signal(len(significand) + (1 << fine) - 1)
        negative = Signal()
        # Shifted by the code is shifted by one place too many, but for a subnormal number, which counts as code 1.
        power = Signal(1 << fine)
        m.d.comb += power.eq(Cat(code[:fine] == k for k in range(1 << fine)))
        m.d.comb += power[:2].eq(Cat((code[:fine] == 0) & normal, (code[:fine] == 1) | ~normal))
        # The choice of zero becomes the synchronous clear of the flip-flops and costs no logic.
        m.d.sync += [
            operand.eq(self.operand),
            given.eq(self.nonzero),
            shifted.eq(Mux(given, significand * power, 0)),
            negative.eq(operand[-1] & given),
        ]
        width = self.fmt.fixed_width - 1
        magnitude = Cat(shifted, Const(0, width))
        if self.fmt.exponent > fine:
            coarse = Signal(self.fmt.exponent - fine)
            # A shift by what is not known would make 0 unknown in simulators that know unknown values.
            m.d.sync += coarse.eq(Mux(given, code[fine:], 0))
            magnitude = shifted << Cat(Const(0, fine), coarse)
        magnitude = magnitude[1 : width + 1]
        m.d.comb += [
            self.term.eq(Cat(magnitude ^ negative.replicate(width), negative).as_signed()),
            self.carry.eq(negative),
        ]
        return m

    def model(self, operand, nonzero=1):
        """``term + carry`` for integers or arrays of bit patterns; an object array of Python integers."""
        return to_fixed_model(operand, self.fmt).astype(object) * nonzero
