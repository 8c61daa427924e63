# SPDX-License-Identifier: Apache-2.0
"""Multiply-accumulate lanes: exact sums of stored numbers, or of products of them, one term per cycle."""

import numpy as np
from amaranth.hdl import Cat, Const, Module, Mux, Signal, signed
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out
from amaranth.utils import ceil_log2

from backspike.hw.arith.numbers import (
    check_format,
    check_integer,
    product_model,
    product_width,
    to_fixed_model,
    to_term,
)
from backspike.hw.arith.product import FixedProduct

__all__ = ["ProductLane", "SpikeLane"]


def _control(m, lane, depth):
    """``(valid, first, last)`` of the lane ``depth`` cycles ago."""
    now = lane.valid, lane.first, lane.last
    for _ in range(depth):
        valid = Signal()
        first = Signal(reset_less=True)
        last = Signal(reset_less=True)
        m.d.sync += [valid.eq(now[0]), first.eq(now[1]), last.eq(now[2])]
        now = valid, first, last
    return now


def _accumulate(m, lane, control, *, term, carry):
    """Add ``term + carry`` to the sum, or to 0 with the first term of a reduction."""
    valid, first, last = control
    width = lane.sum_width
    total = Signal(signed(width), reset_less=True)
    base = Signal(signed(width))
    addend = Signal(signed(width))
    m.d.comb += [base.eq(Mux(first, 0, total)), addend.eq(term), lane.sum.eq(total)]
    with m.If(valid):  # the carry enters a bit below the sum, so that one carry chain does
        m.d.sync += total.eq((Cat(Const(1, 1), base) + Cat(carry, addend))[1 : width + 1])
    m.d.sync += lane.done.eq(valid & last)


def _running_sums(first, terms):
    """Sums of a stream of terms (axis 0) after each term, restarted where ``first``."""
    first = np.asarray(first, dtype=bool)
    totals = np.cumsum(terms, axis=0, dtype=object)
    index = np.arange(len(first)).reshape(-1, *[1] * (first.ndim - 1))
    begin = np.maximum.accumulate(np.where(first, index, 0), axis=0)
    return totals - np.take_along_axis(totals - terms, begin, axis=0)


class SpikeLane(wiring.Component):
    """Adds up stored numbers exactly: the multiply-accumulate of an operand that is 0 or 1.

    A term every cycle; reductions may follow each other without a gap, and terms with gaps. After reset nothing
    is accumulated; the first term must come with ``first``.

    Parameters
    ----------
    fmt: storage format
    terms: largest number of terms of one reduction

    Attributes
    ----------
    sum_width: bits of the sum, which is in units of ``2**fmt.lsb``
    latency: cycles from the last term to ``done``

    Members
    -------
    valid: In(1), a term is given in this cycle
    first: In(1), the term starts a new reduction
    last: In(1), the term ends the reduction (may come with ``first``)
    nonzero: In(1), 0 = the term adds zero, whatever ``operand`` is
    operand: In(fmt.width), the term
    done: Out(1), pulses when a reduction is finished
    sum: Out(signed(sum_width)), the exact sum; valid while ``done`` is high
    """

    latency = 2

    def __init__(self, fmt, terms):
        self.fmt = check_format(fmt)
        self.terms = check_integer("terms", terms, 1)
        self.sum_width = fmt.fixed_width + ceil_log2(terms)
        super().__init__({
            "valid": In(1),
            "first": In(1),
            "last": In(1),
            "nonzero": In(1),
            "operand": In(fmt.width),
            "done": Out(1),
            "sum": Out(signed(self.sum_width)),
        })

    def elaborate(self, platform):
        m = Module()
        term, carry = to_term(self.operand, self.fmt)
        held = Signal(term.shape(), reset_less=True)
        held_carry = Signal(reset_less=True)
        # The choice of zero becomes the synchronous clear of the flip-flops and costs no logic.
        m.d.sync += [held.eq(Mux(self.nonzero, term, 0)), held_carry.eq(carry & self.nonzero)]
        _accumulate(m, self, _control(m, self, self.latency - 1), term=held, carry=held_carry)
        return m

    def model(self, first, operand, nonzero=1):
        """Sums after each term of a stream of valid terms along axis 0 (further axes: independent lanes).

        Object array of exact Python integers; those at ``last`` are the lane's results.
        """
        return _running_sums(first, to_fixed_model(operand, self.fmt).astype(object) * nonzero)


class ProductLane(wiring.Component):
    """Adds up products of two stored numbers exactly.

    Terms and reductions follow each other as in :class:`SpikeLane`.

    Parameters
    ----------
    fmt: storage format
    terms: largest number of terms of one reduction

    Attributes
    ----------
    sum_width: bits of the sum, which is in units of ``2**(2 * fmt.lsb)``
    latency: cycles from the last term to ``done``

    Members
    -------
    valid, first, last, nonzero: In(1), as in :class:`SpikeLane`
    a, b: In(fmt.width), the factors of the term
    done: Out(1), pulses when a reduction is finished
    sum: Out(signed(sum_width)), the exact sum; valid while ``done`` is high
    """

    latency = FixedProduct.latency + 1

    def __init__(self, fmt, terms):
        self.fmt = check_format(fmt)
        self.terms = check_integer("terms", terms, 1)
        self.sum_width = product_width(fmt) + ceil_log2(terms)
        super().__init__({
            "valid": In(1),
            "first": In(1),
            "last": In(1),
            "nonzero": In(1),
            "a": In(fmt.width),
            "b": In(fmt.width),
            "done": Out(1),
            "sum": Out(signed(self.sum_width)),
        })

    def elaborate(self, platform):
        m = Module()
        m.submodules.product = product = FixedProduct(self.fmt)
        m.d.comb += [product.a.eq(self.a), product.b.eq(self.b), product.nonzero.eq(self.nonzero)]
        control = _control(m, self, product.latency)
        _accumulate(m, self, control, term=product.term, carry=product.carry)
        return m

    def model(self, first, a, b, nonzero=1):
        """Sums after each term of a stream of valid terms along axis 0, as :meth:`SpikeLane.model`."""
        return _running_sums(first, product_model(a, b, self.fmt) * nonzero)
