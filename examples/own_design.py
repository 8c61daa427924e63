# SPDX-License-Identifier: Apache-2.0
"""A design of one's own around a chip: an LED per core that shows activity, and a count of busy cycles."""

import sys
from pathlib import Path

from amaranth.hdl import Module
from amaranth.lib.wiring import Component, In, Out, connect, flipped

from backspike.hw.chip import Chip, Tile
from backspike.hw.noc.host_link import AxiStream
from backspike.hw.verilog.emit import TILE_MODULE, to_verilog
from backspike.spec.config import ChipConfig


class Blinking(Component):
    """A chip, a LED per core, and the number of cycles in which any engine of any core was at work."""

    def __init__(self, config):
        self.config = config
        super().__init__(
            {
                "from_host": In(AxiStream),
                "to_host": Out(AxiStream),
                "leds": Out(config.cores),
                "busy_cycles": Out(48),
            }
        )

    def elaborate(self, platform):
        m = Module()
        m.submodules.chip = chip = Chip(self.config, tile_module=TILE_MODULE)
        connect(m, flipped(self.from_host), chip.s_axis)
        connect(m, chip.m_axis, flipped(self.to_host))
        for core in range(self.config.cores):
            m.d.comb += self.leds[core].eq(chip.activity[3 * core : 3 * core + 3].any())
        with m.If(chip.activity.any()):
            m.d.sync += self.busy_cycles.eq(self.busy_cycles + 1)
        return m


if __name__ == "__main__":
    folder = Path(sys.argv[1] if len(sys.argv) > 1 else "build/blinking")
    folder.mkdir(parents=True, exist_ok=True)
    config = ChipConfig(columns=3, rows=2)
    for name, component in {TILE_MODULE: Tile(config), "blinking": Blinking(config)}.items():
        (folder / f"{name}.v").write_text(to_verilog(component, name))
        print(folder / f"{name}.v")
