# SPDX-License-Identifier: Apache-2.0
"""The set bits of rows of words in a memory, one each cycle."""

from amaranth.hdl import Cat, Module, Mux, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.data import ArrayLayout, StructLayout
from amaranth.lib.wiring import In, Out
from amaranth.utils import exact_log2

from backspike.hw.blocks import find_first, is_onehot0, or_reduce
from backspike.hw.shapes import WORD

__all__ = ["RowBits", "last_word"]

_BYTE = 8
_PLACE = exact_log2(WORD)


def last_word(count, bits):
    """Index of the last word of a row of ``count`` bits, 1 to 2**bits: ``count - 1`` without its place in the word.

    It is one less than ``count`` without that place if the last word is full, by few look-up tables and no carry chain.
    """
    words, whole = count[_PLACE:bits], ~count[:_PLACE].any()
    return Cat(words[k] ^ (whole & ~words[:k].any()) for k in range(len(words)))


class RowBits(wiring.Component):
    """Lists the set bits of each row, from the lowest; a row without any gives one item ``none``.

    Zero words are passed over, one each cycle, while the bits of the word before are listed; only a row whose last word
    is zero costs a cycle, with an item ``none``.

    Parameters
    ----------
    base: bits of an address
    words: largest number of words of a row; a row lies between two multiples of this number, rounded to a power of two
    payload: shape that travels with a row
    banks: memories that are read at the same address; a bit is set if it is in any of them

    Members
    -------
    rows: stream of {base, end, payload}: words 0 to ``end`` from address ``base`` on; bits of the last word beyond the
        row must be 0, as all who write tapes and bitmaps leave them
    address, enable, bits: to memories with one cycle of latency, which hold their output while ``enable`` is 0
    off: memories whose bits count as 0; only to be changed while not ``busy``
    items: stream of {number, hits, none, last, payload}: number of the bit in its row, in which banks it is set, no bit
        at all, last item of its row
    busy: something is inside
    """

    def __init__(self, *, base, words, payload, banks=1):
        self.row = StructLayout({"base": base, "end": range(words), "payload": payload})
        place = self.row["end"].shape if words > 1 else 1
        self._number = Cat(Signal(5), Signal(place)).shape()
        self.item = StructLayout({"number": self._number, "hits": banks, "none": 1, "last": 1, "payload": payload})
        super().__init__(
            {
                "rows": In(stream.Signature(self.row)),
                "address": Out(base),
                "enable": Out(1),
                "bits": In(ArrayLayout(WORD, banks)),
                "off": In(banks),
                "items": Out(stream.Signature(self.item)),
                "busy": Out(1),
            }
        )

    def elaborate(self, platform):
        m = Module()
        row, banks = self.rows.p, len(self.bits)
        about = StructLayout({"index": row.end.shape(), "last": 1, "payload": row.payload.shape()})
        number, at_end = Signal.like(row.end, name="number"), Signal()
        asked, read = Signal(), Signal(about)  # the word that the memories put out
        step, words = Signal(), Signal(ArrayLayout(WORD, banks))
        useful, take = Signal(), Signal()
        m.d.comb += [
            self.address.eq(Cat((row.base + number)[: len(number)], row.base[len(number) :])),
            at_end.eq(number == row.end),
            self.enable.eq(step),
            self.rows.ready.eq(step & at_end),
        ]
        with m.If(step):
            m.d.sync += asked.eq(self.rows.valid)
            with m.If(self.rows.valid):
                m.d.sync += [
                    number.eq(Mux(at_end, 0, number + 1)),
                    read.index.eq(number),
                    read.last.eq(at_end),
                    read.payload.eq(row.payload),
                ]
        # A block RAM is late: its word is only looked at when it stands in a register.
        fetched, place = Signal(), Signal(about)
        with m.If(step):
            m.d.sync += [fetched.eq(asked), place.eq(read), words.eq(self.bits)]
        for k in range(banks):  # the reset of the flip-flops, which costs no logic
            with m.If(self.off[k]):
                m.d.sync += words[k].eq(0)
        some = Signal(WORD // _BYTE)  # which bytes are not zero
        m.d.comb += [
            some.eq(Cat(Cat(words[bank][k : k + _BYTE] for bank in range(banks)).any() for k in range(0, WORD, _BYTE))),
            useful.eq(some.any() | place.last),
            step.eq(~fetched | ~useful | take),
        ]
        holding = self._list(m, about, fetched & useful, place, some, words, take)
        m.d.comb += self.busy.eq(self.rows.valid | asked | fetched | holding | self.items.valid)
        return m

    def _list(self, m, about, valid, read, some, given, take):
        """Hold a word while its bytes that are not zero are taken out of it, one after the other, and list their bits.

        Every byte that is taken has a bit, so there is no gap between two bytes, nor between two words.

        Returns
        -------
        whether a word is held
        """
        banks, item = len(self.items.p.hits), self.items.p
        # The word: which of its bytes have not been taken, and whether the next one is the final one.
        full, held, words = Signal(), Signal(about), Signal(ArrayLayout(WORD, banks), name="held_words")
        left, number, final, clear = Signal(len(some)), Signal(2), Signal(), Signal()
        # The byte: which of its bits have not been listed, and its bits of each bank.
        listing, index, last = Signal(), Signal.like(item.number[3:], name="index"), Signal()
        payload, none = Signal.like(item.payload, name="payload"), Signal()
        rest, marks, found = Signal(_BYTE), Signal(ArrayLayout(_BYTE, banks)), Signal(ArrayLayout(_BYTE, banks))
        place, single, free = Signal(3), Signal(), Signal()
        m.d.comb += [
            number.eq(find_first(m, left, "lowest_byte")),
            final.eq(is_onehot0(left)),
            take.eq(~full | (free & final)),
            clear.eq(full & free & ~final),
            *(found[k].eq(_byte_of(words[k], number)) for k in range(banks)),
            place.eq(find_first(m, rest, "lowest")),
            single.eq(is_onehot0(rest)),
            free.eq(~listing | (self.items.ready & single)),
            item.number.eq(Cat(place, index)),
            item.hits.eq(Cat(mark.bit_select(place, 1) for mark in marks) if banks > 1 else ~none),
            item.none.eq(none),
            item.last.eq(last & single),
            item.payload.eq(payload),
            self.items.valid.eq(listing),
        ]
        with m.If(take):
            m.d.sync += [full.eq(valid), held.eq(read), words.eq(given)]
        with m.If(free):
            m.d.sync += [
                listing.eq(full),
                index.eq(Cat(number, held.index)),
                last.eq(held.last & final),
                payload.eq(held.payload),
                none.eq(~left.any()),
                marks.eq(found),
            ]
        # Clearing comes first, by the reset of a register; where a register is cleared, it would not be loaded.
        for k, bit in enumerate(left):
            with m.If(clear & (number == k)):
                m.d.sync += bit.eq(0)
            with m.Elif(take):
                m.d.sync += bit.eq(some[k])
        union = or_reduce([found[k] for k in range(banks)])
        for k, bit in enumerate(rest):
            with m.If(~free & self.items.ready & ~rest[:k].any()):
                m.d.sync += bit.eq(0)
            with m.Elif(free):
                m.d.sync += bit.eq(union[k])
        return full


def _byte_of(word, index):
    """A byte of a word; of each bit, the choice between the first two is either a bit or already the index's low bit.

    So it takes two look-up tables of four inputs for a bit.
    """
    bits = []
    for k in range(_BYTE):
        first = Mux(index[1], index[0], Mux(index[0], word[_BYTE + k], word[k]))
        bits.append(Mux(index[1], Mux(first, word[3 * _BYTE + k], word[2 * _BYTE + k]), first))
    return Cat(bits)
