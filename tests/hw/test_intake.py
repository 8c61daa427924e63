# SPDX-License-Identifier: Apache-2.0
"""Packets into a core and out of it."""

import pytest

from tests.support.unit import check_bench


@pytest.mark.parametrize("unit", ["intake", "slots", "host_access", "output", "counters"])
def test_packets(unit, tmp_path_factory):
    check_bench(f"tests.hw.benches.bench_{unit}", tmp_path_factory.getbasetemp() / "units" / unit)
