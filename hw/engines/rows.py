# SPDX-License-Identifier: Apache-2.0
"""The set bits of rows of words in a memory: what every search of an engine is made of.

A `RowReader` reads the words of rows and drops those without a bit; a `BitLister` lists the set bits of a word, one
each cycle; a `RowLister` is one behind the other.
"""

from amaranth.hdl import Cat, Module, Mux, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.data import ArrayLayout, StructLayout
from amaranth.lib.wiring import In, Out
from amaranth.utils import exact_log2

from backspike.hw.blocks import find_first, is_onehot0, or_reduce
from backspike.hw.ram import ReadPort
from backspike.hw.shapes import WORD

__all__ = ["BitLister", "RowLister", "RowReader", "last_word", "part_of_row"]

_BYTE = 8
_BYTES = WORD // _BYTE
_PLACE = exact_log2(WORD)


def last_word(count, bits):
    """Index of the last word of a row of ``count`` bits, 1 to 2**bits: ``count - 1`` without its place in the word.

    It is one less than ``count`` without that place if the last word is full, by few look-up tables and no carry chain.
    """
    words, whole = count[_PLACE:bits], ~count[:_PLACE].any()
    return Cat(words[k] ^ (whole & ~words[:k].any()) for k in range(len(words)))


def part_of_row(start, more):
    """The fields ``end``, ``low`` and ``high`` of a row of ``1 + more`` bits, the first of them bit ``start``.

    The row's first word is number ``start // WORD`` of its area.
    """
    last = start[:_PLACE] + more
    return {"end": last[_PLACE:], "low": start[:_PLACE], "high": last[:_PLACE]}


def _place(words):
    """Shape of the number of a word in its row."""
    return range(max(2, words))


def _word(words, banks, payload):
    """What a reader passes on: bits of each bank, number of the word in its row, whether it is the last."""
    return StructLayout({"bits": ArrayLayout(WORD, banks), "index": _place(words), "last": 1, "payload": payload})


def _bytes_with_bits(bits, banks):
    """For each byte, whether any bank has a bit in it."""
    return Cat(Cat(bits[bank][k : k + _BYTE] for bank in range(banks)).any() for k in range(0, WORD, _BYTE))


class RowReader(wiring.Component):
    """Reads one word of a row each cycle from all banks, and drops words without a bit.

    Parameters
    ----------
    base: bits of an address
    words: largest number of words of a row; a row lies between two multiples of this number, rounded to a power of two
    payload: shape that travels with a row
    banks: memories that are read at the same address
    parts: a row may begin and end within a word, and rows form sequences; else bits beyond a row must be 0, as all who
        write tapes and bitmaps leave them, and each row is a sequence
    keep_last: pass on the last word of a sequence also if it has no bits

    Members
    -------
    rows: stream of {base, end, payload}: words 0 to ``end`` from address ``base`` on; with ``parts`` also {low, high,
        empty, final}: of the first word only the bits from ``low`` on, of the last only those up to ``high``, none at
        all if ``empty``, and whether the row is the last of its sequence
    every: only with ``parts``: all bits of a row count as one more bank; it does not change while ``busy``
    memory: ReadPort of all banks
    off: banks whose bits count as 0; only to be changed while not ``busy``
    words: stream of {bits, index, last, payload}: bits of each bank, number of the word in its row, last word of the
        sequence
    busy: something is inside

    A word comes two cycles after its row.
    """

    def __init__(self, *, base, words, payload, banks=1, parts=False, keep_last=True):
        self.banks, self.parts, self.keep_last = banks, parts, keep_last
        part = {"low": _PLACE, "high": _PLACE, "empty": 1, "final": 1} if parts else {}
        self.row = StructLayout({"base": base, "end": _place(words), **part, "payload": payload})
        self.word = _word(words, banks + parts, payload)
        super().__init__(
            {
                "rows": In(stream.Signature(self.row)),
                **({"every": In(1)} if parts else {}),
                "memory": Out(ReadPort(base, ArrayLayout(WORD, banks))),
                "off": In(banks),
                "words": Out(stream.Signature(self.word)),
                "busy": Out(1),
            }
        )

    def elaborate(self, platform):
        m = Module()
        row, out, banks = self.rows.p, self.words.p, range(self.banks)
        number, at_end, step = Signal.like(row.end, name="number"), Signal(), Signal()
        fields = {"index": row.end.shape(), "last": 1, "payload": row.payload.shape()}
        part = {"low": _PLACE, "spare": _PLACE, "empty": 1} if self.parts else {}
        asked, read = Signal(), Signal(StructLayout(fields | part))  # the word that the memories put out
        m.d.comb += [
            self.memory.address.eq(Cat((row.base + number)[: len(number)], row.base[len(number) :])),
            at_end.eq(number == row.end),
            self.memory.enable.eq(step),
            self.rows.ready.eq(step & at_end),
        ]
        with m.If(step):
            m.d.sync += asked.eq(self.rows.valid)
            with m.If(self.rows.valid):
                m.d.sync += [
                    number.eq(Mux(at_end, 0, number + 1)),
                    read.index.eq(number),
                    read.last.eq(at_end & (row.final if self.parts else 1)),
                    read.payload.eq(row.payload),
                ]
                if self.parts:
                    m.d.sync += [
                        read.low.eq(Mux(number == 0, row.low, 0)),
                        read.spare.eq(Mux(at_end, ~row.high, 0)),
                        read.empty.eq(row.empty),
                    ]
        bits = [self.memory.data[k] for k in banks]
        if self.parts:
            inside, every = Signal(WORD), (1 << WORD) - 1
            m.d.comb += inside.eq((every << read.low) & (every >> read.spare) & (~read.empty).replicate(WORD))
            bits = [*(bank & inside for bank in bits), inside & self.every.replicate(WORD)]
        # A block RAM is late: whether its word has any bit is only asked when it stands in a register.
        fetched, useful = Signal(), Signal()
        with m.If(step):
            m.d.sync += [
                fetched.eq(asked),
                *(out[name].eq(read[name]) for name in fields),
                *(out.bits[k].eq(bank) for k, bank in enumerate(bits)),
            ]
        for k in banks:  # the reset of the flip-flops, which costs no logic
            with m.If(self.off[k]):
                m.d.sync += out.bits[k].eq(0)
        m.d.comb += [
            useful.eq(_bytes_with_bits(out.bits, len(bits)).any() | (out.last if self.keep_last else 0)),
            step.eq(~fetched | ~useful | self.words.ready),
            self.words.valid.eq(fetched & useful),
            self.busy.eq(self.rows.valid | asked | fetched),
        ]
        return m


class BitLister(wiring.Component):
    """Lists the set bits of each word, from the lowest, one each cycle; a word without any gives one item ``none``.

    A word is held while its bytes that are not zero are taken out of it, one after the other. Every byte that is taken
    has a bit, so there is no gap between two bytes, nor between two words.

    Parameters
    ----------
    words: largest number of words of a row
    payload: shape that travels with a word
    banks: bits of a word for each place; a bit is set if it is in any of them

    Members
    -------
    words: stream of {bits, index, last, payload} as of a ``RowReader``
    items: stream of {number, hits, none, final, last, payload}: number of the bit in its row, in which banks it is set,
        no bit at all, last item of its word, last item of the word that is the ``last``
    busy: something is inside

    The first item of a word comes two cycles after it.
    """

    def __init__(self, *, words, payload, banks=1):
        self.banks = banks
        self._number = Cat(Signal(_PLACE), Signal(_place(words))).shape()
        self.item = StructLayout(
            {"number": self._number, "hits": banks, "none": 1, "final": 1, "last": 1, "payload": payload}
        )
        super().__init__(
            {
                "words": In(stream.Signature(_word(words, banks, payload))),
                "items": Out(stream.Signature(self.item)),
                "busy": Out(1),
            }
        )

    def elaborate(self, platform):
        m = Module()
        banks, item, given, take = self.banks, self.items.p, self.words.p, self.words.ready
        # The word: which of its bytes have not been taken, and whether the next one is the final one.
        full, word = Signal(), Signal(given.shape(), name="word")
        left, byte, final, clear = Signal(_BYTES), Signal(2), Signal(), Signal()
        # The byte: which of its bits have not been listed, and its bits of each bank.
        listing, index = Signal(), Signal.like(item.number[3:], name="index")
        rest, marks, found = Signal(_BYTE), Signal(ArrayLayout(_BYTE, banks)), Signal(ArrayLayout(_BYTE, banks))
        payload, none, final_byte, last_word_held = (
            Signal.like(item.payload, name="payload"),
            Signal(),
            Signal(),
            Signal(),
        )
        place, single, free = Signal(3), Signal(), Signal()
        m.d.comb += [
            byte.eq(find_first(m, left, "lowest_byte")),
            final.eq(is_onehot0(left)),
            take.eq(~full | (free & final)),
            clear.eq(full & free & ~final),
            *(found[k].eq(_byte_of(word.bits[k], byte)) for k in range(banks)),
            place.eq(find_first(m, rest, "lowest")),
            single.eq(is_onehot0(rest)),
            free.eq(~listing | (self.items.ready & single)),
            item.number.eq(Cat(place, index)),
            item.hits.eq(Cat(mark.bit_select(place, 1) for mark in marks) if banks > 1 else ~none),
            item.none.eq(none),
            item.final.eq(final_byte & single),
            item.last.eq(last_word_held & single),
            item.payload.eq(payload),
            self.items.valid.eq(listing),
            self.busy.eq(full | listing),
        ]
        with m.If(take):
            m.d.sync += [full.eq(self.words.valid), word.eq(given)]
        with m.If(free):
            m.d.sync += [
                listing.eq(full),
                index.eq(Cat(byte, word.index)),
                final_byte.eq(final),
                last_word_held.eq(word.last & final),
                payload.eq(word.payload),
                none.eq(~left.any()),
                marks.eq(found),
            ]
        # Clearing comes first, by the reset of a register; where a register is cleared, it would not be loaded.
        some = _bytes_with_bits(given.bits, banks)
        for k, bit in enumerate(left):
            with m.If(clear & (byte == k)):
                m.d.sync += bit.eq(0)
            with m.Elif(take):
                m.d.sync += bit.eq(some[k])
        union = or_reduce([found[k] for k in range(banks)])
        for k, bit in enumerate(rest):
            with m.If(~free & self.items.ready & ~rest[:k].any()):
                m.d.sync += bit.eq(0)
            with m.Elif(free):
                m.d.sync += bit.eq(union[k])
        return m


class RowLister(wiring.Component):
    """Lists the set bits of each row: a ``RowReader`` with a ``BitLister`` behind it.

    Words without a bit are passed over, one each cycle, while the bits of the word before are listed; only a row whose
    last word has none costs a cycle, with an item ``none``, if the last words are kept.

    Parameters and members: those of the two. The first item of a row comes four cycles after it.
    """

    def __init__(self, *, base, words, payload, **options):
        self._reader = reader = RowReader(base=base, words=words, payload=payload, **options)
        banks = reader.word["bits"].shape.length
        self._lister = lister = BitLister(words=words, payload=payload, banks=banks)
        self.row, self.item = reader.row, lister.item
        members = dict(reader.signature.members.items()) | {"items": Out(stream.Signature(lister.item))}
        super().__init__({name: member for name, member in members.items() if name != "words"})

    def elaborate(self, platform):
        m = Module()
        m.submodules.reader, m.submodules.lister = reader, lister = self._reader, self._lister
        wiring.connect(m, wiring.flipped(self.rows), reader.rows)
        wiring.connect(m, reader.memory, wiring.flipped(self.memory))
        wiring.connect(m, reader.words, lister.words)
        wiring.connect(m, lister.items, wiring.flipped(self.items))
        inputs = ("off", "every") if reader.parts else ("off",)
        m.d.comb += [
            *(getattr(reader, name).eq(getattr(self, name)) for name in inputs),
            self.busy.eq(reader.busy | lister.busy),
        ]
        return m


def _byte_of(word, index):
    """A byte of a word; of each bit, the choice between the first two is either a bit or already the index's low bit.

    So it takes two look-up tables of four inputs for a bit.
    """
    bits = []
    for k in range(_BYTE):
        first = Mux(index[1], index[0], Mux(index[0], word[_BYTE + k], word[k]))
        bits.append(Mux(index[1], Mux(first, word[3 * _BYTE + k], word[2 * _BYTE + k]), first))
    return Cat(bits)
