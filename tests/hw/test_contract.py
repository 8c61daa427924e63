# SPDX-License-Identifier: Apache-2.0
"""The packet contract: random packets on cores in simulation and on the model."""

from tests.support.unit import check_bench


def test_any_packets_have_their_effect_or_are_dropped(tmp_path_factory):
    check_bench("tests.hw.benches.bench_contract", tmp_path_factory.getbasetemp() / "units" / "contract")
