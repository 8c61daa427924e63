# SPDX-License-Identifier: Apache-2.0
"""Bench of the lists that are found once and played several times, and of the lanes that add to gradients."""

from functools import partial

import cocotb
from amaranth.hdl import Module
from amaranth.lib import stream, wiring
from amaranth.lib.data import StructLayout
from amaranth.lib.wiring import In, Out

from backspike.hw.arith.numbers import to_fixed_model
from backspike.hw.engines.operand_list import OperandList
from backspike.hw.engines.weight_gradient import GradientLanes
from backspike.hw.shapes import Shapes
from backspike.spec.config import ChipConfig
from tests.support.cases import random_numbers
from tests.support.unit import Bench, Memory, Sink, Source

DEPTHS = (2, 8)
LANES = (1, 2)
SIZES = {"weights": 64, "neurons": 32, "batch_terms": 8}
SHAPES = {bits: Shapes(ChipConfig(**SIZES, operand_bits=bits)) for bits in (1, 2, 7, 8)}
"""By bits of an operand."""


def _operand_list(depth):
    return OperandList(entry=9, payload=7, depth=depth)


class Adder(wiring.Component):
    """Gradient lanes behind a stream of terms, whose deltas come a move later, as from a memory."""

    def __init__(self, lanes, bits):
        self.lanes, self.bits = GradientLanes(SHAPES[bits], lanes), bits
        kept = ("gradients", "new_gradients", "highs", "new_highs", "carries", "waits", "busy")
        members = {name: self.lanes.signature.members[name] for name in kept}
        names = ("valid", "hits", "address", "deltas", *(("operand",) if bits > 1 else ()))
        term = {name: self.lanes.signature.members[name].shape for name in names}
        super().__init__(
            members | {"terms": In(stream.Signature(StructLayout(term))), "terms_done": Out(range(lanes + 1))}
        )

    def elaborate(self, platform):
        m = Module()
        m.submodules.lanes = lanes = self.lanes
        given = self.terms.p
        m.d.comb += [
            self.terms.ready.eq(~lanes.waits),
            lanes.move.eq(~lanes.waits),
            lanes.valid.eq(self.terms.valid & given.valid),
            lanes.hits.eq(given.hits),
            lanes.address.eq(given.address),
            self.terms_done.eq(lanes.terms),
            self.busy.eq(self.terms.valid | lanes.busy),
            self.waits.eq(lanes.waits),
        ]
        with m.If(lanes.move):
            m.d.sync += lanes.deltas.eq(given.deltas)
            if self.bits > 1:
                m.d.sync += lanes.operand.eq(given.operand)
        m.d.comb += self.carries.eq(lanes.carries)
        for name in ("gradients", "new_gradients", "highs", "new_highs"):
            wiring.connect(m, getattr(lanes, name), wiring.flipped(getattr(self, name)))
        return m


def units():
    return {
        **{f"list_{depth}": _operand_list(depth) for depth in DEPTHS},
        **{f"adder_{lanes}_{bits}": Adder(lanes, bits) for lanes in LANES for bits in SHAPES},
    }


class Lists:
    """Random lists, and commands for them.

    Attributes
    ----------
    items, commands: to be sent
    plays: what must come: ``(entries, payload, open_end)`` each; ``open_end``: the list's end comes without an entry
    """

    def __init__(self, bench, count, depth, *, short=False):
        random = bench.random
        self.items, self.commands, self.plays = [], [], []
        for _ in range(count):
            once = random.random() < 0.3
            length = random.choice((0, 1, depth, random.randint(0, depth), random.randint(0, 5 * depth)))
            if short:
                length = random.choice((0, 0, 0, 1))
            elif not once:
                length = min(length, depth)
            entries = [random.getrandbits(9) for _ in range(length)]
            open_end = not entries or random.random() < 0.3
            self._send(random, entries, open_end)
            payloads = [random.getrandbits(7) for _ in range(1 if once else random.randint(1, 4))]
            for payload in payloads:
                self.commands.append({"payload": payload, "final": 0})
                self.plays.append((entries, payload, open_end))
            self.commands[-1]["final"] = 1

    def _send(self, random, entries, open_end):
        for entry in entries:
            while random.random() < 0.2:  # nothing, and not the end
                self.items.append({"entry": random.getrandbits(9), "none": 1, "last": 0})
            self.items.append({"entry": entry, "none": 0, "last": 0})
        if open_end:
            self.items.append({"entry": random.getrandbits(9), "none": 1, "last": 1})
        else:
            self.items[-1]["last"] = 1

    def check(self, played):
        """Each play is the whole list; an element without an entry comes only where the list's end came so."""
        rest = list(played)
        for entries, payload, open_end in self.plays:
            found = []
            while True:
                item = rest.pop(0)
                assert item["payload"] == payload
                found.append(None if item["none"] else item["entry"])
                if item["last"]:
                    break
            if open_end and found[-1] is None:
                found.pop()
            assert found == entries
        assert not rest


@cocotb.test()
@cocotb.parametrize(depth=DEPTHS, idle=[(0, 0, 0), (0.8, 0, 0), (0, 0.9, 0), (0, 0, 0.8), (0.3, 0.3, 0.3)])
async def lists_are_played(dut, depth, idle):
    """Empty, full and longer than the memory; once, several times; over many rounds of the memory."""
    bench = Bench(dut, f"list_{depth}", _operand_list(depth))
    lists = Lists(bench, 120, depth)
    items, commands = Source(bench, "items", idle[0]), Source(bench, "commands", idle[1])
    sink = Sink(bench, "out", idle[2])
    items.send(*lists.items)
    commands.send(*lists.commands)
    bench.watchers.append(lambda: bench.bits("busy") or _assert_done(bench, commands))
    await bench.start()
    await bench.until(lambda: items.empty and commands.empty and not bench.bits("busy"))
    await bench.step(5)
    assert not bench.bits("busy")
    lists.check(sink.items)


def _assert_done(bench, commands):
    assert not bench.bits("out__valid") and commands.offered is None, "not busy, but at work"


@cocotb.test()
@cocotb.parametrize(depth=DEPTHS)
async def many_short_lists_wait(dut, depth):
    """More complete lists than may wait, although there is room for their entries."""
    bench = Bench(dut, f"list_{depth}", _operand_list(depth))
    lists = Lists(bench, 60, depth, short=True)
    items, commands, sink = Source(bench, "items"), Source(bench, "commands", 0.5), Sink(bench, "out")
    items.send(*lists.items)
    await bench.start()
    await bench.step(60)
    assert not items.empty
    commands.send(*lists.commands)
    await bench.until(lambda: items.empty and commands.empty and not bench.bits("busy"))
    lists.check(sink.items)


@cocotb.test()
@cocotb.parametrize(depth=DEPTHS)
async def an_end_that_comes_late_is_an_element(dut, depth):
    """The list's entries are played when they are there; its end, which comes later without an entry, follows."""
    bench = Bench(dut, f"list_{depth}", _operand_list(depth))
    items, commands, sink = Source(bench, "items"), Source(bench, "commands"), Sink(bench, "out")
    commands.send({"payload": 1, "final": 0}, {"payload": 2, "final": 1})
    await bench.start()
    items.send({"entry": 5, "none": 0, "last": 0}, {"entry": 6, "none": 0, "last": 0})
    await bench.step(10)
    assert [item["entry"] for item in sink.items] == [5, 6]
    assert bench.bits("busy") and not bench.bits("out__valid")
    items.send({"entry": 0, "none": 1, "last": 1})
    await bench.until(lambda: not bench.bits("busy") and commands.empty, 50)
    assert [(item["payload"], item["none"], item["last"]) for item in sink.items] == [
        (1, 0, 0),
        (1, 0, 0),
        (1, 1, 1),
        (2, 0, 0),
        (2, 0, 1),
    ]


@cocotb.test()
@cocotb.parametrize(depth=DEPTHS)
async def an_entry_is_played_each_cycle(dut, depth):
    """Lists of one play that stream through, also if longer than the memory; lists that are there already.

    Room in the memory is told some cycles late, which leaves gaps if it is as small as the smallest.
    """
    bench = Bench(dut, f"list_{depth}", _operand_list(depth))
    items, commands, sink = Source(bench, "items"), Source(bench, "commands"), Sink(bench, "out")
    for length in (3 * depth, 2, depth, 1, 5 * depth, 1, 1):
        items.send(*({"entry": n, "none": 0, "last": int(n == length - 1)} for n in range(length)))
        commands.send({"payload": 0, "final": 1})
    await bench.start()
    await bench.until(lambda: items.empty and commands.empty and not bench.bits("busy"))
    if depth > 2:
        assert sink.cycles[-1] - sink.cycles[0] == len(sink.cycles) - 1
    sink.cycles.clear()
    items.send(*({"entry": n, "none": 0, "last": int(n % 2)} for n in range(2 * (depth // 2))))
    await bench.step(2 * depth + 5)
    for _ in range(depth // 2):
        commands.send(*({"payload": 0, "final": int(n == 2)} for n in range(3)))
    await bench.until(lambda: commands.empty and not bench.bits("busy"))
    assert len(sink.cycles) == 6 * (depth // 2)
    assert sink.cycles[-1] - sink.cycles[0] == len(sink.cycles) - 1


class Gradients:
    """Lanes with their banks, low and high parts; terms of given addresses."""

    def __init__(self, dut, lanes, operand, idle=0.0):
        self.bench = bench = Bench(dut, f"adder_{lanes}_{operand}", Adder(lanes, operand))
        self.shapes, self.lanes, self.operand = SHAPES[operand], lanes, operand
        self.bits = {"gradients": self.shapes.gradient_low, "highs": self.shapes.gradient_high}
        self.banks = {
            part: [[bench.random.getrandbits(bits) for _ in range(64)] for _ in range(lanes)]
            for part, bits in self.bits.items()
        }
        self.expected = [[self._whole(k, address) for address in range(64)] for k in range(lanes)]
        self.low = [[self._signed(word) for word in bank] for bank in self.banks["gradients"]]
        self.terms = self.seen = self.waits = self.carries = self.carried = 0
        for part in self.bits:
            Memory.behind(bench, part, [partial(self._read, part)])
        self.source = Source(bench, "terms", idle)
        bench.watchers.append(self._watch)

    def _read(self, part, address):
        return sum(bank[address] << self.bits[part] * k for k, bank in enumerate(self.banks[part]))

    def _signed(self, low):
        """A low part as a number."""
        half = 1 << self.shapes.gradient_low - 1
        return (low + half) % (2 * half) - half

    def _whole(self, lane, address):
        """A gradient as an unsigned number."""
        low, high = (self.banks[part][lane][address] for part in self.bits)
        return ((high << self.shapes.gradient_low) + self._signed(low)) % (1 << self.shapes.gradient_sum)

    def add(self, address, hits, valid=1, deltas=None):
        """A term for the gradients of some lanes; nothing unless it is ``valid``."""
        fmt, most = self.shapes.config.format, (1 << self.operand) - 1
        deltas = random_numbers(self.bench.rng, fmt, (self.lanes,)) if deltas is None else deltas
        operand = self.bench.random.choice((1, most, self.bench.random.randint(1, most)))
        given = {"operand": operand} if self.operand > 1 else {}
        self.source.send({"valid": valid, "hits": hits, "address": address, "deltas": list(deltas), **given})
        for k, value in enumerate(to_fixed_model(deltas, fmt)):
            if valid and hits >> k & 1:
                term = int(value) * operand
                self.expected[k][address] = (self.expected[k][address] + term) % (1 << self.shapes.gradient_sum)
                low = self.low[k][address] + term
                self.low[k][address] = self._signed(low)
                self.carries += low != self._signed(low)
                self.terms += 1

    def _watch(self):
        bench = self.bench
        self.seen += bench.bits("terms_done")
        self.carried += bench.bits("carries")
        self.waits += bench.bits("waits")
        for part, banks in self.banks.items():
            enables, sums = bench.bits(f"new_{part}__enable"), bench.get(f"new_{part}__data")
            assert bench.bits("busy") or not enables
            for k, bank in enumerate(banks):
                if enables >> k & 1:
                    bank[bench.bits(f"new_{part}__address")] = sums[k] & (1 << self.bits[part]) - 1

    async def finish(self):
        """Run to the end and compare; returns the cycles from the first term to the last."""
        bench = self.bench
        begin = bench.cycle
        await bench.until(lambda: self.source.empty and not bench.bits("busy"))
        assert [[self._whole(k, address) for address in range(64)] for k in range(self.lanes)] == self.expected
        assert (self.seen, self.carried) == (self.terms, self.carries)
        return bench.cycle - begin


@cocotb.test()
@cocotb.parametrize(lanes=LANES, operand=list(SHAPES), addresses=[1, 2, 3, 5, 64], idle=[0.0, 0.5])
async def gradients_of_any_order(dut, lanes, operand, addresses, idle):
    """Few gradients, so that terms meet; with what is no term between them; any numbers, times any operand."""
    gradients = Gradients(dut, lanes, operand, idle)
    random = gradients.bench.random
    for _ in range(300):
        gradients.add(random.randrange(addresses), random.getrandbits(lanes), int(random.random() < 0.7))
    await gradients.bench.start()
    await gradients.finish()


@cocotb.test()
@cocotb.parametrize(lanes=LANES, operand=list(SHAPES), addresses=[1, 2, 64])
async def few_terms_reach_the_high_part(dut, lanes, operand, addresses):
    """Small deltas: only those that carry do, up and down, also when they follow each other on the same gradient."""
    gradients = Gradients(dut, lanes, operand)
    random, fmt = gradients.bench.random, SHAPES[operand].config.format
    half = 1 << SHAPES[operand].gradient_low - 1
    for k in range(lanes):  # at both ends of the low part
        for address in range(64):
            edge = random.choice((half - 1, half))
            gradients.banks["gradients"][k][address] = edge
            gradients.low[k][address] = gradients._signed(edge)
            gradients.expected[k][address] = gradients._whole(k, address)
    for _ in range(300):
        deltas = fmt.encode(fmt.round(gradients.bench.rng.normal(0, 0.1, lanes)))
        gradients.add(random.randrange(addresses), (1 << lanes) - 1, deltas=deltas)
    assert 0 < gradients.carries < 0.7 * gradients.terms
    await gradients.bench.start()
    await gradients.finish()


@cocotb.test()
@cocotb.parametrize(lanes=LANES, operand=[1, 7], distance=[1, 2, 3, 4])
async def terms_wait_no_longer_than_they_must(dut, lanes, operand, distance):
    """Two of the same gradient are at least three cycles apart; any others follow each other in each cycle."""
    gradients = Gradients(dut, lanes, operand)
    count = 60
    for n in range(count):
        gradients.add(n % distance + 8, (1 << lanes) - 1)
    await gradients.bench.start()
    cycles = await gradients.finish()
    waits = (count - 1) // distance * max(0, 3 - distance)
    assert gradients.waits == waits
    assert cycles <= count + waits + 7 + (operand > 1)
