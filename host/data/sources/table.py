# SPDX-License-Identifier: Apache-2.0
"""Tables of numbers with a column of classes, in CSV files."""

import csv
from pathlib import Path

import numpy as np

from backspike.host.data.raw import Part, RawData, split
from backspike.host.data.sources.labels import numbered

__all__ = ["LABELS", "TABLES", "read_table"]

LABELS = ("label", "class", "target")
"""Names of the column of classes, where none is given; where there is none of them it is the last one."""

TABLES = "train.csv", "test.csv"
"""Files of a folder of tables."""


def read_table(path: Path, column: str | None = None, classes: tuple[str, ...] | None = None) -> RawData:
    """The rows of a CSV file, a fifth of them for testing, or of ``train.csv`` and ``test.csv`` of a folder.

    Parameters
    ----------
    path : Path
        Of the file, whose first line has the names of the columns, or of the folder.
    column : str or None
        The column of classes; ``None``: one of ``LABELS``, else the last one.
    classes : tuple of str or None
        Names of the classes, see ``labels.numbered``.

    Raises
    ------
    FileNotFoundError
        A file is missing.
    ValueError
        A line is not as it should be; the message names it.
    """
    paths = [path / name for name in TABLES] if path.is_dir() else [path]
    tables = [_read(one, column) for one in paths]
    for one, (columns, _, _) in zip(paths[1:], tables[1:], strict=True):
        if columns != tables[0][0]:
            raise ValueError(f"{one} must have the columns {', '.join(tables[0][0])}, not {', '.join(columns)}")
    labels, names = numbered([np.array(words) for _, _, words in tables], classes, str(path))
    if len(tables) == 1:
        train, test = split(tables[0][1], labels[0])
    else:
        train, test = (Part(values, part) for (_, values, _), part in zip(tables, labels, strict=True))
    shape = tables[0][1].shape[1:]
    return RawData(name=path.resolve().stem, kind="values", shape=shape, train=train, test=test, classes=names)


def _read(path: Path, column: str | None) -> tuple[list[str], np.ndarray, list[str]]:
    """Names of the columns of numbers, the numbers [rows, columns], and the words of the classes."""
    if not path.is_file():
        raise FileNotFoundError(f"{path} is not a file")
    try:
        text = path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise ValueError(f"{path} must be text in UTF-8: {error}") from None
    first = text.partition("\n")[0]
    delimiter = max(",;\t", key=first.count)
    reader = csv.reader(text.splitlines(), delimiter=delimiter)
    header = [name.strip() for name in next(reader, [])]
    place = _label_place(path, header, column)
    values: list[list[float]] = []
    words: list[str] = []
    for row in reader:
        if not row:
            continue
        if len(row) != len(header):
            raise ValueError(f"line {reader.line_num} of {path} must have {len(header)} values, not {len(row)}")
        words.append(row.pop(place).strip())
        if not words[-1]:
            raise ValueError(f"line {reader.line_num} of {path} must have a class in the column {header[place]!r}")
        values.append([_number(path, reader.line_num, word) for word in row])
    if not values:
        raise ValueError(f"{path} must have rows of numbers, not a header alone")
    header.pop(place)
    return header, np.array(values), words


def _label_place(path: Path, header: list[str], column: str | None) -> int:
    if len(header) < 2:
        raise ValueError(f"{path} must begin with the names of two columns or more, joined by commas")
    if any(_is_number(name) for name in header):
        raise ValueError(f"{path} must begin with the names of the columns, not with numbers")
    if column is not None:
        if column not in header:
            raise ValueError(f"column of {path} must be one of {', '.join(header)}, not {column!r}")
        return header.index(column)
    lower = [name.lower() for name in header]
    return next((lower.index(name) for name in LABELS if name in lower), len(header) - 1)


def _is_number(word: str) -> bool:
    try:
        float(word)
    except ValueError:
        return False
    return True


def _number(path: Path, line: int, word: str) -> float:
    if not _is_number(word) or not np.isfinite(float(word)):
        raise ValueError(f"line {line} of {path} must have finite numbers, not {word.strip()!r}")
    return float(word)
