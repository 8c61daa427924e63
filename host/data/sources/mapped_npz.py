# SPDX-License-Identifier: Apache-2.0
"""Arrays of an npz file, mapped where the file is not compressed: numpy itself reads them whole."""

import struct
import zipfile
from pathlib import Path

import numpy as np

__all__ = ["read_npz"]

_LOCAL_HEADER = 30
"""Bytes of a zip file's local header, at whose end are the lengths of the name and the extra field behind it."""


def read_npz(path: Path) -> dict[str, np.ndarray]:
    """The arrays by name; ``ValueError`` where the file is not whole, or holds Python objects."""
    if not path.is_file():
        raise FileNotFoundError(f"{path} is not a file")
    try:
        with zipfile.ZipFile(path) as archive, np.load(path, allow_pickle=False) as content:
            members = {name.removesuffix(".npy"): archive.getinfo(name) for name in archive.namelist()}
            arrays = {}
            for name, member in members.items():
                mapped = _mapped(path, member) if member.compress_type == zipfile.ZIP_STORED else None
                arrays[name] = content[name] if mapped is None else mapped
            return arrays
    except (ValueError, EOFError, OSError, KeyError, struct.error, zipfile.BadZipFile) as error:
        raise ValueError(f"{path} is not a whole npz file of arrays: {error}") from None


def _mapped(path: Path, member: zipfile.ZipInfo) -> np.ndarray | None:
    """The array of a member; ``None`` where it cannot be mapped."""
    with path.open("rb") as file:
        file.seek(member.header_offset)
        header = file.read(_LOCAL_HEADER)
        name, extra = struct.unpack("<HH", header[-4:])
        file.seek(name + extra, 1)
        version = np.lib.format.read_magic(file)
        read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
        shape, fortran, dtype = read(file)
        if fortran or dtype.hasobject or not np.prod(shape):
            return None
        return np.memmap(path, dtype=dtype, mode="r", offset=file.tell(), shape=shape)
