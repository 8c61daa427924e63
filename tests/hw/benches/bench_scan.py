# SPDX-License-Identifier: Apache-2.0
"""Bench of the scanners and the queue: what they pass on, in which order, and without a bubble."""

import cocotb
from amaranth.hdl import Module
from amaranth.lib import stream, wiring
from amaranth.lib.data import StructLayout
from amaranth.lib.wiring import Component, Out

from backspike.hw.blocks import Queue
from backspike.hw.engines.scan import Enumerator, RowScanner, list_bits
from tests.support.unit import Bench, Memory, Sink, Source

WIDTH, WORDS, BANKS = 8, 5, 2
DEPTHS = (0, 4)


def _scanner(keep_last):
    return RowScanner(width=WIDTH, base=6, count=WORDS, payload=4, banks=BANKS, keep_last=bool(keep_last))


class Listed(Component):
    """A scanner, maybe a queue, and an enumerator, as the engines have them."""

    def __init__(self, keep_last, depth):
        self.scanner, self.depth = _scanner(keep_last), depth
        self.kept = {name: member for name, member in self.scanner.signature.members.items() if name != "words"}
        word = self.scanner.word
        about = StructLayout({name: word[name].shape for name in ("index", "last", "payload")})
        item = Enumerator(width=WIDTH, payload=about, banks=BANKS).item
        super().__init__(self.kept | {"items": Out(stream.Signature(item)), "waiting": Out(1)})

    def elaborate(self, platform):
        m = Module()
        m.submodules.scanner = scanner = self.scanner
        items, waiting = list_bits(m, scanner.words, scanner.word, self.depth, "word")
        wiring.connect(m, wiring.flipped(self.rows), scanner.rows)
        wiring.connect(m, items, wiring.flipped(self.items))
        for name in ("bits", "every"):
            m.d.comb += getattr(scanner, name).eq(getattr(self, name))
        for name in ("address", "enable", "busy"):
            m.d.comb += getattr(self, name).eq(getattr(scanner, name))
        m.d.comb += self.waiting.eq(waiting)
        return m


def units():
    return {
        **{f"scanner_{n}": _scanner(n) for n in range(2)},
        **{f"listed_{n}_{depth}": Listed(n, depth) for n in range(2) for depth in DEPTHS},
        "enumerator": Enumerator(width=WIDTH, payload=5, banks=BANKS),
        "enumerator_1": Enumerator(width=1, payload=5),
        **{f"queue_{depth}": Queue(9, depth) for depth in (2, 3, 4)},
    }


def _sequences(bench, count, empty, longest):
    """Contents of the memory, and sequences of up to ``longest`` rows; ``empty``: chance that a word is 0."""
    random = bench.random
    memory = [0 if random.random() < empty else random.randrange(1, 1 << WIDTH * BANKS) for _ in range(64)]
    sequences = []
    for _ in range(count):
        rows = []
        for _ in range(random.randint(1, longest)):
            words = random.randint(1, WORDS)
            low, high = random.choice((0, random.randrange(WIDTH))), random.choice((WIDTH - 1, random.randrange(WIDTH)))
            if words == 1:
                low, high = min(low, high), max(low, high)
            rows.append(
                {
                    "base": random.randint(0, 64 - words),
                    "end": words - 1,
                    "low": low,
                    "high": high,
                    "empty": int(random.random() < empty / 5),
                    "final": 0,
                    "payload": random.randrange(12),
                }
            )
        rows[-1]["final"] = 1
        sequences.append(rows)
    return memory, sequences


def _scanned(memory, sequences, keep_last, every=0):
    """Words that a scanner must pass on."""
    expected = []
    for rows in sequences:
        for row in rows:
            for k in range(row["end"] + 1):
                low, high = 0 if k else row["low"], WIDTH - 1 if k < row["end"] else row["high"]
                inside = 0 if row["empty"] else sum(1 << n for n in range(low, high + 1))
                hits = [memory[row["base"] + k] >> WIDTH * bank & inside for bank in range(BANKS)]
                mask, last = inside if every else hits[0] | hits[1], int(row["final"] and k == row["end"])
                if mask or (last and keep_last):
                    expected.append({"mask": mask, "hits": hits, "index": k, "last": last, "payload": row["payload"]})
    return expected


def _rows(sequences):
    return [row for rows in sequences for row in rows]


@cocotb.test()
@cocotb.parametrize(
    keep_last=[0, 1], idle=[(0, 0), (0.4, 0), (0, 0.6), (0.3, 0.3)], empty=[0.0, 0.5, 0.9], longest=[1, 4], every=[0, 1]
)
async def scanner_passes_words_that_are_not_zero(dut, keep_last, idle, empty, longest, every):
    """Only bits of the row count, or all of them; the last word of a sequence may come without any."""
    bench = Bench(dut, f"scanner_{keep_last}", _scanner(keep_last))
    memory, sequences = _sequences(bench, 60 // longest, empty, longest)
    source, sink = Source(bench, "rows", idle[0]), Sink(bench, "words", idle[1])
    Memory(bench, "address", "bits", [memory], "enable")
    bench.set("every", every)
    source.send(*_rows(sequences))
    await bench.start()
    await bench.until(lambda: source.empty and not bench.bits("busy"))
    await bench.step(5)
    assert not bench.bits("busy")
    assert sink.items == _scanned(memory, sequences, keep_last, every)


@cocotb.test()
@cocotb.parametrize(keep_last=[0, 1], empty=[0.0, 0.7])
async def scanner_reads_a_word_each_cycle(dut, keep_last, empty):
    """Words that are not zero leave one each cycle; zero words cost one cycle each and no more."""
    every = 0
    bench = Bench(dut, f"scanner_{keep_last}", _scanner(keep_last))
    memory, sequences = _sequences(bench, 30, empty, 3)
    rows = _rows(sequences)
    if not empty:  # whole words
        for row in rows:
            row["low"], row["high"] = 0, WIDTH - 1
    source, sink = Source(bench, "rows"), Sink(bench, "words")
    Memory(bench, "address", "bits", [memory], "enable")
    bench.set("every", every)
    source.send(*rows)
    await bench.start()
    begin = bench.cycle
    await bench.until(lambda: source.empty and not bench.bits("busy"))
    assert sink.items == _scanned(memory, sequences, keep_last, every)
    assert bench.cycle - begin <= sum(row["end"] + 1 for row in rows) + 5
    if not empty:
        assert sink.cycles == list(range(sink.cycles[0], sink.cycles[0] + len(sink.cycles)))


def _items(words):
    """What an enumerator must make of words: ``(mask, hits, payload)`` each."""
    items = []
    for mask, hits, content in words:
        bits = [k for k in range(WIDTH) if mask >> k & 1]
        for k in bits:
            marks = sum((bank >> k & 1) << n for n, bank in enumerate(hits))
            items.append({"index": k, "hits": marks, "none": 0, "final": int(k == bits[-1]), "payload": content})
        if not bits:
            items.append({"index": 0, "hits": 0, "none": 1, "final": 1, "payload": content})
    return items


def _without_garbage(items):
    """Where there is no bit, the index of it and its marks mean nothing."""
    return [item | {"index": 0, "hits": 0} if item["none"] else item for item in items]


@cocotb.test()
@cocotb.parametrize(width=[1, WIDTH], idle=[(0, 0), (0.5, 0), (0, 0.5), (0.3, 0.3)])
async def enumerator_lists_bits(dut, width, idle):
    """From the lowest; one a cycle, also from word to word."""
    name = "enumerator" if width == WIDTH else "enumerator_1"
    bench = Bench(dut, name, units()[name])
    masks = [bench.random.choice((0, 1, (1 << width) - 1, bench.random.randrange(1 << width))) for _ in range(150)]
    banks = BANKS if width == WIDTH else 1
    words = [
        {
            "mask": mask,
            "hits": [bench.random.getrandbits(width) for _ in range(banks)],
            "payload": bench.random.randrange(32),
        }
        for mask in masks
    ]
    source, sink = Source(bench, "words", idle[0]), Sink(bench, "items", idle[1])
    source.send(*words)
    expected = _items([tuple(word.values()) for word in words])
    await bench.start()
    await bench.until(lambda: len(sink.items) >= len(expected))
    await bench.step(5)
    assert _without_garbage(sink.items) == expected
    if idle == (0, 0):
        assert sink.cycles[-1] - sink.cycles[0] == len(expected) - 1


@cocotb.test()
@cocotb.parametrize(keep_last=[0, 1], depth=DEPTHS, idle=[(0, 0), (0.4, 0.2)])
async def no_bubble_between_rows(dut, keep_last, depth, idle):
    """Scanner, queue and enumerator together: as long as there are bits, one comes each cycle."""
    every, name = 0, f"listed_{keep_last}_{depth}"
    bench = Bench(dut, name, units()[name])
    memory, sequences = _sequences(bench, 30, 0.0 if idle == (0, 0) else 0.5, 3)
    rows = _rows(sequences)
    if idle == (0, 0):
        for row in rows:
            row["low"], row["high"] = 0, WIDTH - 1
    source, sink = Source(bench, "rows", idle[0]), Sink(bench, "items", idle[1])
    Memory(bench, "address", "bits", [memory], "enable")
    bench.set("every", every)

    def see():
        assert bench.bits("waiting") or not bench.bits("items__valid"), "an item, but nothing behind the scanner"

    bench.watchers.append(see)
    source.send(*rows)
    expected = _items(
        [
            (word["mask"], word["hits"], {name: word[name] for name in ("index", "last", "payload")})
            for word in _scanned(memory, sequences, keep_last, every)
        ]
    )
    await bench.start()
    await bench.until(lambda: len(sink.items) >= len(expected))
    await bench.step(10)
    assert _without_garbage(sink.items) == expected
    assert not bench.bits("busy") and not bench.bits("waiting")
    if idle == (0, 0):
        assert sink.cycles[-1] - sink.cycles[0] == len(expected) - 1


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
