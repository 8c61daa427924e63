# SPDX-License-Identifier: Apache-2.0
"""What one event costs, in pJ: named sets of constants, and sets from a file."""

import dataclasses
import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

__all__ = ["SETS", "EnergyConstants", "load_constants"]


@dataclass(frozen=True, kw_only=True)
class EnergyConstants:
    """Energies in pJ.

    Parameters
    ----------
    name, source : str
        Of the set; where its numbers are from.
    spike_term, product_term, gradient_term : float
        Arithmetic of a term of FP, BP and WG, with its accumulator.
    elementwise : float
        Arithmetic of one operation of the elementwise unit: of a neuron's update, a delta, a weight's update.
    memory_bit : float
        One bit, read or written, of a memory of any depth.
    memory_bit_root : float
        To be added for each bit, times the root of the memory's depth: longer bit lines cost more.
    link_bit : float
        One bit that a router passes on.
    core_cycle : float
        Clock and flip-flops of a core in a cycle, whatever it does.
    """

    name: str
    source: str
    spike_term: float
    product_term: float
    gradient_term: float
    elementwise: float
    memory_bit: float = 0.0
    memory_bit_root: float = 0.0
    link_bit: float = 0.0
    core_cycle: float = 0.0

    def __post_init__(self) -> None:
        for field in dataclasses.fields(self):
            value = getattr(self, field.name)
            if field.type in (str, "str"):
                if not isinstance(value, str):
                    raise TypeError(f"{field.name} must be a string, not {value!r}")
            elif isinstance(value, bool) or not isinstance(value, int | float):
                raise TypeError(f"{field.name} must be a number of pJ, not {value!r}")
            elif not 0 <= value < math.inf:
                raise ValueError(f"{field.name} must be at least 0 and finite, such as 0.5, not {value!r}")

    def memory(self, bits: float, depth: int) -> float:
        """Energy of ``bits`` read from or written to a memory with ``depth`` words."""
        return bits * (self.memory_bit + self.memory_bit_root * math.sqrt(depth))


_REGISTER = 0.14416 / 7.1 * 2  # 16 bits

SETS = {
    "neuromc": EnergyConstants(
        name="neuromc",
        source="NeuroMC as SpikingJelly 2.0.0 publishes it (op_counter/neuromc): 32 nm; no clock, no network on chip",
        spike_term=0.548 + 0.548 / 16 + 2 * _REGISTER,
        product_term=0.812 + 0.548 + 2 * _REGISTER,
        gradient_term=0.548 + 0.548 / 16 + 2 * _REGISTER,
        elementwise=2 * (0.812 + 0.548),
        memory_bit=5.792676768 / 16,
    ),
    "grounded28": EnergyConstants(
        name="grounded28",
        source="gate simulation of the lanes and memory macros at 130 nm, times 0.17 for 28 nm; the clock counts",
        spike_term=2.2,
        product_term=6.6,
        gradient_term=1.9,
        elementwise=13.0,
        memory_bit_root=0.0083,
        link_bit=0.15 / 8,
        core_cycle=43.0,
    ),
}
"""By name. ``docs/energy.md`` derives the numbers."""


def load_constants(name: str) -> EnergyConstants:
    """The set of this name, or the one in this JSON file, an object with the fields of ``EnergyConstants``.

    Raises
    ------
    ValueError
        Neither a set nor a file, or no such field.
    TypeError, ValueError
        A value is of the wrong kind, or out of range.
    """
    if name in SETS:
        return SETS[name]
    path = Path(name)
    if not path.is_file():
        raise ValueError(f"constants must be one of {', '.join(SETS)}, or a JSON file, not {name!r}")
    try:
        given: Any = json.loads(path.read_text())
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise ValueError(f"constants must be a JSON file, not {name!r}: {error}") from None
    if not isinstance(given, dict):
        raise ValueError(f"constants must be a JSON object with energies by name, not {given!r}")
    fields = {field.name: field for field in dataclasses.fields(EnergyConstants)}
    if unknown := sorted(set(given) - set(fields)):
        raise ValueError(f"constants must be some of {', '.join(fields)}, not {unknown[0]!r}")
    given = {"name": path.stem, "source": str(path)} | given
    needed = [key for key, field in fields.items() if field.default is dataclasses.MISSING]
    if missing := [key for key in needed if key not in given]:
        raise ValueError(f"constants must have {missing[0]!r}, in pJ")
    return EnergyConstants(**given)
