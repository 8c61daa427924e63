# SPDX-License-Identifier: Apache-2.0
"""The arithmetic of neuron, delta and weight updates: exact sums of a few terms, rounded once."""

import numpy as np
from amaranth.hdl import Cat, Const, Module, Mux, Signal, signed
from amaranth.lib import wiring
from amaranth.lib.data import StructLayout
from amaranth.lib.wiring import In, Out

from backspike.hw.arith.numbers import check_format, check_integer, product_model, product_width
from backspike.hw.arith.product import FixedProduct
from backspike.hw.arith.rounding import Rounder, check_tag

__all__ = ["SIGN", "Elementwise"]

SIGN = StructLayout({"negative": 1, "nonzero": 1})
"""Sign of an exact sum."""


class Elementwise(wiring.Component):
    """Adds up the terms of an operation, each a product or an integer, and rounds once, nearest even, saturating.

    One term per cycle, always ready; an operation is up to ``TERMS`` terms, with gaps or without, one operation after
    the other. Reset clears the results under way; the first term after it starts an operation.

    Parameters
    ----------
    fmt: storage format
    sum_width: bits of the addend
    tag: shape of a value that is carried along

    Attributes
    ----------
    latency: cycles from the last term of an operation to ``done``

    Members
    -------
    valid: In(1), a term is given in this cycle
    last: In(1), it ends the operation
    product: In(1), it is ``a * b``
    add: In(1), it is ``addend``; not together with ``product``; without either it is 0
    a, b: In(fmt.width), stored numbers
    addend: In(signed(sum_width)), exact, in units of ``2**(2 * fmt.lsb)``
    tag: In(tag), of the operation, given with its last term
    done: Out(1)
    value: Out(fmt.width), the rounded sum; valid while ``done`` is high, as the next four
    sign: Out(SIGN), of the sum before it is rounded
    sign_before: Out(SIGN), of the sum without its last term, of an operation of more than one
    saturated: Out(1)
    tag_out: Out(tag)

    Raises
    ------
    TypeError, ValueError: a parameter of the wrong kind or out of range
    """

    TERMS = 3

    def __init__(self, fmt, sum_width, tag):
        self.fmt = check_format(fmt)
        self.sum_width = check_integer("sum_width", sum_width, 2)
        self.tag_shape = check_tag(tag)
        self._total_width = self._total_width_of(fmt, sum_width)
        self._rounder = Rounder(fmt, self._total_width, 2 * fmt.lsb, tag)
        self.latency = self.latency_of(fmt, sum_width)
        super().__init__(
            {
                **dict.fromkeys(("valid", "last", "product", "add"), In(1)),
                "a": In(fmt.width),
                "b": In(fmt.width),
                "addend": In(signed(sum_width)),
                "tag": In(tag),
                "done": Out(1),
                "value": Out(fmt.width),
                "sign": Out(SIGN),
                "sign_before": Out(SIGN),
                "saturated": Out(1),
                "tag_out": Out(tag),
            }
        )

    @staticmethod
    def _total_width_of(fmt, sum_width):
        return max(product_width(fmt) + 1, sum_width) + 1  # two products and an addend, or three products

    @classmethod
    def latency_of(cls, fmt, sum_width):
        """``latency`` of a unit with these parameters."""
        return FixedProduct.latency + 1 + Rounder.latency_of(fmt, cls._total_width_of(fmt, sum_width), 2 * fmt.lsb)

    def elaborate(self, platform):
        m = Module()
        m.submodules.term = term = FixedProduct(self.fmt, self.sum_width)
        m.submodules.rounder = rounder = self._rounder
        # Between the terms of an operation 0 is added.
        m.d.comb += [
            term.a.eq(self.a),
            term.b.eq(self.b),
            term.nonzero.eq(self.valid & self.product),
            term.other.eq(Mux(self.valid & self.add, self.addend, 0)),
        ]
        last, tag = self.valid & self.last, self.tag
        for k in range(FixedProduct.latency):
            last_next = Signal(name=f"last_{k + 1}")
            tag_next = Signal(self.tag_shape, name=f"tag_{k + 1}")
            m.d.sync += [last_next.eq(last), tag_next.eq(tag)]
            last, tag = last_next, tag_next

        # A sum is kept until it is complete, so that the next one can begin at 0 and needs no choice of what to add
        # to. The carry enters a bit below, so that one carry chain does.
        part = Signal(signed(self._total_width))
        total = Signal(signed(self._total_width))
        summed = Signal(signed(self._total_width))
        m.d.comb += summed.eq((Cat(Const(1, 1), part).as_signed() + Cat(term.carry, term.term).as_signed()) >> 1)
        m.d.sync += [rounder.valid.eq(last), rounder.tag.eq(tag), total.eq(summed), part.eq(Mux(last, 0, summed))]
        # The rounder works on every sum that grows, so a cycle before its result stands that without the last term.
        m.d.sync += self.sign_before.eq(self.sign)
        m.d.comb += [
            rounder.sum.eq(total),
            self.done.eq(rounder.done),
            self.value.eq(rounder.value),
            self.sign.negative.eq(rounder.value[-1]),
            self.sign.nonzero.eq(rounder.nonzero),
            self.saturated.eq(rounder.saturated),
            self.tag_out.eq(rounder.tag_out),
        ]
        return m

    def model(self, a, b, c, d, addend):
        """``(value, saturated)`` of ``a * b + c * d + addend``: integers or arrays of bit patterns, exact addends."""
        return self._rounder.model(self.exact(a, b, c, d, addend))

    def exact(self, a, b, c, d, addend):
        """``a * b + c * d + addend``, not rounded: an object array of Python integers."""
        return product_model(a, b, self.fmt) + product_model(c, d, self.fmt) + np.asarray(addend, dtype=object)
