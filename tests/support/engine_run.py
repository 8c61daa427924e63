# SPDX-License-Identifier: Apache-2.0
"""What the benches of the engines have in common: jobs on an engine, one after the other."""

from dataclasses import replace

from backspike.hw.shapes import Shapes
from tests.support.jobs import CONFIGS, DENSE, KINDS, SHAPES, Job
from tests.support.unit import Bench

__all__ = ["EngineRun"]


class EngineRun:
    """An engine under test; a subclass says which (``ENGINE``, ``PREFIX``), and does one job with ``do``.

    Parameters
    ----------
    dut: the simulated units
    kind: of ``KINDS``
    lanes: key of ``CONFIGS``
    idle: chance that a result is not taken in a cycle
    """

    ENGINE = PREFIX = None

    def __init__(self, dut, kind, lanes, idle=0.0):
        self.kind, self.config, self.idle = kind, self._config(kind, lanes), idle
        self.bench = Bench(dut, f"{self.PREFIX}_{kind}_{lanes}", self.ENGINE(Shapes(self.config)))

    @staticmethod
    def _config(kind, lanes):
        return replace(CONFIGS[lanes], dense_only=kind == "dense")

    @classmethod
    def units(cls):
        """The engine in all configurations, ``{name: component}``."""
        return {
            f"{cls.PREFIX}_{kind}_{lanes}": cls.ENGINE(Shapes(cls._config(kind, lanes)))
            for kind in KINDS
            for lanes in CONFIGS
        }

    @classmethod
    async def begin(cls, dut, kind, lanes, idle=0.0):
        run = cls(dut, kind, lanes, idle)
        await run.bench.start()
        return run

    def job(self, **options):
        """A random job; engines for dense layers get one pixel, and rely on bits of 0 beyond their rows."""
        if self.kind == "dense":
            options |= {"shape": DENSE, "garbage": False}
        return Job(self.bench, self.config, **options)

    async def do(self, job, **options):
        """Run a job and compare everything that the engine has to compute; returns its useful terms and its cycles."""
        raise NotImplementedError

    def forget(self, *watchers):
        """Take away the memories of the last job, and call these in every cycle from now on."""
        self.bench.agents.clear()
        self.bench.watchers[:] = watchers

    def set_job(self, job, **values):
        """Give the engine what stays stable during a job."""
        descriptor = job.descriptor(values.get("errors", 1))
        for name, value in {"descriptor": descriptor, "slot": job.slot, **values}.items():
            self.bench.set(name, value)

    async def work(self):
        """Start the engine, and wait until it is no longer busy; returns the cycles."""
        begin = self.bench.cycle
        await self.bench.pulse("start")
        await self.bench.until(lambda: not self.bench.bits("busy"), 400_000)
        return self.bench.cycle - begin

    async def do_odd_shapes(self):
        """Strides, padding and pooling."""
        for shape in SHAPES:
            await self.do(self.job(spikes=0.5, deltas=0.5, shape=shape, steps=2))

    async def do_largest(self, wide, **options):
        """A slice with all weights that a core can have; one with all outputs or inputs; one in the last words.

        Parameters
        ----------
        wide: shape of the second, with ``options`` of its job; not for engines of dense layers
        """
        await self.do(self.job(spikes=0.05, deltas=0.02, shape=DENSE, channels=[31, 1], blocks=4096, steps=1))
        if self.kind == "pixels":
            await self.do(self.job(spikes=0.02, deltas=0.1, shape=wide, channels=[1], steps=1, **options))
        job = self.job(shape=DENSE, channels=[4, 32, None], blocks=40, steps=self.config.steps)
        job.move_to_the_end()
        await self.do(job)
