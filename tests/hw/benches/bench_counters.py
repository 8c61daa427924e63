# SPDX-License-Identifier: Apache-2.0
"""Bench of the counters: exact sums at every density of events, also when they wrap, and clearing at any time."""

import cocotb

from backspike.hw.core.counters import PERIOD, Counters
from backspike.spec.counters import COUNTERS
from tests.support.unit import Bench

LANES = 1, 4, 8
SETTLED = 3  # cycles from an event until every value that is fresh has it


def units():
    return {f"counters_{lanes}": Counters(lanes) for lanes in LANES}


class Run:
    """Random events, and what they add up to."""

    def __init__(self, dut, lanes):
        unit = Counters(lanes)
        self.most = unit.most
        self.bench = Bench(dut, f"counters_{lanes}", unit)
        self.sums = dict.fromkeys(COUNTERS, 0)
        self.saturated = False

    async def count(self, cycles, chance):
        """Random counts; at a chance of 1 all of them as large as they can be."""
        random = self.bench.random
        for _ in range(cycles):
            counts = {
                name: most if chance == 1 else random.randint(1, most) * (random.random() < chance)
                for name, most in self.most.items()
            }
            self.bench.set("count", counts)
            await self.bench.step()
            for name, count in counts.items():
                self.sums[name] += count
            assert self.bench.bits("saturated") == self.saturated
            self.saturated |= counts["saturated"] > 0
        self.bench.set("count", 0)

    async def clear(self):
        """Clear everything, also what is counted in this cycle."""
        self.bench.set("clear", 1)
        await self.count(1, 0.5)
        self.bench.set("clear", 0)
        self.sums, self.saturated = dict.fromkeys(COUNTERS, 0), False

    async def check(self, names=COUNTERS):
        """Read the counters one by one, and then the flag."""
        await self.bench.step(SETTLED)
        for name in names:
            self.bench.set("index", COUNTERS.index(name))
            await self.bench.step()
            for _ in range(PERIOD + 1):
                value = self.bench.bits("value")
                await self.bench.step()
                if self.bench.bits("fresh"):
                    break
            else:
                raise AssertionError(f"{name} was not visited")
            assert value == self.sums[name] % (1 << 32), name
        assert self.bench.bits("saturated") == self.saturated


@cocotb.test()
@cocotb.parametrize(lanes=LANES)
async def sums_are_exact(dut, lanes):
    """Nothing is lost, from single events to the largest counts in every cycle; two looks at rest are equal."""
    run = Run(dut, lanes)
    await run.bench.start()
    await run.check()
    for chance in (0.01, 0.3, 1, 0.9, 1):
        await run.count(run.bench.random.randint(200, 3000), chance)
        await run.check()
        await run.check()


@cocotb.test()
@cocotb.parametrize(lanes=LANES)
async def cleared_at_any_time(dut, lanes):
    """A look after ``clear`` shows only what came after it, whatever was being visited."""
    run = Run(dut, lanes)
    await run.bench.start()
    random = run.bench.random
    for _ in range(40):
        await run.count(random.randint(1, 3 * PERIOD), random.choice((0.2, 1)))
        await run.clear()
        if random.random() < 0.5:
            await run.clear()
        await run.count(random.randint(0, 2 * PERIOD), random.choice((0.02, 1)))
        await run.check(random.sample(COUNTERS, 5))


@cocotb.test()
@cocotb.parametrize(lanes=LANES)
async def carries(dut, lanes):
    """Sums of more than 16 bits."""
    run = Run(dut, lanes)
    await run.bench.start()
    counts = run.most | {"saturated": 0}
    run.bench.set("count", counts)
    await run.bench.step(70_000)
    run.bench.set("count", 0)
    run.sums = {name: 70_000 * count for name, count in counts.items()}
    await run.check()
