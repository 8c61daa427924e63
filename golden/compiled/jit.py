# SPDX-License-Identifier: Apache-2.0
"""How functions are compiled, and where the machine code is kept: a folder of the user, whoever installed the program.

The name of the folder holds a digest of all sources here, as numba itself does not notice when a function that another
one calls has changed. It may be removed at any time.
"""

import hashlib
import os
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import numba
from numba.core import config, event

__all__ = ["compiled", "fused", "machine_code"]

_Function = TypeVar("_Function", bound=Callable[..., Any])


def _folder() -> Path:
    """Where machine code is kept; a folder for this process alone where none can be written."""
    user = os.environ.get("XDG_CACHE_HOME") or Path("~/.cache").expanduser()
    sources = b"".join(path.read_bytes() for path in sorted(Path(__file__).parent.glob("*.py")))
    top = Path(os.environ.get("BACKSPIKE_CACHE") or Path(user) / "backspike").resolve()
    folder = top / f"golden-{hashlib.sha256(sources).hexdigest()[:12]}"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            return folder
    except OSError:
        return Path(tempfile.mkdtemp(prefix="backspike-"))


machine_code = _folder()
"""The folder that machine code of this process is read from and written to."""


class _Announcer(event.Listener):
    """Says once that functions of ours are being compiled, as that takes seconds in which nothing else happens."""

    def __init__(self) -> None:
        self._said = False

    def on_start(self, event: Any) -> None:
        ours = event.data["dispatcher"].py_func.__module__.startswith(__package__)
        if ours and not self._said:
            self._said = True
            text = f"compiling the loops of the golden model, once; kept in {machine_code}"
            print(text, file=sys.stderr, flush=True)

    def on_end(self, event: Any) -> None:
        pass


event.register("numba:compile", _Announcer())


def compiled(function: _Function) -> _Function:
    """The function in machine code, made at its first call and kept."""
    return _compiled(function, set())


def fused(function: _Function) -> _Function:
    """As ``compiled``, for a function whose results are all exact: a product and a sum may be one instruction."""
    return _compiled(function, {"contract"})


def _compiled(function: _Function, fastmath: set[str]) -> _Function:
    before, config.CACHE_DIR = config.CACHE_DIR, str(machine_code)
    try:
        return numba.njit(cache=True, error_model="numpy", nogil=True, fastmath=fastmath)(function)
    finally:
        config.CACHE_DIR = before
