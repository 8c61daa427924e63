# SPDX-License-Identifier: Apache-2.0
"""The users of the elementwise unit: neurons, deltas, weights."""

import pytest

from backspike.sim.unit import check_bench


@pytest.mark.parametrize("unit", ["neuron", "delta", "weights"])
def test_update(unit, tmp_path_factory):
    check_bench(f"backspike.sim.bench_{unit}", tmp_path_factory.getbasetemp() / "units" / unit)
