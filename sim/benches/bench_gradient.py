# SPDX-License-Identifier: Apache-2.0
"""Bench of the weight-gradient engine: the gradients of a whole slice after some samples, against the golden model."""

import cocotb
import numpy as np

from backspike.golden.arithmetic import BitExact
from backspike.hw.engines.weight_gradient import GradientEngine
from backspike.hw.shapes import Shapes
from backspike.sim.cases import random_numbers
from backspike.sim.jobs import CONFIGS, LANES, Job
from backspike.sim.unit import Bench, Memory


def units():
    return {f"gradient_{lanes}": GradientEngine(Shapes(config)) for lanes, config in CONFIGS.items()}


class Run:
    """A bench that does jobs one after the other."""

    def __init__(self, dut, lanes):
        name = f"gradient_{lanes}"
        self.bench = Bench(dut, name, GradientEngine(Shapes(CONFIGS[lanes])))
        self.saturations = 0

    async def start(self):
        await self.bench.start()

    async def do(self, job, skip_off=0, gradients=None):
        """Run a job and compare all gradients; returns its useful terms and its cycles."""
        bench, fmt = self.bench, job.config.format
        bench.agents.clear()
        bench.watchers[:] = [self._count]
        self.terms = self.results = self.rows = self.saturated = 0
        if gradients is None:
            gradients = [random_numbers(bench.rng, fmt, bank.shape) for bank in job.weights]
        self.banks = [list(map(int, bank)) for bank in gradients]
        expected, saturated, pairs = self._expected(job, gradients, skip_off)
        Memory(bench, "tape_address", "tape", [job.tape()], "tape_enable")
        Memory(bench, "tape_address", "chunk", [job.by_tape_address(job.chunks_low())], "tape_enable")
        Memory(bench, "delta_words", "bitmaps", job.bitmaps(), "delta_enables")
        Memory(bench, "delta_addresses", "deltas", job.delta_banks())
        Memory(bench, "read_addresses", "gradients", self.banks)
        bench.watchers.append(self._write)
        for name, value in (("descriptor", job.descriptor()), ("slot", job.slot), ("skip_off", skip_off)):
            bench.set(name, value)
        begin = bench.cycle
        await bench.pulse("start")
        await bench.until(lambda: not bench.bits("busy"))
        cycles = bench.cycle - begin
        for _ in range(12):
            await bench.step()
            assert not bench.bits("busy") and not bench.bits("write_enables"), "a gradient written after the end"
        assert self.banks == expected
        assert (self.saturated > 0) == saturated
        self.saturations += saturated
        nonzero = job.deltas & (1 << fmt.width - 1) - 1 != 0
        terms = int(np.einsum("tj,ti->", job.spikes(), nonzero.astype(int)))
        assert self.terms == terms
        if not skip_off:
            assert self.results == pairs
            assert self.rows == np.count_nonzero(job.spikes().any(axis=0))
        return terms, cycles

    def _expected(self, job, gradients, skip_off):
        """Banks afterwards, whether anything saturated, and the number of gradients that had a term."""
        fmt = job.config.format
        inputs, outputs = job.inputs, job.outputs
        banks = [list(map(int, bank)) for bank in gradients]
        if not inputs:
            return banks, False, 0
        before = fmt.decode(np.array([[job.weight(k, bit, i, gradients) for i in range(outputs)] for k, bit in inputs]))
        arithmetic = BitExact(fmt)
        spikes, deltas = job.spikes().astype(float), fmt.decode(job.deltas)
        after = arithmetic.accumulate(before, spikes[:, None], deltas[:, None])
        pairs = np.count_nonzero(spikes.T @ (deltas != 0))
        if skip_off:  # then every gradient is written again, and a -0 becomes +0
            after += 0.0
        for row, (k, bit) in zip(fmt.encode(after), inputs, strict=True):
            for output, value in enumerate(row):
                lane, address = job.place(k, bit, output)
                banks[lane][address] = int(value)
        return banks, arithmetic.saturated, pairs

    def _count(self):
        bench = self.bench
        self.terms += bench.bits("terms")
        self.results += bench.bits("results")
        self.rows += bench.bits("row")
        self.saturated += bench.bits("saturated")

    def _write(self):
        bench = self.bench
        enables = bench.bits("write_enables")
        if enables:
            assert bench.bits("busy"), "the memory is only the engine's while it is busy"
            addresses, values = bench.get("write_addresses"), bench.get("rounded")
            for k, bank in enumerate(self.banks):
                if enables >> k & 1:
                    bank[addresses[k]] = values[k]


@cocotb.test()
@cocotb.parametrize(lanes=LANES)
async def gradients_of_random_jobs(dut, lanes):
    run = Run(dut, lanes)
    await run.start()
    for n in range(8 if lanes < 8 else 5):
        await run.do(Job(run.bench, CONFIGS[lanes], blocks=1 if n == 0 else None), skip_off=n == 2)


@cocotb.test()
@cocotb.parametrize(lanes=LANES, spikes=[0.0, 0.5, 1.0], deltas=[0.0, 0.5, 1.0])
async def without_spikes_or_deltas(dut, lanes, spikes, deltas):
    """Where there is no spike or no delta, gradients keep their bits, also a -0."""
    run = Run(dut, lanes)
    await run.start()
    config = CONFIGS[lanes]
    for skip_off in (0, 1):
        job = Job(run.bench, config, spikes=spikes, deltas=deltas, counts=[0, 32, 5], last_lanes=1, blocks=2)
        zeros = [np.where(run.bench.rng.random(bank.shape) < 0.5, 0x8000, 0) for bank in job.weights]
        await run.do(job, skip_off, zeros)


@cocotb.test()
@cocotb.parametrize(lanes=LANES)
async def ends_of_the_range(dut, lanes):
    """Gradients and deltas at the largest number, of both signs."""
    run = Run(dut, lanes)
    await run.start()
    config = CONFIGS[lanes]
    largest = int(config.format.encode(config.format.max_finite))
    signs = np.array([0, 1 << config.format.width - 1])
    for steps in {1, config.steps}:
        job = Job(run.bench, config, spikes=0.7, deltas=1.0, counts=[20], steps=steps)
        job.deltas = largest | run.bench.rng.choice(signs, job.deltas.shape)
        await run.do(job, gradients=[largest | run.bench.rng.choice(signs, bank.shape) for bank in job.weights])
    assert run.saturations == len({1, config.steps})


@cocotb.test()
@cocotb.parametrize(lanes=LANES)
async def many_blocks(dut, lanes):
    """Bitmaps of several words, where the configuration has room for them."""
    run = Run(dut, lanes)
    await run.start()
    config = CONFIGS[lanes]
    most = Shapes(config).block_depth
    for blocks in sorted({min(33, most), most - 1, most}):
        await run.do(Job(run.bench, config, spikes=0.5, counts=[3, 4], blocks=blocks))


@cocotb.test()
@cocotb.parametrize(lanes=LANES, deltas=[0.3, 1.0])
async def few_cycles_are_lost(dut, lanes, deltas):
    """The lane with the most terms has one in nearly every cycle."""
    run = Run(dut, lanes)
    await run.start()
    config = CONFIGS[lanes]
    job = Job(run.bench, config, spikes=0.5, deltas=deltas, counts=[32, 30] if lanes < 8 else [20, 10], blocks=32,
              last_lanes=lanes, steps=config.steps)
    terms, cycles = await run.do(job)
    nonzero = (job.deltas & (1 << config.format.width - 1) - 1 != 0).reshape(job.steps, 32, lanes)
    needed = np.einsum("tj,tbl->l", job.spikes(), nonzero.astype(int)).max()
    used = terms / cycles / lanes, needed / cycles
    dut._log.info("utilisation %.3f of all lanes, %.3f of the busiest", *used)
    assert needed > (0.95 if lanes == 1 or deltas == 1 else 0.85) * cycles


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
