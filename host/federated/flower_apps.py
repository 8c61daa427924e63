# SPDX-License-Identifier: Apache-2.0
"""Federated learning with Flower: the strategy of the server, and the app of a worker."""

from __future__ import annotations  # the site is built without Flower, whose types cannot be joined then

import atexit
from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass
from typing import Any

import numpy as np
from flwr.app import ArrayRecord, ConfigRecord, Context, Message, MetricRecord, RecordDict
from flwr.clientapp import ClientApp
from flwr.serverapp import Grid
from flwr.serverapp.strategy import FedAvg

from backspike.host.federated.aggregate import exact_mean
from backspike.host.federated.federation import Federation
from backspike.host.federated.worker import ChipWorker, GoldenWorker, Worker
from backspike.host.training.chip_session import Chip
from backspike.spec.formats import Format

__all__ = ["ExactFedAvg", "WorkerApp", "arrays_of", "weights_of"]

_ARRAYS, _CONFIG, _METRICS, _SAMPLES = "arrays", "config", "metrics", "num-examples"


def arrays_of(weights: Iterable[np.ndarray]) -> ArrayRecord:
    """Weights as a message carries them."""
    return ArrayRecord(list(weights))


def weights_of(arrays: ArrayRecord) -> list[np.ndarray]:
    """The inverse of ``arrays_of``."""
    return [np.asarray(array, dtype=np.float64) for array in arrays.to_numpy_ndarrays()]


class ExactFedAvg(FedAvg):
    """Federated averaging whose result is the same bits in whatever order the workers answer: see ``exact_mean``.

    A worker that failed is asked again in the round. What it answers follows from its number and the round alone, so
    that it has the bits that the first answer would have had.

    Parameters
    ----------
    fmt : Format
        Of the weights.
    retries : int
        How often a worker is asked again in a round.
    told : function
        Called after each round with its number, from 1, and the workers whose weights are in the mean.
    **options : object
        As of ``FedAvg``.

    Raises
    ------
    RuntimeError
        A worker did not answer, however often it was asked, or no worker had weights to send.
    """

    def __init__(
        self,
        fmt: Format,
        *,
        retries: int = 2,
        told: Callable[[int, list[int]], None] = lambda *_: None,
        **options: Any,
    ) -> None:
        super().__init__(fraction_evaluate=0.0, **options)
        self.fmt, self.retries, self.told = fmt, retries, told
        self._grid: Grid | None = None
        self._sent: dict[int, Message] = {}

    def configure_train(
        self, server_round: int, arrays: ArrayRecord, config: ConfigRecord, grid: Grid
    ) -> Iterable[Message]:
        """See ``FedAvg``."""
        messages = list(super().configure_train(server_round, arrays, config, grid))
        self._grid, self._sent = grid, {message.metadata.dst_node_id: message for message in messages}
        return messages

    def aggregate_train(
        self, server_round: int, replies: Iterable[Message]
    ) -> tuple[ArrayRecord | None, MetricRecord | None]:
        """The exact mean of what the workers send; those that failed are asked again."""
        found = list(replies)
        good = {reply.metadata.src_node_id: reply for reply in found if not reply.has_error()}
        for _ in range(self.retries):
            again = [
                Message(content=sent.content, message_type=sent.metadata.message_type, dst_node_id=node)
                for node, sent in self._sent.items()
                if node not in good
            ]
            if not again or self._grid is None:
                break
            found = list(self._grid.send_and_receive(again))
            good |= {reply.metadata.src_node_id: reply for reply in found if not reply.has_error()}
        if missing := len(set(self._sent) - set(good)):
            reasons = sorted({reply.error.reason for reply in found if reply.has_error()})
            raise RuntimeError(
                f"{missing} of {len(self._sent)} workers did not answer in round {server_round}: {'; '.join(reasons)}"
            )
        records = [reply.content for reply in good.values()]
        taking = [record for record in records if record.metric_records[_METRICS][_SAMPLES]]
        if not taking:
            raise RuntimeError(f"no worker had weights to send in round {server_round}")
        samples = [int(record.metric_records[_METRICS][_SAMPLES]) for record in taking]
        weights = [weights_of(record.array_records[_ARRAYS]) for record in taking]
        self.told(server_round, sorted(int(record.metric_records[_METRICS]["worker"]) for record in taking))
        metrics = self.train_metrics_aggr_fn(taking, self.weighted_by_key)
        return arrays_of(exact_mean(weights, samples, self.fmt)), metrics


@dataclass(frozen=True)
class WorkerApp:
    """Makes the app of a worker, in its process. Its number is that of the node's partition.

    Parameters
    ----------
    federation : Federation
        What is trained by whom.
    chips : tuple of function
        Each opens the chip of the worker with its number, which stays open; the others train in the golden model.
    """

    federation: Federation
    chips: tuple[Callable[[], AbstractContextManager[Chip]], ...] = ()

    def __call__(self) -> ClientApp:
        """The app."""
        app, opened, federation = ClientApp(), ExitStack(), self.federation
        atexit.register(opened.close)
        made: dict[int, Worker] = {}

        @app.train()
        def train(message: Message, context: Context) -> Message:
            number = int(context.node_config["partition-id"])
            round_number = int(message.content.config_records[_CONFIG]["server-round"]) - 1
            metrics: dict[str, float] = {_SAMPLES: 0, "worker": number}
            weights: list[np.ndarray] = []
            if federation.takes_part(number, round_number):
                if number not in made:
                    made[number] = self._worker(number, opened)
                result = made[number].train(weights_of(message.content.array_records[_ARRAYS]), round_number)
                weights, found = result.weights, result.metrics
                metrics |= {_SAMPLES: found.samples, "loss": found.loss, "accuracy": found.accuracy}
            content = RecordDict({_ARRAYS: arrays_of(weights), _METRICS: MetricRecord(metrics)})
            return Message(content=content, reply_to=message)

        return app

    def _worker(self, number: int, opened: ExitStack) -> Worker:
        spec = self.federation.spec
        data = spec.dataset()
        samples, epochs = data.train[self.federation.shares(data)[number]], self.federation.local_epochs
        if number < len(self.chips):
            return ChipWorker(opened.enter_context(self.chips[number]()), spec, samples, number, epochs)
        return GoldenWorker(spec, samples, number, epochs)
