# SPDX-License-Identifier: Apache-2.0
"""The sequential core's one lane: an exact sum of products, read word by word, or rounded."""

from amaranth.hdl import Array, Cat, Const, Module, Mux, Signal, signed
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from backspike.hw.arith.numbers import check_format
from backspike.hw.arith.product import FixedProduct
from backspike.hw.arith.rounding import Rounder
from backspike.hw.sequential.instructions import WORD_BITS
from backspike.hw.sequential.memory_map import SUM_WORDS

__all__ = ["Lane"]

_BITS = SUM_WORDS * WORD_BITS


class Lane(wiring.Component):
    """Adds products of stored numbers, and integers word by word, to a sum of 96 bits in units of 2**(2 lsb).

    Parameters
    ----------
    fmt: storage format

    Members
    -------
    a, b: factors, and what a word holds (a)
    term: add a * b
    word: add a * 2**(16 place)
    place: number of a word of the sum
    busy: what was given is not yet in the sum; the next four must wait for it
    clear: sum = 0
    part: word ``place`` of the sum
    round: round the sum; done, value, saturated: the rounded number, a few cycles later
    """

    def __init__(self, fmt):
        self.fmt = check_format(fmt)
        super().__init__({
            "a": In(WORD_BITS),
            "b": In(WORD_BITS),
            "term": In(1),
            "word": In(1),
            "place": In(range(SUM_WORDS)),
            "busy": Out(1),
            "clear": In(1),
            "part": Out(WORD_BITS),
            "round": In(1),
            "done": Out(1),
            "value": Out(fmt.width),
            "saturated": Out(1),
        })

    def elaborate(self, platform):
        m = Module()
        m.submodules.product = product = FixedProduct(self.fmt, _BITS)
        m.submodules.rounder = rounder = Rounder(self.fmt, _BITS, 2 * self.fmt.lsb, 1)
        total, under_way = Signal(signed(_BITS)), Signal(1 + FixedProduct.latency + 1)
        a, b, term, words = Signal.like(self.a), Signal.like(self.b), Signal(), Signal(SUM_WORDS)
        m.d.sync += [
            a.eq(self.a), b.eq(self.b), term.eq(self.term),
            words.eq(Mux(self.word, 1 << self.place, 0)),
            under_way.eq(Cat(self.term | self.word, under_way[:-1])),
            # The carry enters a bit below, so that one carry chain does.
            total.eq((Cat(Const(1, 1), total).as_signed() + Cat(product.carry, product.term).as_signed()) >> 1),
        ]
        with m.If(self.clear):
            m.d.sync += total.eq(0)
        m.d.comb += [
            product.a.eq(a), product.b.eq(b), product.nonzero.eq(term),
            product.other.eq(Cat(a & word.replicate(WORD_BITS) for word in words)),
            self.busy.eq(under_way.any()),
            self.part.eq(Array(total.word_select(k, WORD_BITS) for k in range(SUM_WORDS))[self.place]),
            rounder.valid.eq(self.round),
            rounder.sum.eq(total),
            self.done.eq(rounder.done),
            self.value.eq(rounder.value),
            self.saturated.eq(rounder.saturated),
        ]
        return m
