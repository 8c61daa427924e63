# SPDX-License-Identifier: Apache-2.0
"""Bench of the scanners and the queue: what they pass on, in which order, and without a bubble."""

import cocotb
from amaranth.hdl import Module
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import Component, Out

from backspike.hw.blocks import Queue
from backspike.hw.engines.scan import Enumerator, RowScanner
from backspike.sim.unit import Bench, Memory, Sink, Source

WIDTH, WORDS, EXTRA = 8, 5, 6


class Listed(Component):
    """A scanner, a queue, and an enumerator, as the engines have them."""

    def __init__(self, emit_empty):
        self.scanner = RowScanner(width=WIDTH, base=6, count=WORDS, payload=4, extra=EXTRA, emit_empty=emit_empty)
        self.enumerator = Enumerator(width=WIDTH, payload=self.scanner.word)
        kept = ("rows", "address", "enable", "mask", "extra", "busy")
        kept = {name: self.scanner.signature.members[name] for name in kept}
        super().__init__(kept | {"items": Out(stream.Signature(self.enumerator.item))})

    def elaborate(self, platform):
        m = Module()
        m.submodules.scanner, m.submodules.enumerator = scanner, enumerator = self.scanner, self.enumerator
        m.submodules.words = words = Queue(scanner.word, 4)
        wiring.connect(m, wiring.flipped(self.rows), scanner.rows)
        wiring.connect(m, scanner.words, words.i)
        wiring.connect(m, enumerator.items, wiring.flipped(self.items))
        m.d.comb += [
            self.address.eq(scanner.address), self.enable.eq(scanner.enable), self.busy.eq(scanner.busy),
            scanner.mask.eq(self.mask), scanner.extra.eq(self.extra),
            enumerator.words.valid.eq(words.o.valid), words.o.ready.eq(enumerator.words.ready),
            enumerator.words.p.mask.eq(words.o.p.mask), enumerator.words.p.payload.eq(words.o.p),
        ]
        return m


def units():
    return {
        **{f"scanner_{n}": RowScanner(width=WIDTH, base=6, count=WORDS, payload=4, extra=EXTRA, emit_empty=bool(n))
           for n in range(2)},
        **{f"listed_{n}": Listed(bool(n)) for n in range(2)},
        "enumerator": Enumerator(width=WIDTH, payload=5),
        "enumerator_1": Enumerator(width=1, payload=5),
        **{f"queue_{depth}": Queue(9, depth) for depth in (2, 3, 4)},
    }


def _rows(bench, count, empty):
    """Contents of the memory, and rows of it; ``empty`` is the chance that a word is 0."""
    memory = [0 if bench.random.random() < empty else bench.random.randrange(1, 1 << WIDTH) for _ in range(64)]
    rows = []
    for _ in range(count):
        length = bench.random.randint(1, WORDS)
        base, payload = bench.random.randint(0, 64 - length), bench.random.randrange(16)
        rows.append({"base": base, "count": length, "payload": payload})
    return memory, rows


def _scanned(memory, rows, emit_empty):
    """Words that a scanner must pass on."""
    expected = []
    for row in rows:
        words = [(k, memory[row["base"] + k]) for k in range(row["count"])]
        words = [pair for pair in words if pair[1]] or (words[-1:] if emit_empty else [])
        expected += [
            {"mask": mask, "index": k, "last": int(k == words[-1][0]), "payload": row["payload"],
             "extra": (row["base"] + k) * 5 % (1 << EXTRA)}
            for k, mask in words
        ]
    return expected


def _connect(bench, memory):
    """The memory, and an ``extra`` that depends on the address."""
    Memory(bench, "address", "mask", [memory], "enable")
    Memory(bench, "address", "extra", [lambda address: address * 5 % (1 << EXTRA)], "enable")


@cocotb.test()
@cocotb.parametrize(emit_empty=[0, 1], idle=[(0, 0), (0.4, 0), (0, 0.6), (0.3, 0.3)], empty=[0.0, 0.5, 0.9])
async def scanner_passes_words_that_are_not_zero(dut, emit_empty, idle, empty):
    bench = Bench(dut, f"scanner_{emit_empty}", units()[f"scanner_{emit_empty}"])
    memory, rows = _rows(bench, 60, empty)
    source, sink = Source(bench, "rows", idle[0]), Sink(bench, "words", idle[1])
    _connect(bench, memory)
    source.send(*rows)
    await bench.start()
    await bench.until(lambda: source.empty and not bench.bits("busy"))
    await bench.step(5)
    assert not bench.bits("busy")
    assert sink.items == _scanned(memory, rows, emit_empty)


@cocotb.test()
@cocotb.parametrize(emit_empty=[0, 1])
async def scanner_reads_a_word_each_cycle(dut, emit_empty):
    """Words that are not zero leave one each cycle; zero words cost one cycle each and no more."""
    bench = Bench(dut, f"scanner_{emit_empty}", units()[f"scanner_{emit_empty}"])
    for empty in (0.0, 0.7):
        bench.agents.clear()
        memory, rows = _rows(bench, 60, empty)
        source, sink = Source(bench, "rows"), Sink(bench, "words")
        _connect(bench, memory)
        source.send(*rows)
        await bench.start()
        begin = bench.cycle
        await bench.until(lambda source=source: source.empty and not bench.bits("busy"))
        assert sink.items == _scanned(memory, rows, emit_empty)
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
    memory, rows = _rows(bench, 60, 0.0 if idle == (0, 0) else 0.5)
    source, sink = Source(bench, "rows", idle[0]), Sink(bench, "items", idle[1])
    _connect(bench, memory)
    source.send(*rows)
    scanned = _scanned(memory, rows, emit_empty)
    expected = _items([(word["mask"], word) for word in scanned])
    await bench.start()
    await bench.until(lambda: len(sink.items) >= len(expected))
    await bench.step(10)
    assert sink.items == expected
    assert not bench.bits("busy")
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
