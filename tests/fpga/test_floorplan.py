# SPDX-License-Identifier: Apache-2.0
"""Places of the cores on a device: as many as it has, none twice, those of a core beside each other."""

from itertools import pairwise

import pytest

from backspike.fpga.ecp5.floorplan import GRIDS, core_places, put_places
from backspike.fpga.flow.devices import DEVICES

LARGE = GRIDS["LFE5U-85F"]


@pytest.mark.parametrize("device", GRIDS)
def test_a_grid_has_all_places_of_its_device(device):
    grid = GRIDS[device]
    rams = [name for *_, name in grid.rams()]
    dsps = [name for *_, name in grid.dsps()]
    assert len(set(rams)) == len(rams) == DEVICES[device].ram
    assert len(set(dsps)) == len(dsps) == DEVICES[device].dsp


def column(place):
    return int(place.split("/")[0][1:])


def row(place):
    return int(place.split("/")[1][1:])


@pytest.mark.parametrize(
    ("device", "cores", "rows"),
    [
        ("LFE5U-25F", 1, 2),
        ("LFE5U-25F", 2, 1),
        ("LFE5U-45F", 4, 2),
        ("LFE5U-85F", 3, 2),
        ("LFE5U-85F", 10, 2),
        ("LFE5U-85F", 12, 1),
        ("LFE5U-85F", 14, 2),
    ],
)
def test_a_core_has_its_places_side_by_side(device, cores, rows):
    places = core_places(GRIDS[device], cores, 14, 6)
    assert len(places) == cores
    used = [name for core in places for names in core for name in names]
    assert len(set(used)) == len(used) == 20 * cores
    for rams, dsps in places:
        assert len({row(name) for name in rams}) <= rows
        assert rams == sorted(rams, key=column)
        assert column(rams[-1]) - column(rams[0]) < 55
        assert dsps == sorted(dsps, key=column)


@pytest.mark.parametrize(("cores", "span"), [(1, 20), (9, 20), (10, 20), (12, 17), (14, 14)])
def test_gaps_between_block_rams_where_there_is_room(cores, span):
    """Never two gaps side by side; a core's block RAMs are spread over 21 places, or over its share of the device."""
    way = [name for *_, name in LARGE.rams()]
    for rams, _ in core_places(LARGE, cores, 14, 6):
        numbers = sorted(way.index(name) for name in rams)
        assert numbers[-1] - numbers[0] < span + 1
        assert numbers[-1] - numbers[0] >= span - 2
        assert {later - former for former, later in pairwise(numbers)} <= {1, 2}


def test_the_chain_winds_through_the_rows():
    """Each core is above, below or beside the one before it."""
    middles = [(column(rams[7]), row(rams[0])) for rams, _ in core_places(LARGE, 12, 14, 6)]
    for (x, y), (next_x, next_y) in pairwise(middles):
        assert abs(next_x - x) < 45
        assert (next_y == y) != (abs(next_x - x) < 5)


def netlist(cores, rams):
    kinds = ["DP16KD"] * rams + ["MULT18X18D", "LUT4"]
    cells = {f"cell {i}": {"type": kind, "attributes": {}, "connections": {}} for i, kind in enumerate(kinds)}
    instances = {f"core {i}": {"type": "core", "attributes": {}} for i in range(cores)}
    return {
        "modules": {
            "core": {"cells": cells},
            "top": {"cells": {**instances, "ram": {"type": "DP16KD", "attributes": {}}}},
        }
    }


def test_each_core_gets_a_module_with_places():
    described = netlist(3, 2)
    put_places(described, "core", LARGE)
    top = described["modules"]["top"]["cells"]
    kinds = [top[f"core {i}"]["type"] for i in range(3)]
    assert len(set(kinds)) == 3
    assert not top["ram"]["attributes"]
    places = []
    for kind in kinds:
        cells = described["modules"][kind]["cells"]
        assert "BEL" not in cells["cell 3"]["attributes"]
        places += [cells[f"cell {i}"]["attributes"]["BEL"] for i in range(3)]
    assert len(set(places)) == 9
    assert [place.split("/")[2][:3] for place in places] == ["EBR", "EBR", "MUL"] * 3
