# SPDX-License-Identifier: Apache-2.0
"""Workers: in the golden model and on a chip they have the same bits, which follow from round and number alone."""

import dataclasses

import numpy as np
import pytest

from backspike.host.federated.federation import Federation, digest, one_worker
from backspike.host.federated.worker import ChipWorker, GoldenWorker
from tests.host.driver.test_driver import same
from tests.support.trained_chip import SPEC, Chip

FEDERATION = Federation(spec=dataclasses.replace(SPEC, epochs=4), workers=2, rounds=2, local_epochs=2)


def test_a_worker_on_a_chip_has_the_bits_of_one_in_the_golden_model():
    spec, data = FEDERATION.spec, FEDERATION.spec.dataset()
    samples = data.train[FEDERATION.shares(data)[1]]
    golden = GoldenWorker(spec, samples, 1, 2)
    chip = ChipWorker(Chip(columns=1, lanes=4), spec, samples, 1, 2)
    weights = spec.weights()
    for number in range(2):
        found = [worker.train(weights, number) for worker in (golden, chip, golden)]
        for other in found[1:]:
            assert same(other.weights, found[0].weights) and other.metrics == found[0].metrics
        assert found[0].metrics.samples == 2 * len(samples) and digest(found[0].weights) != digest(weights)
        weights = found[0].weights


def test_a_share_smaller_than_a_batch_changes_no_constant():
    """The default rate depends on the batch, which is that of the federation on a chip too."""
    spec = dataclasses.replace(FEDERATION.spec, batch=64)
    samples, weights = spec.dataset().train[np.arange(3)], spec.weights()
    golden = GoldenWorker(spec, samples, 0, 2).train(weights, 0)
    assert same(ChipWorker(Chip(), spec, samples, 0, 2).train(weights, 0).weights, golden.weights)


def test_each_worker_and_round_has_an_order_of_its_own():
    spec, data = FEDERATION.spec, FEDERATION.spec.dataset()
    samples, weights = data.train[np.arange(6)], spec.weights()
    names = {digest(GoldenWorker(spec, samples, w, 1).train(weights, r).weights) for w in (0, 1) for r in (0, 1)}
    assert len(names) > 1


def test_one_worker_with_all_samples_is_told_round_by_round():
    told = []
    found = one_worker(FEDERATION, FEDERATION.spec.dataset(), lambda *result: told.append(result))
    assert told == [(1, found[0]), (2, found[1])]


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"workers": 0}, "workers must be at least 1, not 0"),
        ({"rounds": 3}, "epochs must be rounds x local_epochs, 6"),
        ({"drop": 1.0}, r"drop must be at least 0 and less than 1, such as 0\.2, not 1\.0"),
        (
            {"spec": dataclasses.replace(SPEC, epochs=4, rule="opzo", network="64-8-7-10")},
            "rule must be one without learned feedback, such as dfa, not 'opzo'",
        ),
    ],
)
def test_federations_that_cannot_be(fields, message):
    with pytest.raises(ValueError, match=message):
        dataclasses.replace(FEDERATION, **fields)


def test_some_are_absent_but_never_all():
    federation = dataclasses.replace(FEDERATION, workers=4, rounds=20, local_epochs=1, drop=0.6, spec=_epochs(20))
    taking = np.array([[federation.takes_part(w, r) for w in range(4)] for r in range(20)])
    assert taking.any(axis=1).all() and 0.2 < taking.mean() < 0.7
    assert all(FEDERATION.takes_part(w, r) for w in range(2) for r in range(2))


def _epochs(count):
    return dataclasses.replace(SPEC, epochs=count)
