# SPDX-License-Identifier: Apache-2.0
"""Accuracy and loss of samples, together and in parts."""

import math

import numpy as np
import pytest

from backspike.host.training.metrics import Metrics


def test_a_score_is_that_of_the_formula():
    generator = np.random.default_rng(3)
    counts, labels = generator.integers(0, 5, (40, 6)), generator.integers(0, 6, 40)
    metrics = Metrics.of(counts, labels, 4)
    errors = counts / 4 - np.eye(6)[labels]
    assert math.isclose(metrics.loss, (errors**2).sum(axis=1).mean() / 2)
    assert metrics.accuracy == (counts.argmax(axis=1) == labels).mean()
    parts = [Metrics.of(counts[k : k + 7], labels[k : k + 7], 4) for k in range(0, 40, 7)]
    assert sum(parts, Metrics(4)) == metrics


def test_scores_of_different_steps_do_not_add():
    with pytest.raises(ValueError, match="steps must be equal in both metrics, not 3 and 4"):
        Metrics(3) + Metrics(4)


def test_no_samples_have_no_score():
    assert math.isnan(Metrics(4).loss) and math.isnan(Metrics(4).accuracy)
