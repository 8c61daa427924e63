# SPDX-License-Identifier: Apache-2.0
"""Where a command writes to: checked before any work is done, and held, so that no other run uses it meanwhile."""

import json
import os
import re
from argparse import Namespace
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

try:
    import fcntl
except ModuleNotFoundError:  # not a Unix: nothing is held there
    _LOCKS = False
else:
    _LOCKS = True

__all__ = ["check_file", "check_files", "claimed", "output_folder", "why_not", "write_json"]

_HOSTILE = re.compile(r"[^\w./+,@=~^-]")
"""What make, which builds simulations, does not take in a path."""


@contextmanager
def output_folder(path: Path, *, builds: bool = False) -> Iterator[Path]:
    """The absolute path of a folder, made where it is not there; it belongs to this process while the context lasts.

    Parameters
    ----------
    path : Path
        As it was given.
    builds : bool
        Whether a simulation is built in it.

    Raises
    ------
    ValueError
        Make does not take the path.
    OSError
        It cannot be written, or belongs to another process.
    """
    folder = path.resolve()
    if builds and (found := _HOSTILE.search(str(folder))):
        example = Path("/tmp" if _HOSTILE.search(os.getcwd()) else "build", _HOSTILE.sub("_", path.name) or "run")
        raise ValueError(
            f"output must be a path without {found[0]!r}, with which make cannot build, not {str(folder)!r}: use "
            f"--output={example}"
        )
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock = os.open(folder / ".lock", os.O_RDWR | os.O_CREAT)
    except OSError as error:
        raise OSError(f"output must be a folder that can be written, not {str(path)!r}: {why_not(error)}") from None
    os.close(lock)
    with claimed(folder / ".lock", f"output {str(path)!r}"):
        yield folder


def check_file(option: str, path: Path) -> None:
    """Make the folder of a file; ``OSError`` where the file cannot be written."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        there = path.exists()
        path.open("ab").close()
        if not there:
            path.unlink()
    except OSError as error:
        raise OSError(f"{option} must be a file that can be written, not {str(path)!r}: {why_not(error)}") from None


def check_files(arguments: Namespace, *options: str) -> None:
    """The same of options that may not be given, before any work is done."""
    for option in options:
        if (path := getattr(arguments, option)) is not None:
            check_file(option, path)


def write_json(path: Path, values: Any) -> None:
    """Write what a command has shown to a file that has been checked."""
    path.write_text(json.dumps(values, indent=2) + "\n")


def why_not(error: OSError) -> str:
    """Why something cannot be written, in words."""
    return "a file is in its place" if isinstance(error, FileExistsError | NotADirectoryError) else str(error.strerror)


@contextmanager
def claimed(lock: Path, what: str) -> Iterator[None]:
    """Hold a lock file, which is removed at the end; the system lets go of it where the process crashes.

    Parameters
    ----------
    lock : Path
        Path of the file; its folder is there.
    what : str
        Is held, in words.

    Raises
    ------
    BlockingIOError
        Another process holds it; the message names it.
    """
    if not _LOCKS:
        yield
        return
    while True:
        descriptor = os.open(lock, os.O_RDWR | os.O_CREAT, 0o666)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if lock.exists() and os.path.samestat(os.fstat(descriptor), lock.stat()):
                break
        except BlockingIOError:
            holder = os.read(descriptor, 20).decode().strip()
            os.close(descriptor)
            raise BlockingIOError(
                f"{what} must be free, but process {holder or '(just started)'} is at work there: wait for it, or use "
                f"another one"
            ) from None
        os.close(descriptor)  # whoever held it has removed the file: there is, or will be, another one
    try:
        os.ftruncate(descriptor, 0)
        os.write(descriptor, str(os.getpid()).encode())
        yield
    finally:
        lock.unlink(missing_ok=True)
        os.close(descriptor)
