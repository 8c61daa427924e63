# SPDX-License-Identifier: Apache-2.0
"""Data by the name of what is bundled, or by the path of files."""

from pathlib import Path

from backspike.host.data.arrays import arrays_named
from backspike.host.data.dataset import Dataset
from backspike.host.data.encode import encode_data
from backspike.host.data.raw import RawData
from backspike.host.data.sources import idx
from backspike.host.data.sources.bundled import BUNDLED
from backspike.host.data.sources.labels import are_numbers
from backspike.host.data.sources.npz import read_arrays
from backspike.host.data.sources.recordings import has_recordings, read_recordings
from backspike.host.data.sources.series import find_pair, read_series
from backspike.host.data.sources.table import TABLES, read_table

__all__ = ["absolute", "check_words", "load", "read"]

_SOURCES = (
    "'digits', 'mnist5k', FILE.npz, FILE.csv, NAME_TRAIN.ts, or a folder of IDX files, of train.csv and test.csv, or "
    "of recordings of events"
)


def load(
    source: Path | str, steps: int = 4, *, encoder: str | None = None, classes: tuple[str, ...] | None = None
) -> Dataset:
    """The data as inputs of a network; the parameters are those of ``read`` and of ``encode_data``."""
    return encode_data(read(source, classes), steps, encoder)


def read(source: Path | str, classes: tuple[str, ...] | None = None) -> RawData:
    """The data of a source.

    Parameters
    ----------
    source : Path or str
        ``"digits"``, ``"mnist5k"``, the name of arrays, or a path; docs/data.md has the formats. Behind a colon, the
        column of the classes in a CSV file, or height and width of the sensor of a folder of events.
    classes : tuple of str or None
        Names of the classes; ``None``: those of the source.

    Raises
    ------
    OSError
        There is no such source, or a file is missing.
    ValueError
        The files are not as they should be.
    """
    if (arrays := arrays_named(str(source))) is not None:
        return arrays
    if source in BUNDLED:
        return BUNDLED[str(source)](classes)
    return _read_path(source, classes)


def check_words(source: Path | str, classes: tuple[str, ...]) -> None:
    """``ValueError`` where a class of other data is a word, but none of those that a network has learned."""
    own = read(source).classes
    for word in () if are_numbers(own) else own:
        if word not in classes:
            raise ValueError(
                f"data must have the classes {', '.join(classes)}, which the network has learned, not {word!r}, which "
                f"{str(source)!r} has"
            )


def _read_path(source: Path | str, classes: tuple[str, ...] | None) -> RawData:
    path, behind = _path(source)
    if behind is not None and not (path.is_dir() or path.suffix == ".csv"):
        raise ValueError(
            f"data must have {behind!r} behind a CSV file or a folder of events alone, not {str(source)!r}"
        )
    if pair := find_pair(path):
        return read_series(*pair, classes)
    if path.suffix == ".csv" or (path / TABLES[0]).is_file():
        return read_table(path, behind, classes)
    if path.suffix == ".npz":
        return read_arrays(path, classes)
    if not path.is_dir():
        raise FileNotFoundError(f"data must be {_SOURCES}, not {str(source)!r}")
    if has_recordings(path):
        return read_recordings(path, behind, classes)
    return idx.read_folder(path, classes)


def absolute(source: str) -> str:
    """The source with the whole path, if it has one."""
    path, behind = _path(source)
    return (
        source
        if source in BUNDLED or not path.exists()
        else str(path.resolve()) + ("" if behind is None else f":{behind}")
    )


def _path(source: Path | str) -> tuple[Path, str | None]:
    """The path, and what stands behind its last colon unless it is part of it."""
    text = str(source)
    first, colon, behind = text.rpartition(":")
    return (Path(first), behind) if colon and not Path(text).exists() and Path(first).exists() else (Path(text), None)
