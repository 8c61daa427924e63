# SPDX-License-Identifier: Apache-2.0
"""Time series in files of the format ts, which aeon and sktime have: ``NAME_TRAIN.ts`` and ``NAME_TEST.ts``."""

from pathlib import Path

import numpy as np

from backspike.host.data.raw import Part, RawData
from backspike.host.data.sources.labels import numbered

__all__ = ["find_pair", "read_series"]

_ENDS = "_TRAIN.ts", "_TEST.ts"


def find_pair(path: Path) -> tuple[Path, Path] | None:
    """Both files, of a folder that holds one pair of them, or of the path of one; ``None`` where there are none."""
    if path.is_dir():
        found = sorted(path.glob(f"*{_ENDS[0]}"))
        if len(found) > 1:
            raise ValueError(f"{path} must have one file *{_ENDS[0]}, not {len(found)}: name one, such as {found[0]}")
        stem = str(found[0]).removesuffix(_ENDS[0]) if found else None
    else:
        stem = next((str(path).removesuffix(end) for end in _ENDS if path.name.endswith(end)), None)
    return None if stem is None else (Path(stem + _ENDS[0]), Path(stem + _ENDS[1]))


def read_series(train: Path, test: Path, classes: tuple[str, ...] | None = None) -> RawData:
    """The series of two files, of any lengths; a value that is missing, ``?``, is as one behind the end.

    Parameters
    ----------
    train, test : Path
        Of the two files.
    classes : tuple of str or None
        Names of the classes, see ``labels.numbered``; ``None``: those in the file's line ``@classLabel``.

    Raises
    ------
    FileNotFoundError
        A file is missing.
    ValueError
        A line is not as it should be.
    """
    parts = [_read(path) for path in (train, test)]
    channels = len(parts[0][0][0])
    longest = max(sample.shape[1] for samples, _, _ in parts for sample in samples)
    for path, (samples, _, _) in zip((train, test), parts, strict=True):
        wrong = next((number for number, sample in enumerate(samples) if len(sample) != channels), None)
        if wrong is not None:
            raise ValueError(f"series {wrong + 1} of {path} must have {channels} channels, not {len(samples[wrong])}")
    name = train.name.removesuffix(_ENDS[0])
    labels, names = numbered([np.array(words) for _, words, _ in parts], classes or parts[0][2], name)
    rows = [_padded(samples, longest) for samples, _, _ in parts]
    return RawData(
        name=name,
        kind="series",
        shape=(channels,),
        train=Part(rows[0], labels[0]),
        test=Part(rows[1], labels[1]),
        classes=names,
        length=longest,
    )


def _read(path: Path) -> tuple[list[np.ndarray], list[str], tuple[str, ...] | None]:
    """Samples [channels, length] of a file, the names of their classes, and those of all classes if it has them."""
    if not path.is_file():
        raise FileNotFoundError(f"{path} is not a file")
    samples, words, classes = [], [], None
    for number, line in enumerate(path.read_text(encoding="utf-8-sig").splitlines(), start=1):
        text = line.strip()
        if text.lower().startswith("@classlabel"):
            classes = tuple(text.split()[2:]) or None
        if text.lower().startswith("@timestamps true"):
            raise ValueError(f"{path} must have values alone, not time stamps (line {number})")
        if not text or text[0] in "#@":
            continue
        *channels, word = text.split(":")
        try:
            values = [[np.nan if value == "?" else float(value) for value in part.split(",")] for part in channels]
        except ValueError as error:
            raise ValueError(f"line {number} of {path} must be numbers joined by commas: {error}") from None
        if not values or len({len(channel) for channel in values}) > 1:
            raise ValueError(f"line {number} of {path} must have channels of one length, then :CLASS")
        if np.isinf(values).any():
            raise ValueError(f"line {number} of {path} must have finite numbers")
        samples.append(np.array(values))
        words.append(word.strip())
    if not samples:
        raise ValueError(f"{path} must have series, not none")
    return samples, words, classes


def _padded(samples: list[np.ndarray], length: int) -> np.ndarray:
    """Series of one length [samples, length, channels], not a number behind their ends."""
    result = np.full((len(samples), length, len(samples[0])), np.nan)
    for row, sample in zip(result, samples, strict=True):
        row[: sample.shape[1]] = sample.T
    return result
