# SPDX-License-Identifier: Apache-2.0
"""What the benchmark runs: the table of cases, and the single runs that follow from it."""

import dataclasses
from dataclasses import dataclass, field

from backspike.sim.scenario import Scenario

__all__ = ["CASES", "Case", "Measurement", "chosen_runs"]

_DEEP = "1x28x28-c12k5s2p2-c16k3s2p1-c24k3p1-c24k3p1-c32k3s2p1-c32k3p1-c32k3p1-10"


@dataclass(frozen=True, kw_only=True)
class Case:
    """A network that is measured on one chip or several.

    Parameters
    ----------
    name: by which it is chosen
    network, steps, data, batch, chip: as in ``Scenario``
    cores, lanes: of the chips; every pair of them is a run
    samples: training samples of a run, rounded up to whole batches
    tests: evaluation samples of a run
    dense: samples of the second run without skipping, rounded up to whole batches; 0: there is none
    trained: samples with which the golden model trains the weights first
    weights: ``.npz`` with trained weights instead, ``weights_0`` and so on, as ``make sim`` writes ``measured.npz``
    """

    name: str
    network: str
    steps: int = 4
    data: str = "digits"
    batch: int = 16
    chip: dict = field(default_factory=dict)
    cores: tuple = (4,)
    lanes: tuple = (1,)
    samples: int = 32
    tests: int = 16
    dense: int = 16
    trained: int = 4000
    weights: str | None = None


CASES = (
    Case(name="digits", network="64-128-10", cores=(4,), samples=32, tests=32, dense=16),
    Case(name="mlp", network="784-128-10", data="mnist5k", cores=(20,), samples=64, tests=32, dense=16,
         chip={"slots": 8, "weights": 8192, "tape_words": 128}),
    Case(name="deep20", network=_DEEP, data="mnist5k", cores=(20,), batch=8, samples=16, tests=8, dense=8, trained=2000,
         chip={"slots": 8, "slices": 8, "neurons": 2048, "tape_words": 256, "groups": 128, "peers": 128}),
    Case(name="scaling", network="1x8x8-c20k5p2-c20k5p2-a8-10", cores=(1, 2, 4, 10, 20), batch=8, samples=8, tests=8,
         dense=0, chip={"slots": 8, "slices": 8, "weights": 32768, "neurons": 8192, "tape_words": 256, "groups": 128,
                        "peers": 128}),
    Case(name="lanes-dense", network="64-128-10", cores=(2,), lanes=(1, 4, 8), samples=32, tests=32, dense=16),
    Case(name="lanes-conv", network="1x8x8-c16k3p1-c16k3p1-a2-10", cores=(2,), lanes=(1, 4, 8), batch=8, samples=8,
         tests=8, dense=8, chip={"slots": 4, "neurons": 2048, "tape_words": 128}),
)
"""The benchmark set, the quickest case first."""


@dataclass(frozen=True, kw_only=True)
class Measurement:
    """One run: a case on one chip."""

    case: Case
    scenario: Scenario

    @property
    def name(self):
        return f"{self.case.name}-{self.scenario.cores}c{self.scenario.lanes}l"

    @property
    def dense_batches(self):
        """Batches of the run without skipping."""
        return min(-(-self.case.dense // self.scenario.batch), self.scenario.batches)


def chosen_runs(names=None, *, cores=None, samples=None, seed=1, cases=CASES):
    """The ``Measurement`` of every run.

    Parameters
    ----------
    names: of the cases; ``None``: all
    cores: numbers of cores instead of those of the cases
    samples: training and evaluation samples of each run instead of those of the cases; batches are not larger
    seed: of weights, order of the samples and initial memory contents
    cases: table of ``Case``

    Raises
    ------
    TypeError, ValueError: an unknown case, or a number out of range
    """
    known = {case.name: case for case in cases}
    for name in names or ():
        if name not in known:
            raise ValueError(f"cases must be of {list(known)}, not {name!r}")
    if samples is not None and samples < 1:
        raise ValueError(f"samples must be at least 1, not {samples!r}")
    runs = []
    for case in (case for case in cases if not names or case.name in names):
        if samples is not None:
            case = dataclasses.replace(case, samples=samples, tests=samples, batch=min(case.batch, samples))  # noqa: PLW2901
        for count in cores or case.cores:
            for lanes in case.lanes:
                scenario = Scenario(
                    cores=count, lanes=lanes, chip=case.chip, network=case.network, steps=case.steps, data=case.data,
                    samples=case.samples, batch=case.batch, tests=case.tests, seed=seed)
                scenario.config  # noqa: B018 - refuses a mesh that does not exist before anything is built
                runs.append(Measurement(case=case, scenario=scenario))
    return runs
