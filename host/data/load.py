# SPDX-License-Identifier: Apache-2.0
"""Data by the name of what is bundled, or by the path of files."""

from pathlib import Path

from backspike.host.data.arrays import arrays_named
from backspike.host.data.dataset import Dataset
from backspike.host.data.encode import encode_data
from backspike.host.data.raw import RawData
from backspike.host.data.sources import idx
from backspike.host.data.sources.bundled import BUNDLED
from backspike.host.data.sources.series import find_pair, read_series

__all__ = ["load", "read"]


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
        ``"digits"``, ``"mnist5k"``, the path of a folder, or the name of arrays.
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
    path = Path(source)
    if pair := find_pair(path):
        return read_series(*pair, classes)
    if path.is_dir():
        return idx.read_folder(path, classes)
    raise FileNotFoundError(
        f"data must be 'digits', 'mnist5k', a folder of IDX files, or files NAME_TRAIN.ts and NAME_TEST.ts, not "
        f"{str(source)!r}"
    )
