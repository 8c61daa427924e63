# SPDX-License-Identifier: Apache-2.0
"""The exact mean of weights, and who has which samples."""

from fractions import Fraction

import numpy as np
import pytest

from backspike.host.federated.aggregate import exact_mean
from backspike.host.federated.partition import partition
from backspike.spec.formats import BINARY16, Format

FORMATS = (BINARY16, Format(exponent=5, mantissa=2), Format(exponent=3, mantissa=4))


def drawn(fmt, generator, shape):
    """Any numbers of a format, of all magnitudes."""
    scale = 2.0 ** generator.integers(fmt.lsb - 1, int(np.log2(fmt.max_finite)), shape)
    return fmt.round(generator.normal(0, 1, shape) * scale)


def nearest(value, fmt):
    """The number of the format that is nearest to a fraction; of two, the one whose mantissa is even."""
    unit = Fraction(2) ** fmt.lsb
    quotient = abs(value) / unit
    step = max(0, int(quotient).bit_length() - fmt.mantissa - 1)
    return float(round(quotient / 2**step) * 2**step * unit * (-1 if value < 0 else 1))


@pytest.mark.parametrize("fmt", FORMATS, ids=str)
def test_the_mean_is_rounded_once(fmt):
    generator = np.random.default_rng(5)
    for workers in (1, 2, 3, 7):
        weights = [[drawn(fmt, generator, (9, 11)), drawn(fmt, generator, (4,))] for _ in range(workers)]
        samples = [int(n) for n in generator.integers(1, 300, workers)]
        found = exact_mean(weights, samples, fmt)
        for k, layer in enumerate(found):
            for place in np.ndindex(layer.shape):
                total = sum(n * Fraction(float(arrays[k][place])) for n, arrays in zip(samples, weights, strict=True))
                assert layer[place] == nearest(total / sum(samples), fmt)


def test_ties_go_to_the_even_mantissa_and_zero_has_no_sign():
    one = 2.0**-10
    pairs = [(1.0, 1 + one), (1 + one, 1 + 2 * one), (-1.0, -1 - one), (2.0**-24, 0.0), (-(2.0**-24), 0.0), (3.0, -3.0)]
    found = exact_mean([[np.array([a for a, _ in pairs])], [np.array([b for _, b in pairs])]], [1, 1], BINARY16)[0]
    assert list(found) == [1.0, 1 + 2 * one, -1.0, 0.0, 0.0, 0.0] and not np.signbit(found[3:]).any()


def test_neither_the_order_nor_one_worker_changes_a_bit():
    generator = np.random.default_rng(6)
    weights, samples = [[drawn(BINARY16, generator, (50, 20))] for _ in range(5)], [7, 300, 41, 11, 287]
    whole = exact_mean(weights, samples, BINARY16)[0]
    for _ in range(5):
        order = generator.permutation(5)
        again = exact_mean([weights[k] for k in order], [samples[k] for k in order], BINARY16)[0]
        assert np.array_equal(whole, again)
    assert np.array_equal(exact_mean(weights[:1], [3], BINARY16)[0], weights[0][0])


def test_means_that_cannot_be():
    array = np.zeros((2, 3))
    with pytest.raises(ValueError, match="weights must be those of at least one worker, with its samples, not 0"):
        exact_mean([], [], BINARY16)
    with pytest.raises(ValueError, match="samples must be at least 1, not 0"):
        exact_mean([[array]], [0], BINARY16)
    with pytest.raises(ValueError, match=r"weights of worker 1 must have the shapes of the first's, \[\(2, 3\)\]"):
        exact_mean([[array], [array.T]], [1, 1], BINARY16)
    with pytest.raises(ValueError, match="samples of all workers must be at most 2097152, not 4194304"):
        exact_mean([[array]], [1 << 22], BINARY16)


@pytest.mark.parametrize("kind", ["iid", "label"])
def test_every_sample_is_one_workers(kind):
    labels = np.random.default_rng(1).integers(0, 10, 203)
    parts = partition(labels, 5, kind, seed=3)
    assert sorted(np.concatenate(parts)) == list(range(203)) and max(map(len, parts)) - min(map(len, parts)) <= 2
    assert all(np.array_equal(a, b) for a, b in zip(parts, partition(labels, 5, kind, seed=3), strict=True))
    assert not np.array_equal(parts[0], partition(labels, 5, kind, seed=4)[0])
    seen = [len(set(labels[part])) for part in parts]
    assert min(seen) >= 9 if kind == "iid" else max(seen) <= 5


def test_partitions_that_cannot_be():
    with pytest.raises(ValueError, match="workers must be at most 1 for 3 samples, not 2"):
        partition(np.arange(3), 2, "label", 0)
    with pytest.raises(ValueError, match="partition must be iid or label, not 'labels'"):
        partition(np.arange(9), 2, "labels", 0)
