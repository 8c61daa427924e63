# SPDX-License-Identifier: Apache-2.0
"""The three engines, with 1, 2 and 8 lanes."""

import pytest

from tests.support.unit import check_bench


@pytest.mark.parametrize("engine", ["forward", "backward", "gradient", "dense_engines"])
def test_engine(engine, tmp_path_factory):
    check_bench(f"tests.hw.benches.bench_{engine}", tmp_path_factory.getbasetemp() / "units" / engine)
