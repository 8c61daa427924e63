# SPDX-License-Identifier: Apache-2.0
"""One core without a mesh."""

from tests.support.unit import check_bench


def test_core(tmp_path_factory):
    check_bench("tests.hw.benches.bench_core", tmp_path_factory.getbasetemp() / "units" / "core")
