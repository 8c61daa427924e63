# SPDX-License-Identifier: Apache-2.0
"""Bench of the engines for dense layers: the jobs and the expectations of the general engines, with one pixel."""

from copy import copy

import cocotb
import numpy as np

from backspike.hw.engines.dense.forward import DenseForward
from backspike.hw.engines.dense.learning import DenseLearning
from tests.hw.benches import bench_forward, bench_gradient
from tests.hw.benches.bench_backward import expected_errors
from tests.support.jobs import CONFIGS, DENSE, LANES, Job
from tests.support.unit import Memory, Sink


class Forward(bench_forward.Run):
    ENGINE, PREFIX = DenseForward, "dense_forward"


class Learning(bench_gradient.Run):
    """Back-propagation and weight gradient at once; the job's bits are the spikes, and the masks are others."""

    ENGINE, PREFIX = DenseLearning, "dense_learning"

    async def do(self, job, errors=1, masks=None):
        """Run a job and compare errors and gradients; returns the pairs that count for either, and its cycles.

        Without ``errors`` there are masks as well, which must not count; nor do those of constant inputs.
        """
        bench = self.bench
        self.forget(self._count_both, lambda: self._write("gradient__"))
        self.counts = dict.fromkeys(
            ("errors__terms", "errors__row", "errors__result", "gradient__terms", "gradient__rows"), 0
        )
        masked = _with_bits(job, [job.random_bits(group["bits"].shape[1], masks) for group in job.groups])
        self.banks = [[bench.random.getrandbits(job.shapes.gradient_sum) for _ in bank] for bank in job.weights]
        self.width = job.shapes.gradient_sum
        expected = self.expected_gradients(job)
        Memory(bench, "errors__group_address", "errors__group", [job.group_table()], "errors__group_enable")
        Memory(bench, "errors__tape_address", "errors__masks", [masked.tape()], "errors__tape_enable")
        Memory(bench, "gradient__tape_address", "gradient__tape", [job.tape()], "gradient__tape_enable")
        Memory(bench, "errors__bitmap_address", "errors__bitmaps", [job.bitmaps()], "errors__bitmap_enable")
        Memory(bench, "errors__weight_addresses", "errors__weights", job.weights, "errors__operand_enable")
        Memory(bench, "errors__delta_addresses", "errors__deltas", job.delta_banks(), "errors__operand_enable")
        Memory(bench, "gradient__read_addresses", "gradient__gradients", self.banks, "gradient__read_enables")
        sink = Sink(bench, "errors__results", self.idle)
        for name, value in (("descriptor", job.descriptor()), ("slot", job.slot), ("live", job.live())):
            bench.set(f"errors__{name}", value)
        begin = bench.cycle
        bench.set("errors__start", errors)
        await bench.pulse("gradient__start")
        bench.set("errors__start", 0)
        assert bench.bits("gradient__busy") == 0
        await bench.until(lambda: not bench.bits("gradient__busy"), 400_000)
        cycles = bench.cycle - begin
        for _ in range(12):
            await bench.step()
            assert not any(
                bench.bits(name)
                for name in ("gradient__busy", "errors__busy", "errors__results__valid", "gradient__write_enables")
            )
        assert sink.items == (expected_errors(masked) if errors else []), (job.channels, job.blocks)
        assert self.banks == expected, (job.channels, job.blocks)
        steps = np.flatnonzero(job.nonzero.any(axis=(1, 2)))
        assert self.counts == {
            "errors__terms": masked.useful_terms(constant=False) if errors else 0,
            "errors__row": sum(
                int(group["bits"][steps].sum()) for group in masked.groups if errors and not group["constant"]
            ),
            "errors__result": len(sink.items),
            "gradient__terms": job.useful_terms(),
            "gradient__rows": sum(int(group["bits"][steps].sum()) for group in job.groups),
        }
        either = _with_bits(
            job,
            [
                group["bits"] | (other["bits"] if errors and not group["constant"] else 0)
                for group, other in zip(job.groups, masked.groups, strict=True)
            ],
        )
        return either.useful_terms(), cycles

    def _count_both(self):
        for name in self.counts:
            self.counts[name] += self.bench.bits(name)
        assert not self.bench.bits("errors__busy") or self.bench.bits("gradient__busy")


def _with_bits(job, bits):
    """The job with other input bits."""
    other = copy(job)
    other.groups = [dict(group, bits=own) for group, own in zip(job.groups, bits, strict=True)]
    return other


RUNS = {run.PREFIX: run for run in (Forward, Learning)}


def units():
    return {name: unit for run in RUNS.values() for name, unit in run.units().items()}


def _job(run, config, **options):
    return Job(run.bench, config, shape=DENSE, garbage=False, **options)


@cocotb.test()
@cocotb.parametrize(engine=list(RUNS), lanes=LANES)
async def random_jobs(dut, engine, lanes):
    """Several groups, constant ones among them, sparse and full rows, any number of steps."""
    run = await RUNS[engine].begin(dut, lanes)
    for n in range(12):
        await run.do(_job(run, CONFIGS[lanes], blocks=1 if n == 0 else None))


@cocotb.test()
@cocotb.parametrize(engine=list(RUNS), lanes=LANES, idle=[0.3, 0.9])
async def results_wait(dut, engine, lanes, idle):
    """The pipeline stands still while a result is not taken, and loses nothing."""
    run = await RUNS[engine].begin(dut, lanes, idle=idle)
    for _ in range(6):
        await run.do(_job(run, CONFIGS[lanes]))


@cocotb.test()
@cocotb.parametrize(engine=list(RUNS), lanes=LANES, spikes=[0.0, 1.0], deltas=[0.0, 0.1, 1.0])
async def few_and_many_terms(dut, engine, lanes, spikes, deltas):
    run = await RUNS[engine].begin(dut, lanes)
    await run.do(_job(run, CONFIGS[lanes], spikes=spikes, deltas=deltas, channels=[32, 5], blocks=2))


@cocotb.test()
@cocotb.parametrize(lanes=LANES, masks=[0.0, 1.0], spikes=[0.0, 1.0], errors=[0, 1])
async def masks_and_spikes(dut, lanes, masks, spikes, errors):
    """Only masks, only spikes, both, none; and a slice that sends no errors."""
    run = await Learning.begin(dut, lanes)
    await run.do(_job(run, CONFIGS[lanes], spikes=spikes, deltas=0.5, channels=[20, None, 33], blocks=3), errors, masks)
    await run.do(_job(run, CONFIGS[lanes]), errors)


@cocotb.test()
@cocotb.parametrize(lanes=LANES, idle=[0.0, 0.5, 0.9], inputs=[1, 2, 3])
async def one_gradient_again_and_again(dut, lanes, idle, inputs):
    """Few gradients, to which each step adds, while terms queue up behind results that are not taken."""
    run = await Learning.begin(dut, lanes, idle=idle)
    config = CONFIGS[lanes]
    for masks, blocks in ((0.0, 1), (0.5, 1), (1.0, 1), (1.0, 2)):
        await run.do(
            _job(run, config, spikes=0.9, deltas=0.9, channels=[inputs], blocks=blocks, steps=config.steps), 1, masks
        )


@cocotb.test()
@cocotb.parametrize(engine=list(RUNS))
async def few_cycles_are_lost(dut, engine):
    """Utilisation of one lane, from start to end, in a slice of 60 inputs and 30 outputs."""
    run = await RUNS[engine].begin(dut, 1)
    job = _job(run, CONFIGS[1], spikes=0.2, deltas=0.3, channels=[60], blocks=30, steps=4)
    terms, cycles = await run.do(job)
    dut._log.info("%s: utilisation %.3f", engine, terms / cycles)
    assert terms / cycles > 0.85


@cocotb.test()
@cocotb.parametrize(engine=list(RUNS))
async def ends_of_the_largest_memories(dut, engine):
    """A slice with all outputs that a core can have, and one in the last words of everything."""
    run = await RUNS[engine].begin(dut, "largest")
    config = CONFIGS["largest"]
    await run.do(_job(run, config, spikes=0.05, deltas=0.02, channels=[31, 1], blocks=4096, steps=1))
    job = _job(run, config, channels=[4, 32, None], blocks=40, steps=config.steps)
    job.move_to_the_end()
    await run.do(job)
