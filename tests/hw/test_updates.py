# SPDX-License-Identifier: Apache-2.0
"""The users of the elementwise unit: neurons, deltas, weights; and the update of operands."""

import re

import pytest

from backspike.spec.config import ChipConfig
from backspike.spec.formats import Format
from tests.support.unit import check_bench


@pytest.mark.parametrize("unit", ["neuron", "delta", "ternary", "weights", "operands"])
def test_update(unit, tmp_path_factory):
    check_bench(f"tests.hw.benches.bench_{unit}", tmp_path_factory.getbasetemp() / "units" / unit)


@pytest.mark.slow
@pytest.mark.parametrize("unit", ["neuron", "delta"])
def test_update_of_the_largest_core(unit, tmp_path_factory):
    folder = tmp_path_factory.getbasetemp() / "units" / f"{unit}_long"
    check_bench(f"tests.hw.benches.bench_{unit}", folder, long=True)


@pytest.mark.parametrize(("exponent", "mantissa", "most"), [(5, 2, 8), (2, 3, 3), (4, 1, 4)])
def test_format_must_hold_every_count(exponent, mantissa, most):
    """The error of the rate loss is made from a number of spikes."""
    fmt = Format(exponent=exponent, mantissa=mantissa)
    fmt.encode([float(count) for count in range(ChipConfig(steps=most, format=fmt).steps + 1)])
    text = f"steps must be at most {most}, so that {fmt} holds every count, not {most + 1}"
    with pytest.raises(ValueError, match=f"^{re.escape(text)}$"):
        ChipConfig(steps=most + 1, format=fmt)
