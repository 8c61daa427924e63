# SPDX-License-Identifier: Apache-2.0
"""Bench of the engines for dense layers: the jobs and the expectations of the general engines, with one pixel."""

import cocotb
import numpy as np

from backspike.hw.engines.dense.backward import DenseBackward
from backspike.hw.engines.dense.forward import DenseForward
from backspike.hw.engines.dense.gradient import DenseGradient
from backspike.hw.shapes import Shapes
from backspike.sim.benches import bench_backward, bench_forward, bench_gradient
from backspike.sim.jobs import CONFIGS, DENSE, LANES, Job


class Forward(bench_forward.Run):
    ENGINE, PREFIX = DenseForward, "dense_forward"


class Backward(bench_backward.Run):
    ENGINE, PREFIX = DenseBackward, "dense_backward"


class Gradient(bench_gradient.Run):
    ENGINE, PREFIX = DenseGradient, "dense_gradient"

    def expected_rows(self, job):
        """Spikes in the steps that have a delta."""
        live = np.flatnonzero(job.nonzero.any(axis=(1, 2)))
        return sum(int(group["bits"][live].sum()) for group in job.groups)


RUNS = {run.PREFIX: run for run in (Forward, Backward, Gradient)}


def units():
    return {f"{name}_{lanes}": run.ENGINE(Shapes(config)) for name, run in RUNS.items()
            for lanes, config in CONFIGS.items()}


def _job(run, config, **options):
    return Job(run.bench, config, shape=DENSE, garbage=False, **options)


async def _start(dut, engine, lanes, **options):
    run = RUNS[engine](dut, lanes, **options)
    await run.start()
    return run


@cocotb.test()
@cocotb.parametrize(engine=list(RUNS), lanes=LANES)
async def random_jobs(dut, engine, lanes):
    """Several groups, constant ones among them, sparse and full rows, any number of steps."""
    run = await _start(dut, engine, lanes)
    for n in range(12):
        await run.do(_job(run, CONFIGS[lanes], blocks=1 if n == 0 else None))


@cocotb.test()
@cocotb.parametrize(engine=["dense_forward", "dense_backward"], lanes=LANES, idle=[0.3, 0.9])
async def results_wait(dut, engine, lanes, idle):
    """The pipeline stands still while a result is not taken, and loses nothing."""
    run = await _start(dut, engine, lanes, idle=idle)
    for _ in range(6):
        await run.do(_job(run, CONFIGS[lanes]))


@cocotb.test()
@cocotb.parametrize(engine=list(RUNS), lanes=LANES, spikes=[0.0, 1.0], deltas=[0.0, 0.1, 1.0])
async def few_and_many_terms(dut, engine, lanes, spikes, deltas):
    run = await _start(dut, engine, lanes)
    await run.do(_job(run, CONFIGS[lanes], spikes=spikes, deltas=deltas, channels=[32, 5], blocks=2))


@cocotb.test()
@cocotb.parametrize(engine=list(RUNS))
async def few_cycles_are_lost(dut, engine):
    """Utilisation of one lane, from start to end, in a slice of 60 inputs and 30 outputs."""
    run = await _start(dut, engine, 1)
    job = _job(run, CONFIGS[1], spikes=0.2, deltas=0.3, channels=[60], blocks=30, steps=4)
    terms, cycles = await run.do(job)
    dut._log.info("%s: utilisation %.3f", engine, terms / cycles)
    assert terms / cycles > 0.85


@cocotb.test()
@cocotb.parametrize(engine=list(RUNS))
async def ends_of_the_largest_memories(dut, engine):
    """A slice with all outputs that a core can have, and one in the last words of everything."""
    run = await _start(dut, engine, "largest")
    config = CONFIGS["largest"]
    await run.do(_job(run, config, spikes=0.05, deltas=0.02, channels=[31, 1], blocks=4096, steps=1))
    job = _job(run, config, channels=[4, 32, None], blocks=40, steps=config.steps)
    job.move_to_the_end()
    await run.do(job)
