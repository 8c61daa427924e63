# SPDX-License-Identifier: Apache-2.0
"""The netlist of a chip for ECP5 as Verilog that can be simulated: what goes into the FPGA, before placement.

Yosys brings simulation models of the cells along, apart from block RAMs and multipliers: those are in ``fpga/cells``.
"""

import json
import re
from collections.abc import Callable, Iterable
from pathlib import Path

from backspike.fpga.ecp5.late_reset import put_reset
from backspike.fpga.flow.families import FAMILIES
from backspike.fpga.flow.tools import run_yosys
from backspike.hw.chip import Chip, Tile
from backspike.hw.verilog.emit import CHIP_MODULE, TILE_MODULE, to_verilog
from backspike.spec.config import ChipConfig

__all__ = ["CELLS", "cell_models", "emit_netlist", "synthesise_netlist"]

CELLS = tuple(Path(__file__).parents[1] / "cells" / f"{name}.v" for name in ("dp16kd", "mult18x18d"))
"""Models of the cells of which Yosys has none."""

_FAMILY = FAMILIES["ecp5"]
_MODELS = ("common_sim.vh", "ccu2c_sim.vh")  # cells_sim_ecp5.v includes these two, and has nothing else but black boxes
_FOLDER = re.compile(r"Executing Verilog-2005 frontend: (.*)/cells_sim_ecp5\.v$", re.MULTILINE)
_NETLIST_WAIVERS = {
    "PINMISSING": "cells have pins that a netlist leaves open, such as the second data input of a register",
    "UNOPTFLAT": "bits of one port between the modules may depend on each other",
}
_MODEL_WAIVERS = {
    "UNUSEDSIGNAL": "pins without meaning for the chosen mode of a cell",
    "UNUSEDPARAM": "parameters without meaning for a simulation",
    "UNDRIVEN": "outputs of cells that the netlist does not use",
    "PINMISSING": "cells inside of cells, with pins left open",
    "INITIALDLY": "memories get their initial values by delayed assignments",
    "WIDTH": "texts of different lengths are compared",
    "GENUNNAMED": "blocks that are generated have no names",
    "SPECIFYIGN": "delays play no part",
    "INCABSPATH": "they stay where Yosys has them",
}


def emit_netlist(config: ChipConfig, folder: Path | str, *, say: Callable[[str], object] = print) -> list[Path]:
    """Write a chip as the cells of an ECP5, and their models; takes the place of ``emit_chip``.

    Parameters
    ----------
    config : ChipConfig
    folder : Path or str
        For everything that is written.
    say : callable
        Called with lines of progress.

    Returns
    -------
    list of Path
        Verilog files; the chip's module has the name and the ports that it has in ``emit_chip``.

    Raises
    ------
    RuntimeError
        Synthesis failed.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    tile, chip = (folder / f"{name}.v" for name in (TILE_MODULE, CHIP_MODULE))
    tile.write_text(to_verilog(Tile(config), TILE_MODULE, reset=False), encoding="utf-8")
    chip.write_text(to_verilog(Chip(config, tile_module=TILE_MODULE), CHIP_MODULE), encoding="utf-8")
    return synthesise_netlist([tile, chip], CHIP_MODULE, folder, core=TILE_MODULE, say=say)


def synthesise_netlist(
    sources: Iterable[Path],
    top: str,
    folder: Path | str,
    *,
    core: str | None = None,
    say: Callable[[str], object] = print,
) -> list[Path]:
    """Synthesise Verilog as for a bitstream, and write the netlist.

    Parameters
    ----------
    sources : iterable of Path
        Verilog files in ``folder``.
    top : str
        Name of the top module.
    core : str or None
        A module that has no reset, is synthesised once, kept apart, and then gets its reset.
    other parameters, and what is returned
        As of ``emit_netlist``.
    """
    folder, found = Path(folder), folder / _FAMILY.netlist
    before, options, after = _FAMILY.script(top, keep=(core,) if core else ())
    tool, seconds = run_yosys(
        [
            *(f"read_verilog {path.name}" for path in sources),
            before,
            f"{_FAMILY.synth.split()[0]} {options} -top {top}",
            after,
        ],
        folder,
        "netlist",
    )
    if core:
        cells = json.loads(found.read_text(encoding="utf-8"))
        put_reset(cells, core)
        found.write_text(json.dumps(cells), encoding="utf-8")
    # A vector of which one bit depends on another one would look like a loop to a simulator; and signals of which only
    # names are left would look undriven.
    seconds += run_yosys(
        [
            f"read_json {found.name}",
            f"hierarchy -top {top}",
            "splitnets",
            "opt_clean -purge",
            "write_verilog -noattr netlist.v",
        ],
        folder,
        "writing",
    )[1]
    say(f"{tool}: {seconds:.0f} s")
    netlist = folder / "netlist.v"
    netlist.write_text(_waived(_NETLIST_WAIVERS) + netlist.read_text(encoding="utf-8"), encoding="utf-8")
    return [netlist, cell_models(folder), *CELLS]


def cell_models(folder: Path) -> Path:
    """A Verilog file that includes Yosys' models of cells, of the Yosys that synthesised in this folder."""
    log = (folder / "netlist.rpt").read_text(encoding="utf-8")
    share = Path(_FOLDER.search(log)[1])
    missing = [name for name in _MODELS if not (share / name).is_file()]
    if missing:
        raise RuntimeError(f"{share} must have Yosys' models of cells, {' and '.join(_MODELS)}; it has no {missing[0]}")
    path = folder / "cells.v"
    includes = "".join(f'`include "{share / name}"\n' for name in _MODELS)
    path.write_text(f"{_waived(_MODEL_WAIVERS)}`define NO_INCLUDES\n{includes}", encoding="utf-8")
    return path


def _waived(rules):
    return "".join(f"/* verilator lint_off {rule} */  // {reason}\n" for rule, reason in rules.items())
