# SPDX-License-Identifier: Apache-2.0
"""Places for the block RAMs and multipliers of each core of a chip, so that its cores lie side by side.

A placer that starts with nothing but the pins of the device puts all cores on top of each other, and does not get
them apart again. The rest of a core follows its block RAMs by itself.
"""

import copy
from dataclasses import dataclass
from typing import Any

from backspike.fpga.ecp5.cell_order import arrange

__all__ = ["GRIDS", "Grid", "core_places", "put_places"]


@dataclass(frozen=True)
class Grid:
    """Where nextpnr has block RAMs and multipliers on an ECP5.

    Both come in groups of four, each nine columns wide: block RAMs in the columns 0, 2, 4 and 6 of their group,
    multipliers in 0, 1, 4 and 5.

    Parameters
    ----------
    columns : tuple[int, ...]
        First columns of the groups.
    ram, dsp : tuple[int, ...]
        Rows with block RAMs, with multipliers.
    """

    columns: tuple[int, ...]
    ram: tuple[int, ...]
    dsp: tuple[int, ...]

    def rams(self) -> list[tuple[int, int, str]]:
        """``[(column, row, name of the place)]`` of all block RAMs, on a way that winds through the rows."""
        rows = [
            [(column + 2 * i, row, f"X{column + 2 * i}/Y{row}/EBR{i}") for column in self.columns for i in range(4)]
            for row in self.ram
        ]
        return [place for number, row in enumerate(rows) for place in (row[::-1] if number % 2 else row)]

    def dsps(self) -> list[tuple[int, int, str]]:
        """``[(column, row, name of the place)]`` of all multipliers."""
        return [
            (column + i, row, f"X{column + i}/Y{row}/MULT18_{i}")
            for row in self.dsp
            for column in self.columns
            for i in (0, 1, 4, 5)
        ]


_25F = Grid((4, 13, 22, 33, 42, 51, 60), ram=(25, 37), dsp=(13,))
_45F = Grid((4, 13, 22, 31, 42, 51, 60, 69, 78), ram=(10, 34, 58), dsp=(22, 46))
_85F = Grid((4, 13, 22, 31, 40, 49, 58, 69, 78, 87, 96, 105, 114), ram=(22, 46, 70, 82), dsp=(10, 34, 58))
GRIDS = {
    "LFE5U-12F": _25F,
    "LFE5U-25F": _25F,
    "LFE5U-45F": _45F,
    "LFE5UM5G-45F": _45F,
    "LFE5U-85F": _85F,
    "LFE5UM5G-85F": _85F,
}
"""``{device: Grid}``"""
_RAM, _DSP = ("DP16KD", "PDPW16KD"), ("MULT18X18D",)


def core_places(grid: Grid, cores: int, rams: int, dsps: int) -> list[tuple[list[str], list[str]]]:
    """Places of all cores, on a way that winds through the rows of block RAMs.

    A core leaves out up to every third place: block RAMs side by side, with all their bits in use, have more wires than
    there is room for beside them.

    Parameters
    ----------
    grid : Grid
    cores : int
        How many.
    rams, dsps : int
        Block RAMs and multipliers of a core; those of all cores must fit the device.

    Returns
    -------
    list of tuple[list[str], list[str]]
        For each core the places of its block RAMs and those of its multipliers, each from left to right.
    """
    way, free = grid.rams(), grid.dsps()
    places = []
    for core in range(cores):
        room = way[core * len(way) // cores : (core + 1) * len(way) // cores]
        width = min(len(room), rams + rams // 2)
        room = room[(len(room) - width) // 2 :][:width]
        mine = [room[(2 * i + 1) * width // (2 * rams)] for i in range(rams)]
        x, y = (sum(place[axis] for place in mine) / max(rams, 1) for axis in (0, 1))
        near = sorted(free, key=lambda dsp, x=x, y=y: (abs(dsp[1] - y), dsp[1], abs(dsp[0] - x), dsp[0]))[:dsps]
        free = [dsp for dsp in free if dsp not in near]
        places.append(tuple([name for *_, name in sorted(chosen)] for chosen in (mine, near)))
    return places


def put_places(netlist: dict[str, Any], module: str, grid: Grid) -> None:
    """Give each instance of a core a module of its own, in which block RAMs and multipliers have places.

    Parameters
    ----------
    netlist : dict[str, Any]
        As read from Yosys' JSON, of a design that fits the device; changed.
    module : str
        Name of the core's module, which the module "top" instantiates.
    grid : Grid
    """
    modules = netlist["modules"]
    tiles = [cell for cell in modules["top"]["cells"].values() if cell["type"] == module]
    cells = modules[module]["cells"]
    rams, dsps = ([name for name, cell in cells.items() if cell["type"] in kinds] for kinds in (_RAM, _DSP))
    places = core_places(grid, len(tiles), len(rams), len(dsps))
    rams, dsps = arrange(cells, rams, dsps)
    for number, (tile, (ram_places, dsp_places)) in enumerate(zip(tiles, places, strict=True)):
        own = copy.deepcopy(modules[module])
        for name, place in [*zip(rams, ram_places, strict=True), *zip(dsps, dsp_places, strict=True)]:
            own["cells"][name]["attributes"]["BEL"] = place
        tile["type"] = f"{module}_{number}"
        modules[tile["type"]] = own
