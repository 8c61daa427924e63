# SPDX-License-Identifier: Apache-2.0
"""A folder of built programs and objects, which all runs of a user share. It never holds results.

It is ``BACKSPIKE_CACHE`` where that is set, as ``make`` does (``build/cache``); else ``backspike`` in the user's cache
folder. It may be removed at any time.
"""

import contextlib
import fcntl
import os
import shutil
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path

__all__ = ["LIMIT", "cache_folder", "held", "keep"]

LIMIT = 1 << 30
"""Bytes that the folder holds at most; what has not been used for longest goes first."""


def cache_folder() -> Path:
    """Path of the folder; made if it is not there."""
    user = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    folder = Path(os.environ.get("BACKSPIKE_CACHE") or Path(user) / "backspike").resolve()
    folder.mkdir(parents=True, exist_ok=True)
    return folder


@contextlib.contextmanager
def held(name: str) -> Iterator[Path]:
    """The path of an entry, which no other process uses, fills or removes while the context lasts.

    Parameters
    ----------
    name : str
        Names everything that the entry's contents depend on.

    Returns
    -------
    context manager of Path
        A folder, where :func:`keep` has been called for the name; else there is nothing at the path.
    """
    path = cache_folder() / name
    with path.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if path.is_dir():
            os.utime(path)
        yield path


def keep(path: Path, files: Iterable[Path]) -> None:
    """Copy files into an entry that is held and is not there yet; old entries go where all need too much room.

    Parameters
    ----------
    path : Path
        From :func:`held`.
    files : iterable of Path
    """
    partial = Path(tempfile.mkdtemp(prefix="partial-", dir=path.parent))
    for file in files:
        shutil.copy2(file, partial / file.name)
    with contextlib.suppress(OSError):  # somebody has removed the lock, and another has filled the entry
        partial.rename(path)
    shutil.rmtree(partial, ignore_errors=True)
    _trim(path)


def _trim(newest: Path) -> None:
    """Remove entries that nobody holds, the oldest first, until the rest is small enough."""
    entries = sorted(newest.parent.glob("*/"), key=lambda entry: entry.stat().st_mtime)
    sizes = {entry: sum(file.stat().st_size for file in entry.iterdir()) for entry in entries}
    excess = sum(sizes.values()) - LIMIT
    for entry in entries:
        if excess <= 0:
            return
        with entry.with_suffix(".lock").open("w") as lock, contextlib.suppress(BlockingIOError):
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            shutil.rmtree(entry)
            Path(lock.name).unlink()
            excess -= sizes[entry]
