# SPDX-License-Identifier: Apache-2.0
"""The engines, with and without the walk over pixels, with 1, 2 and 8 lanes."""

import pytest

from tests.support.unit import check_bench


@pytest.mark.parametrize("engine", ["forward", "learning_engine"])
def test_engine(engine, tmp_path_factory):
    check_bench(f"tests.hw.benches.bench_{engine}", tmp_path_factory.getbasetemp() / "units" / engine)


@pytest.mark.slow
@pytest.mark.parametrize("engine", ["forward", "learning_engine"])
def test_engine_of_the_largest_core(engine, tmp_path_factory):
    folder = tmp_path_factory.getbasetemp() / "units" / f"{engine}_long"
    check_bench(f"tests.hw.benches.bench_{engine}", folder, long=True)
