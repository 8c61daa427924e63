# SPDX-License-Identifier: Apache-2.0
"""How often the nets of a unit toggle: cells with a delay of one unit each, many streams of inputs side by side.

All cells are computed again until none changes, so that a net that comes to its value by detours is counted with all
of them: these are its glitches. Each bit of a word is a stream of its own.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from backspike.fpga.asic.library import Library
from backspike.fpga.asic.netlist import Netlist

__all__ = ["STREAMS", "Simulation", "Toggles", "count_toggles"]

STREAMS = 64
"""Streams of inputs, the bits of a word."""

_ALL = (1 << STREAMS) - 1
_RESET = 4
"""Cycles with reset at the beginning."""

_BEFORE = 16
"""Cycles after them that are not counted either."""


@dataclass(frozen=True)
class Toggles:
    """Toggles of each net in a clock cycle, on average.

    Parameters
    ----------
    settled : array of float64 [nets]
        From the end of a cycle to the end of the next.
    all : array of float64 [nets]
        With glitches.
    """

    settled: np.ndarray
    all: np.ndarray


class Simulation:
    """A netlist, and the values of its nets: ``values``, uint64 [nets], a stream in each bit.

    Parameters
    ----------
    netlist : Netlist
    library : Library
        With its cells.

    Raises
    ------
    RuntimeError
        A cell's function is not known.
    """

    def __init__(self, netlist: Netlist, library: Library) -> None:
        self.values = np.zeros(netlist.nets, dtype=np.uint64)
        self.values[1] = _ALL
        self._most = len(netlist.instances) + 1
        self._logic, self._registers = [], []
        for name in dict.fromkeys(instance.cell for instance in netlist.instances):
            cell = library.cell(name)
            instances = [instance.nets for instance in netlist.instances if instance.cell == name]
            nets = {
                pin: np.array([nets.get(pin, 0) for nets in instances]) for pin in (pin.name for pin in cell.inputs)
            }
            driven = [
                (pin.function, np.array([where.get(pin.name, -1) for where in instances]))
                for pin in cell.outputs
                if any(pin.name in where for where in instances)
            ]
            if any(function is None for function, _ in driven):
                raise RuntimeError(f"liberty file must say the function of the outputs of {name}")
            if cell.state is None:
                self._logic.append((nets, driven))
            else:
                self._registers.append((cell, nets, driven))

    def settle(self, toggles: np.ndarray | None = None) -> None:
        """Compute the logic until nothing changes; adds the toggles of all streams to ``toggles``, int64 [nets].

        Raises
        ------
        RuntimeError
            It does not come to rest: there is a loop of logic.
        """
        for _ in range(self._most):
            before = self.values.copy()
            for nets, driven in self._logic:
                pins = {pin: before[numbers] for pin, numbers in nets.items()}
                self._drive(driven, pins)
            changed = before ^ self.values
            if not changed.any():
                return
            if toggles is not None:
                toggles += np.bitwise_count(changed)
        raise RuntimeError("the unit must have no loop of logic, but it does not come to rest")

    def edge(self, nets: np.ndarray, values: np.ndarray, toggles: np.ndarray | None = None) -> None:
        """A rising edge of the clock, after which some nets from outside have new values; then the logic settles."""
        before = self.values.copy()
        for cell, pins, driven in self._registers:
            state = cell.next_state({pin: before[numbers] for pin, numbers in pins.items()})
            self._drive(driven, dict(zip(cell.state, (state, ~state), strict=False)))
        self.values[nets] = values
        if toggles is not None:
            toggles += np.bitwise_count(before ^ self.values)
        self.settle(toggles)

    def _drive(self, driven, pins):
        for function, nets in driven:
            there = nets >= 0
            self.values[nets[there]] = function(pins)[there]


def count_toggles(
    netlist: Netlist,
    library: Library,
    *,
    cycles: int,
    seed: int = 1,
    hold: Mapping[str, int] | None = None,
) -> Toggles:
    """Toggles with random inputs: each bit of a port and of what a memory reads is drawn anew in every cycle.

    Resets are 1 in the first cycles. Clocks are not among the toggles.

    Parameters
    ----------
    netlist, library
        The unit, in the cells of the library.
    cycles : int
        Clock cycles that are counted, of each of the 64 streams.
    seed : int
        Of what is drawn.
    hold : mapping of str to int
        Input ports that keep a value.

    Raises
    ------
    ValueError
        A port of ``hold`` is no input, or its value does not fit.
    """
    clocks, resets = netlist.clocks(library), netlist.resets
    held = _held(netlist, hold or {}, clocks)
    ports = [net for nets in netlist.inputs.values() for net in nets]
    others = {0, 1, *clocks, *resets, *held}
    drawn = [net for net in dict.fromkeys([*ports, *netlist.read_data]) if net not in others]
    generator = np.random.default_rng(seed)
    nets = np.array([*drawn, *held, *resets], dtype=np.int64)
    simulation = Simulation(netlist, library)
    settled, every = np.zeros(netlist.nets, dtype=np.int64), np.zeros(netlist.nets, dtype=np.int64)
    for cycle in range(_RESET + _BEFORE + cycles):
        random = generator.integers(1 << 64, size=len(drawn), dtype=np.uint64)
        in_reset = _ALL if cycle < _RESET else 0
        values = np.array([*random, *held.values(), *(in_reset for _ in resets)], dtype=np.uint64)
        if cycle < _RESET + _BEFORE:
            simulation.edge(nets, values)
            continue
        before = simulation.values.copy()
        simulation.edge(nets, values, every)
        settled += np.bitwise_count(before ^ simulation.values)
    return Toggles(settled / (cycles * STREAMS), every / (cycles * STREAMS))


def _held(netlist, hold, clocks):
    names = [name for name, nets in netlist.inputs.items() if clocks.isdisjoint(nets)]
    held = {}
    for name, value in hold.items():
        if name not in names:
            raise ValueError(f"hold must name an input of the unit, one of {', '.join(names)}, not {name!r}")
        nets = netlist.inputs[name]
        if not 0 <= value < 1 << len(nets):
            raise ValueError(f"hold of {name} must be 0 to {(1 << len(nets)) - 1}, not {value}")
        held |= {net: _ALL * (value >> k & 1) for k, net in enumerate(nets)}
    return held
