# SPDX-License-Identifier: Apache-2.0
"""Flower's strategy with the exact mean, and workers in processes; skipped where the extra ``federated`` is missing."""

import dataclasses
import itertools
import os
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("flwr", reason="the extra 'federated' is not installed")

from flwr.app import MetricRecord, RecordDict
from flwr.clientapp import ClientApp

from backspike.host.federated.federation import Federation, run_federation
from backspike.host.federated.flower_apps import ExactFedAvg, Message, WorkerApp, arrays_of
from backspike.host.federated.local_grid import LocalGrid
from backspike.spec.formats import BINARY16
from tests.support.trained_chip import SPEC

FEDERATION = Federation(spec=dataclasses.replace(SPEC, epochs=2), workers=3, rounds=2)


class Later(LocalGrid):
    """Answers come in another order each time."""

    order = itertools.cycle([2, 0, 1])

    def send_and_receive(self, messages, *, timeout=None):
        found = list(super().send_and_receive(messages))
        turn = next(self.order)
        return found[turn:] + found[:turn]


@dataclasses.dataclass(frozen=True)
class Dying:
    """Makes an app whose worker 1 dies in the first round, and comes back."""

    app: WorkerApp
    mark: Path

    def __call__(self):
        whole, app = self.app(), ClientApp()

        @app.train()
        def train(message, context):
            if context.node_config["partition-id"] == 1 and not self.mark.exists():
                self.mark.touch()
                os._exit(1)
            return whole(message, context)

        return app


def trained(grid):
    """Weights after all rounds with workers of this grid."""
    spec = FEDERATION.spec
    strategy = ExactFedAvg(BINARY16, min_train_nodes=3, min_available_nodes=3)
    with grid:
        return strategy.start(grid, arrays_of(spec.weights()), num_rounds=2).arrays.to_numpy_ndarrays()


@pytest.mark.slow
def test_neither_the_order_of_answers_nor_a_death_changes_a_bit(tmp_path):
    rounds = []
    ready: list[int] = []
    weights = run_federation(FEDERATION, FEDERATION.spec.dataset(), rounds.append, started=ready.append)
    assert ready == [1, 2, 3]
    assert [entry.number for entry in rounds] == [0, 1, 2] and rounds[1].workers == [0, 1, 2]
    app = WorkerApp(FEDERATION)
    for _ in range(4):
        assert all(map(np.array_equal, trained(Later(app, 3)), weights))
    assert all(map(np.array_equal, trained(LocalGrid(Dying(app, tmp_path / "mark"), 3)), weights))
    assert (tmp_path / "mark").exists()


@pytest.mark.slow
def test_a_worker_that_always_fails_ends_the_federation(tmp_path):
    """No process is left, and the message says how many did not answer."""
    grid = LocalGrid(Dying(WorkerApp(FEDERATION), Path("/proc/none/mark")), 3)
    with pytest.raises(RuntimeError, match="1 of 3 workers did not answer in round 1: FileNotFoundError"):
        trained(grid)


def test_a_round_without_weights_is_an_error():
    strategy = ExactFedAvg(BINARY16)
    with LocalGrid(WorkerApp(FEDERATION), 3) as grid:
        sent = list(strategy.configure_train(1, arrays_of([np.zeros(2)]), _config(), grid))
        empty = RecordDict({"arrays": arrays_of([]), "metrics": MetricRecord({"num-examples": 0, "worker": 0})})
        with pytest.raises(RuntimeError, match="no worker had weights to send in round 1"):
            strategy.aggregate_train(1, [Message(content=empty, reply_to=message) for message in sent])


def _config():
    from flwr.app import ConfigRecord  # noqa: PLC0415

    return ConfigRecord()
