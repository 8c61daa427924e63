# SPDX-License-Identifier: Apache-2.0
"""Floating-point storage formats and their bit patterns."""

from dataclasses import dataclass

import numpy as np

__all__ = ["BINARY16", "Format"]


@dataclass(frozen=True, kw_only=True)
class Format:
    """An IEEE-754-like storage format with subnormals.

    The highest exponent code is reserved, as in IEEE 754, but the infinities and NaNs it stands for never
    occur: results saturate at ``max_finite``.

    Parameters
    ----------
    exponent: exponent bits, 2 to 5
    mantissa: stored mantissa bits, 1 to 10

    Raises
    ------
    TypeError, ValueError: a parameter of the wrong kind or out of range
    """

    exponent: int = 5
    mantissa: int = 10

    def __post_init__(self):
        for name, low, high in (("exponent", 2, 5), ("mantissa", 1, 10)):
            value = getattr(self, name)
            if not isinstance(value, int) or isinstance(value, bool):
                raise TypeError(f"{name} must be an integer, not {value!r}")
            if not low <= value <= high:
                raise ValueError(f"{name} must be {low} to {high}, not {value!r}")

    @property
    def width(self):
        """Bits of a stored number, sign included."""
        return 1 + self.exponent + self.mantissa

    @property
    def bias(self):
        return (1 << (self.exponent - 1)) - 1

    @property
    def lsb(self):
        """Exponent of the smallest subnormal: every finite value is a multiple of ``2**lsb``."""
        return 1 - self.bias - self.mantissa

    @property
    def fixed_width(self):
        """Bits of a two's-complement integer that holds every finite value in units of ``2**lsb``."""
        return 1 + (self.mantissa + 1) + ((1 << self.exponent) - 3)

    @property
    def max_finite(self):
        top_code = (1 << self.exponent) - 2
        return float(2 - 2.0**-self.mantissa) * 2.0 ** (top_code - self.bias)

    def encode(self, values):
        """Bit patterns (unsigned integers) of float64 values that the format holds exactly.

        Raises ``ValueError`` for the first value that is not a finite number of the format.
        """
        values = np.asarray(values, dtype=np.float64)
        magnitude = np.abs(values)
        with np.errstate(invalid="ignore"):
            exponent = np.where(magnitude == 0, 1 - self.bias, np.clip(np.frexp(magnitude)[1] - 1, 1 - self.bias, None))
            scaled = np.ldexp(magnitude, self.mantissa - exponent)
            bad = ~np.isfinite(values) | (magnitude > self.max_finite) | (scaled != np.floor(scaled))
        if bad.any():
            raise ValueError(f"{float(values[bad].flat[0])!r} is not a finite number of {self}")
        field = scaled.astype(np.int64)
        code = field + ((exponent + self.bias - 1).astype(np.int64) << self.mantissa)
        return (code | (np.signbit(values).astype(np.int64) << (self.width - 1))).astype(np.uint32)

    def decode(self, bits):
        """float64 values of bit patterns; ``ValueError`` for the patterns of infinities and NaNs."""
        bits = np.asarray(bits, dtype=np.int64)
        code = (bits >> self.mantissa) & ((1 << self.exponent) - 1)
        bad = (code == (1 << self.exponent) - 1) | (bits < 0) | (bits >= 1 << self.width)
        if bad.any():
            raise ValueError(f"{int(bits[bad].flat[0]):#x} is not the pattern of a finite number of {self}")
        field = bits & ((1 << self.mantissa) - 1)
        significand = np.where(code == 0, field, field + (1 << self.mantissa))
        value = np.ldexp(significand.astype(np.float64), np.maximum(code, 1) - self.bias - self.mantissa)
        return np.where(bits >> (self.width - 1) & 1, -value, value)

    def round(self, values):
        """Round float64 values to the nearest number of the format, ties to even, saturating.

        Correct for any float64 input (one rounding). The sign of a negative value that rounds to zero is kept.
        """
        values = np.asarray(values, dtype=np.float64)
        exponent = np.maximum(np.frexp(values)[1] - 1, 1 - self.bias) - self.mantissa
        rounded = np.ldexp(np.rint(np.ldexp(values, -exponent)), exponent)
        return np.clip(rounded, -self.max_finite, self.max_finite)


BINARY16 = Format(exponent=5, mantissa=10)
