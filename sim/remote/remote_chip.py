# SPDX-License-Identifier: Apache-2.0
"""A simulated chip for programs that train on a ``Chip``, whatever the way to it."""

import contextlib
import tempfile
import threading
import time
from collections.abc import Iterator
from multiprocessing.connection import Connection, Listener
from pathlib import Path
from typing import Any

from backspike.host.driver.operation import Operation
from backspike.hw.verilog.emit import CHIP_MODULE, TILE_MODULE, emit_chip
from backspike.sim.verilator.runner import build, run
from backspike.spec.config import ChipConfig

__all__ = ["RemoteChip", "remote_chip"]

_PATIENCE = 120.0  # seconds until a simulation must have begun


class RemoteChip:
    """A ``Chip`` in a simulation.

    Parameters
    ----------
    config : ChipConfig
        What the chip is.
    connection : Connection
        To the bench of the simulation.
    """

    def __init__(self, config: ChipConfig, connection: Connection) -> None:
        self.config, self._connection = config, connection

    def run(self, operation: Operation) -> Any:
        """Run an operation of the driver to its end; returns its result.

        Raises ``TimeoutError`` where the chip does not answer, ``RuntimeError`` where the simulation has ended.
        """
        try:
            while not operation.done:
                words = operation.next_packet()
                if words is not None:
                    self._connection.send(list(words))
                    continue
                self._connection.send(None)
                reply = self._connection.recv()
                if reply is None:
                    raise TimeoutError(f"{operation.name}: no packet; waiting for {operation.waiting_for()}")
                operation.receive(reply)
        except (EOFError, BrokenPipeError, ConnectionResetError):
            raise RuntimeError("the simulation of the chip has ended") from None
        return operation.result


@contextlib.contextmanager
def remote_chip(config: ChipConfig, *, seed: int = 1) -> Iterator[RemoteChip]:
    """A simulation of a chip that runs while the context lasts; it is built before, or taken from the cache.

    Parameters
    ----------
    config : ChipConfig
        The chip.
    seed : int
        Of what memories and registers hold at first.

    Raises
    ------
    RuntimeError
        A tool failed, or the simulation ended by itself.
    """
    with tempfile.TemporaryDirectory(prefix="backspike-") as name:
        folder = Path(name)
        sources = [path for path in emit_chip(config, folder / "verilog") if path.suffix != ".json"]
        built = build(sources, CHIP_MODULE, folder / "build", blocks=(TILE_MODULE,))
        problem: list[RuntimeError] = []

        def simulate() -> None:
            try:
                env = {"BACKSPIKE_REMOTE": str(folder / "socket")}
                run(built, "backspike.sim.remote.bench_remote_chip", seed=seed, env=env, limit=None, quiet=True)
            except RuntimeError as error:
                problem.append(error)

        with Listener(str(folder / "socket"), family="AF_UNIX") as listener:
            thread = threading.Thread(target=simulate, daemon=True)
            thread.start()
            try:
                with _accepted(listener, problem) as connection:
                    yield RemoteChip(config, connection)
            finally:
                thread.join()
        if problem:
            raise problem[0]


def _accepted(listener: Listener, problem: list[RuntimeError]) -> Connection:
    """The connection of the bench; ``RuntimeError`` where the simulation ends before it comes."""
    found: list[Connection] = []
    threading.Thread(target=lambda: found.append(listener.accept()), daemon=True).start()
    end = time.monotonic() + _PATIENCE
    while not found:
        if problem:
            raise problem[0]
        if time.monotonic() > end:
            raise RuntimeError(f"the simulation of the chip must begin within {_PATIENCE:g} s")
        time.sleep(0.02)
    return found[0]
