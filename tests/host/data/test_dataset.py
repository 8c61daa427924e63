# SPDX-License-Identifier: Apache-2.0
"""A data set reads and encodes the samples that are asked for, and no others."""

import numpy as np
import pytest

from backspike.host.data.dataset import Samples
from backspike.host.data.encode import encode_data
from backspike.host.data.raw import Part, RawData, split


class Counted:
    """Rows that note which of them were read."""

    def __init__(self, rows):
        self.rows, self.read = rows, []

    def __len__(self):
        return len(self.rows)

    def __getitem__(self, chosen):
        self.read += np.arange(len(self.rows))[chosen].tolist()
        return self.rows[chosen]


def raw(rows, labels):
    part = Part(rows, np.asarray(labels))
    return RawData(name="d", kind="values", shape=(3,), train=part, test=part, classes=("a", "b"), full=1.0)


def test_only_chosen_samples_are_read():
    rows = Counted(np.random.default_rng(0).random((100, 3)))
    dataset = encode_data(raw(rows, np.arange(100) % 2), 4, "poisson")
    rows.read.clear()
    chosen = dataset.train[np.array([7, 3, 90])]
    assert not rows.read and chosen.labels.tolist() == [1, 1, 0]
    spikes = chosen[1:].spikes
    assert rows.read == [3, 90] and spikes.shape == (4, 2, 3)


def test_a_sample_has_the_same_inputs_in_any_batch():
    dataset = encode_data(raw(np.random.default_rng(0).random((50, 3)), [0] * 50), 6, "poisson:2")
    whole = dataset.train.spikes
    assert np.array_equal(dataset.train[[4, 30]].spikes, whole[:, [4, 30]])
    assert np.array_equal(dataset.train[10:][np.array([5])].spikes, whole[:, 15:16])
    assert not np.array_equal(dataset.test.spikes, whole), "test samples are others, whose chance is their own"
    aside = dataset.with_validation(0.2, 1)
    assert len(aside.validation) == 10 and aside.held[0] == "validation" and dataset.held[0] == "test"
    assert np.array_equal(aside.validation.spikes, whole[:, aside.validation.places])


def test_inputs_that_are_there_already():
    spikes = np.random.default_rng(0).integers(0, 2, (4, 6, 3), dtype=np.uint8)
    samples = Samples.of_spikes(spikes, range(6))
    assert np.array_equal(samples.spikes, spikes) and np.array_equal(samples[2:4].spikes, spikes[:, 2:4])


def test_a_split_keeps_each_sample_once():
    train, test = split(np.arange(10) * 10, np.arange(10), seed=3)
    assert len(train) == 8 and len(test) == 2
    assert sorted([*train.rows[:], *test.rows[:]]) == list(range(0, 100, 10))
    assert (train.rows[np.array([1, 2])] == 10 * train.labels[1:3]).all()
    with pytest.raises(ValueError, match=r"^samples without others for testing must be 3 or more, not 2$"):
        split(np.arange(2), np.arange(2))
    with pytest.raises(ValueError, match=r"^validation must leave some of 3 samples on each side, not 0.9: use 0.2$"):
        encode_data(raw(np.zeros((3, 3)), [0] * 3), 2).with_validation(0.9, 0)
