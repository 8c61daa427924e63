# SPDX-License-Identifier: Apache-2.0
"""The devices on the boards, and what the tools count as theirs."""

from dataclasses import dataclass

__all__ = ["DEVICES", "RESOURCES", "Device"]

RESOURCES = {"lut": "LUT4", "ff": "FF", "ram": "block RAM", "dsp": "DSP"}
"""What is counted, and how it is called in tables."""


@dataclass(frozen=True)
class Device:
    """An FPGA.

    Parameters
    ----------
    family : str
        A key of ``families.FAMILIES``.
    lut, ff : int
        Four-input look-up tables and flip-flops.
    ram : int
        Block RAMs of 18 kbit.
    dsp : int
        Multipliers of 18 x 18 bit.
    """

    family: str
    lut: int
    ff: int
    ram: int
    dsp: int

    def resources(self) -> dict[str, int]:
        return {name: getattr(self, name) for name in RESOURCES}


DEVICES = {
    # The 12F is sold as half of a 25F, but it is the same die, and the open tools use all of it.
    "LFE5U-12F": Device("ecp5", 24288, 24288, 56, 28),
    "LFE5U-25F": Device("ecp5", 24288, 24288, 56, 28),
    "LFE5U-45F": Device("ecp5", 43848, 43848, 108, 72),
    "LFE5U-85F": Device("ecp5", 83640, 83640, 208, 156),
    "LFE5UM5G-45F": Device("ecp5", 43848, 43848, 108, 72),
    "LFE5UM5G-85F": Device("ecp5", 83640, 83640, 208, 156),
    "GW1NR-9C": Device("gw1n", 8640, 6480, 26, 20),
    "GW2A-18": Device("gw2a", 20736, 15552, 46, 48),
}
