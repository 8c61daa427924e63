# SPDX-License-Identifier: Apache-2.0
"""Floating-point storage formats and their bit patterns."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from backspike.spec.checks import check_integer

__all__ = ["BINARY16", "Format"]


@dataclass(frozen=True, kw_only=True)
class Format:
    """An IEEE-754-like storage format with subnormals.

    The highest exponent code is reserved, as in IEEE 754, but the infinities and NaNs it stands for never
    occur: results saturate at ``max_finite``.

    Parameters
    ----------
    exponent : int
        Exponent bits, 2 to 5.
    mantissa : int
        Stored mantissa bits, 1 to 10.

    Raises
    ------
    TypeError
        A parameter is no integer.
    ValueError
        A parameter is out of range.
    """

    exponent: int = 5
    mantissa: int = 10

    def __post_init__(self) -> None:
        for name, low, high in (("exponent", 2, 5), ("mantissa", 1, 10)):
            object.__setattr__(self, name, check_integer(name, getattr(self, name), low, high))

    @property
    def width(self) -> int:
        """Bits of a stored number, sign included."""
        return 1 + self.exponent + self.mantissa

    @property
    def bias(self) -> int:
        """What is added to an exponent before it is stored."""
        return (1 << (self.exponent - 1)) - 1

    @property
    def lsb(self) -> int:
        """Exponent of the smallest subnormal: every finite value is a multiple of ``2**lsb``."""
        return 1 - self.bias - self.mantissa

    @property
    def fixed_width(self) -> int:
        """Bits of a two's-complement integer that holds every finite value in units of ``2**lsb``."""
        return 1 + (self.mantissa + 1) + ((1 << self.exponent) - 3)

    @property
    def max_finite(self) -> float:
        """The largest number."""
        top_code = (1 << self.exponent) - 2
        return float(2 - 2.0**-self.mantissa) * 2.0 ** (top_code - self.bias)

    def encode(self, values: ArrayLike) -> NDArray[np.uint32]:
        """Bit patterns of numbers.

        Parameters
        ----------
        values : array of float64
            Numbers that the format holds exactly.

        Returns
        -------
        array of uint32
            Bit patterns, in an array of the same shape.

        Raises
        ------
        ValueError
            A value is not a finite number of the format; the first one is named.
        """
        numbers = np.asarray(values, dtype=np.float64)
        magnitude = np.abs(numbers)
        with np.errstate(invalid="ignore"):
            exponent = np.where(magnitude == 0, 1 - self.bias, np.clip(np.frexp(magnitude)[1] - 1, 1 - self.bias, None))
            scaled = np.ldexp(magnitude, self.mantissa - exponent)
            bad = ~np.isfinite(numbers) | (magnitude > self.max_finite) | (scaled != np.floor(scaled))
        if bad.any():
            raise ValueError(f"{float(numbers[bad].flat[0])!r} is not a finite number of {self}")
        field = scaled.astype(np.int64)
        code = field + ((exponent + self.bias - 1).astype(np.int64) << self.mantissa)
        return (code | (np.signbit(numbers).astype(np.int64) << (self.width - 1))).astype(np.uint32)

    def decode(self, bits: ArrayLike) -> NDArray[np.float64]:
        """Numbers of bit patterns, the inverse of ``encode``.

        Raises
        ------
        ValueError
            A pattern is that of an infinity or a NaN, or has more bits than the format.
        """
        patterns = np.asarray(bits, dtype=np.int64)
        code = (patterns >> self.mantissa) & ((1 << self.exponent) - 1)
        bad = (code == (1 << self.exponent) - 1) | (patterns < 0) | (patterns >= 1 << self.width)
        if bad.any():
            raise ValueError(f"{int(patterns[bad].flat[0]):#x} is not the pattern of a finite number of {self}")
        field = patterns & ((1 << self.mantissa) - 1)
        significand = np.where(code == 0, field, field + (1 << self.mantissa))
        value = np.ldexp(significand.astype(np.float64), np.maximum(code, 1) - self.bias - self.mantissa)
        return np.where(patterns >> (self.width - 1) & 1, -value, value)

    def round(self, values: ArrayLike) -> NDArray[np.float64]:
        """Round to the nearest number of the format, ties to even, saturating.

        Parameters
        ----------
        values : array of float64
            Any finite numbers; each is rounded once.

        Returns
        -------
        array of float64
            Numbers of the format. The sign of a negative value that rounds to zero is kept.
        """
        numbers = np.asarray(values, dtype=np.float64)
        exponent = np.maximum(np.frexp(numbers)[1] - 1, 1 - self.bias) - self.mantissa
        rounded = np.ldexp(np.rint(np.ldexp(numbers, -exponent)), exponent)
        return np.clip(rounded, -self.max_finite, self.max_finite)


BINARY16 = Format(exponent=5, mantissa=10)
