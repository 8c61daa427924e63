# SPDX-License-Identifier: Apache-2.0
"""IDX files: what is read, and what is said about files that are missing or damaged."""

import gzip
import re
import struct

import numpy as np
import pytest

from backspike.host.data.load import load
from backspike.host.data.sources.idx import FILES as NAMES
from backspike.host.data.sources.idx import read_idx
from tests.support.idx_files import file_bytes, write_folder


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


def test_idx_files_plain_and_compressed(folder):
    dataset = load(folder, steps=3)
    assert dataset.train.spikes.shape == (3, 7, 20) and dataset.test.spikes.shape == (3, 3, 20)
    assert dataset.shape == (1, 4, 5) and dataset.train.labels.dtype == np.int64
    assert load(str(folder)).train[:2].spikes.shape == (4, 2, 20)
    images = read_idx(folder / NAMES[0], 3)
    assert np.array_equal(dataset.train.spikes[0], images.reshape(7, 20) / 255 > 0.5 / 3)


def test_the_classes_are_those_of_the_labels(tmp_path):
    write_folder(tmp_path / "letters", (4, 5), labels=range(1, 27))
    dataset = load(tmp_path / "letters")
    assert len(dataset.classes) == 27 and dataset.train.labels.tolist() == list(range(1, 27))


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
        load(folder)


def test_missing_files_are_named(folder):
    (folder / NAMES[3]).unlink()
    with pytest.raises(FileNotFoundError, match=re.escape(f"{folder} has neither {NAMES[3]} nor {NAMES[3]}.gz")):
        load(folder)
    with pytest.raises(FileNotFoundError, match=r"^data must be 'digits', 'mnist5k', FILE.npz, .* not 'digit'"):
        load("digit")
    with pytest.raises(FileNotFoundError, match=re.escape(f"{folder}/nothing is not a file")):
        read_idx(folder / "nothing", 1)


def test_wrong_steps(folder):
    with pytest.raises(ValueError, match=r"^steps must be at least 1, not 0"):
        load(folder, 0)
    with pytest.raises(TypeError, match=r"^steps must be an integer, not 4.0"):
        load(folder, 4.0)
