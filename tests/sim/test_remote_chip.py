# SPDX-License-Identifier: Apache-2.0
"""``Model`` on a simulated chip: the golden model's bits."""

import numpy as np
import pytest
from sklearn.datasets import load_digits

from backspike import Model, Simulated
from tests.host.driver.test_driver import same

pytestmark = pytest.mark.slow

SMALL = {"slices": 2, "weights": 1024, "neurons": 32, "tape_words": 8, "fan_in": 4, "routes": 8, "list_depth": 128}


def test_a_simulated_chip_gives_the_same_bits():
    values, labels = load_digits(return_X_y=True)
    values = values / 16
    models = []
    for backend in ("golden", Simulated(cores=1, chip=SMALL)):
        model = Model("64-6-10", backend=backend, batch=4, seed=3)
        model.fit(values[:10], labels[:10], test=(values[10:14], labels[10:14]), epochs=2, progress=False)
        models.append(model)
    golden, chip = models
    assert same(golden.weights, chip.weights) and golden.history == chip.history
    assert np.array_equal(golden.spikes(values[20:24]), chip.spikes(values[20:24]))
