# SPDX-License-Identifier: Apache-2.0
"""The packet contract: random packets on cores in simulation and on the model."""

import pytest

from tests.support.unit import check_bench


@pytest.mark.parametrize("bench", ["contract", pytest.param("contract_long", marks=pytest.mark.slow)])
def test_any_packets_have_their_effect_or_are_dropped(bench, tmp_path_factory):
    check_bench(f"tests.hw.benches.bench_{bench}", tmp_path_factory.getbasetemp() / "units" / bench)
