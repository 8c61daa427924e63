# SPDX-License-Identifier: Apache-2.0
"""Names of a component's ports in Verilog, and instances with such ports."""

from amaranth.hdl import ClockSignal, Instance, ResetSignal, Value
from amaranth.lib.wiring import In

from backspike.hw.verilog.keywords import KEYWORDS

__all__ = ["CLOCK_PORTS", "instance_of", "port_values"]

CLOCK_PORTS = ("clk", "rst")
"""Clock and active-high synchronous reset, which every emitted module has beside its members."""

_AXI = ("tdata", "tlast", "tvalid", "tready")


def port_values(interface, signature=None):
    """``{name: (value, direction)}`` of all members, direction "input" or "output" as seen from inside.

    Parts of a path are joined with two underscores, as Amaranth does it (``rx__payload``), and those of an AXI stream
    with one, as AXI tools expect it (``s_axis_tdata``). A keyword of Verilog gets an underscore at its end.

    Parameters
    ----------
    interface: a component, or any object with the members of ``signature``
    signature: its signature, if it is not ``interface.signature``
    """
    ports = {}
    for path, member, value in (signature or interface.signature).flatten(interface):
        parts = [str(part) for part in path]
        name = "_".join(parts) if parts[-1] in _AXI else "__".join(parts)
        name += "_" if name in KEYWORDS else ""
        if name in ports or name in CLOCK_PORTS:
            raise ValueError(f"port names must be unique, not {name!r} twice")
        ports[name] = (Value.cast(value), "input" if member.flow == In else "output")
    return ports


def instance_of(m, name, signature, module):
    """An instance of a Verilog module that a component with this signature has been converted to.

    Parameters
    ----------
    m: Module that gets the instance
    name: name of the instance
    signature: of the component
    module: name of the Verilog module

    Returns
    -------
    an object with the members of the component, which can be connected like it
    """
    pins = signature.create(path=(name,))
    ports = port_values(pins, signature)
    m.submodules[name] = Instance(
        module,
        *(("i", port, signal) for port, signal in zip(CLOCK_PORTS, (ClockSignal(), ResetSignal()), strict=True)),
        *(("i" if direction == "input" else "o", port, value) for port, (value, direction) in ports.items()),
    )
    return pins
