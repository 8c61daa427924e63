# SPDX-License-Identifier: Apache-2.0
"""A unit is mapped to the cells of a library, by Yosys and ABC: area, gate equivalents, delay, memories."""

import json
import re
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from shutil import copyfile

from backspike.fpga.asic.library import Library
from backspike.fpga.asic.netlist import Netlist
from backspike.fpga.flow.tools import run_yosys

__all__ = ["Mapped", "map_unit"]

_DELAY = re.compile(r"ABC: .*\bDelay = +([\d.]+) ps")
_SCRIPT = """read_verilog unit.v
hierarchy -check -top {top}
proc
setattr -unset init w:*
flatten -noscopeinfo
opt -full
wreduce
peepopt
opt_clean
alumacc
share
opt
memory -nomap
opt_clean
memory_map -rom-only
opt -fast -full
techmap
opt -fast
dfflibmap -liberty cells.lib
abc -liberty cells.lib -constr ports.constr
opt_clean -purge
write_json mapped.json"""


@dataclass(frozen=True)
class Mapped:
    """What a unit is in the cells of a library.

    Parameters
    ----------
    netlist : Netlist
    cells : dict[str, int]
        How many of each kind.
    area, flip_flop_area : float
        Of all cells and of its flip-flops, in the unit of the file; without memories, without wires.
    gates : float
        Area in NANDs of two inputs: gate equivalents.
    flip_flops : int
    delay : float or None
        Of the longest path of logic between registers, memories and ports, in seconds, as ABC computes it for the cells
        that it chose: without wires, and without a register's own delay and setup. ``None``: there is no logic.
    """

    netlist: Netlist
    cells: dict[str, int]
    area: float
    flip_flop_area: float
    gates: float
    flip_flops: int
    delay: float | None

    @property
    def memory_bits(self) -> int:
        """Bits of all memories, whose area is in no other number."""
        return sum(memory.bits for memory in self.netlist.memories)


def map_unit(
    module: str, text: str, library: Library, folder: Path | str, *, say: Callable[[str], object] = print
) -> Mapped:
    """Map a unit, without its hierarchy.

    Tables without a write port become logic; other memories stay what they are. Registers begin with anything: it is
    the reset that gives them their values.

    Parameters
    ----------
    module, text : str
        Its name, and the Verilog of all modules.
    library : Library
    folder : Path or str
        For everything that is written.
    say : callable
        Called with a line of progress.

    Raises
    ------
    RuntimeError
        Synthesis failed.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "unit.v").write_text(text, encoding="utf-8")
    copyfile(library.path, folder / "cells.lib")
    load = library.inverter.inputs[0].capacitance * library.farads * 1e15  # in fF; of registers' inputs too
    constraints = f"set_driving_cell {library.inverter.name}\nset_load {load:.4f} [all_outputs]\n"
    (folder / "ports.constr").write_text(constraints, encoding="utf-8")
    tool, seconds = run_yosys(_SCRIPT.format(top=_escaped(module)).splitlines(), folder, "mapping")
    say(f"{tool}: {seconds:.0f} s")
    modules = json.loads((folder / "mapped.json").read_text(encoding="utf-8"))["modules"]
    netlist = Netlist.of(modules[module], library)
    cells = Counter(instance.cell for instance in netlist.instances)
    areas = {name: count * library.cell(name).area for name, count in cells.items()}
    flip_flops = [name for name in cells if library.cell(name).state is not None]
    delays = _DELAY.findall((folder / "mapping.rpt").read_text(encoding="utf-8"))
    return Mapped(
        netlist=netlist,
        cells=dict(sorted(cells.items())),
        area=sum(areas.values()),
        flip_flop_area=sum(areas[name] for name in flip_flops),
        gates=sum(areas.values()) / library.nand.area,
        flip_flops=sum(cells[name] for name in flip_flops),
        delay=max(float(delay) for delay in delays) * 1e-12 if delays else None,
    )


def _escaped(module):
    return module if re.fullmatch(r"\w+", module) else f"\\{module}"
