# SPDX-License-Identifier: Apache-2.0
"""Listers of rows, lists of operands and the queue."""

import pytest

from backspike.hw.blocks import Queue
from backspike.hw.engines.operand_list import OperandList
from tests.support.unit import check_bench


def test_rows(tmp_path_factory):
    check_bench("tests.hw.benches.bench_rows", tmp_path_factory.getbasetemp() / "units" / "rows")


def test_lists(tmp_path_factory):
    check_bench("tests.hw.benches.bench_lists", tmp_path_factory.getbasetemp() / "units" / "lists")


@pytest.mark.parametrize("depth", [0, 1, 2.0])
def test_queue_needs_a_depth(depth):
    with pytest.raises(ValueError, match=f"^depth must be an integer of at least 2, not {depth!r}$"):
        Queue(4, depth)


@pytest.mark.parametrize("depth", [0, 1, 12])
def test_list_depth_is_a_power_of_two(depth):
    with pytest.raises(ValueError, match=f"^depth must be a power of two, at least 2, not {depth}$"):
        OperandList(4, 4, depth)
