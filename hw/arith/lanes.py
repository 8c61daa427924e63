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
)
from backspike.hw.arith.product import FixedProduct
from backspike.hw.arith.term import FixedTerm

__all__ = ["ProductLane", "SpikeLane"]


def _accumulate(m, lane, *, term, carry):
    """Add ``term + carry``, which belongs to what was given to the lane ``latency - 1`` cycles ago, to the sum.

    Where nothing was given, it must be 0.
    """
    last = lane.valid & lane.last
    for _ in range(lane.latency - 1):
        last_next = Signal()
        m.d.sync += last_next.eq(last)
        last = last_next
    # A sum is kept while the next one grows, so that this begins at 0 and there is no choice of what to add to. The
    # carry enters a bit below the sum, so that one carry chain does.
    width = lane.sum_width
    part, summed = Signal(signed(width)), Signal(signed(width))
    addend = Signal(signed(width))
    complete = Signal(signed(width))
    m.d.comb += [
        addend.eq(term),
        summed.eq((Cat(Const(1, 1), part) + Cat(carry, addend))[1 : width + 1]),
        lane.sum.eq(complete),
    ]
    m.d.sync += [part.eq(Mux(last, 0, summed)), complete.eq(summed), lane.done.eq(last)]


def _running_sums(last, terms):
    """Sums of a stream of terms (axis 0) after each term, restarted after ``last``."""
    first = np.roll(np.asarray(last, dtype=bool), 1, axis=0)
    first[0] = True
    totals = np.cumsum(terms, axis=0, dtype=object)
    index = np.arange(len(first)).reshape(-1, *[1] * (first.ndim - 1))
    begin = np.maximum.accumulate(np.where(first, index, 0), axis=0)
    return totals - np.take_along_axis(totals - terms, begin, axis=0)


class SpikeLane(wiring.Component):
    """Adds up stored numbers exactly: the multiply-accumulate of an operand that is 0 or 1.

    A term every cycle; reductions may follow each other without a gap, and terms with gaps. A reduction begins with
    the first term after a reset or after the last term of another.

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
    last: In(1), the term ends the reduction
    nonzero: In(1), 0 = the term adds zero, whatever ``operand`` is
    operand: In(fmt.width), the term
    done: Out(1), pulses when a reduction is finished
    sum: Out(signed(sum_width)), the exact sum; valid while ``done`` is high
    """

    latency = FixedTerm.latency + 1

    def __init__(self, fmt, terms):
        self.fmt = check_format(fmt)
        self.terms = check_integer("terms", terms, 1)
        self.sum_width = self.sum_width_of(fmt, terms)
        super().__init__(
            {
                "valid": In(1),
                "last": In(1),
                "nonzero": In(1),
                "operand": In(fmt.width),
                "done": Out(1),
                "sum": Out(signed(self.sum_width)),
            }
        )

    @staticmethod
    def sum_width_of(fmt, terms):
        """``sum_width`` of a lane with these parameters."""
        return fmt.fixed_width + ceil_log2(terms)

    def elaborate(self, platform):
        m = Module()
        m.submodules.number = number = FixedTerm(self.fmt)
        m.d.comb += [number.operand.eq(self.operand), number.nonzero.eq(self.valid & self.nonzero)]
        _accumulate(m, self, term=number.term, carry=number.carry)
        return m

    def model(self, last, operand, nonzero=1):
        """Sums after each term of a stream of valid terms along axis 0 (further axes: independent lanes).

        Object array of exact Python integers; those at ``last`` are the lane's results.
        """
        return _running_sums(last, to_fixed_model(operand, self.fmt).astype(object) * nonzero)


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
    valid, last, nonzero: In(1), as in :class:`SpikeLane`
    a, b: In(fmt.width), the factors of the term
    done: Out(1), pulses when a reduction is finished
    sum: Out(signed(sum_width)), the exact sum; valid while ``done`` is high
    """

    latency = 1 + FixedProduct.latency + 1

    def __init__(self, fmt, terms):
        self.fmt = check_format(fmt)
        self.terms = check_integer("terms", terms, 1)
        self.sum_width = product_width(fmt) + ceil_log2(terms)
        super().__init__(
            {
                "valid": In(1),
                "last": In(1),
                "nonzero": In(1),
                "a": In(fmt.width),
                "b": In(fmt.width),
                "done": Out(1),
                "sum": Out(signed(self.sum_width)),
            }
        )

    def elaborate(self, platform):
        m = Module()
        m.submodules.product = product = FixedProduct(self.fmt)
        # Memories put the factors out late in the cycle.
        m.d.sync += [product.a.eq(self.a), product.b.eq(self.b), product.nonzero.eq(self.valid & self.nonzero)]
        _accumulate(m, self, term=product.term, carry=product.carry)
        return m

    def model(self, last, a, b, nonzero=1):
        """Sums after each term of a stream of valid terms along axis 0, as :meth:`SpikeLane.model`."""
        return _running_sums(last, product_model(a, b, self.fmt) * nonzero)
