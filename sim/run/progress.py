# SPDX-License-Identifier: Apache-2.0
"""Progress of long work: bars on a terminal, lines elsewhere."""

import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NoReturn

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

__all__ = ["Reporter", "followed"]


class _Console(Console):
    """Leaves it to the command what happens where nobody reads its output any more."""

    def on_broken_pipe(self) -> NoReturn:
        raise BrokenPipeError


class Reporter:
    """Says what is being done, and how far it is.

    Parameters
    ----------
    console : Console or None
        A rich ``Console``; standard output by default.
    """

    def __init__(self, console: Console | None = None) -> None:
        self.console = console or _Console(highlight=False)
        self.seconds: dict[str, float] = {}

    @contextmanager
    def stage(self, text: str) -> Iterator[Callable[..., None]]:
        """A piece of work, with its seconds when it is done; yields ``update(done, total, note)``."""
        started = time.monotonic()
        if self.console.is_terminal:
            columns = (
                SpinnerColumn(),
                TextColumn("{task.description}"),
                BarColumn(),
                MofNCompleteColumn(),
                TextColumn("{task.fields[note]}"),
                TimeElapsedColumn(),
            )
            with Progress(*columns, console=self.console, transient=True) as bar:
                task = bar.add_task(text, total=None, note="")
                yield lambda done, total, note="": bar.update(task, completed=done, total=total, note=note)
        else:
            self.console.print(f"{text} ...")
            yield _Lines(self.console)
        self.seconds[text] = round(time.monotonic() - started, 1)
        self.console.print(f"{text}: {self.seconds[text]:.1f} s")


class _Lines:
    """Prints a line at each tenth of the work."""

    def __init__(self, console: Console) -> None:
        self.console = console
        self.last: tuple[int, int] | None = None

    def __call__(self, done: int, total: int, note: str = "") -> None:
        tenth = (total, 10 * done // max(total, 1))
        if done and tenth != self.last:
            self.last = tenth
            self.console.print(f"  {done}/{total} {note}".rstrip())


@contextmanager
def followed(path: Path, show: Callable[..., None]) -> Iterator[None]:
    """While the body runs, call ``show(**record)`` for each JSON line that appears in a file."""
    path.unlink(missing_ok=True)
    ended = threading.Event()

    def follow() -> None:
        position = 0
        while True:
            last_look = ended.is_set()
            if path.is_file():
                with path.open() as file:
                    file.seek(position)
                    while (line := file.readline()).endswith("\n"):
                        position = file.tell()
                        show(**json.loads(line))
            if last_look:
                return
            ended.wait(0.2)

    thread = threading.Thread(target=follow, daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()
