# SPDX-License-Identifier: Apache-2.0
"""The exact product of two stored numbers as a fixed-point term of a sum."""

from amaranth.hdl import Cat, Module, Mux, Signal, signed
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from backspike.hw.arith.numbers import check_format, check_integer, product_model, product_width

__all__ = ["FixedProduct"]


class FixedProduct(wiring.Component):
    """Multiplies two stored numbers exactly, into a term that an adder with carry-in can take.

    The product is ``term + carry`` in units of ``2**(2 * fmt.lsb)``: a negative product is given as the ones'
    complement of its magnitude, and the missing 1 is left to the carry input of the adder that follows.

    Latency 2, one product per cycle; no handshake. A multiplier follows the factors at once: they should come from
    registers.

    Parameters
    ----------
    fmt: storage format
    width: bits of ``other``, if an integer may take the place of a product; 0 = never

    Members
    -------
    a, b: In(fmt.width), factors
    nonzero: In(1), 0 makes the product zero whatever the factors are
    other: In(signed(width)), only if ``width`` is not 0: added; must be 0 unless ``nonzero`` is 0
    term: Out(signed(max(width, product_width(fmt))))
    carry: Out(1)
    """

    latency = 2

    def __init__(self, fmt, width=0):
        self.fmt = check_format(fmt)
        self.width = check_integer("width", width, 0)
        super().__init__(
            {
                "a": In(fmt.width),
                "b": In(fmt.width),
                "nonzero": In(1),
                **({"other": In(signed(width))} if width else {}),
                "term": Out(signed(max(width, product_width(fmt)))),
                "carry": Out(1),
            }
        )

    def elaborate(self, platform):
        m = Module()
        (negative_a, significand_a, code_a), (negative_b, significand_b, code_b) = map(self._parts, (self.a, self.b))
        significand = Signal(2 * len(significand_a))
        shift = Signal(self.fmt.exponent + 1)
        negative = Signal()
        # The choice of zero becomes the synchronous clear of the flip-flops and costs no logic.
        m.d.sync += [
            significand.eq(Mux(self.nonzero, significand_a * significand_b, 0)),
            shift.eq(code_a + code_b),  # two places too many
            negative.eq((negative_a ^ negative_b) & self.nonzero),
        ]

        # Inverted before the shift, where it is short; what is shifted in are copies of the sign.
        shifted = significand ^ negative.replicate(len(significand))
        for k in range(len(shift)):
            fill = negative.replicate(1 << k)
            level = Signal(len(shifted) + (1 << k), name=f"shifted_{1 << k}")
            m.d.comb += level.eq(Mux(shift[k], Cat(fill, shifted), Cat(shifted, fill)))
            shifted = level
        term = Signal.like(self.term)
        carry = Signal()
        product = shifted[2 : 2 + product_width(self.fmt)].as_signed()
        if self.width:
            other = Signal.like(self.other)
            m.d.sync += other.eq(self.other)
            product |= other
        m.d.sync += [term.eq(product), carry.eq(negative)]
        m.d.comb += [self.term.eq(term), self.carry.eq(carry)]
        return m

    def _parts(self, bits):
        """Sign, significand and exponent code of a number; subnormal numbers count as code 1."""
        code = bits[self.fmt.mantissa : -1]
        normal = code.any()
        return bits[-1], Cat(bits[: self.fmt.mantissa], normal), Cat(code[0] | ~normal, code[1:])

    def model(self, a, b, nonzero=1):
        """``term + carry`` for integers or arrays of bit patterns; an object array of Python integers."""
        return product_model(a, b, self.fmt) * nonzero
