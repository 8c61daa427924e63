# SPDX-License-Identifier: Apache-2.0
"""Bench of what makes packets (errors, spikes, notes to sources) and of the output: whole packets, sources in turns."""

import cocotb
from amaranth.hdl import Module, signed
from amaranth.lib import wiring
from amaranth.lib.data import StructLayout
from amaranth.lib.wiring import Component, Out

from backspike.hw.core.send.credit_sender import Notifier
from backspike.hw.core.send.error_sender import ErrorPackets
from backspike.hw.core.send.packet_arbiter import PacketOutput
from backspike.hw.core.send.spike_sender import SpikeSender
from backspike.hw.core.update.neuron import NeuronUpdate
from backspike.hw.noc.flit import FlitStream
from backspike.hw.shapes import Shapes
from backspike.spec.packets import Kind, header
from backspike.spec.tables import ROUTE
from tests.support.small_chips import CHIPS as PLAIN
from tests.support.small_chips import TERNARY
from tests.support.unit import Bench, Memory, Sink, Source

SOURCES = (2, 3, 5)
_BITS = 12  # of the header: which source, which packet


CHIPS = PLAIN | TERNARY
SENDERS = 1, 8, "largest", *TERNARY


class ErrorOutput(Component):
    """Error packets with an output behind them, as they have no register of their own."""

    def __init__(self, shapes):
        self.shapes = shapes
        target = StructLayout({"x": 3, "y": 3, "neuron": 14, "step": shapes.step})
        self.packets = ErrorPackets(shapes, StructLayout({"target": target, "sum": signed(shapes.error_sum)}))
        members = self.packets.signature.members
        own = {name: members[name] for name in ("slot", "to_host", "results")}
        super().__init__({**own, "flits": Out(FlitStream)})

    def elaborate(self, platform):
        m = Module()
        m.submodules.packets = packets = self.packets
        m.submodules.output = output = PacketOutput(self.shapes, (3, 3))  # one of its sources is silent
        wiring.connect(m, wiring.flipped(self.results), packets.results)
        wiring.connect(m, packets.packets, output.packets[0])
        wiring.connect(m, output.flits, wiring.flipped(self.flits))
        m.d.comb += [packets.slot.eq(self.slot), packets.to_host.eq(self.to_host)]
        return m


def _word(shapes):
    """Shape of the words of spikes."""
    return NeuronUpdate(shapes, StructLayout({"sums": signed(40)})).word


def _senders(chip):
    """Units that make packets, by name."""
    shapes = Shapes(CHIPS[chip])
    return {
        f"errors_{chip}": ErrorOutput(shapes),
        f"spikes_{chip}": SpikeSender(shapes, _word(shapes)),
        f"notes_{chip}": Notifier(shapes),
    }


def units():
    outputs = {f"output_{sources}": PacketOutput(Shapes(CHIPS[1]), (3,) * sources) for sources in SOURCES}
    return outputs | {name: unit for chip in SENDERS for name, unit in _senders(chip).items()}


def _split(flits):
    """Packets as lists of words."""
    packets, words = [], []
    for item in flits:
        words.append(item["data"])
        if item["last"]:
            packets.append(words)
            words = []
    assert not words, "a packet without an end"
    return packets


class Run:
    """A bench with random packets from every source."""

    def __init__(self, dut, sources, idle, stalls):
        self.bench = bench = Bench(dut, f"output_{sources}", PacketOutput(Shapes(CHIPS[1]), (3,) * sources))
        self.sources = [Source(bench, f"packets__{n}", idle) for n in range(sources)]
        self.sink = Sink(bench, "flits", stalls)
        self.sent = [[] for _ in range(sources)]
        self.taken = 0
        bench.watchers.append(self._count)

    def _count(self):
        self.taken += self.bench.bits("sent")

    def send(self, n, length):
        words = [self.bench.random.getrandbits(32) for _ in range(3)]
        header = n << _BITS | len(self.sent[n])
        self.sources[n].send({"header": header, "words": words, "length": length})
        self.sent[n].append([header, *words[:length]])

    async def finish(self):
        """Wait for all packets; returns them in the order in which they came out."""
        await self.bench.start()
        await self.bench.until(lambda: all(source.empty for source in self.sources))
        await self.bench.step()
        await self.bench.until(lambda: not self.bench.bits("busy"))
        await self.bench.step(5)
        assert not self.bench.bits("flits__valid") and not self.bench.bits("busy")
        packets = _split(self.sink.items)
        for n, sent in enumerate(self.sent):
            assert [packet for packet in packets if packet[0] >> _BITS == n] == sent
        assert self.taken == len(packets) == sum(map(len, self.sent))
        return packets


@cocotb.test()
@cocotb.parametrize(sources=SOURCES, idle=[0.0, 0.5, 0.95], stalls=[0.0, 0.6])
async def random_packets(dut, sources, idle, stalls):
    run = Run(dut, sources, idle, stalls)
    for _ in range(40 * sources):
        run.send(run.bench.random.randrange(sources), run.bench.random.randrange(4))
    await run.finish()


@cocotb.test()
@cocotb.parametrize(sources=SOURCES, length=[0, 1, 3])
async def in_turns_without_gaps(dut, sources, length):
    """Sources that always have packets are served one after the other, a flit each cycle."""
    run = Run(dut, sources, 0.0, 0.0)
    for n in range(sources):
        for _ in range(20):
            run.send(n, length)
    packets = await run.finish()
    order = [packet[0] >> _BITS for packet in packets]
    assert all(sorted(order[k : k + sources]) == list(range(sources)) for k in range(0, len(order), sources))
    assert run.sink.cycles[-1] - run.sink.cycles[0] == len(run.sink.items) - 1


def _packets(sink):
    """Packets as words, of a stream in front of the output."""
    return [[item["header"], *item["words"][: item["length"]]] for item in sink.items]


def _two_or_three(value):
    """Payload of an ERROR."""
    words = 2 if -(1 << 63) <= value < 1 << 63 else 3
    return [value >> 32 * k & 0xFFFFFFFF for k in range(words)]


@cocotb.test()
@cocotb.parametrize(chip=SENDERS, to_host=[0, 1])
async def errors(dut, chip, to_host):
    """Two words where the sum fits into 64 bits, else three; at the ends of both ranges, and of all magnitudes."""
    config, name = CHIPS[chip], f"errors_{chip}"
    bench = Bench(dut, name, _senders(chip)[name])
    source, sink = Source(bench, "results", 0.2), Sink(bench, "flits", 0.3)
    await bench.start()
    random, slot = bench.random, config.slots - 1
    bench.set("slot", slot)
    bench.set("to_host", to_host)
    values = [sign * (1 << bits) + more for bits in (31, 32, 62, 63, 64, 94) for sign in (1, -1) for more in (-1, 0, 1)]
    values += [0, 1, -1, -(1 << 95), (1 << 95) - 1]
    values += [random.choice((1, -1)) * random.getrandbits(random.randrange(1, 96)) for _ in range(200)]
    expected = []
    for value in values:
        target = {
            "x": random.randrange(8),
            "y": random.randrange(8),
            "step": random.randrange(config.steps),
            "neuron": random.choice((0, (1 << 14) - 1, random.randrange(1 << 14))),
        }
        source.send({"target": target, "sum": value})
        place = target.pop("x"), target.pop("y"), to_host
        expected.append([header(Kind.ERROR, *place, **target, slot=slot), *_two_or_three(value)])
    await bench.until(lambda: source.empty)
    await bench.step(50)
    assert _split(sink.items) == expected


def _route_table(bench, config):
    """Random entries of the table of destinations and sources."""
    table = [bench.random.getrandbits(ROUTE.width) for _ in range(config.routes)]
    Memory(bench, "routes__address", "routes__data", [table])
    return [ROUTE.unpack(word) for word in table]


@cocotb.test()
@cocotb.parametrize(chip=SENDERS)
async def spikes(dut, chip):
    """A packet for each word and target, of the frame's kind, up to the last word; slots and steps at their ends."""
    config, name = CHIPS[chip], f"spikes_{chip}"
    bench = Bench(dut, name, _senders(chip)[name])
    random, routes = bench.random, _route_table(bench, config)
    source, sink = Source(bench, "words", 0.3), Sink(bench, "packets", 0.3)
    last = (1 << _word(Shapes(config))["word"].width) - 1
    await bench.start()
    expected = []
    for _ in range(60):
        targets = random.randint(1, 5)
        word = {
            "targets_base": random.randint(0, config.routes - targets),
            "targets": targets,
            "slot": random.choice((0, config.slots - 1)),
            "train": random.randrange(2),
            "more": random.randrange(2),
            "step": random.choice((0, config.steps - 1)),
            "word": random.choice((0, last, random.randint(0, last))),
            "spikes": random.getrandbits(32),
            "masks": random.getrandbits(32),
        }
        word |= {"back": random.randrange(2)} if config.ternary else {}
        kind = Kind.MORE if word["more"] else Kind.SPIKES
        source.send(word)
        for route in routes[word["targets_base"] : word["targets_base"] + targets]:
            head = header(
                Kind.BACK if word.get("back") else kind,
                route["x"],
                route["y"],
                route["host"],
                slice=route["slice"],
                slot=word["slot"],
                step=word["step"],
                word=(route["word"] + word["word"]) % 512,
                train=word["train"],
            )
            expected.append([head, word["spikes"], word["masks"]])
    await bench.until(lambda: source.empty and not bench.bits("busy"))
    assert _packets(sink) == expected


@cocotb.test()
@cocotb.parametrize(chip=SENDERS)
async def notes(dut, chip):
    """CREDIT or ERRORS_DONE to every source."""
    config, name = CHIPS[chip], f"notes_{chip}"
    bench = Bench(dut, name, _senders(chip)[name])
    random, routes = bench.random, _route_table(bench, config)
    sink = Sink(bench, "packets", 0.3)
    await bench.start()
    bench.set("x", 6)
    bench.set("y", 3)
    for slot in range(config.slots):
        for credit in (0, 1):
            sources = random.randint(1, 6)
            base = random.randint(0, config.routes - sources)
            given = {"slot": slot, "credit": credit, "sources": sources, "sources_base": base, "active": 1}
            for port, value in given.items():
                bench.set(port, value)
            await bench.until(lambda: bench.bits("done"))
            bench.set("active", 0)
            await bench.step(3)
            more = {"from_x": 6, "from_y": 3} if credit else {}
            assert _packets(sink) == [
                [
                    header(
                        Kind.CREDIT if credit else Kind.ERRORS_DONE,
                        route["x"],
                        route["y"],
                        route["host"],
                        slice=route["slice"],
                        slot=slot,
                        **more,
                    )
                ]
                for route in routes[base : base + sources]
            ]
            sink.items.clear()
