# SPDX-License-Identifier: Apache-2.0
"""Bench of the back-propagation engine: the error sums of all inputs whose mask is set, and no others."""

import cocotb
import numpy as np

from backspike.hw.arith.numbers import product_model
from backspike.hw.engines.back_propagation import BackwardEngine
from backspike.hw.shapes import Shapes
from backspike.sim.jobs import CONFIGS, LANES, Job
from backspike.sim.unit import Bench, Memory, Sink


def units():
    return {f"backward_{lanes}": BackwardEngine(Shapes(config)) for lanes, config in CONFIGS.items()}


def _expected(job, owners):
    """Results in the order of the engine: steps, then inputs; sums of zero are not sent."""
    results = []
    for t in range(job.steps):
        for k, bit in job.inputs:
            if not job.bit(k, bit, t):
                continue
            weights = [job.weight(k, bit, output) for output in range(job.outputs)]
            total = int(sum(product_model(weights, job.deltas[t], job.config.format)))
            if total:
                x, y, neuron = owners[k]
                results.append({"target": {"x": x, "y": y, "neuron": neuron + bit, "step": t}, "sum": total})
    return results


class Run:
    """A bench that does jobs one after the other. The tape's words are the masks here."""

    def __init__(self, dut, lanes, idle=0.0):
        name = f"backward_{lanes}"
        self.bench, self.idle = Bench(dut, name, BackwardEngine(Shapes(CONFIGS[lanes]))), idle

    async def start(self):
        await self.bench.start()

    async def do(self, job, skip_off=0):
        """Run a job and compare; returns its useful terms and its cycles."""
        bench, random = self.bench, self.bench.random
        bench.agents.clear()
        bench.watchers[:] = [self._count]
        self.terms = self.results = 0
        owners = [(random.randrange(8), random.randrange(8), random.randrange(4096 - 32)) for _ in job.words]
        high = [x | y << 3 | neuron << 6 for x, y, neuron in owners]
        Memory(bench, "tape_address", "masks", [job.tape()], "tape_enable")
        Memory(bench, "tape_address", "low", [job.by_tape_address(job.chunks_low())], "tape_enable")
        Memory(bench, "tape_address", "high", [job.by_tape_address(high)], "tape_enable")
        Memory(bench, "delta_words", "bitmaps", job.bitmaps(), "delta_enables")
        Memory(bench, "weight_addresses", "weights", job.weights)
        Memory(bench, "delta_addresses", "deltas", job.delta_banks())
        sink = Sink(bench, "results", self.idle)
        for name, value in (("descriptor", job.descriptor()), ("slot", job.slot), ("skip_off", skip_off)):
            bench.set(name, value)
        begin = bench.cycle
        await bench.pulse("start")
        await bench.until(lambda: not bench.bits("busy"))
        cycles = bench.cycle - begin
        await bench.step(3)
        assert not bench.bits("busy") and not bench.bits("results__valid")
        assert sink.items == _expected(job, owners)
        assert self.results == len(sink.items)
        nonzero = np.count_nonzero(job.deltas & (1 << job.config.format.width - 1) - 1, axis=1)
        terms = int((job.spikes().sum(axis=1) * nonzero).sum())
        assert self.terms == terms
        return terms, cycles

    def _count(self):
        self.terms += self.bench.bits("terms")
        self.results += self.bench.bits("result")


@cocotb.test()
@cocotb.parametrize(lanes=LANES, idle=[0.0, 0.3, 0.9])
async def errors_of_random_jobs(dut, lanes, idle):
    run = Run(dut, lanes, idle)
    await run.start()
    for n in range(6 if lanes < 8 else 3):
        await run.do(Job(run.bench, CONFIGS[lanes], blocks=1 if n == 0 else None), skip_off=n == 2)


@cocotb.test()
@cocotb.parametrize(lanes=LANES, masks=[0.0, 0.5, 1.0], deltas=[0.0, 0.5, 1.0])
async def without_masks_or_deltas(dut, lanes, masks, deltas):
    """No masks: nothing to do. No deltas: all sums are zero, and none is sent."""
    run = Run(dut, lanes, 0.2)
    await run.start()
    config = CONFIGS[lanes]
    for skip_off in (0, 1):
        await run.do(Job(run.bench, config, spikes=masks, deltas=deltas, counts=[0, 32, 5], last_lanes=1, blocks=2,
                         steps=min(2, config.steps)), skip_off)


@cocotb.test()
@cocotb.parametrize(lanes=LANES, deltas=[0.3, 1.0])
async def few_cycles_are_lost(dut, lanes, deltas):
    """The lane with the most deltas of a step has a term in nearly every cycle."""
    run = Run(dut, lanes)
    await run.start()
    config = CONFIGS[lanes]
    job = Job(run.bench, config, spikes=0.8, deltas=deltas, counts=[32, 32] if lanes < 8 else [16, 16], blocks=32,
              last_lanes=lanes, steps=min(4, config.steps))
    terms, cycles = await run.do(job)
    nonzero = (job.deltas & (1 << config.format.width - 1) - 1 != 0).reshape(job.steps, 32, lanes).sum(axis=1)
    needed = int(job.spikes().sum(axis=1) @ nonzero.max(axis=1))
    used = terms / cycles / lanes, needed / cycles
    dut._log.info("utilisation %.3f of all lanes, %.3f of the busiest", *used)
    assert needed > 0.95 * cycles  # a lane may be some rows ahead, so that it can be less than the sum of the worst


@cocotb.test()
@cocotb.parametrize(lanes=LANES)
async def many_blocks(dut, lanes):
    """Bitmaps of several words, where the configuration has room for them."""
    run = Run(dut, lanes, 0.1)
    await run.start()
    config = CONFIGS[lanes]
    most = Shapes(config).block_depth
    for blocks in sorted({min(33, most), most - 1, most}):
        await run.do(Job(run.bench, config, counts=[3, 4], blocks=blocks, steps=1))


@cocotb.test()
@cocotb.parametrize(lanes=LANES)
async def largest_sums_are_exact(dut, lanes):
    """All weights and deltas the largest number."""
    run = Run(dut, lanes)
    await run.start()
    config = CONFIGS[lanes]
    for sign in (0, 1 << config.format.width - 1):
        job = Job(run.bench, config, spikes=1.0, deltas=1.0, counts=[4], blocks=Shapes(config).block_depth,
                  last_lanes=lanes, steps=1)
        largest = int(config.format.encode(config.format.max_finite))
        job.weights = [np.full_like(bank, largest | sign) for bank in job.weights]
        job.deltas = np.full_like(job.deltas, largest)
        await run.do(job)


@cocotb.test()
async def ends_of_the_largest_memories(dut):
    """A slice with all weights that a core can have; one in the last words of everything; all steps."""
    run = Run(dut, "largest")
    await run.start()
    config = CONFIGS["largest"]
    await run.do(Job(run.bench, config, spikes=0.05, deltas=0.02, counts=[31, 1], blocks=config.neurons, steps=1))
    job = Job(run.bench, config, counts=[4, 32, 1], blocks=40, steps=config.steps)
    job.move_to_the_end()
    await run.do(job)
