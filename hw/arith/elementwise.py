# SPDX-License-Identifier: Apache-2.0
"""The arithmetic of neuron, delta and weight updates: two products and an exact addend, rounded once."""

import numpy as np
from amaranth.hdl import Cat, Const, Module, Signal, signed
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from backspike.hw.arith.numbers import check_format, check_integer, product_model, product_width
from backspike.hw.arith.product import FixedProduct
from backspike.hw.arith.rounding import Rounder, check_tag

__all__ = ["Elementwise"]


class Elementwise(wiring.Component):
    """Computes ``round(a * b + c * d + addend)`` with one rounding, nearest even, saturating.

    One result per cycle, always ready. Reset clears the results under way.

    Parameters
    ----------
    fmt: storage format
    sum_width: bits of the addend
    tag: shape of a value that is carried along

    Attributes
    ----------
    latency: cycles from ``valid`` to ``done``

    Members
    -------
    valid: In(1)
    a, b, c, d: In(fmt.width), stored numbers
    addend: In(signed(sum_width)), exact, in units of ``2**(2 * fmt.lsb)``
    tag: In(tag)
    done: Out(1)
    value: Out(fmt.width), the rounded number; valid while ``done`` is high, as the next two
    saturated: Out(1)
    tag_out: Out(tag)

    Raises
    ------
    TypeError, ValueError: a parameter of the wrong kind or out of range
    """

    def __init__(self, fmt, sum_width, tag):
        self.fmt = check_format(fmt)
        self.sum_width = check_integer("sum_width", sum_width, 2)
        self.tag_shape = check_tag(tag)
        self._pair_width = product_width(fmt) + 1
        self._total_width = max(self._pair_width, sum_width) + 1
        self._rounder = Rounder(fmt, self._total_width, 2 * fmt.lsb, tag)
        self._sum_latency = FixedProduct.latency + 2
        self.latency = self._sum_latency + self._rounder.latency
        super().__init__({
            "valid": In(1),
            **{name: In(fmt.width) for name in "abcd"},
            "addend": In(signed(sum_width)),
            "tag": In(tag),
            "done": Out(1),
            "value": Out(fmt.width),
            "saturated": Out(1),
            "tag_out": Out(tag),
        })

    def elaborate(self, platform):
        m = Module()
        m.submodules.product_ab = ab = FixedProduct(self.fmt)
        m.submodules.product_cd = cd = FixedProduct(self.fmt)
        m.submodules.rounder = rounder = self._rounder
        m.d.comb += [
            ab.a.eq(self.a), ab.b.eq(self.b), ab.nonzero.eq(1),
            cd.a.eq(self.c), cd.b.eq(self.d), cd.nonzero.eq(1),
        ]

        # Each carry enters a bit below its sum, so that every addition is one carry chain.
        pair = Signal(signed(self._pair_width), reset_less=True)
        pair_carry = Signal(reset_less=True)
        total = Signal(signed(self._total_width), reset_less=True)
        addend = self._delay(m, self.addend, FixedProduct.latency + 1)
        m.d.sync += [
            pair.eq((Cat(Const(1, 1), ab.term).as_signed() + Cat(ab.carry, cd.term).as_signed()) >> 1),
            pair_carry.eq(cd.carry),
            total.eq((Cat(Const(1, 1), pair).as_signed() + Cat(pair_carry, addend).as_signed()) >> 1),
        ]

        valid = self.valid
        for _ in range(self._sum_latency):
            valid_next = Signal()
            m.d.sync += valid_next.eq(valid)
            valid = valid_next
        m.d.comb += [
            rounder.valid.eq(valid),
            rounder.sum.eq(total),
            rounder.tag.eq(self._delay(m, self.tag, self._sum_latency)),
            self.done.eq(rounder.done),
            self.value.eq(rounder.value),
            self.saturated.eq(rounder.saturated),
            self.tag_out.eq(rounder.tag_out),
        ]
        return m

    def _delay(self, m, value, cycles):
        for _ in range(cycles):
            register = Signal.like(value, reset_less=True, name="delayed")
            m.d.sync += register.eq(value)
            value = register
        return value

    def model(self, a, b, c, d, addend):
        """``(value, saturated)`` for integers or arrays of bit patterns, and of exact addends."""
        total = product_model(a, b, self.fmt) + product_model(c, d, self.fmt) + np.asarray(addend, dtype=object)
        return self._rounder.model(total)
