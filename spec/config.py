# SPDX-License-Identifier: Apache-2.0
"""What is fixed when a chip is generated: mesh, lanes, memory depths, number format."""

import dataclasses
from dataclasses import dataclass

from backspike.spec.formats import BINARY16, Format

__all__ = ["LIMITS", "ChipConfig", "mesh_shape"]

LIMITS = {  # name: (smallest, largest); the largest follow from the field widths in spec/packets.py and spec/tables.py
    "columns": (1, 8),
    "rows": (1, 8),
    "slots": (2, 8),
    "steps": (1, 16),
    "slices": (1, 16),
    "weights": (32, 1 << 17),
    "neurons": (16, 1 << 14),
    "tape_words": (2, 1 << 9),
    "groups": (2, 1 << 8),
    "peers": (2, 1 << 8),
    "window": (32, 1 << 12),
    "batch_terms": (8, 1 << 23),
}
"""Smallest and largest value of each size in a ``ChipConfig``."""


@dataclass(frozen=True, kw_only=True)
class ChipConfig:
    """Everything that is fixed at generation; networks are loaded at run time.

    Parameters
    ----------
    columns, rows: size of the mesh, 1 to 8 each; core (x, y) is column x of row y
    lanes: multiply-accumulate lanes of each engine: 1, 2, 4 or 8
    slots: samples in flight per layer slice, 2 to 8
    steps: largest number of time steps T, 1 to 16, and such that the format holds every count of spikes
    slices: layer slices that one core can hold, 1 to 16
    weights: weights that one core can hold, a multiple of ``lanes``
    neurons: output neurons that one core can hold, a multiple of ``lanes``; the channels of a slice count as rounded up
        to such a multiple
    tape_words: 32-input words of input spikes that one core can hold per slot
    groups: entries of a core's table of input groups: one for each producer of each of its slices
    peers: entries of a core's table of packet sources and destinations
    window: entries of the engines' lists, a power of two: inputs of one group that an output pixel sees
        (kernel x kernel x pool x pool x channels), and outputs of a lane that an input pixel sees
    batch_terms: largest number of terms of a gradient's exact sum: steps x output pixels x pool x pool x samples of a
        batch
    momentum: whether the core has a velocity memory (without it, momentum must be 0)
    dense_only: smaller engines, for dense layers only; skipping cannot be switched off, and with several lanes a block
        of outputs is skipped only where no lane has work
    chain: the cores are one chain, row by row, instead of a mesh: routers with three ports and half the logic, for
        chips that a slow link feeds; a packet goes through all cores between its source and its destination
    format: storage format of every number

    Raises
    ------
    TypeError, ValueError: a parameter of the wrong kind, or out of range
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
    groups: int = 32
    peers: int = 64
    window: int = 1024
    batch_terms: int = 1 << 16
    momentum: bool = True
    dense_only: bool = False
    chain: bool = False
    format: Format = BINARY16

    def __post_init__(self):
        for name, (low, high) in LIMITS.items():
            value = getattr(self, name)
            if not isinstance(value, int) or isinstance(value, bool):
                raise TypeError(f"{name} must be an integer, not {value!r}")
            if not low <= value <= high:
                raise ValueError(f"{name} must be {low} to {high}, not {value!r}")
        if self.lanes not in (1, 2, 4, 8):
            raise ValueError(f"lanes must be 1, 2, 4 or 8, not {self.lanes!r}")
        if self.window & (self.window - 1):
            raise ValueError(f"window must be a power of two, not {self.window!r}")
        for name in ("weights", "neurons"):
            if getattr(self, name) % self.lanes:
                raise ValueError(f"{name} must be a multiple of lanes ({self.lanes}), not {getattr(self, name)!r}")
        for name in ("momentum", "dense_only", "chain"):
            if not isinstance(getattr(self, name), bool):
                raise TypeError(f"{name} must be True or False, not {getattr(self, name)!r}")
        if not isinstance(self.format, Format):
            raise TypeError(f"format must be a Format, not {self.format!r}")
        most = min(int(self.format.max_finite), 2 << self.format.mantissa)
        if self.steps > most:
            reason = f"so that {self.format} holds every count"
            raise ValueError(f"steps must be at most {most}, {reason}, not {self.steps!r}")

    @property
    def cores(self):
        return self.columns * self.rows

    def to_dict(self):
        """The configuration as plain values, for JSON."""
        return dataclasses.asdict(self)

    @classmethod
    def from_dict(cls, values):
        """The inverse of ``to_dict``; fields that are not given have their defaults.

        Raises ``ValueError`` for a name that is no field.
        """
        names = [field.name for field in dataclasses.fields(cls)]
        unknown = sorted(values.keys() - set(names))
        if unknown:
            raise ValueError(f"configuration must have fields of {names}, not {unknown[0]!r}")
        values = dict(values)
        if "format" in values:
            values["format"] = Format(**values["format"])
        return cls(**values)


def mesh_shape(cores):
    """``(columns, rows)`` of the most nearly square mesh with exactly ``cores`` nodes, columns >= rows.

    Raises ``ValueError`` where no mesh of at most 8 x 8 nodes has that many.
    """
    if not isinstance(cores, int) or isinstance(cores, bool):
        raise TypeError(f"cores must be an integer, not {cores!r}")
    shapes = [
        (cores // rows, rows) for rows in range(1, 9) if cores > 0 and cores % rows == 0 and rows <= cores // rows <= 8
    ]
    if not shapes:
        possible = sorted({x * y for x in range(1, 9) for y in range(1, 9)}, key=lambda n: (abs(n - cores), n))
        raise ValueError(
            f"cores must fill a mesh of at most 8 x 8, not {cores!r}; the nearest that do: {sorted(possible[:2])}"
        )
    return shapes[-1]
