# SPDX-License-Identifier: Apache-2.0
"""Bench of the back-propagation engine: the error sums of all inputs whose mask is set, and no others."""

from collections import defaultdict

import cocotb
import numpy as np

from backspike.hw.arith.numbers import product_model
from backspike.hw.engines.back_propagation import BackwardEngine
from backspike.hw.shapes import Shapes
from tests.support.engine_run import EngineRun
from tests.support.jobs import CONFIGS, DENSE, LANES, Job
from tests.support.unit import Memory, Sink


def expected_errors(job):
    """Results in the order of the engine: groups, steps, inputs; sums of zero are not sent."""
    seen = defaultdict(list)  # by group and input: (pixel, weight address)
    for g, n, pixel, address in job.pairs():
        seen[g, n].append((pixel, address))
    lane, block = np.arange(job.outputs) % job.config.lanes, np.arange(job.outputs) // job.config.lanes
    weights = np.stack(job.weights)
    results = []
    for g, group in enumerate(job.groups):
        if group["constant"]:
            continue
        for t, n in np.argwhere(group["bits"][: job.steps]):
            total = 0
            for pixel, address in seen[g, n]:
                hit = np.flatnonzero(job.nonzero[t, pixel])
                total += int(
                    sum(
                        product_model(
                            weights[lane[hit], address + block[hit]], job.deltas[t, pixel, hit], job.config.format
                        )
                    )
                )
            if total:
                target = {"x": group["x"], "y": group["y"], "neuron": group["neuron"] + n, "step": t}
                results.append({"target": target, "sum": total})
    return results


class Run(EngineRun):
    """The tape's words are the masks here."""

    ENGINE, PREFIX = BackwardEngine, "backward"

    async def do(self, job, skip_off=0):
        """Run a job and compare; returns its useful terms and its cycles."""
        bench = self.bench
        self.forget(self._count)
        self.terms = self.results = self.rows = 0
        Memory(bench, "group_address", "group", [job.group_table()])
        Memory(bench, "tape_address", "masks", [job.tape()], "tape_enable")
        Memory(bench, "bitmap_address", "bitmaps", [job.bitmaps()], "bitmap_enable")
        Memory(bench, "weight_addresses", "weights", job.weights, "operand_enable")
        Memory(bench, "delta_addresses", "deltas", job.delta_banks(), "operand_enable")
        sink = Sink(bench, "results", self.idle)
        for name, value in (
            ("descriptor", job.descriptor()),
            ("slot", job.slot),
            ("live", job.live()),
            ("skip_off", skip_off),
        ):
            bench.set(name, value)
        cycles = await self.work()
        await bench.step(3)
        assert not bench.bits("busy") and not bench.bits("results__valid")
        assert sink.items == expected_errors(job), (job.shape, job.channels, job.blocks)
        assert self.results == len(sink.items)
        steps = np.flatnonzero(job.nonzero.any(axis=(1, 2)) | bool(skip_off))
        assert self.rows == sum(int(group["bits"][steps].sum()) for group in job.groups if not group["constant"])
        terms = job.useful_terms(constant=False)
        assert self.terms == terms
        return terms, cycles

    def _count(self):
        self.terms += self.bench.bits("terms")
        self.results += self.bench.bits("result")
        self.rows += self.bench.bits("row")


units = Run.units


@cocotb.test()
@cocotb.parametrize(lanes=LANES, idle=[0.0, 0.3, 0.9])
async def errors_of_random_jobs(dut, lanes, idle):
    run = await Run.begin(dut, lanes, idle)
    for n in range(4):
        await run.do(Job(run.bench, CONFIGS[lanes], blocks=1 if n == 0 else None), skip_off=n == 2)


@cocotb.test()
async def strides_padding_and_pooling(dut):
    run = await Run.begin(dut, 1)
    await run.do_odd_shapes()


@cocotb.test()
@cocotb.parametrize(lanes=LANES, masks=[0.0, 0.5, 1.0], deltas=[0.0, 0.5, 1.0])
async def without_masks_or_deltas(dut, lanes, masks, deltas):
    """No masks: nothing to do. No deltas: all sums are zero, and none is sent."""
    run = await Run.begin(dut, lanes, 0.2)
    config = CONFIGS[lanes]
    for skip_off in (0, 1):
        await run.do(
            Job(
                run.bench,
                config,
                spikes=masks,
                deltas=deltas,
                shape=DENSE,
                channels=[32, 5],
                last_lanes=1,
                blocks=2,
                steps=min(2, config.steps),
            ),
            skip_off,
        )


@cocotb.test()
@cocotb.parametrize(lanes=LANES, deltas=[0.1, 0.4])
async def few_cycles_are_lost(dut, lanes, deltas):
    """The lane with the most deltas of a step has a term in nearly every cycle; dense, and a kernel of 3 x 3."""
    run = await Run.begin(dut, lanes)
    config = CONFIGS[lanes]
    conv = {"height": 6, "width": 6, "kernel": 3, "stride": 1, "padding": 1, "pool": 1}
    for shape, size, blocks in ((DENSE, 30, 30), (conv, 7, 7)):
        job = Job(
            run.bench,
            config,
            spikes=0.4,
            deltas=deltas,
            shape=shape,
            channels=[size],
            blocks=min(blocks, 4096 // lanes // 64),
            last_lanes=lanes,
            steps=min(4, config.steps),
        )
        terms, cycles = await run.do(job)
        used = terms / cycles / lanes
        dut._log.info("utilisation %.3f of %d lanes, kernel %d", used, lanes, shape["kernel"])
        if lanes == 1 and deltas == 0.4:
            assert used > 0.9


@cocotb.test()
@cocotb.parametrize(lanes=LANES)
async def largest_sums_are_exact(dut, lanes):
    """All weights and deltas the largest number."""
    run = await Run.begin(dut, lanes)
    config = CONFIGS[lanes]
    for sign in (0, 1 << config.format.width - 1):
        job = Job(
            run.bench,
            config,
            spikes=1.0,
            deltas=1.0,
            shape=DENSE,
            channels=[4],
            last_lanes=lanes,
            steps=1,
            blocks=min(Shapes(config).block_depth, config.list_depth),
        )
        largest = int(config.format.encode(config.format.max_finite))
        job.weights = [np.full_like(bank, largest | sign) for bank in job.weights]
        job.deltas = np.full_like(job.deltas, largest)
        await run.do(job)


@cocotb.test()
async def ends_of_the_largest_memories(dut):
    run = await Run.begin(dut, "largest")
    await run.do_largest({"height": 127, "width": 127, "kernel": 1, "stride": 1, "padding": 0, "pool": 1}, blocks=1)
