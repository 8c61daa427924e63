# SPDX-License-Identifier: Apache-2.0
"""Scanners: enumerate the pairs of indices that contribute, and nothing else.

Every engine is made of these two. A `RowScanner` reads the words of a row of bits and passes on those that are not
all zero; an `Enumerator` lists the set bits of a word, one each cycle.
"""

from amaranth.hdl import Array, Cat, Const, Module, Mux, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.data import ArrayLayout, StructLayout
from amaranth.lib.wiring import In, Out

from backspike.hw.blocks import Queue, clear_first, find_first, half_rate_register, is_onehot0, or_reduce, pipe_register

__all__ = ["Enumerator", "RowScanner", "give_rows", "list_bits"]

GROUP = 4
"""Bits of a word that an enumerator looks at together."""


class RowScanner(wiring.Component):
    """Reads one word of a row each cycle from all banks, and drops words without a bit.

    A row is a range of bits, which need not begin or end with a word. Rows may form a sequence, whose last row is
    ``final``. Whether the last word of a sequence is passed on even without a bit is a parameter; nobody has to wait
    for the next word then to know the last. A bubble arises only where words without a bit do not meet earlier work in
    a queue behind the scanner.

    Parameters
    ----------
    width: bits of a word, a power of two
    base: shape of a row's first address
    count: largest number of words of a row
    payload: shape that travels with a row
    banks: memories that are read at the same address; a bit is set if it is in any of them
    keep_last: pass on the last word of a sequence also if it has no bits

    Members
    -------
    rows: stream of {base, end, low, high, empty, final, payload}: words 0 to ``end`` from address ``base`` on, of the
        first only the bits from ``low`` on, of the last only the bits up to ``high``; none at all if ``empty``
    every: take all bits of a row for set; it does not change while there is work
    address, enable, bits: to memories with one cycle of latency, which hold their output while ``enable`` is 0
    words: stream of {mask, hits, index, last, payload}: set bits, those of each bank, number of the word in its row,
        last word of the sequence
    busy: something is inside
    """

    def __init__(self, *, width, base, count, payload, banks=1, keep_last):
        self.keep_last = keep_last
        place = (width - 1).bit_length()
        self.row = StructLayout(
            {
                "base": base,
                "end": range(max(2, count)),
                "low": place,
                "high": place,
                "empty": 1,
                "final": 1,
                "payload": payload,
            }
        )
        self.word = StructLayout(
            {
                "mask": width,
                "hits": ArrayLayout(width, banks),
                "index": range(max(2, count)),
                "last": 1,
                "payload": payload,
            }
        )
        super().__init__(
            {
                "rows": In(stream.Signature(self.row)),
                "every": In(1),
                "address": Out(base),
                "enable": Out(1),
                "bits": In(ArrayLayout(width, banks)),
                "words": Out(stream.Signature(self.word)),
                "busy": Out(1),
            }
        )

    def elaborate(self, platform):
        m = Module()
        row, word, width = self.rows.p, self.words.p, len(self.words.p.mask)
        number, row_end, step = Signal.like(row.end, name="number"), Signal(), Signal()
        about = StructLayout(
            {
                "index": row.end.shape(),
                "last": 1,
                "payload": row.payload.shape(),
                "low": row.low.shape(),
                "spare": row.high.shape(),
                "empty": 1,
            }
        )
        asked, read = Signal(), Signal(about)  # the word that the memories put out
        m.d.comb += [
            self.address.eq(row.base + number),
            row_end.eq(number == row.end),
            self.enable.eq(step),
            self.rows.ready.eq(step & row_end),
        ]
        with m.If(step):
            m.d.sync += asked.eq(self.rows.valid)
            with m.If(self.rows.valid):
                m.d.sync += [
                    number.eq(Mux(row_end, 0, number + 1)),
                    read.index.eq(number),
                    read.last.eq(row_end & row.final),
                    read.payload.eq(row.payload),
                    read.low.eq(Mux(number == 0, row.low, 0)),
                    read.spare.eq(Mux(row_end, ~row.high, 0)),
                    read.empty.eq(row.empty),
                ]
        # A block RAM is late: whether its word has any bit is only asked when it stands in a register.
        fetched, held, inside = Signal(), Signal(self.word), Signal(width)
        banks = [self.bits[k] & inside for k in range(len(self.bits))]
        every = (1 << width) - 1
        m.d.comb += inside.eq((every << read.low) & (every >> read.spare) & (~read.empty).replicate(width))
        with m.If(step):
            m.d.sync += [
                fetched.eq(asked),
                held.mask.eq(or_reduce([*banks, inside & self.every.replicate(width)])),
                *(held.hits[k].eq(bank) for k, bank in enumerate(banks)),
                held.index.eq(read.index),
                held.last.eq(read.last),
                held.payload.eq(read.payload),
                self.words.valid.eq(fetched & (held.mask.any() | (held.last if self.keep_last else 0))),
                word.eq(held),
            ]
        m.d.comb += [
            step.eq(~self.words.valid | self.words.ready),
            self.busy.eq(self.rows.valid | asked | fetched | self.words.valid),
        ]
        return m


class Enumerator(wiring.Component):
    """Lists the set bits of a word from the lowest, one each cycle, without a bubble between words.

    A word gives its groups of four bits that are not zero one by one, and the next word is taken with the last of them;
    so each decision is one on few bits.

    Parameters
    ----------
    width: bits of a word
    payload: shape that travels with a word
    banks: marks that each bit has, as the ``hits`` of a ``RowScanner``

    Members
    -------
    words: stream of {mask, hits, payload}; a word of mask 0 yields one item with ``none`` set
    items: stream of {index, hits, none, final, payload}; ``final`` marks the last item of its word
    busy: something is inside
    """

    def __init__(self, *, width, payload, banks=1):
        self.word = StructLayout({"mask": width, "hits": ArrayLayout(width, banks), "payload": payload})
        self.item = StructLayout(
            {"index": range(max(2, width)), "hits": banks, "none": 1, "final": 1, "payload": payload}
        )
        super().__init__(
            {
                "words": In(stream.Signature(self.word)),
                "items": Out(stream.Signature(self.item)),
                "busy": Out(1),
            }
        )

    def elaborate(self, platform):
        m = Module()
        given, item = self.words.p, self.items.p
        groups = -(-len(given.mask) // GROUP)

        def grouped(bits):
            padded = Cat(bits, Const(0, GROUP * groups - len(bits))) if len(bits) % GROUP else bits
            return Array(padded[GROUP * k : GROUP * (k + 1)] for k in range(groups))

        word, waiting, left = Signal(self.word), Signal(), Signal(groups)  # groups that have not been passed on
        full, group, rest = Signal(), Signal(range(max(2, groups))), Signal(GROUP)
        marks = [Signal(GROUP, name=f"marks_{k}") for k in range(len(item.hits))]
        first = find_first(m, left, "first_group")
        place = find_first(m, rest, "place")
        one_left, last_group, single, step = Signal(), Signal(), Signal(), Signal()
        found, other = Signal(groups), Signal(groups)
        entering, remaining = Signal(GROUP), Signal(GROUP)
        m.d.comb += [
            entering.eq(grouped(word.mask)[first]),
            remaining.eq(clear_first(rest)),
            step.eq(~full | (self.items.ready & single)),
            self.words.ready.eq(~waiting | (step & one_left)),
            found.eq(Cat(bits.any() for bits in grouped(given.mask))),
            other.eq(clear_first(left)),
            item.index.eq(Cat(place, group)),
            item.hits.eq(Cat(bits.bit_select(place, 1) for bits in marks)),
            item.none.eq(~rest.any()),
            item.final.eq(last_group & single),
            self.items.valid.eq(full),
            self.busy.eq(waiting | full),
        ]
        with m.If(self.words.ready):
            m.d.sync += [waiting.eq(self.words.valid), word.eq(given), left.eq(found), one_left.eq(is_onehot0(found))]
        with m.Elif(step):
            m.d.sync += [left.eq(other), one_left.eq(is_onehot0(other))]
        with m.If(step):
            m.d.sync += [
                full.eq(waiting),
                group.eq(first),
                rest.eq(entering),
                single.eq(is_onehot0(entering)),
                *(bits.eq(grouped(word.hits[k])[first]) for k, bits in enumerate(marks)),
                last_group.eq(one_left),
                item.payload.eq(word.payload),
            ]
        with m.Elif(self.items.ready):
            m.d.sync += [rest.eq(remaining), single.eq(is_onehot0(remaining))]
        return m


def give_rows(m, scanner, valid, row, name):
    """Rows to a scanner, through a register; returns whether that holds one, and whether a row may enter it."""
    full, held, free = pipe_register(m, valid, row, scanner.rows.ready, name)
    m.d.comb += [scanner.rows.valid.eq(full), scanner.rows.p.eq(held)]
    return full, free


def list_bits(m, words, shape, depth, name):
    """Put room for ``depth`` words, if any, and an enumerator behind a stream of words as a scanner's.

    Returns the stream of items, whose ``payload`` is {index, last, payload}, and whether anything is in there.
    """
    about = StructLayout({field: shape[field].shape for field in ("index", "last", "payload")})
    banks = shape["hits"].shape.length
    m.submodules[f"{name}_bits"] = bits = Enumerator(width=shape["mask"].shape, payload=about, banks=banks)
    waiting = bits.busy
    if depth == 1:
        full, held, free = half_rate_register(m, words.valid, words.p, bits.words.ready, f"{name}_word")
        m.d.comb += words.ready.eq(free)
        waiting = waiting | full
    elif depth:
        m.submodules[f"{name}_words"] = queue = Queue(shape, depth)
        m.d.comb += [queue.i.p.eq(words.p), queue.i.valid.eq(words.valid), words.ready.eq(queue.i.ready)]
        full, held, waiting = queue.o.valid, queue.o.p, waiting | queue.o.valid
        m.d.comb += queue.o.ready.eq(bits.words.ready)
    else:
        full, held = words.valid, words.p
        m.d.comb += words.ready.eq(bits.words.ready)
    m.d.comb += [
        bits.words.valid.eq(full),
        *(bits.words.p[field].eq(held[field]) for field in ("mask", "hits")),
        *(bits.words.p.payload[field].eq(held[field]) for field in ("index", "last", "payload")),
    ]
    return bits.items, waiting
