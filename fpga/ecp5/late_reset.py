# SPDX-License-Identifier: Apache-2.0
"""The reset of a core's registers on an ECP5, put into the netlist after synthesis.

A register of an ECP5 has an input that sets it to its initial value, and all eight of one place share one signal there.
A reset that is synthesised together with everything else ends up in front of some registers and at that input of
others: look-up tables, and registers that cannot share a place. All registers of a chip have the same value after
reset as at the beginning. So a core is synthesised without reset, and then gets it at that input of each register.

It comes from a register of the core: the way from one place to all registers of many cores takes longer than a cycle.
"""

from typing import Any

__all__ = ["put_reset"]

_REGISTER = "TRELLIS_FF"
_OR = "1110" * 4  # of A and B


def put_reset(netlist: dict[str, Any], module: str, port: str = "rst", clock: str = "clk") -> None:
    """Let a port set all registers of a module to their initial values, a cycle later, before any enable counts.

    What sets some registers already goes on to do so.

    Parameters
    ----------
    netlist : dict[str, Any]
        As read from Yosys' JSON, after mapping to the cells of the device; changed.
    module : str
        Name of the module; what it instantiates has no registers.
    port : str
        Its input, one bit, active high.
    clock : str
        Its clock.

    Raises
    ------
    ValueError
        A register is of a kind that the reset would change in another way.
    """
    contents = netlist["modules"][module]
    cells = contents["cells"]
    reset = 1 + max(bit for net in contents["netnames"].values() for bit in net["bits"] if isinstance(bit, int))
    free = reset + 1
    either = {}  # net of a set input: that net or the reset
    for name, cell in list(cells.items()):
        if cell["type"] != _REGISTER:
            continue
        parameters, pins = cell["parameters"], cell["connections"]
        before = pins.get("LSR", ["0"])[0]
        if before in ("0", "x"):
            parameters |= {"LSRMUX": "LSR", "SRMODE": "LSR_OVER_CE"}
            cell["port_directions"]["LSR"] = "input"
            pins["LSR"] = [reset]
            continue
        if (parameters["LSRMUX"], parameters["SRMODE"]) != ("LSR", "LSR_OVER_CE"):
            raise ValueError(
                f"LSRMUX and SRMODE of a register must be LSR and LSR_OVER_CE, not "
                f"{parameters['LSRMUX']} and {parameters['SRMODE']}, as in {name}"
            )
        if before not in either:
            either[before] = [free + len(either)]
            cells[f"reset_or_{len(either)}"] = _either(before, reset, either[before][0])
            contents["netnames"][f"reset_{len(either)}"] = {"hide_name": 0, "bits": either[before], "attributes": {}}
        pins["LSR"] = either[before]
    given, tick = (contents["ports"][name]["bits"][0] for name in (port, clock))
    cells["reset_register"] = _register(given, tick, reset)
    contents["netnames"]["reset"] = {"hide_name": 0, "bits": [reset], "attributes": {}}


def _register(data, clock, output):
    """A register that is set at the beginning."""
    return {
        "hide_name": 0,
        "type": _REGISTER,
        "attributes": {},
        "parameters": {
            "CEMUX": "1 ",
            "CLKMUX": "CLK",
            "GSR": "DISABLED",
            "LSRMUX": "LSR",
            "REGSET": "SET",
            "SRMODE": "LSR_OVER_CE",
        },
        "port_directions": {**dict.fromkeys(("CLK", "DI", "LSR"), "input"), "Q": "output"},
        "connections": {"CLK": [clock], "DI": [data], "LSR": ["0"], "Q": [output]},
    }


def _either(first, second, output):
    return {
        "hide_name": 0,
        "type": "LUT4",
        "parameters": {"INIT": _OR},
        "attributes": {},
        "port_directions": {**dict.fromkeys("ABCD", "input"), "Z": "output"},
        "connections": {"A": [first], "B": [second], "C": ["0"], "D": ["0"], "Z": [output]},
    }
