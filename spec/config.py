# SPDX-License-Identifier: Apache-2.0
"""What is fixed when a chip is generated: mesh, lanes, memory depths, number format."""

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from backspike.spec.checks import check_flag, check_integer
from backspike.spec.formats import BINARY16, Format

__all__ = ["LIMITS", "ChipConfig", "largest_count", "mesh_shape"]

LIMITS = {
    "columns": (1, 8),
    "rows": (1, 8),
    "slots": (2, 8),
    "steps": (1, 16),
    "slices": (1, 16),
    "weights": (32, 1 << 17),
    "neurons": (16, 1 << 14),
    "tape_words": (2, 1 << 9),
    "fan_in": (2, 1 << 8),
    "routes": (2, 1 << 8),
    "list_depth": (32, 1 << 12),
    "batch_terms": (8, 1 << 23),
    "operand_bits": (1, 8),
}
"""Smallest and largest value of each number; the largest follow from the field widths in ``packets`` and ``tables``."""


@dataclass(frozen=True, kw_only=True)
class ChipConfig:
    """Everything that is fixed at generation; networks are loaded at run time.

    Parameters
    ----------
    columns, rows : int
        Size of the mesh, 1 to 8 each; core (x, y) is column x of row y.
    lanes : int
        Multiply-accumulate lanes of each engine: 1, 2, 4 or 8.
    slots : int
        Samples in flight per layer slice, 2 to 8.
    steps : int
        Largest number of time steps T, 1 to 16, and such that the format holds every count of spikes.
    slices : int
        Layer slices that one core can hold, 1 to 16.
    weights : int
        Weights that one core can hold, a multiple of ``lanes``, 32 to 2**17.
    neurons : int
        Output neurons that one core can hold, a multiple of ``lanes``, 16 to 2**14; the channels of a slice count as
        rounded up to such a multiple.
    tape_words : int
        Words of 32 input spikes that one core can hold per slot, 2 to 512.
    fan_in : int
        Entries of a core's fan-in table, 2 to 256: one for each producer of each of its slices.
    routes : int
        Entries of a core's table of packet sources and destinations, 2 to 256.
    list_depth : int
        Entries of the engines' lists, a power of two, 32 to 4096: inputs of one group that an output pixel sees
        (kernel x kernel x pool x pool x channels), and outputs of a lane that an input pixel sees.
    batch_terms : int
        Largest number of terms of a gradient's exact sum, 8 to 2**23: steps x output pixels x pool x pool x samples of
        a batch, x the largest operand.
    operand_bits : int
        Bits of what a gradient multiplies a delta with: 1 for the spike of the input, which takes no hardware, 2 to 8
        for a trace or a count of its spikes, 7 being enough for all rules; then neurons count their own spikes too.
    noise : bool
        Whether noise can move the thresholds of neurons, from which feedback learns: 16 bits for each of them.
    ternary : bool
        Whether errors can go back as ternary spikes, for which operands must have several bits.
    momentum : bool
        Whether the core has a velocity memory (without it, momentum must be 0).
    dense_only : bool
        Smaller engines, for dense layers only; skipping cannot be switched off, and with several lanes a block of
        outputs is skipped only where no lane has work.
    chain : bool
        The cores are one chain, row by row, instead of a mesh: routers with three ports and half the logic, for chips
        that a slow link feeds; a packet goes through all cores between its source and its destination.
    format : Format
        Storage format of every number.

    Raises
    ------
    TypeError
        A parameter is of the wrong kind.
    ValueError
        A parameter is out of range.
    """

    columns: int = 2
    rows: int = 2
    lanes: int = 1
    slots: int = 2
    steps: int = 4
    slices: int = 4
    weights: int = 16384
    neurons: int = 256
    tape_words: int = 64
    fan_in: int = 32
    routes: int = 64
    list_depth: int = 1024
    batch_terms: int = 1 << 16
    operand_bits: int = 1
    noise: bool = False
    ternary: bool = False
    momentum: bool = True
    dense_only: bool = False
    chain: bool = False
    format: Format = BINARY16

    def __post_init__(self) -> None:
        for name, (low, high) in LIMITS.items():
            object.__setattr__(self, name, check_integer(name, getattr(self, name), low, high))
        object.__setattr__(self, "lanes", check_integer("lanes", self.lanes))
        if self.lanes not in (1, 2, 4, 8):
            raise ValueError(f"lanes must be 1, 2, 4 or 8, not {self.lanes!r}")
        if self.list_depth & (self.list_depth - 1):
            raise ValueError(f"list_depth must be a power of two, not {self.list_depth!r}")
        for name in ("weights", "neurons"):
            if getattr(self, name) % self.lanes:
                raise ValueError(f"{name} must be a multiple of lanes ({self.lanes}), not {getattr(self, name)!r}")
        for name in ("noise", "ternary", "momentum", "dense_only", "chain"):
            object.__setattr__(self, name, check_flag(name, getattr(self, name)))
        if self.ternary and self.operand_bits == 1:
            raise ValueError("operand_bits must be 2 to 8, such as 7, with ternary=True, not 1")
        if not isinstance(self.format, Format):
            raise TypeError(f"format must be a Format, not {self.format!r}")
        most = largest_count(self.format)
        if self.steps > most:
            reason = f"so that {self.format} holds every count"
            raise ValueError(f"steps must be at most {most}, {reason}, not {self.steps!r}")

    @property
    def cores(self) -> int:
        """Cores of the chip."""
        return self.columns * self.rows

    def to_dict(self) -> dict[str, Any]:
        """The configuration as plain values, for JSON."""
        return dataclasses.asdict(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> "ChipConfig":
        """The inverse of ``to_dict``.

        Parameters
        ----------
        values : mapping of str to value
            Fields by name; those that are not given have their defaults.

        Raises
        ------
        TypeError, ValueError
            As ``ChipConfig``; or a name is no field.
        """
        names = [field.name for field in dataclasses.fields(cls)]
        unknown = sorted(values.keys() - set(names))
        if unknown:
            raise ValueError(f"configuration must have fields of {names}, not {unknown[0]!r}")
        fields = dict(values)
        if "format" in fields:
            fields["format"] = Format(**fields["format"])
        return cls(**fields)


def largest_count(number_format: Format) -> int:
    """The largest integer up to which a format holds all."""
    return min(int(number_format.max_finite), 2 << number_format.mantissa)


def mesh_shape(cores: int) -> tuple[int, int]:
    """The most nearly square mesh.

    Parameters
    ----------
    cores : int
        Nodes of the mesh, exactly.

    Returns
    -------
    (int, int)
        Columns and rows, at most 8 each, columns >= rows.

    Raises
    ------
    TypeError
        ``cores`` is no integer.
    ValueError
        No mesh of at most 8 x 8 nodes has that many.
    """
    cores = check_integer("cores", cores)
    shapes = [
        (cores // rows, rows) for rows in range(1, 9) if cores > 0 and cores % rows == 0 and rows <= cores // rows <= 8
    ]
    if not shapes:
        possible = sorted({x * y for x in range(1, 9) for y in range(1, 9)}, key=lambda n: (abs(n - cores), n))
        raise ValueError(
            f"cores must fill a mesh of at most 8 x 8, not {cores!r}; the nearest that do: {sorted(possible[:2])}"
        )
    return shapes[-1]
