# SPDX-License-Identifier: Apache-2.0
"""The exact product of two stored numbers as a fixed-point term of a sum."""

from amaranth.hdl import Cat, Module, Mux, Signal, signed
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from backspike.hw.arith.numbers import check_format, product_model, product_width, unpack

__all__ = ["FixedProduct"]


class FixedProduct(wiring.Component):
    """Multiplies two stored numbers exactly, into a term that an adder with carry-in can take.

    The product is ``term + carry`` in units of ``2**(2 * fmt.lsb)``: a negative product is given as the ones'
    complement of its magnitude, and the missing 1 is left to the carry input of the adder that follows.

    Latency 2, one product per cycle; no reset, no handshake.

    Parameters
    ----------
    fmt: storage format

    Members
    -------
    a, b: In(fmt.width), factors
    nonzero: In(1), 0 makes the product zero whatever the factors are
    term: Out(signed(product_width(fmt)))
    carry: Out(1)
    """

    latency = 2

    def __init__(self, fmt):
        self.fmt = check_format(fmt)
        super().__init__({
            "a": In(fmt.width),
            "b": In(fmt.width),
            "nonzero": In(1),
            "term": Out(signed(product_width(fmt))),
            "carry": Out(1),
        })

    def elaborate(self, platform):
        m = Module()
        negative_a, significand_a, shift_a = unpack(self.a, self.fmt)
        negative_b, significand_b, shift_b = unpack(self.b, self.fmt)

        significand = Signal(2 * len(significand_a), reset_less=True)
        shift = Signal(self.fmt.exponent + 1, reset_less=True)
        negative = Signal(reset_less=True)
        nonzero = Signal(reset_less=True)
        m.d.sync += [
            significand.eq(significand_a * significand_b),
            shift.eq(shift_a + shift_b),
            negative.eq(negative_a ^ negative_b),
            nonzero.eq(self.nonzero),
        ]

        width = len(self.term) - 1
        magnitude = (significand << shift)[:width]
        inverted = Cat(magnitude ^ negative.replicate(width), negative)
        term = Signal(signed(width + 1), reset_less=True)
        carry = Signal(reset_less=True)
        # The choice of zero becomes the synchronous clear of the flip-flops and costs no logic.
        m.d.sync += [term.eq(Mux(nonzero, inverted.as_signed(), 0)), carry.eq(negative & nonzero)]
        m.d.comb += [self.term.eq(term), self.carry.eq(carry)]
        return m

    def model(self, a, b, nonzero=1):
        """``term + carry`` for integers or arrays of bit patterns; an object array of Python integers."""
        return product_model(a, b, self.fmt) * nonzero
