# SPDX-License-Identifier: Apache-2.0
"""Cocotb bench of a training run: loads a scenario's network, trains, evaluates, compares every bit.

Reads ``scenario.json`` and ``expected.npz`` from the folder in ``BACKSPIKE_RUN``; writes ``progress.jsonl`` while it
works, then ``measured.json`` and ``measured.npz``. With ``BACKSPIKE_BATCHES`` it ends after so many batches.
"""

import json
import os
from pathlib import Path
from typing import Any

import cocotb
import numpy as np
from cocotb.triggers import ClockCycles, with_timeout

from backspike.host.driver.phased_driver import PhasedDriver, driver_for
from backspike.host.driver.sample_stream import SampleResult
from backspike.host.training.compare import first_spike_difference, first_weight_difference
from backspike.sim.run.measured_run import MeasuredRun
from backspike.sim.run.scenario import ACTIVITY_PERIOD, Scenario
from backspike.sim.run.transport import CLOCK_NS, ChipTransport

WATCHDOG_CYCLES = 2_000_000_000
"""Simulated cycles after which a run is given up."""


class Run(MeasuredRun):
    """A scenario on the simulated chip.

    Parameters
    ----------
    dut : object
        The simulated ``Chip``.
    folder : Path
        Of the run.
    """

    def __init__(self, dut: Any, folder: Path) -> None:
        job = json.loads((folder / "scenario.json").read_text())
        measured: dict[str, Any] = {"train_cycles": [], "losses": [], "correct": []}
        super().__init__(folder, job["run"], Scenario(**job["scenario"]), measured)
        self.data = self.scenario.dataset()
        self.order = self.scenario.order(self.data)
        self.batches = int(os.environ["BACKSPIKE_BATCHES"]) if "BACKSPIKE_BATCHES" in os.environ else None
        self.driver = driver_for(self.scenario.program())
        self.transport = ChipTransport(dut, seed=self.scenario.seed, idle=self.scenario.idle)
        self.dut = dut
        self.arrays: dict[str, Any] = {}

    async def all(self) -> None:
        """The whole run; ends early at the first difference."""
        driver, scenario = self.driver, self.scenario
        await self.transport.start()
        weights = self.weights("initial")
        self.note("load", 0, 1)
        _, self.measured["load_cycles"] = await self.call(driver.load(weights))
        await self.call(driver.set_skipping(scenario.skipping))
        await self.call(driver.reset_counters())
        if not await self.train() and self.batches is None:
            self.measured["train_counters"] = await self.counters()
            await self.call(driver.reset_counters())
            found = await self.evaluate("evaluate")
            self.measured["evaluate_counters"] = await self.counters()
            if found and "trained_0" in self.expected:
                await self.call(driver.load(self.weights("trained")))
                await self.evaluate("trained")
        control, _ = await self.call(driver.read_control())
        self.measured["saturated"] = any(core["saturated"] for core in control.values())
        if isinstance(driver, PhasedDriver):
            self.measured["memory"] = driver.memory_report()

    async def train(self) -> bool:
        """Train batch by batch; whether a difference was found."""
        total = self.order.size
        for number, chosen in enumerate(self.order[: self.batches]):
            samples = self.data.train[chosen]
            spikes, labels = samples.spikes, samples.labels
            watch = cocotb.start_soon(self.watch_activity()) if number == 0 else None
            result, cycles = await self.call(self.scenario.batch_operation(self.driver, spikes, labels, number))
            if watch:
                watch.cancel()
            self.measured["train_cycles"].append(cycles)
            self.take_metrics(result, labels)
            self.note(
                "train",
                (number + 1) * len(chosen),
                total,
                loss=self.measured["losses"][-1],
                accuracy=sum(self.measured["correct"]) / ((number + 1) * len(chosen)),
            )
            if self.differs(
                first_spike_difference(
                    self.expected["train_spikes"][number], result.spikes, self.layers - 1, number * len(chosen)
                )
            ):
                return True
            weights, _ = await self.call(self.driver.read_weights())
            expected = self.weights(f"weights_{number}")
            if self.differs(first_weight_difference(expected, weights, number, self.scenario.model.format)):
                return True
            if self.driver.plan.learned and await self.feedback_differs(number):
                return True
        for k, weight in enumerate(weights):
            self.arrays[f"weights_{k}"] = weight
        return False

    async def feedback_differs(self, number: int) -> bool:
        """Whether what brings errors to hidden layers is not as expected after a batch."""
        found, _ = await self.call(self.driver.read_feedback())
        expected = [self.expected[f"feedback_{number}_{k}"] for k in range(self.layers - 1)]
        return self.differs(
            first_weight_difference(expected, found, number, self.scenario.model.format, what="feedback")
        )

    def take_metrics(self, result: SampleResult, labels: np.ndarray) -> None:
        """Squared error of the spike rate, and how many predictions are right."""
        metrics = self.scenario.metrics(result.spikes, labels)
        self.measured["losses"].append(metrics.loss)
        self.measured["correct"].append(metrics.right)

    async def evaluate(self, name: str) -> bool:
        """Classify the test samples; whether all spikes are as expected."""
        total = min(self.scenario.tests, len(self.data.test))
        parts, cycles, metrics = [], 0, self.scenario.no_metrics()
        for start in range(0, total, self.scenario.batch):
            chosen = slice(start, min(start + self.scenario.batch, total))
            result, took = await self.call(self.driver.evaluate(self.data.test[chosen].spikes))
            parts.append(result.spikes)
            cycles += took
            metrics += self.scenario.metrics(result.spikes, self.data.test.labels[chosen])
            self.measured[f"{name}_accuracy"] = metrics.accuracy
            self.note(name, chosen.stop, total, accuracy=metrics.accuracy)
        spikes = np.concatenate(parts, axis=1)
        self.arrays[f"{name}_spikes"] = spikes
        self.measured[f"{name}_cycles"] = cycles
        self.measured["tests"] = total
        return not self.differs(first_spike_difference(self.expected[f"{name}_spikes"], spikes, self.layers - 1))

    async def watch_activity(self) -> None:
        """Record the chip's activity port at regular times."""
        seen = self.arrays["activity"] = []
        while True:
            seen.append(int(self.dut.activity.value))
            await ClockCycles(self.dut.clk, ACTIVITY_PERIOD)

    def save(self) -> None:
        """Write what was measured; ``measured.json`` comes last."""
        cores = self.scenario.config.cores
        bits = [[word >> k & 1 for k in range(3 * cores)] for word in self.arrays.get("activity", [])]
        self.arrays["activity"] = np.array(bits, dtype=np.uint8).reshape(len(bits), cores, 3)
        np.savez(self.folder / "measured.npz", **self.arrays)
        (self.folder / "measured.json").write_text(json.dumps(self.measured))


@cocotb.test()
async def training(dut: Any) -> None:
    """Train and evaluate as the scenario says; differences are reported, not raised."""
    run = Run(dut, Path(os.environ["BACKSPIKE_RUN"]))
    await with_timeout(run.all(), WATCHDOG_CYCLES * CLOCK_NS, "ns")
    run.save()
