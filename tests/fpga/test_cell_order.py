# SPDX-License-Identifier: Apache-2.0
"""The order of block RAMs and multipliers, on networks whose best order is known."""

import numpy as np
import pytest

from backspike.fpga.ecp5.cell_order import Nets, arrange


def chain(names):
    """Cells, each connected to the next one by way of a look-up table."""
    cells = {}
    for index, name in enumerate(names):
        cells[name] = {"connections": {"A": [2 * index], "Y": [2 * index + 1]}}
        cells[f"lut {name}"] = {"connections": {"A": [2 * index + 1, "0"], "Y": [2 * index + 2]}}
    return cells


def test_the_order_of_a_chain_is_found():
    names = ["f", "c", "a", "e", "b", "d", "g"]
    rams, dsps = arrange(chain(names), "abcdefg", [])
    assert rams in (names, names[::-1])
    assert dsps == []


def test_multipliers_are_in_the_order_of_their_block_rams():
    names = ["f", "x", "c", "a", "y", "e", "b", "z", "d"]
    rams, dsps = arrange(chain(names), "abcdef", "zyx")
    assert rams in (["f", "c", "a", "e", "b", "d"], ["d", "b", "e", "a", "c", "f"])
    assert dsps == (["x", "y", "z"] if rams[0] == "f" else ["z", "y", "x"])


def test_the_current_of_a_series_of_resistors():
    """Two stars of two cells between a and b: four resistors of 1, and as much flows back."""
    cells = chain(["a", "b"])
    assert Nets(cells).coupling(["a", "b"]) == pytest.approx(np.array([[0, 0.5], [0.5, 0]]), abs=1e-6)


def test_what_is_not_connected_is_not_coupled():
    cells = {name: {"connections": {"A": ["0"]}} for name in "cab"}
    assert not Nets(cells).coupling(["a", "b", "c"]).any()
    assert sorted(arrange(cells, "cab", [])[0]) == ["a", "b", "c"]
    assert arrange(cells, [], []) == ([], [])


def test_wide_nets_do_not_count():
    cells = {f"cell {i}": {"connections": {"A": [7]}} for i in range(65)}
    assert not Nets(cells).coupling(["cell 0", "cell 1"]).any()
    del cells["cell 64"]
    assert Nets(cells).coupling(["cell 0", "cell 1"])[0, 1] > 0
