# SPDX-License-Identifier: Apache-2.0
"""Exact sums with plain float64 arrays and BLAS, and their single rounding to a storage format.

float64 adds integers below 2**53 without error, in any order. So a matrix product is exact where all terms of a sum are
multiples of one unit and their magnitudes add up to less than 2**53 units. Operands that are too wide are split into
high and low pieces, whose products are kept apart.
"""

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from backspike.spec.formats import Format

__all__ = ["Exact", "correlate", "join", "low_bit", "matmul", "merge", "product", "round_sum", "round_to", "sign"]

_BITS = 53
_BLOCK = 1 << 14  # numbers rounded at a time: scratch arrays stay in the cache
_EXPONENT = np.int64(0x7FF0000000000000)


@dataclass(frozen=True)
class Exact:
    """Real numbers as an unevaluated sum of arrays.

    Parameters
    ----------
    parts : tuple of array of float64
        At least one; all have the same shape.
    unit : int
        Each element is a multiple of ``2**unit``.
    """

    parts: tuple[np.ndarray, ...]
    unit: int

    @classmethod
    def of_integers(cls, values: np.ndarray, unit: int) -> "Exact":
        """``values * 2**unit``, of an array of int64."""
        low = values & 0xFFFFFFFF
        return cls(tuple(np.ldexp(part.astype(np.float64), unit) for part in (values - low, low)), unit)

    def __getitem__(self, where: Any) -> "Exact":
        return Exact(tuple(part[where] for part in self.parts), self.unit)

    def __add__(self, other: "Exact") -> "Exact":
        return Exact(self.parts + other.parts, min(self.unit, other.unit))

    def map(self, function: Callable[[np.ndarray], np.ndarray]) -> "Exact":
        """The same sums after ``function``, which moves or picks the elements of an array."""
        return Exact(tuple(function(part) for part in self.parts), self.unit)

    def integers(self) -> np.ndarray:
        """The sums in units of ``2**unit``, as an array of Python's integers."""
        scaled = [np.ldexp(part, -self.unit) for part in self.parts]
        first, *others = [np.array([int(x) for x in part.flat], dtype=object).reshape(part.shape) for part in scaled]
        return sum(others, start=first)


def low_bit(constant: float) -> int:
    """Exponent of the lowest set bit of a number (0 for zero)."""
    numerator, denominator = float(constant).as_integer_ratio()
    return (numerator & -numerator).bit_length() - denominator.bit_length() if numerator else 0


def product(constant: float, values: np.ndarray, unit: int) -> Exact:
    """``constant * values``, for values that are multiples of ``2**unit`` with at most 53 bits in each product."""
    return Exact((values if constant == 1 else constant * values,), unit + min(low_bit(constant), 0))


def _bits(array: np.ndarray, unit: int) -> int:
    """A number n with ``|array| < 2**(unit + n)``."""
    return math.frexp(_largest(array))[1] - unit


def _largest(array: np.ndarray) -> float:
    return max(float(array.max(initial=0.0)), -float(array.min(initial=0.0)))


def _pieces(array: np.ndarray, unit: int, bits: int, count: int) -> list[np.ndarray]:
    """``array`` as a sum of ``count`` arrays, each with at most ``ceil(bits / count)`` bits of its own."""
    if count == 1:
        return [array]
    step, pieces = -(-bits // count), []
    for index in range(count - 1, 0, -1):
        scale = math.ldexp(1.0, unit + index * step)
        piece = np.rint(array / scale) * scale
        pieces.append(piece)
        array = array - piece
    return [*pieces, array]


def _limit(unit: int) -> float:
    """Sums of multiples of ``2**unit`` are exact where their magnitudes add up to no more than this."""
    return math.ldexp(0.99, _BITS + unit)  # the bounds themselves are rounded


def matmul(a: np.ndarray, b: np.ndarray, unit_a: int, unit_b: int, *, largest: float | None = None) -> Exact:
    """The exact ``a @ b``: one BLAS call where the magnitudes allow it, otherwise one for each pair of pieces.

    Parameters
    ----------
    a, b : array of float64 [M, K] and [K, N]
        Multiples of ``2**unit_a`` and ``2**unit_b``, of at most 53 bits.
    unit_a, unit_b : int
        Exponents of the units.
    largest : float or None
        Bound on the magnitudes in ``a`` if one is known: to look for it takes time.

    Raises
    ------
    ValueError
        K is too large: the sums cannot be exact.
    """
    unit = unit_a + unit_b
    limit = _limit(unit)
    if largest is None:
        largest = _largest(a)
    if (
        largest * _largest(b) * a.shape[1] <= limit
        or largest * float(np.abs(b).sum(axis=0).max(initial=0.0)) <= limit
        or float(np.abs(a).sum(axis=1).max(initial=0.0)) * _largest(b) <= limit
    ):
        return Exact((a @ b,), unit)
    bits_a, bits_b, terms = _bits(a, unit_a), _bits(b, unit_b), a.shape[1].bit_length()
    for pairs in range(2, _BITS**2):
        for count_a in (n for n in range(1, pairs + 1) if pairs % n == 0):
            count_b = pairs // count_a
            if -(-bits_a // count_a) - (-bits_b // count_b) + terms <= _BITS:
                left, right = _pieces(a, unit_a, bits_a, count_a), _pieces(b, unit_b, bits_b, count_b)
                return Exact(tuple(x @ y for x in left for y in right), unit)
    raise ValueError(f"the inner size of a matrix product must be less than 2**{_BITS - 2}, not {a.shape[1]!r}")


def correlate(blocks: Iterable[tuple[np.ndarray, slice]], values: np.ndarray, count: int, unit: int) -> Exact:
    """The exact sum of ``left.T @ values[rows]`` over the blocks ``(left, rows)``.

    Values whose sums could have more than 53 bits are split into high and low pieces, which are summed apart.

    Parameters
    ----------
    blocks : iterable of (array of float64, slice)
        Integers of magnitude up to ``count``, and their rows in ``values``.
    values : array of float64 [N, outputs]
        Multiples of ``2**unit``.
    count : int
        Bound of the integers.
    unit : int
        Exponent of the unit.

    Raises
    ------
    ValueError
        Two pieces are not enough.
    """
    pieces = [values]
    if count * float(np.abs(values).sum(axis=0).max(initial=0.0)) > _limit(unit):
        bits = _bits(values, unit)
        if -(-bits // 2) + 1 + (count * len(values)).bit_length() > _BITS:
            raise ValueError(f"a sum over {len(values)} values of {bits} bits times {count} must be split further")
        pieces = _pieces(values, unit, bits, 2)
    totals = [np.zeros(()) for _ in pieces]
    for left, rows in blocks:
        totals = [total + left.T @ piece[rows] for total, piece in zip(totals, pieces, strict=True)]
    return Exact(tuple(totals), unit)


def join(totals: Sequence[Exact]) -> Exact:
    """Several ``Exact`` of one unit, one after the other along the first axis."""
    count = max(len(total.parts) for total in totals)
    padded = [total.parts + (np.zeros_like(total.parts[0]),) * (count - len(total.parts)) for total in totals]
    return Exact(tuple(np.concatenate(parts) for parts in zip(*padded, strict=True)), totals[0].unit)


def merge(exact: Exact) -> Exact:
    """The same sums in at most two parts."""
    if len(exact.parts) == 1:
        return exact
    if sum(_largest(part) for part in exact.parts) <= _limit(exact.unit):
        return Exact((sum(exact.parts[1:], exact.parts[0]),), exact.unit)
    return Exact(_halves(exact), exact.unit)


def _halves(exact: Exact) -> tuple[np.ndarray, np.ndarray]:
    """``(high, low)``: two arrays with the sums."""
    parts, lost = exact.parts, 3
    if len(parts) > 1 << lost:
        raise ValueError(f"a sum must have at most {1 << lost} parts, not {len(parts)}")
    if sum(_largest(part) for part in parts) >= math.ldexp(1.0, exact.unit + 2 * _BITS - lost - 1):
        raise ValueError(f"a sum must be less than 2**{2 * _BITS - lost - 1} units")
    scale = math.ldexp(1.0, exact.unit + _BITS - lost)
    high = low = np.zeros(())
    for part in parts:
        upper = np.rint(part / scale) * scale
        high, low = high + upper, low + (part - upper)  # both exact
    return high, low


def _sticky_sum(exact: Exact) -> np.ndarray:
    """One float64 per element: the sum cut to 53 bits, its last bit set where bits were lost (round to odd).

    A later rounding to at most 50 bits gives the same as the rounding of the exact sum.
    """
    high, low = _halves(exact)
    total = high + low  # TwoSum: total + error is the exact sum (Knuth, The Art of Computer Programming 2, 4.2.2)
    back = total - high
    error = (high - (total - back)) + (low - back)
    bits = total.view(np.int64)
    even = (error != 0) & (bits & 1 == 0)
    away = (error < 0) == (total < 0)
    return (bits + np.where(even, np.where(away, 1, -1), 0)).view(np.float64)


def round_to(values: np.ndarray, number_format: Format) -> tuple[np.ndarray, bool]:
    """``(rounded, saturated)``: float64 values rounded once, ties to even; whether any lay beyond the largest number.

    The same numbers as ``Format.round``, several times faster. Adding and subtracting a power of two (times 1.5) cuts a
    number at the bit that the power chooses. A negative value that rounds to zero becomes -0.
    """
    values = np.ascontiguousarray(values, dtype=np.float64)
    result = np.empty_like(values)
    source, target = values.reshape(-1), result.reshape(-1)
    smallest = math.ldexp(1.0, 1 - number_format.bias)
    factor = math.ldexp(1.5, _BITS - 1 - number_format.mantissa)
    top, saturated = number_format.max_finite, False
    scratch = np.empty(min(source.size, _BLOCK))
    for start in range(0, source.size, _BLOCK):
        block, into = source[start : start + _BLOCK], target[start : start + _BLOCK]
        magic = scratch[: block.size]
        np.bitwise_and(block.view(np.int64), _EXPONENT, out=magic.view(np.int64))
        np.maximum(magic, smallest, out=magic)
        np.multiply(magic, factor, out=magic)
        np.add(block, magic, out=into)
        np.subtract(into, magic, out=into)
        np.copysign(into, block, out=into)
        if into.max() > top or into.min() < -top:
            saturated = True
            np.clip(into, -top, top, out=into)
    return result, saturated


def round_sum(exact: Exact, number_format: Format) -> tuple[np.ndarray, bool]:
    """``(rounded, saturated)``: the correctly rounded exact sum; an exact zero gives +0.

    ``saturated`` says whether any sum rounded to more than the largest finite number.
    """
    return round_to(_cut(exact) + 0.0, number_format)


def sign(exact: Exact) -> np.ndarray:
    """-1.0, 0.0 or 1.0: the sign of the exact sum, 0 only where that is zero."""
    return np.sign(_cut(exact)) + 0.0


def _cut(exact: Exact) -> np.ndarray:
    """The sums where float64 holds them, else cut to 53 bits such that their sign and rounding are the exact ones."""
    parts = exact.parts
    if sum(_largest(part) for part in parts) <= _limit(exact.unit):
        return sum(parts[1:], parts[0])
    return _sticky_sum(exact)
