# SPDX-License-Identifier: Apache-2.0
"""What the benches of whole training runs share: expected values, progress, timed calls, the first difference."""

import json
from pathlib import Path
from typing import Any

import numpy as np
from cocotb.utils import get_sim_time

from backspike.host.driver.driver import Driver
from backspike.host.driver.operation import Operation
from backspike.host.training.compare import Difference
from backspike.sim.run.run_name import check_run_name
from backspike.sim.run.scenario import Scenario
from backspike.sim.run.transport import CLOCK_NS, ChipTransport
from backspike.spec.packets import LINK

__all__ = ["MeasuredRun"]


class MeasuredRun:
    """A run on the simulated chip; a subclass sets ``driver`` and ``transport``.

    Parameters
    ----------
    folder : Path
        Of the run, with ``expected.npz``; ``progress.jsonl`` is written there.
    name : str
        Of the run, which its files bear.
    scenario : Scenario
        What is run.
    measured : dict
        What the run has measured at its start; with ``"difference"``, the first that was found.

    Raises
    ------
    RuntimeError
        The expected values are not those of this run.
    """

    driver: Driver
    transport: ChipTransport

    def __init__(self, folder: Path, name: str, scenario: Scenario, measured: dict[str, Any]) -> None:
        self.folder, self.scenario = folder, scenario
        self.expected = np.load(folder / "expected.npz")
        check_run_name(folder / "expected.npz", str(self.expected["run"]), name)
        self.layers = len(scenario.model.layers)
        self.measured: dict[str, Any] = {"run": name, "difference": None, **measured}
        self._progress = (folder / "progress.jsonl").open("w")

    def weights(self, name: str) -> list[np.ndarray]:
        """Weights of all layers from the expected values."""
        return [self.expected[f"{name}_{k}"] for k in range(self.layers)]

    def note(self, phase: str, done: int, total: int, **values: float) -> None:
        """Tell the parent process how far the run is."""
        self._progress.write(json.dumps({"phase": phase, "done": done, "total": total, **values}) + "\n")
        self._progress.flush()

    async def call(self, operation: Operation) -> tuple[Any, int]:
        """Run an operation; returns its result and the cycles that it took."""
        start = get_sim_time("ns")
        result = await self.transport.run(operation)
        return result, round((get_sim_time("ns") - start) / CLOCK_NS)

    def differs(self, difference: Difference | None) -> bool:
        """Remember the first difference; whether there is one."""
        if difference is not None and self.measured["difference"] is None:
            self.measured["difference"] = {**vars(difference), "text": str(difference)}
        return difference is not None

    async def counters(self) -> dict[str, dict[str, int]]:
        """Counters of all cores and of the link, with names that JSON can hold."""
        counters, _ = await self.call(self.driver.read_counters())
        return {core if core == LINK else f"{core[0]},{core[1]}": values for core, values in counters.items()}
