# SPDX-License-Identifier: Apache-2.0
"""Bench of the lister of set bits of rows: which bits, in which order, and in which cycles."""

import cocotb

from backspike.hw.engines.dense.row_bits import RowBits
from backspike.hw.shapes import WORD
from tests.support.unit import Bench, Memory, Sink, Source

DEPTH = 64
PAYLOAD = 5
FORMS = [(2, 1), (8, 1), (6, 2)]


def _row_bits(words, banks):
    return RowBits(base=6, words=words, payload=PAYLOAD, banks=banks)


def units():
    return {f"row_bits_{words}_{banks}": _row_bits(words, banks) for words, banks in FORMS}


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
    return random.choice((0xFFFFFFFF, 0xF, 0xF0000000, 0x80000001, 0x01010101, random.getrandbits(WORD)))


class Rows:
    """Memories with contents, and random rows of them.

    Attributes
    ----------
    rows: to be sent
    items: what must come
    cycles: of each item, when it comes at the latest without pauses, in cycles since the first
    """

    def __init__(self, bench, words, banks, count, density, *, full=False):
        random = bench.random
        self.memories = [[_word(random, density) for _ in range(DEPTH)] for _ in range(banks)]
        if full:
            self.memories[0] = [word or 1 for word in self.memories[0]]
        self.rows, self.items, self.cycles = [], [], []
        looked = free = 0
        for _ in range(count):
            end = random.choice((0, words - 1, random.randrange(words)))
            place = (1 << (words - 1).bit_length()) * random.randrange(DEPTH // 8)
            row = {"base": place + random.randint(0, words - 1 - end), "end": end, "payload": random.getrandbits(5)}
            self.rows.append(row)
            for k in range(end + 1):
                hits = [memory[row["base"] + k] for memory in self.memories]
                bits = [n for n in range(WORD) if any(word >> n & 1 for word in hits)]
                looked += 1
                if not bits and k < end:
                    continue
                # It is held until the bits of the word before are listed; then the next can be looked at.
                looked = begin = max(looked, free)
                free = begin + max(1, len(bits))
                for n in bits or [None]:
                    self.items.append(
                        {
                            "number": 0 if n is None else n + WORD * k,
                            "none": int(n is None),
                            "hits": 0 if n is None else sum((word >> n & 1) << bank for bank, word in enumerate(hits)),
                            "last": int(k == end and n in (None, *bits[-1:])),
                            "payload": row["payload"],
                        }
                    )
                self.cycles += range(begin, free)

    def check(self, found):
        """Where there is no bit, its number and in which banks it is mean nothing."""
        assert [item | {"number": 0, "hits": 0} if item["none"] else item for item in found] == self.items


def _parts(bench, rows, idle):
    source, sink = Source(bench, "rows", idle[0]), Sink(bench, "items", idle[1])
    together = [sum(word << WORD * k for k, word in enumerate(words)) for words in zip(*rows.memories, strict=True)]
    Memory(bench, "address", "bits", [together], "enable")
    source.send(*rows.rows)
    return source, sink


@cocotb.test()
@cocotb.parametrize(form=FORMS, idle=[(0, 0), (0.8, 0), (0, 0.8), (0.4, 0.4)], density=[(0.1, 0.3), (0.8, 0.9)])
async def set_bits_are_listed(dut, form, idle, density):
    """Each set bit once, from the lowest, whatever stands still; busy until the last."""
    bench = Bench(dut, "row_bits_{}_{}".format(*form), _row_bits(*form))
    rows = Rows(bench, *form, 40, density)
    source, sink = _parts(bench, rows, idle)
    await bench.start()
    await bench.until(lambda: source.empty and not bench.bits("busy"))
    rows.check(sink.items)
    await bench.step(5)
    assert len(sink.items) == len(rows.items) and not bench.bits("busy")


@cocotb.test()
@cocotb.parametrize(form=FORMS, density=[(0, 0), (0, 1), (0.3, 0.6), (0.8, 0.9)])
async def a_bit_comes_each_cycle(dut, form, density):
    """Words that are not zero follow each other without a gap; meanwhile zero words are passed over, one each cycle."""
    bench = Bench(dut, "row_bits_{}_{}".format(*form), _row_bits(*form))
    rows = Rows(bench, *form, 80, density, full=not density[0])
    source, sink = _parts(bench, rows, (0, 0))
    await bench.start()
    await bench.until(lambda: source.empty and not bench.bits("busy"))
    rows.check(sink.items)
    assert all(
        cycle - sink.cycles[0] <= latest - rows.cycles[0]
        for cycle, latest in zip(sink.cycles, rows.cycles, strict=True)
    )
    if not density[0]:
        assert sink.cycles[-1] - sink.cycles[0] == len(sink.cycles) - 1
