# SPDX-License-Identifier: Apache-2.0
"""Recordings of events, one a file: N-MNIST's, numpy's, and those of event cameras with the package expelliarmus."""

from pathlib import Path
from typing import Any

import numpy as np

__all__ = ["ENDINGS", "EVENT", "read_events"]

EVENT = np.dtype([("x", np.int64), ("y", np.int64), ("t", np.int64), ("p", np.int64)])
"""An event: column, row, time in any unit, polarity 0 or 1."""

ENDINGS = (".bin", ".npy", ".npz", ".dat", ".raw")
"""Of files that can be read."""


def read_events(path: Path) -> np.ndarray:
    """The events of a file, in the order of time.

    Raises
    ------
    ModuleNotFoundError
        Its format needs the package expelliarmus.
    ValueError
        The file is damaged, empty, or not of events.
    """
    reader = {".bin": _nmnist, ".npy": _npy, ".npz": _npz}.get(path.suffix, _camera)
    events = reader(path)
    if not len(events):
        raise ValueError(f"{path} must have events, not none")
    for name, most in (("x", None), ("y", None), ("p", 1)):
        low, high = int(events[name].min()), int(events[name].max())
        if low < 0 or (most is not None and high > most):
            wrong = low if low < 0 else high
            raise ValueError(f"{name} of {path} must be {'0 or 1' if most else 'at least 0'}, not {wrong}")
    return events[np.argsort(events["t"], kind="stable")]


def _nmnist(path: Path) -> np.ndarray:
    """Forty bits an event: x, y, a bit of polarity, and a time of 23 bits in microseconds."""
    content = np.fromfile(path, dtype=np.uint8)
    if len(content) % 5:
        raise ValueError(f"{path} must have five bytes for each event, not {len(content)} bytes in all")
    rows = content.reshape(-1, 5).astype(np.int64)
    time = (rows[:, 2] & 127) << 16 | rows[:, 3] << 8 | rows[:, 4]
    return _joined(path, {"x": rows[:, 0], "y": rows[:, 1], "t": time, "p": rows[:, 2] >> 7})


def _npy(path: Path) -> np.ndarray:
    array = _loaded(path)
    if array.dtype.names is None:
        raise ValueError(f"{path} must have the fields x, y, t, p, not {array.dtype}")
    return _joined(path, {name: array[name] for name in array.dtype.names})


def _npz(path: Path) -> np.ndarray:
    with _loaded(path) as content:
        return _joined(path, {name: content[name] for name in content.files})


def _loaded(path: Path) -> Any:
    try:
        return np.load(path, allow_pickle=False)
    except (ValueError, EOFError, OSError) as error:
        raise ValueError(f"{path} is damaged: {error}") from None


def _camera(path: Path) -> np.ndarray:
    """The formats DAT, EVT2 and EVT3, the last two by what their header says."""
    try:
        from expelliarmus import Wizard  # noqa: PLC0415 - an optional package
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(
            f"{path} needs the package expelliarmus (pip install expelliarmus): {error}"
        ) from None
    with path.open("rb") as file:
        start = file.read(4096).lower()
    encoding = "dat" if path.suffix == ".dat" else "evt3" if b"evt 3" in start else "evt2"
    try:
        array = Wizard(encoding=encoding).read(str(path))
    except (ValueError, RuntimeError, OSError) as error:
        raise ValueError(f"{path} is damaged: {error}") from None
    return _joined(path, {name: array[name] for name in ("x", "y", "t", "p")})


def _joined(path: Path, fields: dict[str, np.ndarray]) -> np.ndarray:
    """Events of arrays x and t, and of y and p, which are 0 if they are not there; polarities may be -1 and 1."""
    unknown = sorted(fields.keys() - set(EVENT.names or ()))
    if unknown or not {"x", "t"} <= fields.keys():
        raise ValueError(f"{path} must have x and t, and y and p if need be, not {', '.join(fields)}")
    count = len(fields["x"])
    events = np.zeros(count, dtype=EVENT)
    for name, array in fields.items():
        if array.shape != (count,):
            raise ValueError(f"{name} of {path} must be [{count}] as x, not {list(array.shape)}")
        if array.dtype.kind not in "iub" and not (array.dtype.kind == "f" and name == "t" and np.isfinite(array).all()):
            raise ValueError(f"{name} of {path} must be integers, not {array.dtype}")
        # Times in seconds are real numbers: whole nanoseconds keep their order
        events[name] = np.rint(array * 1e9) if array.dtype.kind == "f" else array
    if events["p"].min(initial=0) == -1:
        events["p"] = events["p"] > 0
    return events
