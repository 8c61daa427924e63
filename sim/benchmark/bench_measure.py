# SPDX-License-Identifier: Apache-2.0
"""Cocotb bench of the benchmark: trains whole batches and evaluates, with hardware counters and cycles of each part.

Reads ``job.json`` and ``expected.npz`` from the folder in ``BACKSPIKE_RUN``; writes ``progress.jsonl`` while it works,
then ``measured.json``. Ends early at the first difference from the expected values.
"""

import json
import os
import time
from pathlib import Path
from typing import Any

import cocotb
import numpy as np

from backspike.host.compiler.partition import Piece
from backspike.host.driver.driver import Driver
from backspike.host.training.compare import Difference, first_spike_difference, first_weight_difference
from backspike.sim.run.measured_run import MeasuredRun
from backspike.sim.run.scenario import Scenario
from backspike.sim.run.transport import ChipTransport
from backspike.spec.counters import counter_difference

PATIENCE = 100_000_000
"""Cycles without a packet until a run is given up: one core may work on one sample for millions."""


class Measuring(MeasuredRun):
    """The measured part of a run.

    Parameters
    ----------
    dut : object
        The simulated ``Chip``.
    folder : Path
        Of the run.
    """

    def __init__(self, dut: Any, folder: Path) -> None:
        job = json.loads((folder / "job.json").read_text())
        scenario = Scenario(**job["scenario"])
        super().__init__(folder, job["run"], scenario, {"batches": [], "evaluation": None, "weights_equal": False})
        self.tests = self.expected["tests"].shape[1] if job["tests"] else 0
        pieces = [Piece(**piece) for piece in job["pieces"]]
        self.driver = Driver(scenario.plan(strategy=pieces))
        self.transport = ChipTransport(dut, seed=scenario.seed, patience=PATIENCE)

    async def all(self) -> None:
        """The whole run."""
        await self.transport.start()
        self.note("load", 0, 1)
        _, self.measured["load_cycles"] = await self.call(self.driver.load(self.weights("initial")))
        await self.call(self.driver.set_skipping(self.scenario.skipping))
        await self.call(self.driver.reset_counters())
        # What reading the counters adds to them, so that it can be taken off
        before = await self.counters()
        self.measured["reading"] = _difference(await self.counters(), before)
        started = time.monotonic()
        if await self.train():
            return
        seconds = time.monotonic() - started
        cycles = sum(batch["cycles"] for batch in self.measured["batches"])
        self.measured["simulation"] = {"seconds": seconds, "cycles": cycles, "cycles_per_second": cycles / seconds}
        if self.tests:
            await self.evaluate()

    async def train(self) -> bool:
        """Train batch by batch; whether a difference was found. Weights are compared after the last batch."""
        size = self.scenario.batch
        counters = await self.counters()
        for number in range(self.scenario.batches):
            chosen = slice(number * size, (number + 1) * size)
            operation = self.scenario.batch_operation(
                self.driver, self.expected["inputs"][:, chosen], self.expected["labels"][chosen], number
            )
            result, cycles = await self.call(operation)
            before, counters = counters, await self.counters()
            self.measured["batches"].append({"cycles": cycles, "counters": _difference(counters, before)})
            self.note("train", chosen.stop, self.scenario.batches * size)
            if self.differs(self.spike_difference(self.expected["spikes"][:, chosen], result.spikes, chosen.start)):
                return True
        weights, _ = await self.call(self.driver.read_weights())
        different = self.differs(
            first_weight_difference(
                self.weights("trained"), weights, self.scenario.batches - 1, self.scenario.model.format
            )
        )
        self.measured["weights_equal"] = not different
        return different

    async def evaluate(self) -> None:
        """Classify the test samples, all in one operation."""
        before = await self.counters()
        result, cycles = await self.call(self.driver.evaluate(self.expected["tests"]))
        counters = _difference(await self.counters(), before)
        self.measured["evaluation"] = {"samples": self.tests, "cycles": cycles, "counters": counters}
        self.note("evaluate", self.tests, self.tests)
        self.differs(self.spike_difference(self.expected["test_spikes"], result.spikes, 0))

    def spike_difference(self, expected: np.ndarray, found: np.ndarray, first: int) -> Difference | None:
        """The first difference between output spikes of samples from ``first`` on."""
        return first_spike_difference(expected, found, self.layers - 1, first)


def _difference(after: dict[str, dict[str, int]], before: dict[str, dict[str, int]]) -> dict[str, dict[str, int]]:
    """What counters of 32 bits have counted between two looks."""
    return {
        core: {name: counter_difference(before[core][name], value) for name, value in values.items()}
        for core, values in after.items()
    }


@cocotb.test()
async def measure(dut: Any) -> None:
    """Measure as the job says; differences are reported, not raised."""
    run = Measuring(dut, Path(os.environ["BACKSPIKE_RUN"]))
    await run.all()
    (run.folder / "measured.json").write_text(json.dumps(run.measured))
