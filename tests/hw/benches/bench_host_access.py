# SPDX-License-Identifier: Apache-2.0
"""Bench of how the host reaches a core's tables and memories: packets in, contents of the memories, DATA out."""

import cocotb
from amaranth.hdl import Module, Value
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import Component, In, Out

from backspike.hw.core.memory.memories import Memories
from backspike.hw.core.receive.host_access import HostAccess
from backspike.hw.core.receive.receiver import Receiver
from backspike.hw.core.send.read_replies import Replies
from backspike.hw.core.update.delta_memory import DeltaMemory
from backspike.hw.core.update.neuron import NeuronMemory
from backspike.hw.core.update.weight_update import WeightMemory
from backspike.hw.noc.flit import FlitStream
from backspike.hw.ram import WritePort
from backspike.hw.shapes import Shapes
from backspike.spec.config import ChipConfig
from backspike.spec.formats import Format
from backspike.spec.packets import Kind, header, parse_header
from backspike.spec.tables import DESCRIPTOR_STRIDE, FAN_IN, FAN_IN_STRIDE, TAPE_SLOT_STRIDE, TAPE_STRIDE, Region
from tests.support.codec import Codec
from tests.support.small_chips import CHIPS
from tests.support.unit import Bench, Sink, Source

E4M3 = Format(exponent=4, mantissa=3)
_CHIPS = {
    "host_access_2": CHIPS[2],
    "host_access_8": CHIPS[8],
    "host_access_e4m3": ChipConfig(weights=64, neurons=32, batch_terms=8, fan_in=5, momentum=False, format=E4M3),
    "host_access_wide": ChipConfig(  # the widest addresses of the tables, little else; more neurons than weights
        steps=2,
        slots=8,
        slices=16,
        tape_words=1 << 9,
        fan_in=1 << 8,
        routes=1 << 8,
        batch_terms=1 << 23,
        weights=64,
        neurons=128,
        noise=True,
    ),
}
COUNTER, CONTROL = 0xC0DE, 5  # what the bench's counters and control word are


class HostMemories(Component):
    """Receiver, replies and memories of a core whose engines never run; the bench looks into the memories.

    ``neuron``, ``delta``, ``update``, ``erase``: the other users of the memories, which are at rest. ``look``: address
    of every memory that is looked into; ``write_gradient``, ``gradient``: writes it in the banks
    """

    def __init__(self, config):
        self.config, self.shapes = config, (shapes := Shapes(config))
        super().__init__(
            {
                "flits": In(FlitStream),
                "data_packets": Out(stream.Signature(shapes.packet)),
                "fault_packets": Out(stream.Signature(shapes.packet)),
                "reading": Out(1),
                "dropped": Out(1),
                "look": In(32),
                "write_gradient": In(config.lanes),
                "gradient": In(shapes.gradient_sum),
                "group": Out(FAN_IN.width),
                "descriptor": Out(32),
                "route": Out(shapes.route_entry.size),
                "spikes": Out(32),
                "masks": Out(32),
                "neuron": In(NeuronMemory(shapes)),
                "delta": In(DeltaMemory(shapes)),
                "update": In(WeightMemory(shapes)),
                "erase": In(WritePort(shapes.erase_address(), None)),
            }
        )

    def elaborate(self, platform):
        m = Module()
        m.submodules.receiver, m.submodules.replies = receiver, replies = Receiver(self.shapes), Replies(self.shapes)
        m.submodules.memories = memories = Memories(self.shapes)
        m.submodules.host = host = HostAccess(self.shapes, receiver, replies)
        wiring.connect(m, host.memory, memories.host)
        for name in ("neuron", "delta", "update", "erase"):
            wiring.connect(m, wiring.flipped(getattr(self, name)), getattr(memories, name))
        wiring.connect(m, wiring.flipped(self.flits), receiver.flits)
        wiring.connect(m, receiver.fault, replies.fault)
        wiring.connect(m, replies.data_packets, wiring.flipped(self.data_packets))
        wiring.connect(m, replies.fault_packets, wiring.flipped(self.fault_packets))
        m.d.comb += [
            receiver.idle.eq(1),
            receiver.event.takes.as_value().eq(-1),
            receiver.reading.eq(replies.reading),
            replies.read.eq(receiver.read),
            replies.region.eq(receiver.region),
            replies.address.eq(receiver.address),
            replies.count.eq(receiver.count),
            self.reading.eq(replies.reading),
            self.dropped.eq(receiver.dropped),
        ]
        looks = {
            "group": (memories.forward.fan_in, memories.forward.fan_in.data),
            "route": (memories.targets, memories.targets.data),
            "spikes": (memories.forward.tape, memories.forward.tape.data),
            "masks": (memories.learning.tape, memories.learning.tape.data.masks),
            "descriptor": (memories.backward_descriptors, memories.backward_descriptors.data),
        }
        for name, (port, data) in looks.items():
            m.d.comb += [
                port.address.eq(self.look),
                port.enable.eq(1),
                Value.cast(getattr(self, name)).eq(data),
            ]
        for k in range(self.config.lanes):
            # value = low + 2**width high, with a signed low part
            low = self.gradient[: self.shapes.gradient_low]
            parts = {"gradients": low, "highs": self.gradient[len(low) :] + low[-1]}
            for part, value in parts.items():
                port = getattr(memories.learning, f"new_{part}_{k}")
                m.d.comb += [
                    port.enable.eq(self.write_gradient[k]),
                    port.address.eq(self.look),
                    port.data.eq(value),
                ]
        for name in ("write", "region", "address", "data", "tape_write", "tape_address", "spikes"):
            m.d.comb += getattr(host, name).eq(getattr(receiver, name))
        m.d.comb += [
            host.reading.eq(replies.holding),
            memories.receiver.masks.enable.eq(receiver.tape_write),
            memories.receiver.masks.address.eq(receiver.tape_address),
            memories.receiver.masks.data.eq(receiver.masks),
            memories.receiver.laps.enable.eq(receiver.tape_write),
            memories.receiver.laps.address.eq(receiver.tape_address),
            host.fetch_region.eq(replies.fetch_region),
            host.fetch_address.eq(replies.fetch_address),
            host.counter.eq(COUNTER),
            host.control.eq(CONTROL),
            replies.word.eq(host.word),
        ]
        return m


def units():
    return {name: HostMemories(config) for name, config in _CHIPS.items()}


class Run:
    """The host of one core."""

    def __init__(self, dut, name):
        self.config = _CHIPS[name]
        self.bench = bench = Bench(dut, name, HostMemories(self.config))
        self.shapes, self.random = Shapes(self.config), bench.random
        self.flits = Source(bench, "flits", 0.1)
        self.data, self.faults = Sink(bench, "data_packets", 0.2), Sink(bench, "fault_packets")

    async def start(self):
        await self.bench.start()

    async def packet(self, *words):
        self.flits.send(*({"data": word, "last": n == len(words) - 1} for n, word in enumerate(words)))
        await self.bench.until(lambda: self.flits.empty)
        await self.bench.step(3)

    async def write(self, region, address, *words):
        await self.packet(header(Kind.WRITE, region=region), address, *words)

    async def read(self, region, address, count=1):
        """Words that come back."""
        self.data.items.clear()
        await self.packet(header(Kind.READ, region=region, count=count), address)
        await self.bench.until(lambda: not self.bench.bits("reading"))
        words, items = [], self.data.items
        for n, item in enumerate(items):
            assert parse_header(item["header"])[2]["region"] == region
            assert item["words"][0] == address + 2 * n
            words += item["words"][1 : item["length"]]
        assert len(words) == count
        return words

    async def look(self, name, address):
        self.bench.set("look", address)
        await self.bench.step(2)
        return self.bench.bits(name)

    def ends(self, depth, count=12):
        """Addresses at both ends of a memory and in between."""
        return sorted({0, 1, depth - 2, depth - 1, *(self.random.randrange(depth) for _ in range(count))})

    def words(self, count):
        return [self.random.getrandbits(32) for _ in range(count)]


@cocotb.test()
@cocotb.parametrize(name=list(_CHIPS))
async def groups_are_written_in_parts(dut, name):
    """Three words an entry, in any order, and across entries; the address behind them is not used."""
    run = Run(dut, name)
    await run.start()
    model = {}
    depth = run.config.fan_in * FAN_IN_STRIDE

    async def write(address, words):
        await run.write(Region.FAN_IN, address, *words)
        model.update(enumerate(words, address))

    for entry in range(run.config.fan_in):
        await write(entry * FAN_IN_STRIDE, run.words(4))
    for _ in range(60):
        count = run.random.randint(1, min(14, depth))
        await write(run.random.randint(0, depth - count), run.words(count))
    for entry in range(run.config.fan_in):
        expected = sum(model[entry * FAN_IN_STRIDE + k] << 32 * k for k in range(3)) & (1 << FAN_IN.width) - 1
        assert await run.look("group", entry) == expected
    assert not run.faults.items
    await run.write(Region.FAN_IN, depth, 1)
    assert len(run.faults.items) == 1


@cocotb.test()
@cocotb.parametrize(name=list(_CHIPS))
async def exact_sums_come_in_two_words(dut, name):
    """The low word, and the rest with its sign, up to the largest sums of both signs; no write changes them."""
    run = Run(dut, name)
    await run.start()
    lanes, bits = run.config.lanes, run.shapes.gradient_sum
    most = 1 << bits - 1
    for word in run.ends(run.shapes.weight_depth):
        values = [run.random.choice((0, -1, most - 1, -most, run.random.randrange(-most, most))) for _ in range(lanes)]
        run.bench.set("look", word)
        for lane, value in enumerate(values):
            run.bench.set("gradient", value)
            run.bench.set("write_gradient", 1 << lane)
            await run.bench.step()
        run.bench.set("write_gradient", 0)
        for region, shift in ((Region.GRADIENT, 0), (Region.GRADIENT_HIGH, 32)):
            before = len(run.faults.items)
            await run.write(region, word * lanes, *run.words(lanes))
            assert len(run.faults.items) == before + 1
            words = await run.read(region, word * lanes, lanes)
            assert words == [value >> shift & 0xFFFFFFFF for value in values]


@cocotb.test()
@cocotb.parametrize(name=list(_CHIPS))
async def weights_and_tables(dut, name):
    """What is written to weights, velocities and generators is read again; tables are where they belong."""
    run = Run(dut, name)
    await run.start()
    config, number = run.config, (1 << run.config.format.width) - 1
    regions = {Region.WEIGHT: (config.weights, number)}
    regions |= {Region.VELOCITY: (config.weights, number)} if config.momentum else {}
    regions |= {Region.NOISE: (config.neurons, 0xFFFF)} if config.noise else {}
    written = {
        (region, address): run.random.getrandbits(32)
        for region, (size, _) in regions.items()
        for address in run.ends(size)
    }
    for (region, address), word in written.items():
        await run.write(region, address, word)
    for (region, address), word in written.items():
        assert await run.read(region, address) == [word & regions[region][1]]
    depth, entry = config.slices * DESCRIPTOR_STRIDE, (1 << run.shapes.route_entry.size) - 1
    for region, table, size, mask in (
        (Region.DESCRIPTOR, "descriptor", depth, 0xFFFFFFFF),
        (Region.ROUTE, "route", config.routes, entry),
    ):
        words = {address: run.random.getrandbits(32) for address in run.ends(size)}
        for address, word in words.items():
            await run.write(region, address, word)
        for address, word in words.items():
            assert await run.look(table, address) == word & mask
    assert await run.read(Region.CONTROL, 0, 2) == [CONTROL, 0]
    assert await run.read(Region.COUNTER, 7) == [COUNTER]
    assert not run.faults.items


@cocotb.test()
@cocotb.parametrize(name=list(_CHIPS))
async def tape_words(dut, name):
    """The host writes a word of any step and slot, as a SPIKES packet does."""
    run = Run(dut, name)
    await run.start()
    config, random = run.config, run.random
    address = Codec(run.shapes.tape_address())
    for slot in range(config.slots):
        for word in run.ends(config.tape_words, 4):
            steps = range(config.steps)
            constants, spikes, masks = run.words(config.steps), *run.words(2)
            places = [address.pack({"word": word, "slot": slot, "step": t}) for t in steps]
            for t in steps:
                await run.write(Region.TAPE, slot * TAPE_SLOT_STRIDE + t * TAPE_STRIDE + word, constants[t])
            assert [await run.look("spikes", place) for place in places] == constants
            step = random.randrange(config.steps)
            place = header(Kind.SPIKES, slice=0, slot=slot, step=step, word=word, train=1)
            await run.packet(place, spikes, masks)
            assert await run.look("masks", places[step]) == masks
            await run.write(Region.TAPE, slot * TAPE_SLOT_STRIDE + step * TAPE_STRIDE + word, spikes)
            assert await run.look("masks", places[step]) == masks
            constants[step] = spikes
            assert [await run.look("spikes", place) for place in places] == constants
    assert not run.faults.items
