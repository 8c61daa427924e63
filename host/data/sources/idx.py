# SPDX-License-Identifier: Apache-2.0
"""Folders of images in MNIST's IDX format; files that are not compressed are mapped."""

import gzip
import struct
import zlib
from pathlib import Path

import numpy as np

from backspike.host.data.raw import Part, RawData
from backspike.host.data.sources.labels import numbered

__all__ = ["FILES", "read_folder", "read_idx"]

FILES = ("train-images-idx3-ubyte", "train-labels-idx1-ubyte", "t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte")
"""Ends of their names, which may end in ``.gz`` too."""


def read_folder(folder: Path, classes: tuple[str, ...] | None = None) -> RawData:
    """The images in a folder with MNIST's four files, whatever the number of classes; a pixel is divided by 255.

    Parameters
    ----------
    folder : Path
        Where the files are. Something may stand before their names, as in ``emnist-letters-train-images-idx3-ubyte``.
    classes : tuple of str or None
        Names of the classes; see ``labels.numbered``.

    Raises
    ------
    FileNotFoundError
        A file is missing.
    ValueError
        A file is not as it should be.
    """
    paths = [_find(folder, file) for file in FILES]
    train_images, train_labels = _pair(paths[0], paths[1])
    test_images, test_labels = _pair(paths[2], paths[3])
    if train_images.shape[1:] != test_images.shape[1:]:
        raise ValueError(
            f"{paths[2]} must have images of {train_images.shape[1:]} as {paths[0]}, not {test_images.shape[1:]}"
        )
    (train, test), names = numbered((train_labels, test_labels), classes, str(folder))
    return RawData(
        name=folder.resolve().name,
        kind="values",
        shape=(1, *train_images.shape[1:]),
        train=Part(train_images, train),
        test=Part(test_images, test),
        classes=names,
        full=255.0,
    )


def read_idx(path: Path | str, dimensions: int) -> np.ndarray:
    """The array of unsigned bytes in an IDX file: gzip-compressed, or plain and then mapped.

    Raises
    ------
    FileNotFoundError
        There is no such file.
    ValueError
        It is not an IDX file of bytes with that many dimensions, or is shorter or longer than its header says.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"{path} is not a file")
    content = _content(path)
    header = 4 + 4 * dimensions
    if len(content) < header:
        raise ValueError(f"{path} must have a header of {header} bytes, not {len(content)} bytes in all")
    magic = struct.unpack(">I", content[:4].tobytes())[0]
    if magic != 0x800 + dimensions:
        raise ValueError(f"{path} must start with the magic number {0x800 + dimensions:#x}, not {magic:#x}")
    shape = struct.unpack(f">{dimensions}I", content[4:header].tobytes())
    size = int(np.prod(shape, dtype=object))
    if not size:
        raise ValueError(f"{path} must not be empty, but its header says {' x '.join(map(str, shape))}")
    if len(content) - header != size:
        raise ValueError(f"{path} must have {size} bytes of data, not {len(content) - header}")
    return content[header:].reshape(shape)


def _content(path: Path) -> np.ndarray:
    """The bytes of a file, without its compression."""
    with path.open("rb") as file:
        start = file.read(2)
    if len(start) < 2:
        return np.frombuffer(start, dtype=np.uint8)
    if start != b"\x1f\x8b":
        return np.memmap(path, dtype=np.uint8, mode="r")
    try:
        return np.frombuffer(gzip.decompress(path.read_bytes()), dtype=np.uint8)
    except (EOFError, OSError, zlib.error) as error:
        raise ValueError(f"{path} is truncated or corrupt: {error}") from None


def _find(folder: Path, name: str) -> Path:
    for end in ("", ".gz"):
        found = sorted(folder.glob(f"*{name}{end}"))
        if len(found) > 1:
            raise ValueError(f"{folder} must have one file {name}{end}, not {found[0].name} and {found[1].name}")
        if found:
            return found[0]
    raise FileNotFoundError(f"{folder} has neither {name} nor {name}.gz")


def _pair(images_path: Path, labels_path: Path) -> tuple[np.ndarray, np.ndarray]:
    images, labels = read_idx(images_path, 3), read_idx(labels_path, 1)
    if len(images) != len(labels):
        raise ValueError(f"{labels_path} must have {len(images)} labels, one per image, not {len(labels)}")
    return images, labels.astype(np.int64)
