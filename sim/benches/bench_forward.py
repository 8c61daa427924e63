# SPDX-License-Identifier: Apache-2.0
"""Bench of the feed-forward engine: every sum of every step, from random spikes, chunks and weights."""

import cocotb
import numpy as np

from backspike.hw.arith.numbers import to_fixed_model
from backspike.hw.engines.feed_forward import ForwardEngine
from backspike.hw.shapes import Shapes
from backspike.sim.jobs import CONFIGS, LANES, Job
from backspike.sim.unit import Bench, Memory, Sink


def units():
    return {f"forward_{lanes}": ForwardEngine(Shapes(config)) for lanes, config in CONFIGS.items()}


def _expected(job):
    """Places and sums (of the outputs that exist) in the order of the engine."""
    fixed = [to_fixed_model(bank, job.config.format) for bank in job.weights]
    results, lanes = [], job.config.lanes
    for t in range(job.steps):
        for block in range(job.blocks):
            last = block == job.blocks - 1
            sums = [0] * (job.last_lanes if last else lanes)
            for k, bit in job.inputs:
                if job.bit(k, bit, t):
                    for lane in range(len(sums)):
                        sums[lane] += int(fixed[lane][job.words[k]["row_base"] + bit * job.blocks + block])
            results.append(({"step": t, "block": block, "block_last": int(last)}, sums))
    return results


class Run:
    """A bench that does jobs one after the other."""

    def __init__(self, dut, lanes, idle=0.0):
        name = f"forward_{lanes}"
        self.bench = Bench(dut, name, ForwardEngine(Shapes(CONFIGS[lanes])))
        self.idle = idle

    async def start(self):
        await self.bench.start()

    async def do(self, job, skip_off=0):
        """Run a job and compare; returns its useful terms and its cycles."""
        bench = self.bench
        bench.agents.clear()
        bench.watchers[:] = [self._count]
        self.terms = 0
        Memory(bench, "tape_address", "tape", [job.tape()], "tape_enable")
        Memory(bench, "tape_address", "chunk", [job.by_tape_address(job.chunks_low())], "tape_enable")
        Memory(bench, "weight_address", "weights", [lambda address: sum(
            int(bank[address]) << job.config.format.width * k for k, bank in enumerate(job.weights))])
        sink = Sink(bench, "results", self.idle)
        for name, value in (("descriptor", job.descriptor()), ("slot", job.slot), ("skip_off", skip_off)):
            bench.set(name, value)
        begin = bench.cycle
        await bench.pulse("start")
        await bench.until(lambda: not bench.bits("busy"))
        cycles = bench.cycle - begin
        await bench.step(3)
        assert not bench.bits("busy") and not bench.bits("results__valid")
        expected = _expected(job)
        assert [item["place"] for item in sink.items] == [place for place, _ in expected]
        for item, (place, sums) in zip(sink.items, expected, strict=True):
            assert item["sums"][:len(sums)] == sums, place
        terms = int(job.spikes().sum()) * job.outputs
        assert self.terms == terms
        return terms, cycles

    def _count(self):
        self.terms += self.bench.bits("terms")


@cocotb.test()
@cocotb.parametrize(lanes=LANES, idle=[0.0, 0.3, 0.9])
async def sums_of_random_jobs(dut, lanes, idle):
    """Sparse and dense spikes, chunks of 0 to 32 inputs, few steps; with skipping and without."""
    run = Run(dut, lanes, idle)
    await run.start()
    for n in range(6 if lanes < 8 else 3):
        await run.do(Job(run.bench, CONFIGS[lanes], blocks=1 if n == 0 else None), skip_off=n == 2)


@cocotb.test()
@cocotb.parametrize(lanes=LANES, spikes=[0.0, 1.0])
async def no_spikes_and_all_spikes(dut, lanes, spikes):
    """Every sum comes, also if it is empty; a word without inputs adds nothing."""
    run = Run(dut, lanes, 0.2)
    await run.start()
    config = CONFIGS[lanes]
    for skip_off in (0, 1):
        await run.do(Job(run.bench, config, spikes=spikes, counts=[0, 32, 0, 5], last_lanes=1, blocks=3), skip_off)
        await run.do(Job(run.bench, config, spikes=spikes, counts=[0], blocks=1, steps=1), skip_off)


@cocotb.test()
@cocotb.parametrize(lanes=LANES, spikes=[0.1, 0.5])
async def few_cycles_are_lost(dut, lanes, spikes):
    """Utilisation of the lanes: useful terms of (lanes x cycles), from start to end."""
    run = Run(dut, lanes)
    await run.start()
    config = CONFIGS[lanes]
    job = Job(run.bench, config, spikes=spikes, counts=[32] * config.tape_words, blocks=10 if lanes < 4 else 4,
              last_lanes=lanes, steps=config.steps)
    terms, cycles = await run.do(job)
    dut._log.info("utilisation %.3f with %d lanes", terms / (cycles * lanes), lanes)
    assert terms > 0.95 * lanes * cycles or (config.steps == 1 and cycles * lanes - terms < 25 * lanes)


@cocotb.test()
@cocotb.parametrize(lanes=LANES)
async def largest_sums_are_exact(dut, lanes):
    """All weights the largest number, all inputs spike, all tape words full."""
    run = Run(dut, lanes)
    await run.start()
    config = CONFIGS[lanes]
    for sign in (0, 1 << config.format.width - 1):
        job = Job(run.bench, config, spikes=1.0, counts=[32] * config.tape_words, blocks=1, steps=1)
        largest = int(config.format.encode(config.format.max_finite)) | sign
        job.weights = [np.full_like(bank, largest) for bank in job.weights]
        await run.do(job)


@cocotb.test()
async def ends_of_the_largest_memories(dut):
    """A slice with all weights that a core can have; one in the last words of everything; all steps."""
    run = Run(dut, "largest")
    await run.start()
    config = CONFIGS["largest"]
    await run.do(Job(run.bench, config, spikes=0.05, counts=[31, 1], blocks=config.neurons, steps=1))
    job = Job(run.bench, config, counts=[4, 32, 1], blocks=40, steps=config.steps)
    job.move_to_the_end()
    await run.do(job)
