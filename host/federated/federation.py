# SPDX-License-Identifier: Apache-2.0
"""A federation on this machine: all workers, round by round."""

import hashlib
import os
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from backspike.host.data.dataset import Dataset
from backspike.host.federated.partition import Partition, partition, present
from backspike.host.federated.worker import GoldenWorker
from backspike.host.training.chip_session import Chip
from backspike.host.training.golden_training import assess
from backspike.host.training.training_spec import TrainingSpec
from backspike.spec.checks import check_integer, check_number

__all__ = ["Federation", "Round", "digest", "one_worker", "run_federation"]


@dataclass(frozen=True, kw_only=True)
class Federation:
    """What is trained by whom. All that is drawn follows from the seed of the specification.

    Parameters
    ----------
    spec : TrainingSpec
        Its ``epochs`` are ``rounds * local_epochs``.
    workers, rounds, local_epochs : int
        At least 1 each.
    kind : "iid" or "label"
        How the samples are shared out, see ``partition``.
    drop : float
        Chance that a worker is absent in a round, at least 0 and less than 1.

    Raises
    ------
    TypeError, ValueError
        A parameter is of the wrong kind, or out of range; the rule keeps a state from batch to batch.
    """

    spec: TrainingSpec
    workers: int = 5
    rounds: int = 3
    local_epochs: int = 1
    kind: Partition = "iid"
    drop: float = 0.0

    def __post_init__(self) -> None:
        for name in ("workers", "rounds", "local_epochs"):
            check_integer(name, getattr(self, name), 1)
        check_number("drop", self.drop, 0)
        if self.drop >= 1:
            raise ValueError(f"drop must be at least 0 and less than 1, such as 0.2, not {self.drop!r}")
        if self.spec.epochs != self.rounds * self.local_epochs:
            raise ValueError(f"epochs must be rounds x local_epochs, {self.rounds * self.local_epochs}")
        if self.spec.learning_rule.feedback == "learned":
            raise ValueError(f"rule must be one without learned feedback, such as dfa, not {self.spec.rule!r}")

    def shares(self, data: Dataset) -> list[np.ndarray]:
        """Indices of the training samples of each worker."""
        return partition(data.train.labels, self.workers, self.kind, self.spec.seed)

    def takes_part(self, worker: int, round_number: int) -> bool:
        """Whether a worker takes part in a round, counted from 0."""
        return bool(present(self.workers, round_number, self.drop, self.spec.seed)[worker])


@dataclass
class Round:
    """What came of a round.

    Parameters
    ----------
    number : int
        From 1; 0: the initial weights.
    workers : list of int
        Whose weights are in the mean.
    accuracy, loss : float
        Of the mean's weights on the test samples.
    digest : str
        Of the mean's weights.
    """

    number: int
    accuracy: float
    loss: float
    digest: str
    workers: list[int] = field(default_factory=list)


def digest(weights: Sequence[np.ndarray]) -> str:
    """A short name of some weights: equal ones have equal names."""
    text = hashlib.sha256()
    for weight in weights:
        text.update(np.ascontiguousarray(weight, dtype="<f8").tobytes())
    return text.hexdigest()[:16]


def one_worker(federation: Federation, data: Dataset, told: Callable[[int, float], None]) -> list[float]:
    """Test accuracies after each round of a single worker that has all the samples, to compare with."""
    spec = federation.spec
    worker = GoldenWorker(spec, data.train, 0, federation.local_epochs)
    weights, found = list(spec.weights()), []
    for number in range(federation.rounds):
        weights = worker.train(weights, number).weights
        found.append(assess(spec, spec.trainer(weights), data.test).accuracy)
        told(number + 1, found[-1])
    return found


def run_federation(
    federation: Federation,
    data: Dataset,
    told: Callable[[Round], None],
    *,
    chips: Sequence[Callable[[], AbstractContextManager[Chip]]] = (),
    started: Callable[[int], None] = lambda _: None,
) -> list[np.ndarray]:
    """Train all rounds, each worker in a process of its own; all of them end with it.

    Parameters
    ----------
    federation, data
        What is trained, and on what.
    told : function
        Called with each ``Round``; first with that of the initial weights.
    chips : sequence of function
        Each opens the chip of a worker, in its process; the others train in the golden model.
    started : function
        Called with the number of processes that are ready, whenever one more is.

    Returns
    -------
    list of array of float64
        The weights of the last round.

    Raises
    ------
    ModuleNotFoundError
        Flower is missing, the extra ``federated``.
    RuntimeError
        A worker failed too often.
    """
    os.environ.setdefault("FLWR_TELEMETRY_ENABLED", "0")
    from backspike.host.federated.flower_apps import (  # noqa: PLC0415 - an optional extra
        ExactFedAvg,
        WorkerApp,
        arrays_of,
        weights_of,
    )
    from backspike.host.federated.local_grid import LocalGrid  # noqa: PLC0415

    spec, count = federation.spec, federation.workers
    takers: dict[int, list[int]] = {}
    last: list[np.ndarray] = []

    def evaluate(number: int, arrays: Any) -> None:
        last[:] = weights_of(arrays)
        metrics = assess(spec, spec.trainer(last), data.test)
        told(Round(number, metrics.accuracy, metrics.loss, digest(last), takers.get(number, [])))

    strategy = ExactFedAvg(spec.model.format, told=takers.__setitem__, min_train_nodes=count, min_available_nodes=count)
    with LocalGrid(WorkerApp(federation, tuple(chips)), count, started=started) as grid:
        strategy.start(grid, arrays_of(spec.weights()), num_rounds=federation.rounds, evaluate_fn=evaluate)
    return last
