# SPDX-License-Identifier: Apache-2.0
"""Scanners: enumerate the pairs of indices that contribute, and nothing else.

Every engine is made of these two. A `RowScanner` reads the words of a row of bits and passes on those that are not
all zero; an `Enumerator` lists the set bits of a word, one each cycle.
"""

from amaranth.hdl import Module, Mux, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.data import StructLayout
from amaranth.lib.wiring import In, Out

from backspike.hw.blocks import Queue, lowest_bit

__all__ = ["Enumerator", "RowScanner", "list_bits"]


class RowScanner(wiring.Component):
    """Reads one word of a row each cycle, drops zero words, and marks the last word that it passes on.

    A row is a range of bits, which need not begin or end with a word. Rows may form a sequence, whose last row is
    ``final``. A non-zero word is held back until the next one, or the end of the sequence, is known; so the last word
    passed on carries ``last`` even where only zero words follow it. A bubble arises only where zero words do not meet
    earlier work in a queue behind the scanner.

    Parameters
    ----------
    width: bits of a word, a power of two
    base: shape of a row's first address
    count: largest number of words of a row
    payload: shape that travels with a row
    extra: shape of what the parent adds to each word
    emit_empty: pass on one word of mask 0 for a sequence without any bits (else such sequences vanish)

    Members
    -------
    rows: stream of {base, count, low, high, final, payload}: ``count`` words (at least 1), of the first only the bits
        from ``low`` on, of the last only the bits up to ``high``
    address, enable: to a memory with one cycle of latency, which holds its output while ``enable`` is 0
    at: payload of the row whose word the memory puts out now
    index: number of that word in its row
    inside: which bits of that word belong to the row
    mask, extra: from the parent, for the word that the memory puts out now; ``mask`` is within ``inside``
    words: stream of {mask, index, last, payload, extra}
    busy: something is inside
    """

    def __init__(self, *, width, base, count, payload, extra, emit_empty):
        self.emit_empty = emit_empty
        place = (width - 1).bit_length()
        self.row = StructLayout({
            "base": base, "count": range(count + 1), "low": place, "high": place, "final": 1, "payload": payload})
        self.word = StructLayout({"mask": width, "index": range(count), "last": 1, "payload": payload, "extra": extra})
        super().__init__({
            "rows": In(stream.Signature(self.row)),
            "address": Out(base),
            "enable": Out(1),
            "at": Out(payload),
            "index": Out(range(count)),
            "inside": Out(width),
            "mask": In(width),
            "extra": In(extra),
            "words": Out(stream.Signature(self.word)),
            "busy": Out(1),
        })

    def elaborate(self, platform):
        m = Module()
        row = self.rows.p
        number = Signal.like(self.index)
        read = Signal()  # the memory puts out a word of a row
        read_last = Signal()
        take = Signal()
        step = Signal()
        row_end = Signal()
        low, spare = Signal.like(row.low, name="low"), Signal.like(row.high, name="spare")
        every = (1 << len(self.mask)) - 1
        m.d.comb += [
            self.address.eq(row.base + number),
            row_end.eq(number + 1 == row.count),
            step.eq(~read | take),
            self.enable.eq(step),
            self.rows.ready.eq(step & row_end),
            self.inside.eq((every << low) & (every >> spare)),
            self.busy.eq(self.rows.valid | read | self.words.valid),
        ]
        with m.If(step):
            m.d.sync += read.eq(self.rows.valid)
            with m.If(self.rows.valid):
                m.d.sync += [
                    number.eq(Mux(row_end, 0, number + 1)),
                    self.index.eq(number),
                    self.at.eq(row.payload),
                    read_last.eq(row_end & row.final),
                    low.eq(Mux(number == 0, row.low, 0)),
                    spare.eq(Mux(row_end, ~row.high, 0)),
                ]
        self._hold_back(m, read, read_last, take)
        return m

    def _hold_back(self, m, read, read_last, take):
        held = Signal(self.word)
        holding = Signal()
        useful = Signal()
        leaving = Signal()
        open_ = Signal()  # a word is held and its sequence has not ended
        m.d.comb += [
            useful.eq(self.mask.any()),
            open_.eq(holding & ~held.last),
            self.words.p.eq(held),
            self.words.p.last.eq(held.last | (open_ & ~useful)),
            self.words.valid.eq(holding & (held.last | (read & (useful | read_last)))),
            leaving.eq(self.words.valid & self.words.ready),
            take.eq(Mux(open_ & (useful | read_last), self.words.ready, ~holding | open_ | leaving)),
        ]
        with m.If(leaving):
            m.d.sync += holding.eq(0)
        keep = useful | (read_last & ~open_ if self.emit_empty else 0)
        with m.If(read & take & keep):
            m.d.sync += [
                holding.eq(1),
                held.mask.eq(self.mask),
                held.index.eq(self.index),
                held.last.eq(read_last),
                held.payload.eq(self.at),
                held.extra.eq(self.extra),
            ]


class Enumerator(wiring.Component):
    """Lists the set bits of a word from the lowest, one each cycle, without a bubble between words.

    Parameters
    ----------
    width: bits of a word
    payload: shape that travels with a word

    Members
    -------
    words: stream of {mask, payload}; a word of mask 0 yields one item with ``none`` set
    items: stream of {index, none, final, payload}; ``final`` marks the last item of its word
    """

    def __init__(self, *, width, payload):
        self.word = StructLayout({"mask": width, "payload": payload})
        self.item = StructLayout({"index": range(max(2, width)), "none": 1, "final": 1, "payload": payload})
        super().__init__({
            "words": In(stream.Signature(self.word)),
            "items": Out(stream.Signature(self.item)),
        })

    def elaborate(self, platform):
        m = Module()
        word = Signal(self.word)
        full = Signal()
        rest = Signal.like(word.mask)
        item = self.items.p
        m.d.comb += [
            rest.eq(word.mask & (word.mask - 1)),
            item.index.eq(lowest_bit(m, word.mask, "lowest")),
            item.none.eq(~word.mask.any()),
            item.final.eq(~rest.any()),
            item.payload.eq(word.payload),
            self.items.valid.eq(full),
            self.words.ready.eq(~full | (self.items.ready & item.final)),
        ]
        with m.If(self.words.ready):
            m.d.sync += [word.eq(self.words.p), full.eq(self.words.valid)]
        with m.Elif(self.items.ready):
            m.d.sync += word.mask.eq(rest)
        return m


def list_bits(m, scanner, depth):
    """Put a queue of ``depth`` words and an enumerator behind a scanner.

    Returns the stream of items, whose ``payload`` is the scanner's word, and whether anything is behind the scanner.
    """
    m.submodules.words = words = Queue(scanner.word, depth)
    m.submodules.bits = bits = Enumerator(width=len(scanner.mask), payload=scanner.word)
    wiring.connect(m, scanner.words, words.i)
    m.d.comb += [
        bits.words.valid.eq(words.o.valid),
        words.o.ready.eq(bits.words.ready),
        bits.words.p.mask.eq(words.o.p.mask),
        bits.words.p.payload.eq(words.o.p),
    ]
    return bits.items, words.o.valid | bits.items.valid
