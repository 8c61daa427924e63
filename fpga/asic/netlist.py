# SPDX-License-Identifier: Apache-2.0
"""A unit as cells of a library: what Yosys writes as JSON, by numbers of nets."""

import itertools
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from backspike.fpga.asic.library import Library

__all__ = ["Instance", "Memory", "Netlist"]

_MEMORY = "$mem_v2"


@dataclass(frozen=True)
class Instance:
    """A cell: the name of its kind, and the net of each pin."""

    cell: str
    nets: dict[str, int]


@dataclass(frozen=True)
class Memory:
    """A memory, which stays what it is: words, bits of each, ports."""

    name: str
    words: int
    width: int
    read_ports: int
    write_ports: int

    @property
    def bits(self) -> int:
        """In all."""
        return self.words * self.width


@dataclass(frozen=True)
class Netlist:
    """A unit without hierarchy.

    Parameters
    ----------
    nets : int
        How many; net 0 is always 0, net 1 always 1.
    inputs, outputs : dict[str, list[int]]
        Nets of each port, the lowest bit first.
    instances : list of Instance
    memories : list of Memory
    read_data : list of int
        Nets that memories drive.
    """

    nets: int
    inputs: dict[str, list[int]]
    outputs: dict[str, list[int]]
    instances: list[Instance]
    memories: list[Memory]
    read_data: list[int]

    def clocks(self, library: Library) -> set[int]:
        """Nets at the clock pins of flip-flops."""
        cells = [(library.cell(instance.cell), instance) for instance in self.instances]
        return {instance.nets[cell.clock] for cell, instance in cells if cell.clock}

    @property
    def resets(self) -> list[int]:
        """Nets of input ports that reset: ``rst``, or with something and ``_`` before it."""
        return [net for name, nets in self.inputs.items() if name == "rst" or name.endswith("_rst") for net in nets]

    @classmethod
    def of(cls, module: Mapping[str, Any], library: Library) -> "Netlist":
        """The netlist of a module in Yosys' JSON.

        Raises
        ------
        RuntimeError
            It has a cell that is neither one of the library nor a memory.
        """
        numbers: dict[Any, int] = {"0": 0, "x": 0, "z": 0, "1": 1}
        count = itertools.count(2)

        def net(bit: Any) -> int:
            if bit not in numbers:
                numbers[bit] = next(count)
            return numbers[bit]

        ports: dict[str, dict[str, list[int]]] = {"input": {}, "output": {}}
        for name, port in module["ports"].items():
            ports[port["direction"]][name] = [net(bit) for bit in port["bits"]]
        instances, memories, read_data = [], [], []
        for cell in module["cells"].values():
            kind = cell["type"]
            if kind in library:
                instances.append(Instance(kind, {pin: net(bits[0]) for pin, bits in cell["connections"].items()}))
            elif kind == _MEMORY:
                memories.append(_memory(cell["parameters"]))
                read_data += [net(bit) for bit in cell["connections"]["RD_DATA"]]
            else:
                raise RuntimeError(f"synthesis left a cell that the liberty file does not have: {kind}")
        return cls(next(count), ports["input"], ports["output"], instances, memories, read_data)


def _memory(parameters):
    number = {name: int(parameters[name], 2) for name in ("SIZE", "WIDTH", "RD_PORTS", "WR_PORTS")}
    return Memory(
        name=parameters["MEMID"].lstrip("\\"),
        words=number["SIZE"],
        width=number["WIDTH"],
        read_ports=number["RD_PORTS"],
        write_ports=number["WR_PORTS"],
    )
