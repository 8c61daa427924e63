# SPDX-License-Identifier: Apache-2.0
"""One rounding of an exact sum of two float64 numbers, in loops that a compiler turns into vector instructions.

``exact.round_to`` and ``exact._sticky_sum`` are the same for whole arrays.
"""

import math
from typing import Any, NamedTuple

import numpy as np
from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from backspike.golden.compiled.jit import compiled
from backspike.spec.formats import Format

__all__ = ["Rounding", "round_all", "rounded", "rounded_sum", "two_sum"]

_EXPONENT = np.int64(0x7FF0000000000000)
_ONE, _NONE = np.int64(1), np.int64(0)


class Rounding(NamedTuple):
    """What rounding needs to know of a format.

    Attributes
    ----------
    smallest : float
        The smallest normal number.
    factor : float
        The power of two of a number times this, added and subtracted, cuts the number to the format's bits.
    top : float
        The largest number.
    """

    smallest: float
    factor: float
    top: float

    @classmethod
    def of(cls, number_format: Format) -> "Rounding":
        """Those of a format."""
        return cls(
            math.ldexp(1.0, 1 - number_format.bias),
            math.ldexp(1.5, 52 - number_format.mantissa),
            number_format.max_finite,
        )


@intrinsic
def _to_bits(context: Any, value: Any) -> Any:
    """The bits of a float64 number as an int64."""
    return types.int64(types.float64), lambda _, builder, __, args: builder.bitcast(args[0], ir.IntType(64))


@intrinsic
def _from_bits(context: Any, value: Any) -> Any:
    """The inverse of ``_to_bits``."""
    return types.float64(types.int64), lambda _, builder, __, args: builder.bitcast(args[0], ir.DoubleType())


@compiled
def two_sum(a: float, b: float) -> tuple[float, float]:
    """``(total, error)``: the rounded and the exact rest of ``a + b`` (Knuth, TAOCP 2, 4.2.2)."""
    total = a + b
    back = total - a
    return total, (a - (total - back)) + (b - back)


@compiled
def rounded(value: float, rounding: Rounding) -> float:
    """A number rounded to a format, not yet limited to its largest number; zeros give +0."""
    value += 0.0
    magic = max(_from_bits(_to_bits(value) & _EXPONENT), rounding.smallest) * rounding.factor
    return math.copysign((value + magic) - magic, value)


@compiled
def rounded_sum(a: float, b: float, rounding: Rounding) -> float:
    """``rounded`` of the exact ``a + b``."""
    total, error = two_sum(a, b)
    bits = _to_bits(total + 0.0)
    # Round to odd: the last bit of 53 is set where bits were lost, so that the next rounding is that of the exact sum
    away = _ONE if (error < 0) == (total < 0) else -_ONE
    bits += away if error != 0 and bits & _ONE == _NONE else _NONE
    return rounded(_from_bits(bits), rounding)


@compiled
def round_all(values: np.ndarray, rounding: Rounding, result: np.ndarray) -> bool:
    """Fill with the rounded values; returns whether one was beyond the largest number."""
    top, saturated = rounding.top, False
    for i in range(len(values)):
        value = rounded(values[i], rounding)
        saturated |= abs(value) > top
        result[i] = min(max(value, -top), top)
    return saturated
