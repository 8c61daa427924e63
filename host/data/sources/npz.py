# SPDX-License-Identifier: Apache-2.0
"""Arrays in an npz file: values, series or spikes, with labels."""

from pathlib import Path
from typing import Literal

import numpy as np

from backspike.host.data.raw import Part, RawData, split
from backspike.host.data.sources.labels import check_classes, numbered
from backspike.host.data.sources.mapped_npz import read_npz

__all__ = ["read_arrays"]

_KEYS = (
    "KIND_train, labels_train, KIND_test, labels_test, or KIND and labels, where KIND is values, series or spikes, and "
    "classes if need be"
)
_ALIASES = {"x": "values", "y": "labels"}
_DIMENSIONS = {"values": (2, 3, 4), "series": (2, 3, 5), "spikes": (3, 4, 5)}
_CHUNK = 4096


def read_arrays(path: Path, classes: tuple[str, ...] | None = None) -> RawData:
    """The samples of an npz file; docs/data.md has its keys and shapes. Files that are not compressed are mapped.

    Parameters
    ----------
    path : Path
        Of the file.
    classes : tuple of str or None
        Names of the classes, see ``labels.numbered``; ``None``: those in the file, if it has them.

    Raises
    ------
    FileNotFoundError
        There is no such file.
    TypeError, ValueError
        Keys, shapes, kinds or values are not as they should be; the message names the array.
    """
    given = read_npz(path)
    arrays = {_key(name): array for name, array in given.items()}
    if len(arrays) < len(given):
        raise ValueError(f"{path} must have the arrays {_KEYS}, not {', '.join(given)}")
    if classes is None and "classes" in arrays:
        classes = check_classes([str(name) for name in arrays["classes"].reshape(-1)])
    arrays.pop("classes", None)
    kind, ends = _kind(path, arrays)
    rows = [_rows(path, kind, kind + end, arrays[kind + end]) for end in ends]
    labels = [arrays["labels" + end] for end in ends]
    for end, part, own in zip(ends, rows, labels, strict=True):
        if own.shape != (len(part),):
            raise ValueError(
                f"labels{end} of {path} must be [{len(part)}], one for each of {kind}{end}, not {list(own.shape)}"
            )
    if rows[0].shape[1:] != rows[-1].shape[1:]:
        raise ValueError(
            f"{kind}_test of {path} must be [samples, {', '.join(map(str, rows[0].shape[1:]))}] as {kind}_train, not "
            f"{list(rows[-1].shape)}"
        )
    numbers, names = numbered(labels, classes, str(path))
    parts = split(rows[0], numbers[0]) if len(rows) == 1 else [Part(*pair) for pair in zip(rows, numbers, strict=True)]
    inner = rows[0].shape[1:] if kind == "values" else rows[0].shape[2:]
    return RawData(
        name=path.resolve().stem,
        kind=kind,
        shape=(1, *inner) if len(inner) == 2 else inner,
        train=parts[0],
        test=parts[1],
        classes=names,
        length=1 if kind == "values" else rows[0].shape[1],
        full=_full(kind, rows),
    )


def _key(name: str) -> str:
    """``values_train`` for Keras' ``x_train``, and so on."""
    first, *rest = name.split("_")
    return "_".join((_ALIASES.get(first, first), *rest))


def _kind(path: Path, arrays: dict[str, np.ndarray]) -> tuple[Literal["values", "series", "spikes"], tuple[str, ...]]:
    """What the arrays hold, and the ends of their names."""
    kinds: tuple[Literal["values", "series", "spikes"], ...] = ("values", "series", "spikes")
    for kind in kinds:
        for ends in (("_train", "_test"), ("",)):
            if arrays.keys() == {f"{name}{end}" for name in (kind, "labels") for end in ends}:
                return kind, ends
    raise ValueError(f"{path} must have the arrays {_KEYS}, not {', '.join(arrays) or 'none'}")


def _rows(path: Path, kind: str, name: str, array: np.ndarray) -> np.ndarray:
    """The array, with a channel where a series has none; an error where it is none of the kind."""
    if array.dtype.kind not in "fiub":
        raise TypeError(f"{name} of {path} must be numbers, not {array.dtype}")
    if array.ndim not in _DIMENSIONS[kind]:
        raise ValueError(
            f"{name} of {path} must have {' or '.join(map(str, _DIMENSIONS[kind]))} dimensions, not "
            f"{array.ndim}: {list(array.shape)}"
        )
    if not array.size:
        raise ValueError(f"{name} of {path} must not be empty, but it is {list(array.shape)}")
    for start in range(0, len(array), _CHUNK):
        part = array[start : start + _CHUNK]
        if kind == "spikes" and part.dtype != np.bool_ and not np.isin(part, (0, 1)).all():
            raise ValueError(f"{name} of {path} must be 0 or 1, not {part[~np.isin(part, (0, 1))][0]!s}")
        if part.dtype.kind == "f" and kind != "spikes":
            bad = ~np.isfinite(part) if kind == "values" else np.isinf(part)
            if bad.any():
                raise ValueError(
                    f"{name} of {path} must be finite, not {part[bad][0]!s} in row {start + np.argwhere(bad)[0][0]}"
                )
    return array[:, :, np.newaxis] if kind == "series" and array.ndim == 2 else array


def _full(kind: str, rows: list[np.ndarray]) -> float | None:
    """What stands for 1: the largest value of bytes and bits, 1 where all real numbers are from 0 to 1."""
    if kind == "spikes":
        return None
    if all(part.dtype == np.uint8 for part in rows):
        return 255.0
    if all(part.dtype == np.bool_ for part in rows):
        return 1.0
    if kind == "values" and all(part.dtype.kind == "f" for part in rows):
        bounds = [
            bound
            for part in rows
            for start in range(0, len(part), _CHUNK)
            for bound in (part[start : start + _CHUNK].min(), part[start : start + _CHUNK].max())
        ]
        return 1.0 if min(bounds) >= 0 and max(bounds) <= 1 else None
    return None
