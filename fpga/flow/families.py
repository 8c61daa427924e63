# SPDX-License-Identifier: Apache-2.0
"""The device families: how Yosys is told to synthesise, what its cells cost, how nextpnr counts.

Yosys' newer mapper, ABC9, which its ``synth_*`` commands run, fails on the large modules of a chip; so each script
stops them in front of it, runs the older ABC, which needs half the time, and lets them continue with the cells.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any

from backspike.fpga.flow.devices import RESOURCES, Device

__all__ = ["FAMILIES", "Family"]


@dataclass(frozen=True, kw_only=True)
class Family:
    """A family of devices.

    Parameters
    ----------
    synth : str
        Yosys command, with options.
    mapping : tuple[str, ...]
        Yosys commands that map to look-up tables, between two runs of ``synth``.
    cells : tuple[tuple[str, dict[str, int]], ...]
        (pattern of a cell's type, {resource: amount}); other cells cost nothing that is counted.
    bels : dict[str, list[str]]
        {resource: names in nextpnr's report}, for what nextpnr counts by itself.
    nextpnr : str
        Further options of nextpnr.
    spread : float
        How much less than full the placer leaves the places for logic, as a share; 0: what nextpnr does by itself.
    settings : dict[str, str]
        {name: value} of nextpnr that have no option; it reads them from the netlist.
    registers : tuple[str, ...]
        Yosys commands before registers become those of the device.
    late_reset : bool
        A core is synthesised without its reset, which ``put_reset`` adds to the netlist.
    netlist, bitstream : str
        Names of files in the build folder.
    unit_options : tuple[str, ...] or None
        nextpnr's options for a unit alone, between registers instead of pins; None: it cannot do that.
    """

    synth: str
    mapping: tuple[str, ...]
    cells: tuple[tuple[str, dict[str, int]], ...]
    bels: dict[str, list[str]]
    bitstream: str
    nextpnr: str = ""
    spread: float = 0
    settings: dict[str, str] = field(default_factory=dict)
    registers: tuple[str, ...] = ()
    late_reset: bool = False
    netlist: str = "top.json"
    unit_options: tuple[str, ...] | None = None

    def overrides(self, *, keep: Iterable[str] = (), clock: Fraction | float, seed: int) -> dict[str, Any]:
        """Arguments of ``Platform.build`` for a design with the name "top".

        Parameters
        ----------
        keep : iterable of str
            Modules that are synthesised once, however often they are instantiated.
        clock : Fraction or float
            MHz.
        seed : int
            Of the placement.
        """
        before, options, after = self.script("top", keep=keep)
        nextpnr = f"--report top.report.json --timing-allow-fail --seed {seed} --freq {float(clock):g} "
        nextpnr += self.nextpnr
        return {
            "script_after_read": before,
            "synth_opts": options,
            "script_after_synth": after,
            "nextpnr_opts": nextpnr,
            "emit_src": False,
        }

    def placing(self, needs: dict[str, int], resources: Device) -> tuple[str, ...]:
        """Further options of nextpnr for a design that needs ``{resource: amount}`` of a device's resources."""
        if not self.spread:
            return ()
        share = max(needs[name] / getattr(resources, name) for name in ("lut", "ff"))
        return "--placer-heap-beta", f"{min(max(0.6, share + self.spread), 0.95):.2f}"

    def script(self, top: str, *, keep: Iterable[str] = (), further: str = "") -> tuple[str, str, str]:
        """Parts of a Yosys script: what follows reading, options of a ``synth`` command, what follows it.

        Parameters
        ----------
        top : str
            Name of the top module.
        keep : iterable of str
            Modules that are synthesised once.
        further : str
            Options of all ``synth`` commands.
        """
        command, *options = self.synth.split(" ", 1)
        options = " ".join([*options, further])
        before = [f"setattr -mod -set keep_hierarchy 1 {module}" for module in keep]
        first = "begin"
        if self.registers:
            first = "map_ffs"
            before += [f"{command} {options} -top {top} -run begin:{first}", *self.registers]
        after = [
            *self.mapping,
            f"{command} {options} -top {top} -run map_cells:check",
            "hierarchy -check",
            f"tee -q -o {top}.stat stat -json",
            "blackbox =A:whitebox",
            f"write_json {self.netlist}",
        ]
        return "\n".join(before), f"{options} -run {first}:map_luts", "\n".join(after)

    def count(self, cells: dict[str, int]) -> dict[str, int]:
        """``{resource: amount}`` of ``{type of cell: how many}``."""
        total = dict.fromkeys(RESOURCES, 0)
        for kind, number in cells.items():
            for pattern, costs in self.cells:
                if re.fullmatch(pattern, kind):
                    for name, cost in costs.items():
                        total[name] += cost * number
        return total


def _gowin(name):
    return Family(
        synth=f"synth_gowin -noiopads -family {name}",  # Amaranth has placed them; Yosys would put them around tiles
        mapping=("abc -lut 4", "clean"),
        cells=(
            ("LUT[1-4]|ALU", {"lut": 1}),
            ("RAM16S[DP]*4", {"lut": 8}),
            ("DFF.*", {"ff": 1}),
            ("(SP|SDP|SDPB|DP|DPB|SPX9|SDPX9B|DPX9B|pROM|pROMX9)", {"ram": 1}),
            ("MULT18X18", {"dsp": 1}),
            ("MULT36X36", {"dsp": 4}),
        ),
        bels={},
        bitstream="top.fs",
        netlist="top.syn.json",
    )


FAMILIES = {
    "ecp5": Family(
        synth="synth_ecp5",
        mapping=("abc -lut 4", "clean"),
        # CCU2C adds two bits; DPR16X4 takes four look-up tables for its words and two to write them.
        cells=(
            ("LUT4", {"lut": 1}),
            ("CCU2C", {"lut": 2}),
            ("TRELLIS_DPR16X4", {"lut": 6}),
            ("TRELLIS_FF", {"ff": 1}),
            ("DP16KD|PDPW16KD", {"ram": 1}),
            ("MULT18X18D", {"dsp": 1}),
        ),
        bels={"lut": ["TRELLIS_COMB"], "ff": ["TRELLIS_FF"], "ram": ["DP16KD"], "dsp": ["MULT18X18D"]},
        # All eight registers of one place share one signal that clears them. So only what clears many registers does
        # it by that signal: each further one keeps the placer from putting registers together.
        registers=(
            "dfflegalize -minsrst 20 -cell $_DFF_?_ 01 -cell $_DFF_?P?_ r -cell $_SDFF_?P?_ r "
            "-cell $_DFFE_??_ 01 -cell $_DFFE_?P??_ r -cell $_SDFFE_?P??_ r",
        ),
        late_reset=True,
        bitstream="top.bit",
        # The default, router1, came to a halt in the middle of a chip of 20,000 LUT4; this one took three minutes.
        nextpnr="--router router2",
        # With cells as close as the default of 0.9 allows, half full devices were not routed.
        spread=0.12,
        # Wires in use twice become dearer more slowly than by default, and the way to go is not overestimated. Else
        # detours take more wires than they free, and in a chip of many cores the router does not come to an end.
        settings={
            "router2/biasCostFactor": "0",
            "router2/currCongWeightMult": "0.5",
            "router2/histCongWeight": "0.3",
            "router2/estimateWeight": "1",
        },
        unit_options=(
            "--85k",
            "--package",
            "CABGA381",
            "--speed",
            "6",
            "--out-of-context",
            "--lpf-allow-unconstrained",
        ),
    ),
    "gw1n": _gowin("gw1n"),
    "gw2a": _gowin("gw2a"),
}
