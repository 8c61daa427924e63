# SPDX-License-Identifier: Apache-2.0
"""Bench of the lister of set bits of rows: which bits, in which order, and in which cycles; and of the queue."""

import cocotb

from backspike.hw.blocks import Queue
from backspike.hw.engines.rows import BitLister, RowLister, RowReader
from backspike.hw.shapes import WORD
from tests.support.unit import Bench, Memory, Sink, Source

DEPTH, PAYLOAD, BASE = 64, 5, 6
FORMS = [(2, 1), (8, 1), (6, 2)]
"""Words and banks of listers whose rows are whole words."""
WORDS, BANKS = 5, 2
"""Of readers and listers whose rows may begin and end within a word."""
FULL = (1 << WORD) - 1


def _reader(keep_last):
    return RowReader(base=BASE, words=WORDS, payload=PAYLOAD, banks=BANKS, parts=True, keep_last=bool(keep_last))


def _lister(words, banks, **options):
    return RowLister(base=BASE, words=words, payload=PAYLOAD, banks=banks, **options)


def units():
    return {
        **{f"reader_{n}": _reader(n) for n in range(2)},
        **{f"rows_{words}_{banks}": _lister(words, banks) for words, banks in FORMS},
        **{f"parts_{n}": _lister(WORDS, BANKS, parts=True, keep_last=bool(n)) for n in range(2)},
        "bits": BitLister(words=WORDS, payload=PAYLOAD, banks=BANKS),
        **{f"queue_{depth}": Queue(9, depth) for depth in (2, 3, 4)},
    }


def _word(random, density):
    """A word of any sort: zero, one bit, few bits close together, full, or random."""
    kind = random.random()
    if kind < density[0]:
        return 0
    if kind < density[1]:
        return 1 << random.randrange(WORD)
    if kind < 0.9:
        few = random.getrandbits(WORD) & random.getrandbits(WORD) & random.getrandbits(WORD)
        return few or 3 << random.randrange(WORD - 1)
    return random.choice((FULL, 0xF, 0xF0000000, 0x80000001, 0x01010101, random.getrandbits(WORD)))


def _items(words):
    """What a lister must make of words: each bit; or that there is none, whose number and banks mean nothing."""
    items = []
    for word in words:
        bits = [n for n in range(WORD) if any(bank >> n & 1 for bank in word["bits"])]
        for n in bits or [None]:
            final = int(n in (None, *bits[-1:]))
            items.append(
                {
                    "number": 0 if n is None else n + WORD * word["index"],
                    "hits": 0 if n is None else sum((bank >> n & 1) << k for k, bank in enumerate(word["bits"])),
                    "none": int(n is None),
                    "final": final,
                    "last": final & word["last"],
                    "payload": word["payload"],
                }
            )
    return items


def _without_garbage(items):
    return [item | {"number": 0, "hits": 0} if item["none"] else item for item in items]


class Rows:
    """Memories with contents, and random rows of whole words.

    Attributes
    ----------
    rows: to be sent
    words: what a reader must pass on
    cycles: of each item of a lister, when it comes at the latest without pauses, in cycles since the first
    """

    def __init__(self, bench, words, banks, count, density, *, full=False):
        random = bench.random
        self.memories = [[_word(random, density) for _ in range(DEPTH)] for _ in range(banks)]
        if full:
            self.memories[0] = [word or 1 for word in self.memories[0]]
        self.rows, self.words, self.cycles = [], [], []
        looked = free = 0
        for _ in range(count):
            end = random.choice((0, words - 1, random.randrange(words)))
            place = (1 << (words - 1).bit_length()) * random.randrange(DEPTH // 8)
            row = {"base": place + random.randint(0, words - 1 - end), "end": end, "payload": random.getrandbits(5)}
            self.rows.append(row)
            for k in range(end + 1):
                bits = [memory[row["base"] + k] for memory in self.memories]
                count = sum(any(bank >> n & 1 for bank in bits) for n in range(WORD))
                looked += 1
                if not count and k < end:
                    continue
                self.words.append({"bits": bits, "index": k, "last": int(k == end), "payload": row["payload"]})
                # It is held until the bits of the word before are listed; then the next can be looked at.
                looked = begin = max(looked, free)
                free = begin + max(1, count)
                self.cycles += range(begin, free)


class Parts:
    """Memories with contents, and sequences of up to ``longest`` rows that begin and end within words.

    Parameters
    ----------
    empty: chance that a word is 0
    whole: all words are looked at as a whole
    """

    def __init__(self, bench, count, empty, longest, *, whole=False):
        random = bench.random
        self.memories = [
            [0 if random.random() < empty else random.randrange(1, 1 << WORD) for _ in range(DEPTH)]
            for _ in range(BANKS)
        ]
        self.rows = []
        for _ in range(count):
            for n in reversed(range(random.randint(1, longest))):
                words = random.randint(1, WORDS)
                low, high = (
                    random.choice((0, random.randrange(WORD))),
                    random.choice((WORD - 1, random.randrange(WORD))),
                )
                if words == 1:
                    low, high = min(low, high), max(low, high)
                self.rows.append(
                    {
                        "base": 8 * random.randrange(DEPTH // 8) + random.randint(0, WORDS - words),
                        "end": words - 1,
                        "low": 0 if whole else low,
                        "high": WORD - 1 if whole else high,
                        "empty": int(random.random() < empty / 5),
                        "final": int(n == 0),
                        "payload": random.randrange(12),
                    }
                )

    def words(self, keep_last, every=0, off=0):
        """What a reader must pass on."""
        expected = []
        for row in self.rows:
            for k in range(row["end"] + 1):
                low, high = 0 if k else row["low"], WORD - 1 if k < row["end"] else row["high"]
                inside = 0 if row["empty"] else sum(1 << n for n in range(low, high + 1))
                bits = [
                    0 if off >> n & 1 else memory[row["base"] + k] & inside for n, memory in enumerate(self.memories)
                ]
                bits.append(inside if every else 0)
                last = int(row["final"] and k == row["end"])
                if any(bits) or (last and keep_last):
                    expected.append({"bits": bits, "index": k, "last": last, "payload": row["payload"]})
        return expected


async def _run(bench, rows, out, idle=(0, 0), **values):
    """Send all rows and wait for the end; returns what came, and the cycles that it took."""
    source, sink = Source(bench, "rows", idle[0]), Sink(bench, out, idle[1])
    together = [sum(word << WORD * k for k, word in enumerate(words)) for words in zip(*rows.memories, strict=True)]
    Memory.behind(bench, "memory", [together])
    for name, value in values.items():
        bench.set(name, value)
    source.send(*rows.rows)
    await bench.start()
    begin = bench.cycle
    await bench.until(lambda: source.empty and not bench.bits("busy"))
    cycles, count = bench.cycle - begin, len(sink.items)
    await bench.step(5)
    assert not bench.bits("busy") and len(sink.items) == count
    return sink, cycles


@cocotb.test()
@cocotb.parametrize(
    keep_last=[0, 1],
    idle=[(0, 0), (0.4, 0), (0, 0.6), (0.3, 0.3)],
    empty=[0.0, 0.5, 0.9],
    longest=[1, 4],
    every=[0, 1],
    off=[0, 2],
)
async def words_that_are_not_zero_are_passed_on(dut, keep_last, idle, empty, longest, every, off):
    """Only bits of the row count, or all of them; the last word of a sequence may come without any."""
    bench = Bench(dut, f"reader_{keep_last}", _reader(keep_last))
    rows = Parts(bench, 60 // longest, empty, longest)
    sink, _ = await _run(bench, rows, "words", idle, every=every, off=off)
    assert sink.items == rows.words(keep_last, every, off)


@cocotb.test()
@cocotb.parametrize(keep_last=[0, 1], empty=[0.0, 0.7])
async def a_word_is_read_each_cycle(dut, keep_last, empty):
    """Words that are not zero leave one each cycle; zero words cost one cycle each and no more."""
    bench = Bench(dut, f"reader_{keep_last}", _reader(keep_last))
    rows = Parts(bench, 30, empty, 3, whole=not empty)
    sink, cycles = await _run(bench, rows, "words")
    assert sink.items == rows.words(keep_last)
    assert cycles <= sum(row["end"] + 1 for row in rows.rows) + 5
    if not empty:
        assert sink.cycles == list(range(sink.cycles[0], sink.cycles[0] + len(sink.cycles)))


@cocotb.test()
@cocotb.parametrize(idle=[(0, 0), (0.5, 0), (0, 0.5), (0.3, 0.3)])
async def bits_are_listed(dut, idle):
    """From the lowest; one a cycle, also from word to word."""
    bench = Bench(dut, "bits", units()["bits"])
    random = bench.random
    words = [
        {
            "bits": [_word(random, (0.3, 0.5)) for _ in range(BANKS)],
            "index": random.randrange(WORDS),
            "last": random.getrandbits(1),
            "payload": random.getrandbits(PAYLOAD),
        }
        for _ in range(80)
    ]
    source, sink = Source(bench, "words", idle[0]), Sink(bench, "items", idle[1])
    source.send(*words)
    await bench.start()
    await bench.until(lambda: source.empty and not bench.bits("busy"))
    await bench.step(5)
    expected = _items(words)
    assert _without_garbage(sink.items) == expected
    if idle == (0, 0):
        assert sink.cycles[-1] - sink.cycles[0] == len(expected) - 1


@cocotb.test()
@cocotb.parametrize(form=FORMS, idle=[(0, 0), (0.8, 0), (0, 0.8), (0.4, 0.4)], density=[(0.1, 0.3), (0.8, 0.9)])
async def bits_of_rows_are_listed(dut, form, idle, density):
    """Each set bit once, from the lowest, whatever stands still; busy until the last."""
    bench = Bench(dut, "rows_{}_{}".format(*form), _lister(*form))
    rows = Rows(bench, *form, 40, density)
    sink, _ = await _run(bench, rows, "items", idle)
    assert _without_garbage(sink.items) == _items(rows.words)


@cocotb.test()
@cocotb.parametrize(form=FORMS, density=[(0, 0), (0, 1), (0.3, 0.6), (0.8, 0.9)])
async def a_bit_comes_each_cycle(dut, form, density):
    """Words that are not zero follow each other without a gap; meanwhile zero words are passed over, one each cycle."""
    bench = Bench(dut, "rows_{}_{}".format(*form), _lister(*form))
    rows = Rows(bench, *form, 80, density, full=not density[0])
    sink, _ = await _run(bench, rows, "items")
    assert _without_garbage(sink.items) == _items(rows.words)
    assert all(
        cycle - sink.cycles[0] <= latest - rows.cycles[0]
        for cycle, latest in zip(sink.cycles, rows.cycles, strict=True)
    )
    if not density[0]:
        assert sink.cycles[-1] - sink.cycles[0] == len(sink.cycles) - 1


@cocotb.test()
@cocotb.parametrize(keep_last=[0, 1], idle=[(0, 0), (0.4, 0.2)], every=[0, 1])
async def bits_of_parts_are_listed(dut, keep_last, idle, every):
    """As long as there are bits, one comes each cycle."""
    bench = Bench(dut, f"parts_{keep_last}", units()[f"parts_{keep_last}"])
    rows = Parts(bench, 30, 0.0 if idle == (0, 0) else 0.5, 3)
    sink, _ = await _run(bench, rows, "items", idle, every=every)
    assert _without_garbage(sink.items) == _items(rows.words(keep_last, every))


@cocotb.test()
@cocotb.parametrize(depth=[2, 3, 4], idle=[(0, 0), (0.5, 0), (0, 0.5), (0.4, 0.4), (0, 0.9)])
async def queue_keeps_order(dut, depth, idle):
    bench = Bench(dut, f"queue_{depth}", units()[f"queue_{depth}"])
    source, sink = Source(bench, "i", idle[0]), Sink(bench, "o", idle[1])
    values = [bench.random.randrange(1 << 9) for _ in range(150)]
    source.send(*values)
    await bench.start()
    before = 0
    while len(sink.items) < len(values):
        await bench.step()
        assert bench.bits("level") == before
        before = source.taken - len(sink.items)
        assert before <= depth
        assert bench.cycle < 20 * len(values)
    await bench.step(3)
    assert sink.items == values
    assert bench.bits("level") == 0
    if idle == (0, 0):
        assert sink.cycles[-1] - sink.cycles[0] == len(values) - 1
