# SPDX-License-Identifier: Apache-2.0
"""The device families: how Yosys is told to synthesise, what its cells cost, how nextpnr counts.

Yosys' newer mapper, ABC9, which its ``synth_*`` commands run, fails on the large modules of a chip; so each script
stops them in front of it, runs the older ABC, which needs half the time, and lets them continue with the cells.
"""

import re
from dataclasses import dataclass, field

from backspike.fpga.devices import RESOURCES

__all__ = ["FAMILIES", "Family"]


@dataclass(frozen=True, kw_only=True)
class Family:
    """A family of devices.

    Parameters
    ----------
    synth: Yosys command, with options
    mapping: Yosys commands that map to look-up tables, between two runs of ``synth``
    cells: (pattern of a cell's type, {resource: amount}); other cells cost nothing that is counted
    bels: {resource: names in nextpnr's report}, for what nextpnr counts by itself
    nextpnr: further options of nextpnr
    crowded: options for a design that takes more than half of the look-up tables
    settings: {name: value} of nextpnr that have no option; it reads them from the netlist
    netlist, bitstream: names of files in the build folder
    unit_options: nextpnr's options for a unit alone, between registers instead of pins; None: it cannot do that
    """

    synth: str
    mapping: tuple
    cells: tuple
    bels: dict
    bitstream: str
    nextpnr: str = ""
    crowded: tuple = ()
    settings: dict = field(default_factory=dict)
    netlist: str = "top.json"
    unit_options: tuple | None = None

    def overrides(self, *, keep=(), clock, seed):
        """Arguments of ``Platform.build`` for a design with the name "top".

        Parameters
        ----------
        keep: modules that are synthesised once, however often they are instantiated
        clock: MHz
        seed: of the placement
        """
        before, options, after = self.script("top", keep=keep)
        nextpnr = f"--report top.report.json --timing-allow-fail --seed {seed} --freq {float(clock):g} "
        nextpnr += self.nextpnr
        return {"script_after_read": before, "synth_opts": options, "script_after_synth": after,
                "nextpnr_opts": nextpnr, "emit_src": False}

    def placing(self, needs, resources):
        """Further options of nextpnr for a design that needs ``{resource: amount}`` of a device's resources."""
        return self.crowded if 2 * needs["lut"] > resources.lut else ()

    def script(self, top, *, keep=()):
        """Parts of a Yosys script: what follows reading, options of the first ``synth`` command, what follows it."""
        command, *options = self.synth.split(" ", 1)
        options = " ".join(options)
        before = [f"setattr -mod -set keep_hierarchy 1 {module}" for module in keep]
        after = [*self.mapping, f"{command} {options} -top {top} -run map_cells:check", "hierarchy -check",
                 f"tee -q -o {top}.stat stat -json", "blackbox =A:whitebox", f"write_json {self.netlist}"]
        return "\n".join(before), f"{options} -run begin:map_luts", "\n".join(after)

    def count(self, cells):
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
        mapping=("abc -lut 4:8", "clean"),
        cells=(("LUT[1-4]|ALU", {"lut": 1}), ("RAM16S[DP]*4", {"lut": 8}), ("DFF.*", {"ff": 1}),
               ("(SP|SDP|SDPB|DP|DPB|SPX9|SDPX9B|DPX9B|pROM|pROMX9)", {"ram": 1}), ("MULT18X18", {"dsp": 1}),
               ("MULT36X36", {"dsp": 4})),
        bels={}, bitstream="top.fs", netlist="top.syn.json")


FAMILIES = {
    "ecp5": Family(
        synth="synth_ecp5",
        mapping=("abc -lut 4", "clean"),
        # CCU2C adds two bits; DPR16X4 takes four look-up tables for its words and two to write them.
        cells=(("LUT4", {"lut": 1}), ("CCU2C", {"lut": 2}), ("TRELLIS_DPR16X4", {"lut": 6}), ("TRELLIS_FF", {"ff": 1}),
               ("DP16KD|PDPW16KD", {"ram": 1}), ("MULT18X18D", {"dsp": 1})),
        bels={"lut": ["TRELLIS_COMB"], "ff": ["TRELLIS_FF"], "ram": ["DP16KD"], "dsp": ["MULT18X18D"]},
        bitstream="top.bit",
        # The default, router1, came to a halt in the middle of a chip of 20,000 LUT4; this one took three minutes.
        # Cells as close as the default 0.9 allows were not routed in half full devices.
        nextpnr="--router router2 --placer-heap-beta 0.6",
        # With their defaults the router did not come to an end: it went on to use some wires twice.
        settings={"router2/biasCostFactor": "0", "router2/currCongWeightMult": "1"},
        # In an 85F that was 82 % full, the default placer made wires of a total length of 696,000, for an
        # estimated 28 MHz, this one 453,000 and 51 MHz.
        crowded=("--placer", "static"),
        unit_options=("--85k", "--package", "CABGA381", "--speed", "6", "--out-of-context",
                      "--lpf-allow-unconstrained")),
    "ice40": Family(
        synth="synth_ice40 -device u -dsp -spram",
        mapping=("abc -lut 4", "ice40_wrapcarry -unwrap", "techmap -map +/ice40/ff_map.v", "clean",
                 "opt_lut -tech ice40"),
        cells=(("SB_LUT4", {"lut": 1}), ("SB_DFF.*", {"ff": 1}), ("SB_RAM40_4K.*", {"ram": 1}),
               ("SB_MAC16", {"dsp": 1})),
        bels={"lut": ["ICESTORM_LC"], "ram": ["ICESTORM_RAM"], "dsp": ["ICESTORM_DSP"]},
        bitstream="top.bin"),
    "gw1n": _gowin("gw1n"),
    "gw2a": _gowin("gw2a"),
}
