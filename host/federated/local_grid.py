# SPDX-License-Identifier: Apache-2.0
"""Workers of a federation as processes of this machine, which Flower's strategies speak to as to any others.

Flower's own simulation needs Ray, ten times as large as all the rest of Flower.
"""

import itertools
import multiprocessing
from collections.abc import Callable, Iterable
from concurrent.futures import Future, ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from types import TracebackType
from typing import Any, Self

from flwr.app import Context, Error, Message, RecordDict
from flwr.clientapp import ClientApp
from flwr.serverapp import Grid
from flwr.supercore.task_identity import TaskIdentity

__all__ = ["LocalGrid"]

_FAILED = 1000
"""Code of the error of a worker that raised, or died."""


class LocalGrid(Grid):
    """Nodes 1 to ``workers``, each with a process of its own that lives as long as the grid, or until it dies.

    Used as a context: at its end, no process is left.

    Parameters
    ----------
    app : function
        Makes the ``ClientApp``, in the process of each worker; it must be one that can be pickled.
    workers : int
        Nodes. The partition of node n is n - 1.
    started : function
        Called each time that a process is ready, with how many are: each takes seconds to load its libraries.
    """

    def __init__(
        self, app: Callable[[], ClientApp], workers: int, *, started: Callable[[int], None] = lambda _: None
    ) -> None:
        self._app, self._workers, self._started = app, workers, started
        self._starting: list[Future[int]] = []
        self._ready = 0
        self._numbers = itertools.count(1)
        self._waiting: dict[str, tuple[Message, Future[Message]]] = {}
        self._run: Any = None
        self._pools: dict[int, ProcessPoolExecutor] = {}

    def __enter__(self) -> Self:
        _identify(0)
        return self

    def __exit__(self, kind: type[BaseException] | None, value: object, trace: TracebackType | None) -> None:
        for pool in self._pools.values():
            for process in (pool._processes or {}).values():  # an interrupted round may be long
                process.terminate()
            pool.shutdown(cancel_futures=True)

    def _pool(self, node: int) -> ProcessPoolExecutor:
        if node not in self._pools:
            self._pools[node] = ProcessPoolExecutor(
                1, mp_context=multiprocessing.get_context("spawn"), initializer=_begin, initargs=(self._app, node)
            )
            self._starting.append(self._pools[node].submit(abs, node))
        return self._pools[node]

    def set_run(self, run: Any) -> None:
        """See ``Grid``."""
        self._run = run

    @property
    def run(self) -> Any:
        """See ``Grid``."""
        return self._run

    def create_message(
        self, content: RecordDict, message_type: str, dst_node_id: int, group_id: str, ttl: float | None = None
    ) -> Message:
        """See ``Grid``."""
        return Message(content=content, message_type=message_type, dst_node_id=dst_node_id, group_id=group_id, ttl=ttl)

    def get_node_ids(self) -> Iterable[int]:
        """See ``Grid``."""
        return range(1, self._workers + 1)

    def push_messages(self, messages: Iterable[Message]) -> Iterable[str]:
        """See ``Grid``."""
        names = []
        for message in messages:
            name, node = str(next(self._numbers)), message.metadata.dst_node_id
            self._waiting[name] = message, self._pool(node).submit(_answer, message)
            names.append(name)
        return names

    def pull_messages(self, message_ids: Iterable[str]) -> Iterable[Message]:
        """Those answers that are there; see ``Grid``."""
        ready = [name for name in message_ids if name in self._waiting and self._waiting[name][1].done()]
        return [self._reply(name) for name in ready]

    def send_and_receive(self, messages: Iterable[Message], *, timeout: float | None = None) -> Iterable[Message]:
        """See ``Grid``; there is no limit of time."""
        names = list(self.push_messages(messages))
        for start in as_completed(self._starting):
            if start.exception() is None:  # one that died is told by its answer
                self._ready += 1
                self._started(self._ready)
        self._starting.clear()
        return [self._reply(name) for name in names]

    def _reply(self, name: str) -> Message:
        """The answer of a worker; an error where it raised or died, and then it has a new process next time."""
        message, future = self._waiting.pop(name)
        try:
            return future.result()
        except BrokenProcessPool as error:
            self._pools.pop(message.metadata.dst_node_id).shutdown()
            self._ready -= 1
            problem = str(error)
        except Exception as error:  # whatever the worker's code raises is its answer
            problem = f"{type(error).__name__}: {error}"
        return Message(error=Error(code=_FAILED, reason=problem), reply_to=message)


_state: dict[str, Any] = {}
"""Of a worker's process."""


def _identify(node: int) -> None:
    """Who this process is, as its messages say. Flower's runtimes set it so; its public names have no other way."""
    TaskIdentity.run_id, TaskIdentity.task_id, TaskIdentity.node_id = 0, 0, node


def _begin(app: Callable[[], ClientApp], node: int) -> None:
    _identify(node)
    _state["app"] = app()
    config = {"partition-id": node - 1}
    _state["context"] = Context(run_id=0, node_id=node, node_config=config, state=RecordDict(), run_config={})


def _answer(message: Message) -> Message:
    return _state["app"](message, _state["context"])
