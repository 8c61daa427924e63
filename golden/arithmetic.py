# SPDX-License-Identifier: Apache-2.0
"""The two arithmetics of the golden model: float64, and one rounding per stored number as in the hardware.

Both have the same methods, so that the equations in ``neuron`` and ``learning`` are written once. ``matmul`` and
``correlate`` give sums that are not yet rounded (arrays, or ``exact.Exact``); ``combine`` adds terms to one and rounds.
"""

import numpy as np

from backspike.golden import exact
from backspike.spec.formats import Format

__all__ = ["BitExact", "Float64"]


class Float64:
    """IEEE double precision: no exactness, nothing saturates. The yardstick for ``BitExact``."""

    saturated = False

    def constants(self, described):
        """The constants of a ``Neuron`` or a ``Training`` as this arithmetic holds them."""
        return described

    def check(self, name, values):
        """``values`` as float64 if this arithmetic can hold them, else ``ValueError``."""
        values = np.asarray(values, dtype=np.float64)
        if not np.isfinite(values).all():
            raise ValueError(f"{name} must be finite numbers, not {float(values[~np.isfinite(values)].flat[0])!r}")
        return values

    def round(self, values):
        return np.asarray(values, dtype=np.float64)

    def matmul(self, a, b, *, counts=None, largest=None):
        return a @ b

    def correlate(self, blocks, values, counts):
        return sum(left.T @ values[rows] for left, rows in blocks)

    def zeros(self, shape):
        """Sums of nothing, to which others can be added."""
        return np.zeros(shape)

    def add(self, a, b):
        """``a + b`` of two sums."""
        return a + b

    def map(self, total, function):
        """A sum after a function that moves the elements of an array."""
        return function(total)

    def join(self, totals):
        """Sums one after the other along the first axis."""
        return np.concatenate(totals)

    def combine(self, *terms, total=None):
        """``total + sum of constant * values`` over the terms ``(constant, values)``."""
        for constant, values in terms:
            scaled = values if constant == 1 else constant * values
            total = scaled if total is None else total + scaled
        return total

    def masked(self, total, masks):
        """A sum that ``matmul`` gave, where the mask is set, else 0."""
        return np.where(masks, total, 0.0)


class BitExact:
    """The hardware's arithmetic: every result is the exact sum of exact products, rounded once to the format.

    Parameters
    ----------
    format: the format of every stored number

    Attributes
    ----------
    saturated: sticky, as the hardware's flag: some result was beyond the largest finite number
    """

    def __init__(self, format):
        if not isinstance(format, Format):
            raise TypeError(f"format must be a Format, not {format!r}")
        self.format = format
        self.saturated = False

    def constants(self, described):
        return described.rounded(self.format)

    def check(self, name, values):
        values = np.asarray(values, dtype=np.float64)
        try:
            self.format.encode(values)
        except ValueError as error:
            raise ValueError(f"{name} must be numbers of the format: {error}") from None
        return values

    def round(self, values):
        """Values of any float64 array, rounded; zeros become +0."""
        return self._note(exact.round_to(np.asarray(values, dtype=np.float64) + 0.0, self.format))

    def matmul(self, a, b, *, counts=None, largest=None):
        """The exact ``a @ b`` of numbers of the format, or of integers up to ``counts`` and numbers of the format.

        ``largest`` bounds the magnitudes in ``a`` if a bound is known.
        """
        if counts is not None:
            return exact.matmul(a, b, 0, self.format.lsb, largest=counts)
        return exact.matmul(a, b, self.format.lsb, self.format.lsb, largest=largest)

    def correlate(self, blocks, values, counts):
        """The exact sum of ``left.T @ values[rows]`` over blocks ``(left, rows)`` of integers up to ``counts``."""
        return exact.correlate(blocks, values, counts, self.format.lsb)

    def zeros(self, shape):
        return exact.Exact((np.zeros(shape),), self.format.lsb)

    def add(self, a, b):
        return exact.merge(a + b)

    def map(self, total, function):
        return total.map(function)

    def join(self, totals):
        return exact.join(totals)

    def combine(self, *terms, total=None):
        """``total + sum of constant * values`` over the terms ``(constant, values)``, rounded once."""
        for constant, values in terms:
            scaled = exact.product(constant, values, self.format.lsb)
            total = scaled if total is None else total + scaled
        return self._note(exact.round_sum(total, self.format))

    def masked(self, total, masks):
        """The rounded sum where the mask is set, else 0; what no mask asks for is not computed, and cannot saturate."""
        result = np.zeros(masks.shape)
        result[masks] = self._note(exact.round_sum(total[masks], self.format))
        return result

    def _note(self, rounded):
        values, saturated = rounded
        self.saturated |= saturated
        return values
