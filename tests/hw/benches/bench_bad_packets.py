# SPDX-License-Identifier: Apache-2.0
"""Cocotb bench of the whole chip under bad input: it is dropped, counted and reported, and training goes on.

The chip's configuration comes as JSON from ``BACKSPIKE_CHIP``.
"""

import json
import os
from random import Random

import cocotb

from backspike.golden.network import Network
from backspike.golden.presets import default_training
from backspike.golden.rules import BPTT, Rule
from backspike.host.driver.driver import LINK, DriverError
from backspike.spec.config import ChipConfig
from backspike.spec.packets import HEADER, INPUT_KINDS, Cause, Kind, Packet
from backspike.spec.tables import DESCRIPTOR_STRIDE, FAN_IN_STRIDE, TAPE_SLOT_STRIDE, TAPE_STRIDE, Region
from tests.support.session import Session, random_samples

CONFIG = ChipConfig.from_dict(json.loads(os.environ.get("BACKSPIKE_CHIP", "{}")))
SEED = getattr(cocotb, "RANDOM_SEED", 1)
test = cocotb.test(timeout_time=100, timeout_unit="ms")


def dropped_by_link():
    """``(words, cause)`` of packets that the host link must not let in."""
    good = Packet(Kind.SPIKES, {"slice": 0, "slot": 0, "step": 0, "word": 0, "train": 1}, (1, 2)).words()
    write = Packet(Kind.WRITE, {"region": Region.CONTROL}, (0, 0)).words()
    return [
        ([0], Cause.KIND),
        ([0xFFFFFFFF], Cause.KIND),
        ([HEADER.pack(kind=Kind.DATA, x=0, y=0, host=0, tag=0), 0, 0], Cause.KIND),
        ([HEADER.pack(kind=15, x=0, y=0, host=0, tag=0)], Cause.KIND),
        (good[:2], Cause.LENGTH),
        (good[:1], Cause.LENGTH),
        ([*good, 5], Cause.LENGTH),
        ([*good, *range(40)], Cause.LENGTH),
        (write[:2], Cause.LENGTH),
        ([HEADER.pack(kind=Kind.ERROR, x=0, y=0, host=0, tag=0), 1], Cause.LENGTH),
        ([HEADER.pack(kind=Kind.SPIKES, x=7, y=7, host=0, tag=0), 1, 2], Cause.ADDRESS),
        ([HEADER.pack(kind=Kind.SPIKES, x=CONFIG.columns, y=0, host=0, tag=0), 1, 2], Cause.ADDRESS),
        ([HEADER.pack(kind=Kind.SPIKES, x=CONFIG.columns, y=0, host=1, tag=0), 1, 2], Cause.ADDRESS),
        ([HEADER.pack(kind=Kind.ERROR, x=0, y=0, host=1, tag=0), 1, 2], Cause.ADDRESS),
        ([HEADER.pack(kind=Kind.WRITE, x=0, y=0, host=0, tag=1 << 20 | Region.CONTROL), 0, 0], Cause.FIELD),
    ]


def dropped_by_core(core):
    """``(words, cause)`` of well-formed packets that a core must drop."""

    def packet(kind, payload=(), **tag):
        return Packet(kind, tag, payload, *core).words()

    spikes = {"slice": 0, "slot": 0, "step": 0, "word": 0, "train": 1}
    slots = (
        []
        if CONFIG.slots == 8
        else [  # else the field cannot name a slot that is not there
            (packet(Kind.SPIKES, (1, 1), **spikes | {"slot": 7}), Cause.FIELD),
            (packet(Kind.ERROR, (1, 2), neuron=0, step=0, slot=7), Cause.FIELD),
            (packet(Kind.CREDIT, slice=0, slot=7, from_x=0, from_y=0), Cause.FIELD),
        ]
    )
    return [
        *slots,
        (packet(Kind.SPIKES, (1, 1), **spikes | {"slice": 15}), Cause.FIELD),
        (packet(Kind.SPIKES, (1, 1), **spikes | {"step": 15}), Cause.FIELD),
        (packet(Kind.SPIKES, (1, 1), **spikes | {"word": 511}), Cause.FIELD),
        (packet(Kind.SPIKES, (1, 1), **spikes | {"slice": CONFIG.slices - 1}), Cause.STATE),
        (packet(Kind.ERROR, (1, 2, 3), neuron=16383, step=0, slot=0), Cause.FIELD),
        (packet(Kind.ERRORS_DONE, slice=15, slot=0), Cause.FIELD),
        (packet(Kind.LABEL, slice=15, slot=0, label=1), Cause.FIELD),
        (packet(Kind.WRITE, (0, 1), region=15), Cause.FIELD),
        (packet(Kind.WRITE, (2, 1), region=Region.CONTROL), Cause.FIELD),
        (packet(Kind.READ, (0,), region=Region.DESCRIPTOR, count=1), Cause.FIELD),
        (packet(Kind.READ, (0,), region=Region.COUNTER, count=15), Cause.FIELD),
        (packet(Kind.READ, (1 << 20,), region=Region.COUNTER, count=1), Cause.FIELD),
        (packet(Kind.UPDATE, slice=15, clear=0, velocities=0), Cause.FIELD),
    ]


def dropped_when_idle(core):
    """Bad addresses of memories, which only an idle core looks at."""

    def write(region, address):
        return Packet(Kind.WRITE, {"region": region}, (address, 1), *core).words(), Cause.FIELD

    return [
        write(Region.WEIGHT, CONFIG.weights),
        write(Region.GRADIENT, 0),
        write(Region.GRADIENT_HIGH, 0),
        write(Region.DESCRIPTOR, CONFIG.slices * DESCRIPTOR_STRIDE),
        write(Region.FAN_IN, CONFIG.fan_in * FAN_IN_STRIDE),
        write(Region.TAPE, CONFIG.tape_words),
        write(Region.TAPE, CONFIG.steps * TAPE_STRIDE),
        write(Region.TAPE, CONFIG.slots * TAPE_SLOT_STRIDE),
        write(Region.COUNTER, 0),
        (Packet(Kind.READ, {"region": Region.WEIGHT, "count": 14}, (CONFIG.weights - 13,), *core).words(), Cause.FIELD),
    ]


async def started(dut, idle=0.0, sizes="40-30-10"):
    chip = await Session(dut, CONFIG, seed=SEED, idle=idle).start()
    network = Network.parse(sizes, bias=True)
    training = default_training(network, batch=4, momentum=0.0)
    rule = BPTT if network.steps <= CONFIG.steps else Rule.parse(f"tbptt:{CONFIG.steps}")
    await chip.load(network, training, seed=SEED, strict=False, rule=rule)
    return chip, network


@test
async def good_samples_between_bad_packets(dut):
    """Bad packets before, between and after the packets of a batch: the same weights, every drop counted."""
    chip, network = await started(dut, idle=0.2)
    core = chip.plan.slices[0].core
    bad = dropped_by_link() + dropped_by_core(core)
    random = Random(SEED)
    send, sent = chip.transport.send, []

    async def send_with_bad_ones(words):
        if random.random() < 0.4:
            packet, cause = random.choice(bad)
            sent.append(cause)
            await send(packet)
        await send(words)

    chip.transport.send = send_with_bad_ones
    for batch in range(2):
        spikes, labels = random_samples(network, 4, SEED + batch)
        expected = chip.golden.forward(spikes).layers[-1].spikes
        result = await chip.call("train_batch", spikes, labels)
        chip.golden.train_batch(spikes, labels)
        chip.same_spikes(expected, result.spikes)
    chip.transport.send = send
    await chip.same_weights()
    assert len(sent) > 20
    counters = await chip.call("read_counters")
    dropped = counters[LINK]["dropped"] + sum(core["dropped"] for name, core in counters.items() if name != LINK)
    assert dropped == len(sent)
    assert 0 < len(chip.driver.faults) <= len(sent)
    assert not chip.driver.unexpected


@test
async def every_drop_is_reported_with_its_cause(dut):
    """One bad packet at a time: a FAULT names the cause and the header."""
    chip, network = await started(dut)
    core = chip.plan.slices[0].core
    for words, cause in dropped_by_link() + dropped_by_core(core) + dropped_when_idle(core):
        await chip.transport.send(words)
        chip.driver.receive(await chip.transport.receive())
        fault = chip.driver.faults[-1]
        assert (fault.cause, fault.header) == (cause, words[0]), (fault, cause, [hex(word) for word in words])
    await chip.train(*random_samples(network, 3, SEED))


@test
async def a_lost_packet_fails_one_batch_only(dut):
    """A packet of a sample is cut short: the batch fails, and after ``recover`` the same batch trains as ever."""
    chip, network = await started(dut)
    chip.driver.strict = True
    spikes, labels = random_samples(network, 4, SEED)
    await chip.train(spikes, labels)
    send, inputs = chip.transport.send, []

    async def cut_one(words):
        inputs.extend([Kind(words[0] & 15)] * (words[0] & 15 in INPUT_KINDS))
        lost = len(inputs) == 7 and words[0] & 15 in INPUT_KINDS
        await send(words[:2] if lost else words)

    chip.transport.send = cut_one
    try:
        await chip.call("train_batch", spikes, labels)
    except DriverError as error:
        assert f"dropped a {inputs[6].name} packet" in str(error) and "cause LENGTH" in str(error)
    else:
        raise AssertionError("the lost packet was not noticed")
    chip.transport.send = send
    await chip.call("recover")
    await chip.train(spikes, labels)
    await chip.train(*random_samples(network, 3, SEED + 1))


@test
async def memories_are_closed_while_engines_run(dut):
    """Reading and writing weights in the middle of a batch is refused, and changes nothing."""
    chip, network = await started(dut, sizes="40-160-10")  # more work than the link brings in the same time
    core = chip.plan.slices[0].core
    spikes, labels = random_samples(network, 4, SEED, density=0.9)
    expected = chip.golden.forward(spikes).layers[-1].spikes
    await chip.call("reset_counters")
    operation = chip.driver.train_batch(spikes, labels)
    while (words := operation.next_packet()) is not None:
        await chip.transport.send(words)
    await chip.transport.send(Packet(Kind.WRITE, {"region": Region.WEIGHT}, (0, 0x1234), *core).words())
    await chip.transport.send(Packet(Kind.READ, {"region": Region.WEIGHT, "count": 1}, (0,), *core).words())
    result = await chip.transport.run(operation)
    chip.golden.train_batch(spikes, labels)
    chip.same_spikes(expected, result.spikes)
    assert {fault.cause for fault in chip.driver.faults} == {Cause.STATE}  # while one is reported, others are counted
    assert await chip.total("dropped") == [2]
    await chip.same_weights()


def spoiled(stream, plan, random):
    """Packets of a batch, some of them lost, repeated, changed or in another place, with others between them."""
    packets = [list(words) for words in stream]
    for part in plan.slices:
        place = {"slice": part.index, "slot": random.randrange(CONFIG.slots)}
        others = [
            Packet(Kind.UPDATE, {"slice": part.index, "clear": random.randrange(2), "velocities": 0}, (), *part.core),
            Packet(Kind.CREDIT, place | {"from_x": 0, "from_y": 0}, (), *part.core),
            Packet(Kind.ERRORS_DONE, place, (), *part.core),
            Packet(Kind.LABEL, place | {"label": random.randrange(10)}, (), *part.core),
            Packet(Kind.ERROR, {"neuron": part.neuron_base, "step": 0, "slot": place["slot"]}, (9, 9), *part.core),
        ]
        packets += [packet.words() for packet in random.sample(others, 2)]
    for _ in range(len(packets) // 4):
        place = random.randrange(len(packets))
        match random.randrange(4):
            case 0:
                packets.pop(place)
            case 1:
                packets.insert(random.randrange(len(packets)), packets[place])
            case 2:
                packets.insert(random.randrange(len(packets)), packets.pop(place))
            case _:
                packets[place][0] ^= 1 << random.randrange(4, 32)
    return packets


@test
async def spoiled_streams_hang_nothing(dut):
    """Whatever came of a batch, the chip comes to rest, starts anew, and trains as ever."""
    chip, network = await started(dut, idle=0.1)
    random, patience = Random(SEED), chip.transport.patience
    for _ in range(5):
        operation = chip.driver.train_batch(*random_samples(network, 6, random.getrandbits(20)))
        stream = []
        while (words := operation.next_packet()) is not None:
            stream.append(words)
        operation.cancel()
        for words in spoiled(stream, chip.plan, random):
            await chip.transport.send(words)
        chip.transport.patience = 20_000
        try:
            while True:
                chip.driver.receive(await chip.transport.receive())
        except TimeoutError:
            chip.transport.patience = patience
        assert chip.driver.faults
        await chip.call("recover")
        await chip.call("load", chip.golden.weights)
        await chip.train(*random_samples(network, 3, random.getrandbits(20)))
