# SPDX-License-Identifier: Apache-2.0
"""What the benchmark runs: the table of cases, and the single runs that follow from it."""

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import product
from typing import Any

from backspike.golden.rules import Rule
from backspike.sim.run.scenario import PRESETS, Scenario

__all__ = ["CASES", "GOLDEN", "Case", "Measurement", "chosen_runs"]

GOLDEN = "golden"
"""Name of the case without a chip: ``golden_speed``."""

_CONV = {"slots": 8, "slices": 8, "neurons": 4096, "tape_words": 256, "fan_in": 128, "routes": 128}


@dataclass(frozen=True, kw_only=True)
class Case:
    """A network that is measured on one chip or several.

    Parameters
    ----------
    name : str
        By which it is chosen.
    scenario : dict
        Fields of ``Scenario``: network, data, batch, chip and so on; not those below.
    cores, lanes : tuple[int, ...]
        Of the chips; every pair of them is a run.
    samples : int
        Training samples of a run, rounded up to whole batches.
    tests : int
        Evaluation samples of a run.
    dense : int
        Samples of the comparison of skipping on and off, in one batch (no larger than that of the scenario); 0: there
        is none.
    epochs : int
        For which the golden model trains the weights first.
    weights : str or None
        ``.npz`` with trained weights instead, ``weights_0`` and so on, as ``make sim`` writes ``measured.npz``.
    """

    name: str
    scenario: dict[str, Any] = field(default_factory=dict)
    cores: tuple[int, ...] = (4,)
    lanes: tuple[int, ...] = (1,)
    samples: int = 32
    tests: int = 16
    dense: int = 16
    epochs: int = 5
    weights: str | None = None


CASES = (
    Case(name="digits", scenario=PRESETS["digits"], tests=32),
    Case(name="mlp", scenario=PRESETS["mlp"], cores=(20,), samples=64, tests=32),
    Case(name="deep20", scenario={**PRESETS["deep20"], "batch": 32}, cores=(20,), samples=64, dense=2, epochs=2),
    Case(
        name="scaling",
        scenario={"network": "1x8x8-c12k3p1-c12k3p1-c12k3p1-c12k3p1-10", "batch": 64, "chip": _CONV},
        cores=(1, 2, 4, 10, 20),
        samples=64,
        dense=0,
    ),
    Case(name="lanes-dense", cores=(2,), lanes=(1, 4, 8), tests=32),
    Case(
        name="lanes-conv",
        scenario={"network": "1x8x8-c16k3p1-c16k3p1-c16k3p1-10", "chip": _CONV},
        cores=(2,),
        lanes=(1, 4, 8),
        samples=16,
        dense=4,
    ),
)
"""The benchmark set. The chips of a case differ in what is compared, cores or lanes, and in nothing else."""


@dataclass(frozen=True, kw_only=True)
class Measurement:
    """One run: a case on one chip."""

    case: Case
    scenario: Scenario

    @property
    def name(self) -> str:
        """Of the run: its case, cores and lanes, and the learning rule if it is not ``bptt``."""
        rule = "" if self.scenario.rule == "bptt" else f"-{self.scenario.rule.replace(':', '')}"
        return f"{self.case.name}-{self.scenario.cores}c{self.scenario.lanes}l{rule}"

    @property
    def compared(self) -> Scenario | None:
        """The scenario with which skipping on and off are compared, a single batch; ``None``: they are not."""
        count = min(self.case.dense, self.scenario.batch)
        return dataclasses.replace(self.scenario, batch=count, samples=count) if count else None


def chosen_runs(
    names: Sequence[str] | None = None,
    *,
    cores: Sequence[int] | None = None,
    samples: int | None = None,
    seed: int = 1,
    rules: Sequence[str] = ("bptt",),
    cases: Sequence[Case] = CASES,
) -> list[Measurement]:
    """The ``Measurement`` of every run.

    Parameters
    ----------
    names : sequence of str or None
        Of the cases; ``None``: all.
    cores : sequence of int or None
        Numbers of cores instead of those of the cases.
    samples : int or None
        Training and evaluation samples of each run instead of those of the cases; batches are not larger.
    seed : int
        Of weights, order of the samples and initial memory contents.
    rules : sequence of str
        Learning rules with which each case is run.
    cases : sequence of Case
        Table of ``Case``.

    Raises
    ------
    TypeError, ValueError
        An unknown case, or a number out of range.
    """
    known = {case.name: case for case in cases}
    for name in names or ():
        if name not in known:
            raise ValueError(f"cases must be of {[*known, GOLDEN]}, not {name!r}")
    if samples is not None and samples < 1:
        raise ValueError(f"samples must be at least 1, not {samples!r}")
    runs = []
    for case in (case for case in cases if not names or case.name in names):
        if samples is not None:
            case = dataclasses.replace(case, samples=samples, tests=samples)  # noqa: PLW2901
        for rule, count, lanes in product(rules, cores or case.cores, case.lanes):
            most = 1 if Rule.parse(rule).step_updates else case.scenario.get("batch", Scenario.batch)
            scenario = Scenario(
                **{
                    **case.scenario,
                    "batch": min(most, case.samples),
                    "cores": count,
                    "lanes": lanes,
                    "samples": case.samples,
                    "tests": case.tests,
                    "epochs": case.epochs,
                    "seed": seed,
                    "rule": rule,
                }
            )
            scenario.config  # noqa: B018 - refuses a mesh that does not exist before anything is built
            runs.append(Measurement(case=case, scenario=scenario))
    return runs
