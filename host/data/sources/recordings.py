# SPDX-License-Identifier: Apache-2.0
"""Folders of recordings of events: a folder for each class, in ``train`` and ``test`` or for both together."""

import re
from pathlib import Path
from typing import Any

import numpy as np

from backspike.host.data.raw import Part, RawData, split
from backspike.host.data.sources.event_files import ENDINGS, read_events
from backspike.host.data.sources.labels import numbered

__all__ = ["has_recordings", "read_recordings"]

_SCANNED = 2000
"""Recordings, evenly spread, that are read to find the size of the sensor."""


def has_recordings(folder: Path) -> bool:
    """Whether some folder in this one, or in its ``train``, has files of events."""
    return any(_files(part) for part in (_part(folder, "train"), folder) if part is not None)


def read_recordings(folder: Path, size: str | None = None, classes: tuple[str, ...] | None = None) -> RawData:
    """The recordings of a folder: each is read when it is needed.

    Parameters
    ----------
    folder : Path
        With ``train/CLASS/FILE`` and ``test/CLASS/FILE``, or ``CLASS/FILE``, of which a fifth is for testing.
    size : str or None
        Height and width of the sensor, such as ``"34x34"``; ``None``: those of the events of 2,000 recordings.
    classes : tuple of str or None
        Names of the classes, see ``labels.numbered``.

    Raises
    ------
    ModuleNotFoundError
        A format needs a package.
    ValueError
        A file is not as it should be, or there are none.
    """
    folders = [_part(folder, "train"), _part(folder, "test")]
    if None in folders:
        if any(folders):
            raise ValueError(f"{folder} must have both folders train and test, or folders of classes alone")
        folders = [folder]
    files = [_files(part) for part in folders if part is not None]
    for part, found in zip(folders, files, strict=True):
        if not found:
            raise ValueError(f"{part} must have folders of classes with files *{', *'.join(ENDINGS)}, not none")
    labels, names = numbered([np.array([file.parent.name for file in part]) for part in files], classes, str(folder))
    shape = _given_shape(size) if size else _found_shape([file for part in files for file in part])
    rows = [_Recordings(part, shape) for part in files]
    if len(rows) == 1:
        train, test = split(rows[0], labels[0])
    else:
        train, test = (Part(*pair) for pair in zip(rows, labels, strict=True))
    return RawData(name=folder.resolve().name, kind="events", shape=shape, train=train, test=test, classes=names)


class _Recordings:
    """Rows that are files: an array of objects, each the events of a recording."""

    def __init__(self, files: list[Path], shape: tuple[int, ...]) -> None:
        self._files, self._shape = np.array(files, dtype=object), shape

    def __len__(self) -> int:
        return len(self._files)

    def __getitem__(self, chosen: Any) -> np.ndarray:
        paths = self._files[chosen]
        rows = np.empty(len(paths), dtype=object)
        for place, path in enumerate(paths):
            rows[place] = self._checked(path)
        return rows

    def _checked(self, path: Path) -> np.ndarray:
        events = read_events(path)
        for name, most in zip("pyx", self._shape, strict=True):
            largest = int(events[name].max())
            if largest >= most:
                raise ValueError(
                    f"{name} of {path} must be less than {most}, not {largest}: give the size of the sensor behind the "
                    f"folder, such as FOLDER:34x34"
                )
        return events


def _part(folder: Path, name: str) -> Path | None:
    """The folder ``train`` or ``test``, however it is written."""
    return next((path for path in sorted(folder.iterdir()) if path.is_dir() and path.name.lower() == name), None)


def _files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.glob("*/*") if path.suffix in ENDINGS and path.is_file())


def _given_shape(size: str) -> tuple[int, ...]:
    found = re.fullmatch("([1-9][0-9]*)x([1-9][0-9]*)", size, re.ASCII)
    if not found:
        raise ValueError(f"size of the sensor must be HEIGHTxWIDTH such as 34x34, not {size!r}")
    return 2, int(found[1]), int(found[2])


def _found_shape(files: list[Path]) -> tuple[int, ...]:
    chosen = np.unique(np.linspace(0, len(files) - 1, min(len(files), _SCANNED)).astype(np.int64))
    largest = np.zeros(3, dtype=np.int64)
    for number in chosen:
        events = read_events(files[number])
        largest = np.maximum(largest, [events[name].max() for name in "pyx"])
    return tuple(int(value) + 1 for value in largest)
