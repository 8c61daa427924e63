# SPDX-License-Identifier: Apache-2.0
"""Arrays of npz files: kinds, shapes, mapping, and what is said about others."""

import re

import numpy as np
import pytest

from backspike.host.data.load import load, read

GENERATOR = np.random.default_rng(0)
LABELS = np.arange(10) % 3


def save(folder, **arrays):
    path = folder / "a.npz"
    np.savez(path, **arrays)
    return path


@pytest.mark.parametrize(
    ("rows", "shape", "full", "encoder", "inputs"),
    [
        (GENERATOR.random((10, 5)), (5,), 1.0, "threshold+off", 10),
        (GENERATOR.normal(size=(10, 5)), (5,), None, "threshold+off", 10),
        (GENERATOR.integers(0, 256, (10, 4, 6), dtype=np.uint8), (1, 4, 6), 255.0, "threshold", 24),
        (GENERATOR.random((10, 3, 4, 6)).astype(np.float32), (3, 4, 6), 1.0, "threshold", 72),
        (GENERATOR.integers(-9, 9, (10, 3, 4, 6)), (3, 4, 6), None, "threshold", 72),
        (GENERATOR.random((10, 5)) > 0.5, (5,), 1.0, "threshold+off", 10),
    ],
)
def test_values(tmp_path, rows, shape, full, encoder, inputs):
    data = read(save(tmp_path, values=rows, labels=LABELS))
    assert (data.kind, data.shape, data.full, len(data.train), len(data.test)) == ("values", shape, full, 8, 2)
    dataset = load(tmp_path / "a.npz", 3)
    assert dataset.encoder == encoder and dataset.inputs == inputs and dataset.train.spikes.shape == (3, 8, inputs)


def test_names_of_keras(tmp_path):
    rows = GENERATOR.integers(0, 256, (10, 4, 6), dtype=np.uint8)
    data = read(save(tmp_path, x_train=rows[:7], y_train=LABELS[:7], x_test=rows[7:], y_test=LABELS[7:]))
    assert np.array_equal(data.test.rows[:], rows[7:]) and data.train.labels.tolist() == LABELS[:7].tolist()


def test_spikes_and_series(tmp_path):
    spikes = GENERATOR.integers(0, 2, (10, 6, 2, 3, 4), dtype=np.uint8)
    path = save(
        tmp_path, spikes_train=spikes[:7], labels_train=LABELS[:7], spikes_test=spikes[7:], labels_test=LABELS[7:]
    )
    dataset = load(path, 6)
    assert dataset.shape == (2, 3, 4) and dataset.encoder is None
    assert np.array_equal(dataset.train.spikes, np.moveaxis(spikes[:7].reshape(7, 6, 24), 1, 0))
    with pytest.raises(ValueError, match=r"^steps must be 6 for the data 'a', not 4$"):
        load(path, 4)
    series = GENERATOR.normal(size=(10, 9))
    series[2, 5:] = np.nan
    dataset = load(save(tmp_path, series=series, labels=LABELS), 9)
    assert dataset.inputs == 8 and dataset.encoder == "levels:8"


def test_what_is_not_compressed_is_mapped(tmp_path):
    rows, labels = GENERATOR.random((10, 5)), np.array(["b", "a"] * 5)
    for write in (np.savez, np.savez_compressed):
        write(tmp_path / "a.npz", values_train=rows, labels_train=labels, values_test=rows, labels_test=labels)
        data = read(tmp_path / "a.npz")
        assert isinstance(data.train.rows, np.memmap) == (write is np.savez)
        assert np.array_equal(data.train.rows[:], rows) and data.classes == ("a", "b")
    save(tmp_path, values_train=np.asfortranarray(rows), labels_train=labels, values_test=rows, labels_test=labels)
    assert np.array_equal(read(tmp_path / "a.npz").train.rows[:], rows)


def test_classes_of_the_file(tmp_path):
    path = save(tmp_path, values=GENERATOR.random((10, 5)), labels=LABELS, classes=np.array(["x", "y", "z"]))
    assert read(path).classes == ("x", "y", "z") and read(path, ("a", "b", "c", "d")).classes == ("a", "b", "c", "d")


BAD = GENERATOR.random((10, 5))
BAD[4, 2] = np.nan


@pytest.mark.parametrize(
    ("arrays", "error", "text"),
    [
        (
            {"data": LABELS},
            ValueError,
            "{path} must have the arrays KIND_train, labels_train, KIND_test, labels_test, or ",
        ),
        ({"values": BAD}, ValueError, "{path} must have the arrays "),
        ({"values": BAD, "labels": LABELS, "x": BAD}, ValueError, "{path} must have the arrays "),
        ({"values": BAD, "labels": LABELS}, ValueError, "values of {path} must be finite, not nan in row 4"),
        (
            {"values": LABELS, "labels": LABELS},
            ValueError,
            "values of {path} must have 2 or 3 or 4 dimensions, not 1: [10]",
        ),
        ({"values": BAD[:0], "labels": LABELS[:0]}, ValueError, "values of {path} must not be empty, but it is [0, 5]"),
        ({"values": BAD.astype(str), "labels": LABELS}, TypeError, "values of {path} must be numbers, not <U"),
        (
            {"values": np.zeros((9, 5)), "labels": LABELS},
            ValueError,
            "labels of {path} must be [9], one for each of values, not [10]",
        ),
        (
            {"spikes": np.full((10, 4, 5), 2), "labels": LABELS},
            ValueError,
            "spikes of {path} must be 0 or 1, not 2",
        ),
        (
            {"values": np.zeros((10, 5)), "labels": LABELS - 5},
            ValueError,
            "labels of the data {path} must be 0 to 65535, not -5",
        ),
        (
            {
                "values_train": np.zeros((9, 5)),
                "labels_train": [0] * 9,
                "values_test": np.zeros((2, 4)),
                "labels_test": [0, 0],
            },
            ValueError,
            "values_test of {path} must be [samples, 5] as values_train, not [2, 4]",
        ),
        ({"values": np.array([None] * 10), "labels": LABELS}, ValueError, "{path} is not a whole npz file of arrays: "),
    ],
)
def test_what_is_wrong_is_named(tmp_path, arrays, error, text):
    path = save(tmp_path, **arrays)
    with pytest.raises(error, match=f"^{re.escape(text.format(path=path))}"):
        read(path)


def test_a_damaged_file(tmp_path):
    path = save(tmp_path, values=BAD, labels=LABELS)
    path.write_bytes(path.read_bytes()[:200])
    with pytest.raises(ValueError, match=r"a.npz is not a whole npz file of arrays: "):
        read(path)
    path.write_bytes(b"")
    with pytest.raises(ValueError, match=r"a.npz is not a whole npz file of arrays: "):
        read(path)
