# SPDX-License-Identifier: Apache-2.0
"""The sequential core's hardware against the model of its processor, and what its parts refuse."""

from backspike.sim.unit import check_bench


def test_hardware_and_model_do_the_same(tmp_path_factory):
    check_bench("backspike.sim.benches.bench_sequential", tmp_path_factory.getbasetemp() / "units" / "sequential")
