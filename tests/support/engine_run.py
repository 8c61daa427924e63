# SPDX-License-Identifier: Apache-2.0
"""What the benches of the engines have in common: jobs on an engine, one after the other."""

from backspike.hw.shapes import Shapes
from tests.support.jobs import CONFIGS, DENSE, SHAPES, Job
from tests.support.unit import Bench

__all__ = ["EngineRun"]


class EngineRun:
    """An engine under test; a subclass says which (``ENGINE``, ``PREFIX``), and does one job with ``do``.

    Parameters
    ----------
    dut: the simulated units
    lanes: key of ``CONFIGS``
    idle: chance that a result is not taken in a cycle
    """

    ENGINE = PREFIX = None

    def __init__(self, dut, lanes, idle=0.0):
        self.bench = Bench(dut, f"{self.PREFIX}_{lanes}", self.ENGINE(Shapes(CONFIGS[lanes])))
        self.idle = idle

    @classmethod
    def units(cls):
        """The engine in all configurations, ``{name: component}``."""
        return {f"{cls.PREFIX}_{lanes}": cls.ENGINE(Shapes(config)) for lanes, config in CONFIGS.items()}

    @classmethod
    async def begin(cls, dut, lanes, idle=0.0):
        run = cls(dut, lanes, idle)
        await run.bench.start()
        return run

    async def do(self, job):
        """Run a job and compare everything that the engine has to compute; returns its useful terms and its cycles."""
        raise NotImplementedError

    def forget(self, *watchers):
        """Take away the memories of the last job, and call these in every cycle from now on."""
        self.bench.agents.clear()
        self.bench.watchers[:] = watchers

    async def work(self):
        """Start the engine, and wait until it is no longer busy; returns the cycles."""
        begin = self.bench.cycle
        await self.bench.pulse("start")
        await self.bench.until(lambda: not self.bench.bits("busy"), 400_000)
        return self.bench.cycle - begin

    async def do_odd_shapes(self):
        """Strides, padding and pooling, one lane."""
        for shape in SHAPES:
            await self.do(Job(self.bench, CONFIGS[1], spikes=0.5, deltas=0.5, shape=shape, steps=2))

    async def do_largest(self, wide, **options):
        """A slice with all weights that a core can have; one with all outputs or inputs; one in the last words.

        Parameters
        ----------
        wide: shape of the second, with ``options`` of its job
        """
        config = CONFIGS["largest"]
        await self.do(
            Job(self.bench, config, spikes=0.05, deltas=0.02, shape=DENSE, channels=[31, 1], blocks=4096, steps=1)
        )
        await self.do(Job(self.bench, config, spikes=0.02, deltas=0.1, shape=wide, channels=[1], steps=1, **options))
        job = Job(self.bench, config, shape=DENSE, channels=[4, 32, None], blocks=40, steps=config.steps)
        job.move_to_the_end()
        await self.do(job)
