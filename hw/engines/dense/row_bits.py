# SPDX-License-Identifier: Apache-2.0
"""The set bits of rows of words in a memory, one each cycle."""

from amaranth.hdl import Cat, Module, Mux, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.data import ArrayLayout, StructLayout
from amaranth.lib.wiring import In, Out

from backspike.hw.blocks import any_of, at_most_one, lowest_bit
from backspike.hw.shapes import WORD

__all__ = ["RowBits"]


class RowBits(wiring.Component):
    """Lists the set bits of each row, from the lowest; a row without any gives one item ``none``.

    Zero words are passed over, one each cycle, while the bits of the word before are listed; only a row whose last word
    is zero costs a cycle, with an item ``none``.

    Parameters
    ----------
    base: bits of an address
    words: largest number of words of a row
    payload: shape that travels with a row
    banks: memories that are read at the same address; a bit is set if it is in any of them

    Members
    -------
    rows: stream of {base, end, payload}: words 0 to ``end`` from address ``base`` on; bits of the last word beyond the
        row must be 0, as all who write tapes and bitmaps leave them
    address, enable, bits: to memories with one cycle of latency, which hold their output while ``enable`` is 0
    items: stream of {number, hits, none, last, payload}: number of the bit in its row, in which banks it is set, no bit
        at all, last item of its row
    busy: something is inside
    """

    def __init__(self, *, base, words, payload, banks=1):
        self.row = StructLayout({"base": base, "end": range(words), "payload": payload})
        place = self.row["end"].shape if words > 1 else 1
        self._number = Cat(Signal(5), Signal(place)).shape()
        self.item = StructLayout({"number": self._number, "hits": banks, "none": 1, "last": 1, "payload": payload})
        super().__init__({
            "rows": In(stream.Signature(self.row)),
            "address": Out(base),
            "enable": Out(1),
            "bits": In(ArrayLayout(WORD, banks)),
            "items": Out(stream.Signature(self.item)),
            "busy": Out(1),
        })

    def elaborate(self, platform):
        m = Module()
        row, banks = self.rows.p, len(self.items.p.hits)
        about = StructLayout({"index": row.end.shape(), "last": 1, "payload": row.payload.shape()})
        number, at_end = Signal.like(row.end, name="number"), Signal()
        asked, read = Signal(), Signal(about)  # the word that the memories put out
        step, words = Signal(), Signal(ArrayLayout(WORD, banks))
        useful, take = Signal(), Signal()
        m.d.comb += [
            self.address.eq(row.base + number),
            at_end.eq(number == row.end),
            self.enable.eq(step),
            self.rows.ready.eq(step & at_end),
        ]
        with m.If(step):
            m.d.sync += asked.eq(self.rows.valid)
            with m.If(self.rows.valid):
                m.d.sync += [
                    number.eq(Mux(at_end, 0, number + 1)),
                    read.index.eq(number), read.last.eq(at_end), read.payload.eq(row.payload),
                ]
        # A block RAM is late: its word is only looked at when it stands in a register.
        fetched, place = Signal(), Signal(about)
        with m.If(step):
            m.d.sync += [fetched.eq(asked), place.eq(read), words.eq(self.bits)]
        union = any_of([words[k] for k in range(banks)])
        m.d.comb += [
            useful.eq(union.any() | place.last),
            step.eq(~fetched | ~useful | take),
        ]
        self._list(m, about, fetched & useful, place, union, words, take)
        m.d.comb += self.busy.eq(self.rows.valid | asked | fetched | self.items.valid)
        return m

    def _list(self, m, about, valid, read, union, given, take):
        """Hold a word while its bits are listed."""
        banks = len(self.items.p.hits)
        full, held, rest = Signal(), Signal(about), Signal(WORD)
        some, single = Signal(), Signal()  # the word is not zero; not more than one bit is left
        words = [Signal(WORD, name=f"word_{k}") for k in range(banks if banks > 1 else 0)]
        place, following = Signal(5), Signal(WORD)
        item = self.items.p
        m.d.comb += [
            place.eq(lowest_bit(m, rest, "lowest")),
            item.number.eq(Cat(place, held.index)),
            item.hits.eq(Cat(word.bit_select(place, 1) for word in words) if words else 1),
            item.none.eq(~some),
            item.last.eq(held.last & single),
            item.payload.eq(held.payload),
            self.items.valid.eq(full),
            take.eq(~full | (self.items.ready & single)),
            following.eq(Mux(take, union, rest & (rest - 1))),
        ]
        with m.If(take | self.items.ready):
            m.d.sync += [rest.eq(following), single.eq(at_most_one(following))]
        with m.If(take):
            m.d.sync += [full.eq(valid), held.eq(read), some.eq(union.any())]
            m.d.sync += [word.eq(given[k]) for k, word in enumerate(words)]
