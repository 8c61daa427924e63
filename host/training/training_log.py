# SPDX-License-Identifier: Apache-2.0
"""What a long training tells: lines for people on a console, and JSON lines in a file."""

import json
import sys
import time
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Self, TextIO

__all__ = ["TrainingLog"]


class TrainingLog:
    """Each event is a line of the file, with its name, the time in seconds since 1970 and its values.

    Parameters
    ----------
    path : Path or None
        Of the file, opened at the first event; ``None``: there is none.
    anew : bool
        Whether a file that is already there is replaced, not written on at its end.
    out : TextIO or None
        The console; standard output by default.
    """

    def __init__(self, path: Path | None = None, *, anew: bool = False, out: TextIO | None = None) -> None:
        self._out = out or sys.stdout
        self._path, self._mode = path, "w" if anew else "a"
        self._file: IO[str] | None = None
        self._passing = False

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._end_line()
        if self._file:
            self._file.close()

    def say(self, text: str, *, passing: bool = False) -> None:
        """A line on the console. On a terminal, the next line takes the place of a ``passing`` one."""
        if self._out.isatty():
            self._out.write(f"\r\x1b[K{text}" if passing else f"{self._clear()}{text}\n")
            self._passing = passing
        else:
            self._out.write(f"{text}\n")
        self._out.flush()

    def event(self, name: str, text: str | None = None, *, passing: bool = False, **values: Any) -> None:
        """A line in the file, and one on the console where there is a ``text``."""
        if self._path and not self._file:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            self._file = self._path.open(self._mode)
        if self._file:
            self._file.write(json.dumps({"event": name, "time": round(time.time(), 3), **values}) + "\n")
            self._file.flush()
        if text:
            self.say(text, passing=passing)

    def _clear(self) -> str:
        return "\r\x1b[K" if self._passing else ""

    def _end_line(self) -> None:
        if self._passing:
            self._out.write("\n")
            self._out.flush()
            self._passing = False
