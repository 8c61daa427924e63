# SPDX-License-Identifier: Apache-2.0
"""Bench of where packets enter a core: receiver, slot table and replies together, with good and bad packets."""

from itertools import product

import cocotb
from amaranth.hdl import Module
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import Component, In, Out

from backspike.hw.core.receive.receiver import Receiver
from backspike.hw.core.receive.regions import READABLE
from backspike.hw.core.schedule.jobs import EVENT, TAKES, event_place
from backspike.hw.core.schedule.slots import SlotTable
from backspike.hw.core.send.read_replies import Replies
from backspike.hw.noc.flit import FlitStream
from backspike.hw.shapes import Shapes
from backspike.spec.config import ChipConfig
from backspike.spec.counters import COUNTERS
from backspike.spec.packets import (
    HEADER,
    HOST_KINDS,
    INPUT_KINDS,
    MAX_PAYLOAD,
    TAGS,
    Cause,
    Kind,
    header,
    parse_header,
    payload_range,
)
from backspike.spec.tables import EXPECTATIONS, TAPE_SLOT_STRIDE, TAPE_STRIDE, Region
from tests.support.codec import Codec
from tests.support.unit import Bench, Memory, Sink, Source

CONFIG = ChipConfig(
    **{"slots": 5, "steps": 5, "slices": 3, "tape_words": 5, "weights": 96, "neurons": 40, "fan_in": 6, "routes": 7},
    **{"momentum": True, "operand_bits": 7, "ternary": True},
)
LIMITS = {
    Region.WEIGHT: 96,
    Region.GRADIENT: 96,
    Region.GRADIENT_HIGH: 96,
    Region.VELOCITY: 96,
    Region.DESCRIPTOR: 48,
    Region.EXPECTATION: 6,
    Region.FAN_IN: 24,
    Region.ROUTE: 7,
    Region.TAPE: 5 * TAPE_SLOT_STRIDE,
    Region.NOISE: 0,  # of a chip without noise
    Region.CONTROL: 2,
    Region.COUNTER: len(COUNTERS),
}
READ_ONLY = Region.GRADIENT, Region.GRADIENT_HIGH, Region.COUNTER
X, Y = 5, 2
_OF_EVENT = "place", "brings", "train", "more", "back", "label"
_FROM_RECEIVER = (
    "tape_write",
    "tape_address",
    "spikes",
    "masks",
    "error_address",
    "error_read",
    "error_write",
    "error_end",
    "new_error_sum",
    "write",
    "region",
    "address",
    "data",
    "update",
    "update_slice",
    "clear",
    "packet",
    "dropped",
)


class Intake(Component):
    """Receiver, slot table and replies as a core has them; the rest of the core is the bench."""

    def __init__(self):
        self.shapes = Shapes(CONFIG)
        self.receiver, self.slots, self.replies = Receiver(self.shapes), SlotTable(self.shapes), Replies(self.shapes)
        members = self.receiver.signature.members
        super().__init__(
            {
                "flits": In(FlitStream),
                "idle": In(1),
                "erase": In(1),
                "erase_address": In(self.shapes.erase_address()),
                "arrived": In(1),
                "lap": Out(1),
                "error_sum": In(members["error_sum"].shape),
                **{name: members[name] for name in _FROM_RECEIVER},
                "place": Out(event_place(self.shapes)),
                "brings": Out(EVENT),
                "train": Out(1),
                "more": Out(1),
                "back": Out(1),
                "label": Out(14),
                "takes": Out(TAKES),
                "reading": Out(1),
                "holding": Out(1),
                "fetch_region": Out(4),
                "fetch_address": Out(32),
                "word": In(32),
                "data_packets": Out(stream.Signature(self.shapes.packet)),
                "fault_packets": Out(stream.Signature(self.shapes.packet)),
            }
        )

    def elaborate(self, platform):
        m = Module()
        m.submodules.receiver, m.submodules.slots, m.submodules.replies = self.receiver, self.slots, self.replies
        receiver, slots, replies = self.receiver, self.slots, self.replies
        wiring.connect(m, wiring.flipped(self.flits), receiver.flits)
        wiring.connect(m, receiver.fault, replies.fault)
        wiring.connect(m, receiver.event, slots.event)
        wiring.connect(m, replies.data_packets, wiring.flipped(self.data_packets))
        wiring.connect(m, replies.fault_packets, wiring.flipped(self.fault_packets))
        m.d.comb += [
            *(getattr(self, name).eq(getattr(receiver, name)) for name in _FROM_RECEIVER),
            *(getattr(self, name).eq(getattr(receiver.event, name)) for name in _OF_EVENT),
            slots.arrived.eq(self.arrived),
            slots.closed.eq(self.erase | slots.need_write),
            self.lap.eq(slots.lap),
            slots.erase.eq(self.erase),
            slots.erase_address.eq(self.erase_address),
            receiver.idle.eq(self.idle),
            receiver.error_sum.eq(self.error_sum),
            receiver.reading.eq(replies.reading),
            slots.need_write.eq(receiver.write & (receiver.region == Region.EXPECTATION)),
            slots.need_tape.eq(receiver.address[0]),
            slots.need_slice.eq(receiver.address >> 1),
            slots.need.eq(receiver.data),
            replies.x.eq(X),
            replies.y.eq(Y),
            replies.read.eq(receiver.read),
            replies.region.eq(receiver.region),
            replies.address.eq(receiver.address),
            replies.count.eq(receiver.count),
            replies.word.eq(self.word),
            self.takes.eq(slots.event.takes),
            *(
                getattr(self, name).eq(getattr(replies, name))
                for name in ("reading", "holding", "fetch_region", "fetch_address")
            ),
        ]
        return m


def units():
    return {"intake": Intake()}


def content(region, address):
    """What the bench's memories hold."""
    return (region * 0x9E3779B1 + address * 0x85EBCA6B) & 0xFFFFFFFF


class _Fetch:
    """The word that is fetched, two cycles later."""

    def __init__(self, bench):
        self.bench, self.words = bench, [0, 0]
        bench.agents.append(self)

    def drive(self):
        self.bench.set("word", self.words.pop(0))

    def sample(self):
        self.words.append(content(self.bench.bits("fetch_region"), self.bench.bits("fetch_address")))


class Run:
    """A bench with a model of the receiver, and of the slots as long as no job starts."""

    def __init__(self, dut, idle=0.0, stalls=0.0):
        self.bench = bench = Bench(dut, "intake", Intake())
        self.shapes = Shapes(CONFIG)
        self.random = bench.random
        self.flits = Source(bench, "flits", idle)
        self.sums, self.actions, self.expected = {}, [], []
        self.faults, self.expected_faults = Sink(bench, "fault_packets", stalls), []
        self.data, self.expected_data = Sink(bench, "data_packets", stalls), []
        self.laps = {}  # by address of the tape
        Memory(bench, "error_address", "error_sum", [self.sums], "error_read", shared=True)
        Memory(bench, "tape_address", "arrived", [lambda address: self.laps.get(address, 0)])
        _Fetch(bench)
        bench.watchers.append(self._watch)
        self.error_address = Codec(self.shapes.error_address())
        self.model_sums = {}
        self.needs = [0] * 2 * CONFIG.slices  # words of the table
        self.arrived, self.known = set(), {}  # (slot, step, word) that came; by slice and slot: labels, markers
        self.idle, self.erasing = 1, 0
        self.blocked = 0  # cycles in a row without ready

    async def start(self):
        self.set_idle(1)
        await self.bench.start()
        for address in range(1 << self.shapes.error_address().size):
            self.sums[address] = self.random.getrandbits(97)
        await self.write_need(inputs=0, steps=0)

    async def write_need(self, **need):
        """Restart all slices."""
        words = EXPECTATIONS.words(**{"credits": 0, "errors_done": 0, "label": 0, "tape": 0, "shared": 0, **need})
        await self.packet(header(Kind.WRITE, region=Region.EXPECTATION), 0, *words * CONFIG.slices)

    async def erase(self):
        """Clear the counts and laps of arrivals, as a core does after a restart."""
        address = Codec(self.shapes.erase_address())
        places = product(range(CONFIG.slices), range(CONFIG.slots), range(CONFIG.steps))
        self.set_erasing(1)
        for neuron, slot, step in places:
            self.bench.set("erase_address", address.pack({"step": step, "neuron": neuron, "slot": slot}))
            await self.bench.step()
        self.set_erasing(0)
        self.laps.clear()

    def set_erasing(self, erasing):
        self.erasing = erasing
        self.bench.set("erase", erasing)

    def set_idle(self, idle):
        self.idle = idle
        self.bench.set("idle", idle)

    def _watch(self):
        bench, act = self.bench, self.actions.append
        self.blocked = 0 if bench.bits("flits__ready") else self.blocked + 1
        assert self.blocked < 2, "flits had to wait for more than one cycle"
        if bench.bits("write"):
            act(("write", bench.bits("region"), bench.bits("address"), bench.bits("data")))
        for name in ("packet", "dropped"):  # a cycle after all else but writes, so perhaps with what the next one does
            if bench.bits(name):
                act((name,))
        event, at = bench.get("brings"), bench.get("place")
        assert sum(event.values()) < 2
        name = max(event, key=event.get)
        if event[name] and (name == "inputs" or bench.get("takes")[name]):
            frame = at["step"], bench.bits("train"), bench.bits("more"), bench.bits("back")
            content = {"inputs": frame, "label": (bench.bits("label"),)}.get(name, ())
            act((name, at["slice"], at["slot"], *content))
        if bench.bits("tape_write"):
            place = bench.get("tape_address")
            words = bench.bits("spikes"), bench.bits("masks")
            act(("tape", place["slot"], place["word"], place["step"], *words))
            self.laps[bench.bits("tape_address")] = bench.bits("lap")
        if bench.bits("error_write"):
            address = bench.bits("error_address")
            assert bench.bits("error_end"), "the write was not announced"
            act(("error", *bench.get("error_address").values()))
            self.sums[address] = bench.bits("new_error_sum")
        if bench.bits("update"):
            act(("update", bench.bits("update_slice"), bench.bits("clear")))

    async def packet(self, *words):
        """Send one packet, and compare everything that it does; a restart is followed by the erasing."""
        bench = self.bench
        self.send(*words)
        await bench.until(lambda: self.flits.empty, 2000)
        await bench.step(2)
        restart = any(action[:2] == ("write", Region.EXPECTATION) for action in self.actions)
        self.compare()
        if restart:
            await self.erase()

    def send(self, *words):
        self.flits.send(*({"data": word, "last": n == len(words) - 1} for n, word in enumerate(words)))
        self._model(list(words))

    def compare(self):
        for n, (found, expected) in enumerate(zip(self.actions, self.expected, strict=False)):
            assert found == expected, f"action {n} of {len(self.expected)}"
        assert len(self.actions) == len(self.expected)
        self.actions, self.expected = [], []

    async def end(self):
        """Everything comes to an end, and everything that was to come has come."""
        bench = self.bench
        await bench.until(lambda: self.flits.empty and not bench.bits("reading"))
        await bench.until(lambda: not bench.bits("fault_packets__valid"))
        await bench.step(20)
        self.compare()
        assert [item | {"words": item["words"][:1]} for item in self.faults.items] == self.expected_faults
        sent = [item | {"words": item["words"][: item["length"]]} for item in self.data.items]
        assert sent == self.expected_data
        assert not bench.bits("reading") and not bench.bits("data_packets__valid")

    def cause(self, words):
        """Why the model drops a packet, 0 if it does not; WRITEs apart."""
        code, length = words[0] & 15, len(words) - 1
        if code not in HOST_KINDS:
            return Cause.KIND
        kind = Kind(code)
        low, high = payload_range(kind)
        if not low <= length <= high:
            return Cause.LENGTH
        tag = TAGS[kind].unpack(HEADER.unpack(words[0])["tag"])
        if self._ignores(words, tag):
            return 0
        bounds = {
            "slice": CONFIG.slices,
            "slot": CONFIG.slots,
            "step": CONFIG.steps,
            "word": CONFIG.tape_words,
            "neuron": CONFIG.neurons,
        }
        if any(tag[name] >= bound for name, bound in bounds.items() if name in tag):
            return Cause.FIELD
        if kind == Kind.READ:
            return self._read_cause(tag["region"], words[1], tag["count"])
        taken = kind in (Kind.UPDATE, Kind.WRITE) or (not self.erasing and self._takes(kind, tag))
        return 0 if taken else Cause.STATE

    def _ignores(self, words, tag):
        """Whether it brings inputs for many cores, and not for this one; it counts as a packet, and does nothing."""
        if words[0] & 15 not in INPUT_KINDS or not HEADER.unpack(words[0])["host"]:
            return False
        return tag["slice"] >= CONFIG.slices or not self._need(tag["slice"])["shared"]

    def _need(self, slice_):
        first, last = self.needs[2 * slice_ : 2 * slice_ + 2]
        return EXPECTATIONS.unpack(last << 32 | first)

    def _takes(self, kind, tag):
        """Whether anybody waits for the packet; no job starts in this bench, so no slot is in use."""
        if kind == Kind.ERROR:
            return True
        need, place = self._need(tag["slice"]), (tag["slice"], tag["slot"])
        if not (0 < need["inputs"] < 8 and 0 < need["steps"] <= 8):
            return False
        match kind:
            case Kind.SPIKES | Kind.MORE | Kind.BACK:
                wanted = tag["step"] < need["steps"] and (tag["word"] - need["tape"]) % 8 < need["inputs"]
                return wanted and (tag["slot"], tag["step"], tag["word"]) not in self.arrived
            case Kind.LABEL:
                return need["label"] and place not in self.known
            case Kind.ERRORS_DONE:
                return not need["label"] and self.known.get(place, 0) < need["errors_done"]
        return False  # nobody owes a credit

    def _read_cause(self, region, address, count):
        if region not in READABLE or not 1 <= count <= 14 or address + count > LIMITS[region]:
            return Cause.FIELD
        refused = self.bench.bits("reading") or not (self.idle or region >= Region.CONTROL)
        return Cause.STATE if refused else 0

    def _write_cause(self, region, address):
        limit = 0 if region in READ_ONLY else LIMITS.get(region, 0)
        if address >= limit or (
            region == Region.TAPE
            and not (
                address % TAPE_STRIDE < CONFIG.tape_words and address % TAPE_SLOT_STRIDE // TAPE_STRIDE < CONFIG.steps
            )
        ):
            return Cause.FIELD
        return 0 if self.idle or region == Region.CONTROL else Cause.STATE

    def _model(self, words):
        cause = self.cause(words)
        fields = HEADER.unpack(words[0])
        act = self.expected.append
        if fields["kind"] == Kind.WRITE:
            region = fields["tag"] & 15
            refused = 0
            for n, word in enumerate(words[2 : MAX_PAYLOAD + 1]):
                address = words[1] + n & 0xFFFFFFFF
                refused = refused or self._write_cause(region, address)
                if not refused:
                    act(("write", region, address, word))
                    if region == Region.EXPECTATION:
                        self.needs[address] = word
                        self.arrived, self.known = set(), {}
            cause = cause or refused
        if cause:
            act(("dropped",))
            fault = header(Kind.FAULT, host=1, cause=cause, from_x=X, from_y=Y, link=0)
            self.expected_faults.append({"header": fault, "words": [words[0]], "length": 1})
            return
        if not self._ignores(words, parse_header(words[0])[2]):
            self._accepted(words, act)
        act(("packet",))

    def _accepted(self, words, act):
        kind, _, tag = parse_header(words[0])
        place = tag.get("slice"), tag.get("slot")
        match kind:
            case Kind.SPIKES | Kind.MORE | Kind.BACK:
                self.arrived.add((tag["slot"], tag["step"], tag["word"]))
                goes_on = int(kind != Kind.SPIKES), int(kind == Kind.BACK)
                act(("inputs", *place, tag["step"], tag["train"], *goes_on))
                act(("tape", tag["slot"], tag["word"], tag["step"], words[1], words[2]))
            case Kind.ERROR:
                address = self.error_address.pack({name: tag[name] for name in ("step", "neuron", "slot")})
                act(("error", tag["step"], tag["neuron"], tag["slot"]))
                before = self.model_sums.get(address, 0 if self.sums[address] >> 96 else self.sums[address])
                added = sum(word << 32 * n for n, word in enumerate(words[1:]))
                bits = 32 * len(words[1:])
                added -= (added >> bits - 1) << bits
                self.model_sums[address] = before + added & (1 << 96) - 1
            case Kind.ERRORS_DONE:
                self.known[place] = self.known.get(place, 0) + 1
                act(("marker", *place))
            case Kind.LABEL:
                self.known[place] = 1
                act(("label", *place, tag["label"]))
            case Kind.UPDATE:
                act(("update", tag["slice"], tag["clear"]))
            case Kind.READ:
                self._expect_data(tag["region"], words[1], tag["count"])

    def _expect_data(self, region, address, count):
        for first in range(address, address + count, 2):
            words = [content(region, k) for k in range(first, min(first + 2, address + count))]
            self.expected_data.append(
                {
                    "header": header(Kind.DATA, host=1, region=region, from_x=X, from_y=Y, link=0),
                    "words": [first, *words],
                    "length": 1 + len(words),
                }
            )


def random_packet(random):
    """Words of a packet: mostly right, or nearly so."""
    code = random.choice([*HOST_KINDS, random.randrange(16)])
    try:
        kind = Kind(code)
        low, high = payload_range(kind)
    except ValueError:
        return [random.getrandbits(28) << 4 | code, *(random.getrandbits(32) for _ in range(random.randrange(5)))]
    length = random.choice([low, high, random.randint(low, high), random.randint(low, high), random.randrange(20)])
    bounds = {
        "slice": CONFIG.slices,
        "slot": CONFIG.slots,
        "step": CONFIG.steps,
        "word": CONFIG.tape_words,
        "neuron": CONFIG.neurons,
        "region": 11,
    }
    tag = {}
    for name, width in TAGS[kind].fields.items():
        bound = bounds.get(name, 1 << width)
        tag[name] = random.randrange(1 << width) if random.random() < 0.04 else random.randrange(bound)
        if random.random() < 0.1 and bound < 1 << width:
            tag[name] = random.choice((bound - 1, bound))
    many = random.randrange(2) if kind in INPUT_KINDS else 0
    words = [header(kind, X, Y, many, **tag), *(random.getrandbits(32) for _ in range(length))]
    if kind in (Kind.WRITE, Kind.READ) and length:
        limit = LIMITS.get(tag["region"], 0)
        words[1] = random.choice(
            (
                0,
                random.randrange(limit + 1),
                max(limit - random.randrange(16), 0),
                limit,
                random.getrandbits(32),
                0xFFFFFFFF - random.randrange(3),
            )
        )
        if tag["region"] == Region.TAPE:
            word = random.choice((0, 4, 5, 100, TAPE_STRIDE - 1, random.randrange(TAPE_STRIDE)))
            step = random.choice((0, CONFIG.steps - 1, CONFIG.steps, random.randrange(16)))
            words[1] = random.randrange(6) * TAPE_SLOT_STRIDE + step * TAPE_STRIDE + word
        if tag["region"] == Region.EXPECTATION and length > 1:
            words[2:] = [
                random.randrange(3) | random.randrange(2) << 9
                if address & 1
                else EXPECTATIONS.pack(
                    inputs=random.choice((1, 2, 5, 8)),
                    credits=0,
                    errors_done=random.randrange(3),
                    label=random.randrange(2),
                    steps=random.choice((0, 3, 5, 9)),
                    tape=0,
                    shared=0,
                )
                for address, _ in enumerate(words[2:], start=words[1])
            ]
    return words


@cocotb.test()
@cocotb.parametrize(idle=[0.0, 0.4], stalls=[0.0, 0.5])
async def random_packets(dut, idle, stalls):
    """Whatever comes: the right ones act, the wrong ones are dropped and reported, one after the other."""
    run = Run(dut, idle, stalls)
    await run.start()
    causes = dict.fromkeys((0, *Cause), 0)
    for n in range(600):
        if n % 20 == 0:
            run.set_idle(run.random.random() < 0.7)
        words = random_packet(run.random)
        if words[0] & 15 == Kind.READ:
            for _ in range(200):  # by then a READ has been answered, unless it waits for the end of the engines' work
                await run.bench.step(int(run.bench.bits("reading")))
        before = len(run.expected_faults)
        await run.packet(*words)
        dropped = run.expected_faults[before:]
        causes[parse_header(dropped[0]["header"])[2]["cause"] if dropped else 0] += 1
        if stalls:  # room for the next report
            await run.bench.until(lambda: not run.bench.bits("fault_packets__valid"))
    run.set_idle(1)
    await run.end()
    assert all(run.sums[address] == value for address, value in run.model_sums.items())
    assert all(count > 5 for cause, count in causes.items() if cause != Cause.ADDRESS), causes


@cocotb.test()
async def inputs_of_each_step_as_many_as_needed(dut):
    """One packet right behind the other, steps and words in any order: each is taken once, those of no step never."""
    run = Run(dut)
    await run.start()
    run.bench.agents.remove(run.faults)  # reports find room or not; that is another test
    run.bench.set("fault_packets__ready", 1)
    steps, needs = CONFIG.steps - 1, ((1, 0), (3, 1), (1, 4))  # inputs and first tape word of each slice
    words = [
        word
        for inputs, tape in needs
        for word in EXPECTATIONS.words(
            inputs=inputs, credits=0, errors_done=0, label=0, steps=steps, tape=tape, shared=0
        )
    ]
    await run.packet(header(Kind.WRITE, region=Region.EXPECTATION), 0, *words)
    sizes = CONFIG.slices, CONFIG.slots, CONFIG.steps, CONFIG.tape_words
    places = list(product(*map(range, sizes))) * 2
    run.random.shuffle(places)
    places += [(0, 0, 0, 1), (0, 0, steps, 1)] * 3
    for slice_, slot, step, word in places:
        kind = run.random.choice(INPUT_KINDS)
        run.send(header(kind, slice=slice_, slot=slot, step=step, word=word, train=1), 5, 7)
    assert run.expected.count(("packet",)) == CONFIG.slots * steps * sum(inputs for inputs, _ in needs)
    begin = run.bench.cycle
    await run.bench.until(lambda: run.flits.empty)
    assert run.bench.cycle - begin <= 3 * len(places) + 2
    await run.bench.step(3)
    run.compare()


@cocotb.test()
async def nothing_of_samples_is_taken_while_memories_are_erased(dut):
    """Not even an ERROR whose end comes later, as its sum was read before."""
    run = Run(dut)
    await run.start()
    await run.write_need(inputs=2, steps=2, label=1)
    spikes = [(header(Kind.SPIKES, slice=2, slot=4, step=0, word=word, train=0), 1, 2) for word in range(2)]
    label = header(Kind.LABEL, slice=2, slot=4, label=3)
    error = header(Kind.ERROR, neuron=1, step=1, slot=3)
    await run.packet(*spikes[0])
    run.set_erasing(1)
    for words in (spikes[1], (label,), (error, 1, 2), (header(Kind.ERRORS_DONE, slice=2, slot=4),)):
        await run.packet(*words)
    run.send(error, 1, 2)
    last = run.flits.items.pop()
    await run.bench.until(lambda: run.flits.empty)
    run.set_erasing(0)
    run.flits.items.append(last)
    await run.bench.until(lambda: run.flits.empty)
    await run.bench.step(2)
    run.compare()
    for words in (*spikes, (label,), (label,), (error, 1, 2)):
        await run.packet(*words)
    await run.end()
    assert len(run.expected_faults) == 5 + 2


@cocotb.test()
async def bad_and_good_in_turn(dut):
    """A flit each cycle: no bad packet takes anything from the good one right behind it."""
    run = Run(dut)
    await run.start()
    await run.write_need(inputs=1, steps=1, errors_done=63)
    run.bench.agents.remove(run.faults)  # reports find room or not; that is another test
    run.bench.set("fault_packets__ready", 1)
    good = [
        [header(Kind.ERRORS_DONE, slice=1, slot=2)],
        [header(Kind.WRITE, region=Region.WEIGHT), 5, 0xABCD, 0x1234],
        [header(Kind.ERROR, neuron=39, step=4, slot=2), 0xFFFFFFFF, 0xFFFFFFFF, 0x7FFFFFFF],
        [header(Kind.ERROR, neuron=39, step=4, slot=2), 0xFFFFFFFF, 0x7FFFFFFF],
        [header(Kind.ERROR, neuron=39, step=4, slot=2), 3, 0x80000000],
        [header(Kind.ERRORS_DONE, slice=2, slot=0)],
    ]
    error = header(Kind.ERROR, neuron=3, step=1, slot=0)
    bad = [
        [0],
        [15],
        [header(Kind.DATA, region=0, from_x=0, from_y=0, link=0), 1, 2],
        [error, 1],
        [error],
        [error, 1, 2, 3, 4],
        [good[0][0], 9],
        [header(Kind.LABEL, slice=2, slot=0, label=77)],
        [header(Kind.CREDIT, slice=1, slot=2, from_x=0, from_y=0)],
        [header(Kind.WRITE, region=Region.WEIGHT), 7],
        [header(Kind.WRITE, region=Region.WEIGHT)],
        [header(Kind.WRITE, region=Region.WEIGHT), 0, *range(40)],
        [header(Kind.WRITE, region=12), 0, 1],
        [header(Kind.UPDATE, slice=3, clear=0, **_rest(Kind.UPDATE, "slice", "clear"))],
    ]
    sent = 0
    for wrong in bad:
        for right in good:
            for words in (wrong, right):
                run.send(*words)
                sent += max(len(words), 2)
    begin = run.bench.cycle
    await run.bench.until(lambda: run.flits.empty)
    assert run.bench.cycle - begin <= sent + 2
    await run.bench.step(3)
    run.compare()
    assert all(run.sums[address] == value for address, value in run.model_sums.items())


def _rest(kind, *given):
    """0 for all other fields of a tag."""
    return {name: 0 for name in TAGS[kind].fields if name not in given}


@cocotb.test()
@cocotb.parametrize(stalls=[0.0, 0.8])
async def reads(dut, stalls):
    """All counts from 1 to 14, up to the end of each region, and beyond it; a second READ is refused."""
    run = Run(dut, 0.0, stalls)
    run.faults.idle = 0.0
    await run.start()
    for region in READABLE:
        for count in range(16):
            for address in (0, LIMITS[region] - count, LIMITS[region] - count + 1):
                if address >= 0:
                    await run.packet(header(Kind.READ, X, Y, region=region, count=count), address)
                    if run.bench.bits("reading") and count > 7:
                        await run.packet(header(Kind.READ, X, Y, region=Region.COUNTER, count=1), 0)
                    await run.bench.until(lambda: not run.bench.bits("reading"))
    for region in set(Region) - set(READABLE):
        await run.packet(header(Kind.READ, X, Y, region=region, count=1), 0)
    await run.end()


@cocotb.test()
async def engines_wait_while_memory_is_read(dut):
    """From the cycle on in which the next packet could start one, to the last word; not for counters."""
    run = Run(dut)
    await run.start()
    run.send(header(Kind.READ, X, Y, region=Region.GRADIENT, count=14), 20)
    await run.bench.until(lambda: run.flits.empty)
    await run.bench.step(3)
    assert run.bench.bits("holding")
    await run.bench.until(lambda: not run.bench.bits("holding"))
    assert not run.bench.bits("reading")
    run.set_idle(0)
    await run.packet(header(Kind.READ, X, Y, region=Region.GRADIENT, count=1), 20)
    await run.packet(header(Kind.WRITE, region=Region.WEIGHT), 20, 1)
    await run.packet(header(Kind.WRITE, region=Region.CONTROL), 0, 1)
    await run.packet(header(Kind.READ, X, Y, region=Region.COUNTER, count=14), 3)
    await run.bench.step(2)
    assert run.bench.bits("reading") and not run.bench.bits("holding")
    await run.bench.until(lambda: not run.bench.bits("reading"))
    run.set_idle(1)
    await run.end()


@cocotb.test()
async def a_write_is_refused_from_its_first_wrong_word_on(dut):
    """Also where engines stop, or the address wraps around, before its last word."""
    run = Run(dut)
    await run.start()
    bench = run.bench
    write = header(Kind.WRITE, region=Region.WEIGHT)
    await run.packet(write, 0xFFFFFFFE, *range(6))
    await run.packet(write, 90, *range(10))
    await run.packet(header(Kind.WRITE, region=Region.TAPE), 3, *range(4))
    await run.packet(header(Kind.WRITE, region=Region.TAPE), TAPE_STRIDE - 3, *range(6))
    await run.packet(header(Kind.WRITE, region=Region.FAN_IN), 20, *range(6))
    for region in READ_ONLY:
        await run.packet(header(Kind.WRITE, region=region), 0, 1)
    for idle in (0, 1):
        run.set_idle(idle)
        flits = [{"data": word, "last": n == 5} for n, word in enumerate((write, 4, 10, 11, 12, 13))]
        run.flits.send(*flits[:4])
        await bench.until(lambda: run.flits.empty)
        await bench.step()
        run.set_idle(1 - idle)
        await bench.step()
        run.flits.send(*flits[4:])
        await bench.until(lambda: run.flits.empty)
        await bench.step(2)
        run.expected += [("write", Region.WEIGHT, 4 + n, 10 + n) for n in range(2 * idle)] + [("dropped",)]
        run.compare()
        fault = header(Kind.FAULT, host=1, cause=Cause.STATE, from_x=X, from_y=Y, link=0)
        run.expected_faults.append({"header": fault, "words": [write], "length": 1})
    run.set_idle(1)
    await run.end()


@cocotb.test()
async def reports_wait_or_are_left_out(dut):
    """While reports are not taken, drops are counted, and the first is reported."""
    run = Run(dut, 0.0, 1.0)
    await run.start()
    for n in range(5):
        run.flits.send({"data": n << 4, "last": 1})
    await run.bench.until(lambda: run.flits.empty)
    await run.bench.step(3)
    run.expected += [("dropped",)] * 5
    run.compare()
    run.faults.idle = 0.0
    await run.bench.step(5)
    assert [parse_header(item["header"])[2]["cause"] for item in run.faults.items] == [Cause.KIND]
    assert run.faults.items[0]["words"][0] == 0
