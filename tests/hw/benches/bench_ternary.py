# SPDX-License-Identifier: Apache-2.0
"""Bench of the ternary update with its elementwise unit: potentials and spikes that go back, against exact sums."""

import cocotb

from backspike.hw.arith.numbers import product_model
from backspike.hw.arith.rounding import Rounder
from backspike.hw.core.update.elementwise_arbiter import Client, result_latency
from backspike.hw.core.update.ternary import TernaryUpdate
from backspike.hw.shapes import Shapes
from tests.support.small_chips import TERNARY
from tests.support.unit import Bench, Memory, Others, Source, WithArithmetic

CONFIG = TERNARY["ternary"]
SHAPES = Shapes(CONFIG)
NUMBERS = CONFIG.format


def _unit():
    return WithArithmetic(TernaryUpdate(SHAPES), SHAPES, {"request": "delta"})


def units():
    return {"ternary": _unit()}


class Run:
    """A bench that does frames one after the other; potentials stay from one to the next."""

    def __init__(self, dut, idle=0.0, others=0.5):
        self.bench = bench = Bench(dut, "ternary", _unit())
        self.rounder = Rounder(NUMBERS, SHAPES.error_sum + 2, 2 * NUMBERS.lsb, 1)
        self.potentials = [bench.random.getrandbits(NUMBERS.width) for _ in range(CONFIG.neurons)]
        self.begun, self.expected, self.found, self.spikes = [0] * CONFIG.slices, [], [], []
        Memory.behind(bench, "memory__charges", [self.potentials])
        Others(bench, [Client.NEURON], others)
        self.source = Source(bench, "given", idle)
        bench.watchers.append(self._watch)

    async def start(self):
        await self.bench.start()

    def _watch(self):
        bench, port = self.bench, "memory__new_charges__"
        if bench.bits(port + "enable"):
            assert bench.bits("busy")
            self.potentials[bench.bits(port + "address")] = bench.bits(port + "data")
        found = bench.get("found")
        if found["valid"] and found["tag"]["client"] != Client.NEURON:
            self.found.append((found["tag"], found["value"]))

    def _request(self, product, client):
        """A term with garbage where nothing is looked at."""
        payload = self.source.codec.unpack(self.bench.random.getrandbits(self.source.codec.width))
        below = NUMBERS.round(0.4998)
        near = [NUMBERS.encode(x) for x in (0.0, -0.0, 0.5, -0.5, 1.0, below, -below, 3.25)]
        payload |= {"product": product, "add": 1 - product, "last": 1, "addend": self._sum()}
        payload |= {"a": int(self.bench.random.choice(near)), "b": int(self.bench.random.choice(near))}
        payload["tag"]["client"] = client
        return payload

    def _sum(self):
        """An error sum: about a threshold, beside it by a unit, or of any size."""
        random, half = self.bench.random, 1 << -2 * NUMBERS.lsb - 1
        near = random.randrange(-3 * half, 3 * half), half, half - 1, -half, -half + 1, 0, 2 * half, -2 * half
        return random.choice((*near, random.choice((1, -1)) * random.getrandbits(random.randrange(95))))

    async def frame(self, index, blocks, back=1, train=1):
        """Requests of all lanes of some blocks, compared; then the frame is done."""
        bench = self.bench
        bench.set("back", back)
        bench.set("slice", index)
        bench.set("train", train)
        client = Client.DELTA if back else Client.ERROR
        requests = []
        for lane in range(CONFIG.lanes):
            for block in blocks:
                payload = self._request(bench.random.randrange(2), client)
                payload["tag"] |= {"lane": lane, "index": block}
                requests.append(payload)
        potentials = list(self.potentials)
        answers = [self._answer(payload, index, back, potentials) for payload in requests]
        self.found, begin = [], bench.cycle
        self.source.send(*requests)
        await bench.until(lambda: self.source.empty)
        await bench.until(lambda: not bench.bits("busy"))
        cycles = bench.cycle - begin
        await bench.step(0 if back else result_latency(SHAPES) + 2)
        assert self.found == answers
        assert self.potentials == potentials
        self.begun[index] = back & train
        await bench.pulse("done")
        return cycles

    def _answer(self, payload, index, back, potentials):
        """Tag and value of a result; in a frame back, the neuron's potential is brought up to date."""
        place = payload["tag"]["index"] * CONFIG.lanes + payload["tag"]["lane"]
        kept = potentials[place] if back and self.begun[index] else 0
        given = product_model(payload["a"], payload["b"], NUMBERS) if payload["product"] else payload["addend"]
        terms = ((kept, 1.0), (self._spike(kept), -1.0))
        total = given + sum(product_model(number, NUMBERS.encode(factor), NUMBERS) for number, factor in terms)
        value = int(self.rounder.model(total)[0])
        if back:
            potentials[place], value = value, self._spike(value)
            self.spikes.append(float(NUMBERS.decode(value)))
        return payload["tag"], value

    @staticmethod
    def _spike(pattern):
        value = float(NUMBERS.decode(pattern))
        return int(NUMBERS.encode(float((value >= 0.5) - (value <= -0.5))))


@cocotb.test()
@cocotb.parametrize(idle=[0.0, 0.5], others=[1.0, 0.5, 0.05])
async def spikes_of_frames(dut, idle, others):
    """Samples of some frames, in slices that take turns; a frame of another kind, or that is not trained, ends one."""
    run = Run(dut, idle, others)
    await run.start()
    blocks = range(4), range(60, 70), range(127, 128)
    for _ in range(5):
        for index, own in enumerate(blocks):
            await run.frame(index, own)
        await run.frame(1, blocks[1])
    for kind in ({"back": 0}, {"train": 0}):
        await run.frame(1, blocks[1], **kind)
        for index in (1, 2, 1):
            await run.frame(index, blocks[index])
    assert {run.spikes.count(value) > 30 for value in (-1.0, 0.0, 1.0)} == {True}


@cocotb.test()
async def four_cycles_at_most(dut):
    """For a neuron, if nobody else uses the elementwise unit; one, where no ternary spikes go back."""
    run = Run(dut, others=1.0)
    await run.start()
    for _ in range(3):
        assert await run.frame(0, range(64)) <= 4 * 128 + 14
    assert await run.frame(0, range(64), back=0) <= 128 + 14
