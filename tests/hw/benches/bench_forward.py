# SPDX-License-Identifier: Apache-2.0
"""Bench of the feed-forward engine: every sum of every step, from random shapes, spikes and weights."""

import cocotb
import numpy as np

from backspike.hw.arith.numbers import to_fixed_model
from backspike.hw.engines.feed_forward import ForwardEngine
from tests.support.engine_run import EngineRun
from tests.support.jobs import DENSE, KINDS, LANES
from tests.support.unit import Memory, Sink, long_test


def _expected(job):
    """Places and sums (of the outputs that exist) in the order of the engine."""
    lanes = job.config.lanes
    fixed = [to_fixed_model(bank, job.config.format).astype(object) for bank in job.weights]
    sums = np.zeros((job.steps, job.pixels, job.blocks, lanes), dtype=object)
    for g, n, pixel, address in job.pairs():
        for t in np.flatnonzero(job.groups[g]["bits"][: job.steps, n]):
            for lane in range(lanes):
                sums[t, pixel, :, lane] += fixed[lane][address : address + job.blocks]
    results = []
    for t, pixel, block in np.ndindex(sums.shape[:3]):
        last = block == job.blocks - 1
        place = {"step": t, "block_last": int(last), "last": int(last and pixel == job.pixels - 1)}
        results.append((place, list(sums[t, pixel, block][: job.last_lanes if last else lanes])))
    return results


class Run(EngineRun):
    ENGINE, PREFIX = ForwardEngine, "forward"

    async def do(self, job, skip_off=0):
        """Run a job and compare; returns its useful terms and its cycles."""
        bench = self.bench
        self.forget(self._count)
        self.terms = 0
        width = job.config.format.width
        Memory.behind(bench, "memory__fan_in", [job.group_table()])
        Memory.behind(bench, "memory__tape", [job.tape()])
        Memory.behind(
            bench,
            "memory__weights",
            [lambda address: sum(int(bank[address]) << width * k for k, bank in enumerate(job.weights))],
        )
        sink = Sink(bench, "results", self.idle)
        self.set_job(job, skip_off=skip_off)
        cycles = 0
        for step in range(job.steps):
            bench.set("step", step)
            cycles += await self.work()
        await bench.step(3)
        assert not bench.bits("busy") and not bench.bits("results__valid")
        expected = _expected(job)
        assert [item["place"] for item in sink.items] == [place for place, _ in expected], (job.shape, job.blocks)
        for item, (place, sums) in zip(sink.items, expected, strict=True):
            assert item["sums"][: len(sums)] == sums, (place, job.shape, job.channels, job.blocks)
        terms = sum(int(job.groups[g]["bits"][: job.steps, n].sum()) for g, n, _, _ in job.pairs()) * job.outputs
        assert self.terms == terms
        return terms, cycles

    def _count(self):
        self.terms += self.bench.bits("terms")


units = Run.units


@cocotb.test()
@cocotb.parametrize(kind=KINDS, lanes=LANES, idle=[0.0, 0.3, 0.9])
async def sums_of_random_jobs(dut, kind, lanes, idle):
    """Dense and convolutional, sparse and dense spikes, few steps; with skipping and without; results wait at times."""
    run = await Run.begin(dut, kind, lanes, idle)
    for n in range(3 if kind == "pixels" else 6):
        await run.do(run.job(blocks=1 if n == 0 else None), skip_off=n == 2)


@cocotb.test()
async def strides_padding_and_pooling(dut):
    run = await Run.begin(dut, "pixels", 1)
    await run.do_odd_shapes()


@cocotb.test()
@cocotb.parametrize(kind=KINDS, lanes=LANES, spikes=[0.0, 1.0])
async def no_spikes_and_all_spikes(dut, kind, lanes, spikes):
    """Every sum comes, also if it is empty."""
    run = await Run.begin(dut, kind, lanes, 0.2)
    for skip_off in (0, 1):
        await run.do(run.job(spikes=spikes, shape=DENSE, channels=[32, 5], last_lanes=1, blocks=3), skip_off)
        await run.do(run.job(spikes=spikes, last_lanes=1), skip_off)


@cocotb.test()
@cocotb.parametrize(kind=KINDS, lanes=LANES, spikes=[0.1, 0.5])
async def few_cycles_are_lost(dut, kind, lanes, spikes):
    """Utilisation of the lanes: useful terms of (lanes x cycles), from start to end; dense, and a kernel of 3 x 3."""
    run = await Run.begin(dut, kind, lanes)
    conv = {"height": 6, "width": 6, "kernel": 3, "stride": 1, "padding": 1, "pool": 1}
    for shape, size, blocks in ((DENSE, 60, 10), (conv, 7, 7))[: 2 if kind == "pixels" else 1]:
        job = run.job(
            spikes=spikes,
            shape=shape,
            channels=[size],
            last_lanes=lanes,
            blocks=min(blocks, 4096 // lanes // 100),
            steps=min(3, run.config.steps),
        )
        terms, cycles = await run.do(job)
        used = terms / (cycles * lanes)
        dut._log.info("%s: utilisation %.3f with %d lanes, kernel %d", kind, used, lanes, shape["kernel"])
        assert cycles - terms / lanes < 0.1 * cycles + 40 * job.steps


@cocotb.test()
@cocotb.parametrize(kind=KINDS, lanes=LANES)
async def largest_sums_are_exact(dut, kind, lanes):
    """All weights the largest number, all inputs spike, all tape words full."""
    run = await Run.begin(dut, kind, lanes)
    config = run.config
    channels = [config.list_depth] * (config.tape_words * 32 // config.list_depth)
    for sign in (0, 1 << config.format.width - 1):
        job = run.job(spikes=1.0, shape=DENSE, channels=channels[: config.fan_in], blocks=1, steps=1)
        largest = int(config.format.encode(config.format.max_finite)) | sign
        job.weights = [np.full_like(bank, largest) for bank in job.weights]
        await run.do(job)


@long_test
@cocotb.parametrize(kind=KINDS)
async def ends_of_the_largest_memories(dut, kind):
    run = await Run.begin(dut, kind, "largest")
    await run.do_largest({"height": 127, "width": 127, "kernel": 7, "stride": 4, "padding": 6, "pool": 1}, blocks=3)
