# SPDX-License-Identifier: Apache-2.0
"""Energy of a unit in a clock cycle, from toggles of its nets and the energies and capacitances of a liberty file.

A toggle of a net costs ``1/2 C V^2`` with all pins at the net, the internal energy of the cell that drives it, and the
internal energies of the input pins that it goes to. Internal energies are read at the net's load and at the transition
time that its driver has there. Inputs are driven by an inverter that drives four of its kind; outputs drive one.
"""

from dataclasses import dataclass

import numpy as np

from backspike.fpga.asic.library import Library
from backspike.fpga.asic.netlist import Netlist
from backspike.fpga.asic.toggles import Toggles

__all__ = ["Switching", "switching_energy"]

_FANOUT = 4


@dataclass(frozen=True)
class Switching:
    """Joules in a clock cycle: times the clock rate it is power. Memories, clock tree and all outside are not in it.

    Parameters
    ----------
    data : float
        Of nets that go from one value to another once at most in a cycle.
    glitches : float
        What comes in addition when all cells have equal delays.
    clock : float
        Of both edges at the clock pins of all flip-flops.
    leakage : float or None
        Watts, whether anything switches or not; ``None``: the file does not say it for a cell.
    """

    data: float
    glitches: float
    clock: float
    leakage: float | None

    @property
    def total(self) -> float:
        """Joules in a cycle."""
        return self.data + self.glitches + self.clock


def switching_energy(netlist: Netlist, library: Library, toggles: Toggles, *, wire: float = 0.0) -> Switching:
    """The energy of a unit.

    Parameters
    ----------
    netlist, library, toggles
        The unit, its cells, and how often its nets toggle.
    wire : float
        Capacitance of a wire in farads, for each pin that a net goes to.
    """
    nets = _Nets(netlist, library, wire / library.farads)
    per_toggle = nets.toggle_energies()
    clocks = sorted(netlist.clocks(library))
    at_clock = float(per_toggle[clocks].sum()) * 2
    per_toggle[clocks] = 0.0
    data = float(per_toggle @ toggles.settled)
    leaks = [library.cell(instance.cell).leakage for instance in netlist.instances]
    return Switching(
        data=data,
        glitches=float(per_toggle @ toggles.all) - data,
        clock=at_clock,
        leakage=None if any(leak is None for leak in leaks) else float(sum(leaks)),
    )


class _Nets:
    """Loads and transition times of nets, in the units of the file."""

    def __init__(self, netlist, library, wire):
        self.library = library
        self.loads, self.drivers = np.zeros(netlist.nets), {}
        self.sinks = [[] for _ in range(netlist.nets)]
        for instance in netlist.instances:
            cell = library.cell(instance.cell)
            for name, net in instance.nets.items():
                pin = cell.pins[name]
                self.loads[net] += pin.capacitance
                if pin.output:
                    self.drivers[net] = cell, pin, instance
                else:
                    self.loads[net] += wire
                    self.sinks[net].append(pin)
        inverter, one = library.inverter, library.inverter.inputs[0].capacitance
        for nets in netlist.outputs.values():
            self.loads[nets] += one
        outside = _mean(inverter.outputs[0].transitions, None, _FANOUT * one)
        self.slews = np.full(netlist.nets, outside)
        for net, (_, pin, _) in self.drivers.items():
            if pin.transitions:
                self.slews[net] = _mean(pin.transitions, None, self.loads[net])

    def toggle_energies(self):
        """Of a toggle of each net, half a rise and half a fall, in joules."""
        energies = np.zeros(len(self.loads))
        for net, (cell, pin, instance) in self.drivers.items():
            inputs = [cell.clock] if cell.clock else [other.name for other in cell.inputs]
            slew = float(np.mean([self.slews[instance.nets[name]] for name in inputs if name in instance.nets] or [0]))
            energies[net] += _mean(pin.energies, slew, self.loads[net])
        for net, pins in enumerate(self.sinks):
            energies[net] += sum(_mean(pin.energies, float(self.slews[net]), 0.0) for pin in pins)
        energies *= self.library.joules
        energies += 0.5 * self.loads * self.library.farads * self.library.voltage**2
        energies[:2] = 0.0
        return energies


def _mean(tables, slew, load):
    return float(np.mean([table.at(slew, load) for table in tables])) if tables else 0.0
