# SPDX-License-Identifier: Apache-2.0
"""Bench of the scanners and the queue: what they pass on, in which order, and without a bubble."""

import cocotb
from amaranth.hdl import Module
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import Component, Out

from backspike.hw.blocks import Queue
from backspike.hw.engines.scan import Enumerator, RowScanner, list_bits
from backspike.sim.unit import Bench, Memory, Sink, Source

WIDTH, WORDS, EXTRA = 8, 5, 6


def _scanner(emit_empty):
    return RowScanner(width=WIDTH, base=6, count=WORDS, payload=4, extra=EXTRA, emit_empty=bool(emit_empty))


class Listed(Component):
    """A scanner, a queue, and an enumerator, as the engines have them."""

    def __init__(self, emit_empty):
        self.scanner = _scanner(emit_empty)
        self.kept = {name: member for name, member in self.scanner.signature.members.items() if name != "words"}
        item = Enumerator(width=WIDTH, payload=self.scanner.word).item
        super().__init__(self.kept | {"items": Out(stream.Signature(item)), "waiting": Out(1)})

    def elaborate(self, platform):
        m = Module()
        m.submodules.scanner = scanner = self.scanner
        items, waiting = list_bits(m, scanner, 4)
        wiring.connect(m, wiring.flipped(self.rows), scanner.rows)
        wiring.connect(m, items, wiring.flipped(self.items))
        for name in ("mask", "extra"):
            m.d.comb += getattr(scanner, name).eq(getattr(self, name))
        for name in ("address", "enable", "at", "index", "inside", "busy"):
            m.d.comb += getattr(self, name).eq(getattr(scanner, name))
        m.d.comb += self.waiting.eq(waiting)
        return m


def units():
    return {
        **{f"scanner_{n}": _scanner(n) for n in range(2)},
        **{f"listed_{n}": Listed(n) for n in range(2)},
        "enumerator": Enumerator(width=WIDTH, payload=5),
        "enumerator_1": Enumerator(width=1, payload=5),
        **{f"queue_{depth}": Queue(9, depth) for depth in (2, 3, 4)},
    }


class Words(Memory):
    """The memory behind a scanner, and its parent: ``mask`` is what is inside, ``extra`` depends on the place."""

    def __init__(self, bench, memory):
        bench.peek = True
        super().__init__(bench, "address", "mask", [memory], "enable")

    def drive(self):
        bench = self.bench
        bench.set("mask", self.words[0] & bench.bits("inside"))
        bench.set("extra", _extra(bench.bits("at"), bench.bits("index")))


def _extra(payload, index):
    return payload * 5 + index


def _sequences(bench, count, empty, longest):
    """Contents of the memory, and sequences of up to ``longest`` rows; ``empty``: chance that a word is 0."""
    random = bench.random
    memory = [0 if random.random() < empty else random.randrange(1, 1 << WIDTH) for _ in range(64)]
    sequences = []
    for _ in range(count):
        rows = []
        for _ in range(random.randint(1, longest)):
            words = random.randint(1, WORDS)
            low, high = random.choice((0, random.randrange(WIDTH))), random.choice((WIDTH - 1, random.randrange(WIDTH)))
            if words == 1:
                low, high = min(low, high), max(low, high)
            rows.append({"base": random.randint(0, 64 - words), "count": words, "low": low, "high": high, "final": 0,
                         "payload": random.randrange(12)})
        rows[-1]["final"] = 1
        sequences.append(rows)
    return memory, sequences


def _scanned(memory, sequences, emit_empty):
    """Words that a scanner must pass on."""
    expected = []
    for rows in sequences:
        words = []
        for row in rows:
            for k in range(row["count"]):
                low, high = 0 if k else row["low"], WIDTH - 1 if k < row["count"] - 1 else row["high"]
                mask = sum(memory[row["base"] + k] & 1 << n for n in range(low, high + 1))
                words.append({"mask": mask, "index": k, "last": 0, "payload": row["payload"],
                              "extra": _extra(row["payload"], k)})
        found = [word for word in words if word["mask"]] or (words[-1:] if emit_empty else [])
        for word in found[-1:]:
            word["last"] = 1
        expected += found
    return expected


def _rows(sequences):
    return [row for rows in sequences for row in rows]


@cocotb.test()
@cocotb.parametrize(emit_empty=[0, 1], idle=[(0, 0), (0.4, 0), (0, 0.6), (0.3, 0.3)], empty=[0.0, 0.5, 0.9],
                    longest=[1, 4])
async def scanner_passes_words_that_are_not_zero(dut, emit_empty, idle, empty, longest):
    """Only bits of the row count; ``last`` is on the last word of a sequence, wherever its rows have none."""
    bench = Bench(dut, f"scanner_{emit_empty}", _scanner(emit_empty))
    memory, sequences = _sequences(bench, 60 // longest, empty, longest)
    source, sink = Source(bench, "rows", idle[0]), Sink(bench, "words", idle[1])
    Words(bench, memory)
    source.send(*_rows(sequences))
    await bench.start()
    await bench.until(lambda: source.empty and not bench.bits("busy"))
    await bench.step(5)
    assert not bench.bits("busy")
    assert sink.items == _scanned(memory, sequences, emit_empty)


@cocotb.test()
@cocotb.parametrize(emit_empty=[0, 1], empty=[0.0, 0.7])
async def scanner_reads_a_word_each_cycle(dut, emit_empty, empty):
    """Words that are not zero leave one each cycle; zero words cost one cycle each and no more."""
    bench = Bench(dut, f"scanner_{emit_empty}", _scanner(emit_empty))
    memory, sequences = _sequences(bench, 30, empty, 3)
    rows = _rows(sequences)
    if not empty:  # whole words
        for row in rows:
            row["low"], row["high"] = 0, WIDTH - 1
    source, sink = Source(bench, "rows"), Sink(bench, "words")
    Words(bench, memory)
    source.send(*rows)
    await bench.start()
    begin = bench.cycle
    await bench.until(lambda: source.empty and not bench.bits("busy"))
    assert sink.items == _scanned(memory, sequences, emit_empty)
    assert bench.cycle - begin <= sum(row["count"] for row in rows) + 4
    if not empty:
        assert sink.cycles == list(range(sink.cycles[0], sink.cycles[0] + len(sink.cycles)))


def _items(words):
    """What an enumerator must make of words: ``(mask, payload)`` each."""
    items = []
    for mask, content in words:
        bits = [k for k in range(WIDTH) if mask >> k & 1]
        if not bits:
            items.append({"index": 0, "none": 1, "final": 1, "payload": content})
        items += [{"index": k, "none": 0, "final": int(k == bits[-1]), "payload": content} for k in bits]
    return items


@cocotb.test()
@cocotb.parametrize(width=[1, WIDTH], idle=[(0, 0), (0.5, 0), (0, 0.5), (0.3, 0.3)])
async def enumerator_lists_bits(dut, width, idle):
    """From the lowest; one a cycle, also from word to word."""
    name = "enumerator" if width == WIDTH else "enumerator_1"
    bench = Bench(dut, name, units()[name])
    masks = [bench.random.choice((0, 1, (1 << width) - 1, bench.random.randrange(1 << width))) for _ in range(150)]
    words = [{"mask": mask, "payload": bench.random.randrange(32)} for mask in masks]
    source, sink = Source(bench, "words", idle[0]), Sink(bench, "items", idle[1])
    source.send(*words)
    expected = _items([tuple(word.values()) for word in words])
    await bench.start()
    await bench.until(lambda: len(sink.items) >= len(expected))
    await bench.step(5)
    assert sink.items == expected
    if idle == (0, 0):
        assert sink.cycles[-1] - sink.cycles[0] == len(expected) - 1


@cocotb.test()
@cocotb.parametrize(emit_empty=[0, 1], idle=[(0, 0), (0.4, 0.2)])
async def no_bubble_between_rows(dut, emit_empty, idle):
    """Scanner, queue and enumerator together: as long as there are bits, one comes each cycle."""
    bench = Bench(dut, f"listed_{emit_empty}", units()[f"listed_{emit_empty}"])
    memory, sequences = _sequences(bench, 30, 0.0 if idle == (0, 0) else 0.5, 3)
    rows = _rows(sequences)
    if idle == (0, 0):
        for row in rows:
            row["low"], row["high"] = 0, WIDTH - 1
    source, sink = Source(bench, "rows", idle[0]), Sink(bench, "items", idle[1])
    Words(bench, memory)

    def see():
        assert bench.bits("waiting") or not bench.bits("items__valid"), "an item, but nothing behind the scanner"

    bench.watchers.append(see)
    source.send(*rows)
    expected = _items([(word["mask"], word) for word in _scanned(memory, sequences, emit_empty)])
    await bench.start()
    await bench.until(lambda: len(sink.items) >= len(expected))
    await bench.step(10)
    assert sink.items == expected
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
