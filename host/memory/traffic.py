# SPDX-License-Identifier: Apache-2.0
"""Bytes that go to and from a memory, by what they are."""

from dataclasses import asdict, dataclass, fields
from typing import Self

__all__ = ["ERROR_DENSITY", "SUM_BYTES", "Traffic", "number_bytes", "packed_bytes"]

ERROR_DENSITY = 0.3
"""Share of errors that are not 0, for estimates."""

SUM_BYTES = 12
"""Of an exact sum of errors, 96 bits."""


@dataclass(frozen=True, kw_only=True)
class Traffic:
    """Bytes, read and written alike.

    Parameters
    ----------
    weights, velocities : int
        Of numbers of the storage format.
    spikes, masks : int
        Of packed bits.
    errors : int
        Of a bit for each neuron and step, and a number for each that is not 0.
    sums : int
        Of exact sums of errors that are not complete.
    """

    weights: int = 0
    velocities: int = 0
    spikes: int = 0
    masks: int = 0
    errors: int = 0
    sums: int = 0

    def __add__(self, other: "Traffic") -> Self:
        return type(self)(**{f.name: getattr(self, f.name) + getattr(other, f.name) for f in fields(self)})

    @property
    def total(self) -> int:
        """All of them."""
        return sum(self.to_dict().values())

    def to_dict(self) -> dict[str, int]:
        """Bytes by name."""
        return asdict(self)


def packed_bytes(steps: int, neurons: int) -> int:
    """Bytes of one bit for each neuron and step of a sample; a step begins with a new byte."""
    return steps * -(-neurons // 8)


def number_bytes(width: int) -> int:
    """Bytes of a number of so many bits."""
    return -(-width // 8)
