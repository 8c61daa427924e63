# SPDX-License-Identifier: Apache-2.0
"""Bench of the weight-gradient engine: the gradients of a whole slice after some samples, exact sums."""

import cocotb
import numpy as np

from backspike.hw.arith.numbers import to_fixed_model
from backspike.hw.engines.weight_gradient import GradientEngine
from tests.support.engine_run import EngineRun
from tests.support.jobs import CONFIGS, DENSE, LANES, Job
from tests.support.unit import Memory


class Run(EngineRun):
    ENGINE, PREFIX = GradientEngine, "gradient"

    async def do(self, job, skip_off=0, gradients=None):
        """Run a job and compare all gradients; returns its useful terms and its cycles."""
        bench, self.width = self.bench, job.shapes.gradient_sum
        self.forget(self._count, self._write)
        self.terms = self.rows = 0
        if gradients is None:
            gradients = [[bench.random.getrandbits(self.width) for _ in bank] for bank in job.weights]
        self.banks = [list(bank) for bank in gradients]
        expected = self.expected_gradients(job)
        Memory(bench, "group_address", "group", [job.group_table()], "group_enable")
        Memory(bench, "tape_address", "tape", [job.tape()], "tape_enable")
        Memory(bench, "bitmap_address", "bitmaps", [job.bitmaps()], "bitmap_enable")
        Memory(bench, "delta_addresses", "deltas", job.delta_banks(), "delta_enables")
        Memory(bench, "read_addresses", "gradients", self.banks, "read_enables")
        for name, value in (
            ("descriptor", job.descriptor()),
            ("slot", job.slot),
            ("live", job.live()),
            ("skip_off", skip_off),
        ):
            bench.set(name, value)
        cycles = await self.work()
        for _ in range(12):
            await bench.step()
            assert not bench.bits("busy") and not bench.bits("write_enables"), "a gradient written after the end"
        assert self.banks == expected, (job.shape, job.channels, job.blocks)
        terms = job.useful_terms()
        assert self.terms == terms
        if not skip_off:
            assert self.rows == self.expected_rows(job)
        return terms, cycles

    def expected_rows(self, job):
        """How often a list of spikes is played."""
        return int(job.nonzero.sum()) * len(job.groups)

    def expected_gradients(self, job):
        """Old gradients plus exact sums, modulo the width of the memory."""
        fixed = to_fixed_model(job.deltas, job.config.format).astype(object)
        banks = [list(bank) for bank in self.banks]
        for g, n, pixel, address in job.pairs():
            for t in np.flatnonzero(job.groups[g]["bits"][: job.steps, n]):
                for output in np.flatnonzero(job.nonzero[t, pixel]):
                    lane, block = output % job.config.lanes, output // job.config.lanes
                    banks[lane][address + block] += fixed[t, pixel, output]
        return [[value & (1 << self.width) - 1 for value in bank] for bank in banks]

    def _count(self):
        self.terms += self.bench.bits("terms")
        self.rows += self.bench.bits("rows")

    def _write(self, side=""):
        """The write port of each lane's bank: what is read in the same cycle is the old content."""
        bench, lanes = self.bench, len(self.banks)
        enables = bench.bits(f"{side}write_enables")
        if not enables:
            return
        addresses, sums = bench.get(f"{side}write_addresses"), bench.get(f"{side}sums")
        for k in range(lanes):
            if enables >> k & 1:
                self.banks[k][addresses[k]] = sums[k] & (1 << self.width) - 1


units = Run.units


@cocotb.test()
@cocotb.parametrize(lanes=LANES)
async def gradients_of_random_jobs(dut, lanes):
    """Dense and convolutional, with skipping and without; gradients from anything, also where they wrap around."""
    run = await Run.begin(dut, lanes)
    for n in range(8 if lanes < 8 else 4):
        await run.do(Job(run.bench, CONFIGS[lanes], blocks=1 if n == 0 else None), skip_off=n == 2)


@cocotb.test()
async def strides_padding_and_pooling(dut):
    run = await Run.begin(dut, 1)
    await run.do_odd_shapes()


@cocotb.test()
@cocotb.parametrize(lanes=LANES, spikes=[0.0, 1.0], deltas=[0.0, 0.1, 1.0])
async def few_and_many_terms(dut, lanes, spikes, deltas):
    run = await Run.begin(dut, lanes)
    config = CONFIGS[lanes]
    for skip_off in (0, 1):
        await run.do(
            Job(run.bench, config, spikes=spikes, deltas=deltas, shape=DENSE, channels=[32, 5], last_lanes=1, blocks=2),
            skip_off,
        )


@cocotb.test()
@cocotb.parametrize(lanes=LANES)
async def one_gradient_again_and_again(dut, lanes):
    """Every term goes to the same gradient, so that each has to wait for the one before."""
    run = await Run.begin(dut, lanes)
    config = CONFIGS[lanes]
    shape = {"height": 6, "width": 6, "kernel": 1, "stride": 1, "padding": 0, "pool": 2}
    await run.do(Job(run.bench, config, spikes=0.8, deltas=0.7, shape=shape, channels=[1], blocks=1, last_lanes=1))


@cocotb.test()
@cocotb.parametrize(lanes=LANES, spikes=[0.1, 0.3])
async def few_cycles_are_lost(dut, lanes, spikes):
    """Utilisation of the lanes: useful terms of (lanes x cycles), from start to end; dense, and a kernel of 3 x 3."""
    run = await Run.begin(dut, lanes)
    config = CONFIGS[lanes]
    conv = {"height": 6, "width": 6, "kernel": 3, "stride": 1, "padding": 1, "pool": 1}
    for shape, size, blocks in ((DENSE, 60, 30), (conv, 7, 7)):
        job = Job(
            run.bench,
            config,
            spikes=spikes,
            deltas=0.15,
            shape=shape,
            channels=[size],
            blocks=min(blocks, 4096 // lanes // 64),
            last_lanes=lanes,
            steps=min(4, config.steps),
        )
        terms, cycles = await run.do(job)
        used = terms / cycles / lanes
        dut._log.info("utilisation %.3f of %d lanes, kernel %d", used, lanes, shape["kernel"])
        if lanes == 1 and spikes == 0.3:
            assert used > 0.85


@cocotb.test()
async def ends_of_the_largest_memories(dut):
    run = await Run.begin(dut, "largest")
    await run.do_largest({"height": 127, "width": 127, "kernel": 1, "stride": 1, "padding": 0, "pool": 1}, blocks=1)
