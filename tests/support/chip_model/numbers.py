# SPDX-License-Identifier: Apache-2.0
"""Stored numbers as integers in units of their format's least significant bit."""

from functools import cache

import numpy as np

from backspike.spec.formats import Format

__all__ = ["Numbers"]


@cache
def _units(fmt, pattern):
    return int(np.ldexp(fmt.decode(pattern), -fmt.lsb))


class Numbers:
    """Exact arithmetic with the numbers of a format.

    Parameters
    ----------
    fmt: Format
    """

    def __init__(self, fmt: Format):
        self.format = fmt
        self.one = 1 << -fmt.lsb

    def units(self, pattern: int) -> int:
        """A stored number."""
        return _units(self.format, pattern & (1 << self.format.width) - 1)

    def pattern(self, units: int) -> int:
        """The reverse of ``units``."""
        return int(self.format.encode(np.ldexp(float(units), self.format.lsb)))

    def rounded(self, total: int) -> int:
        """An exact sum of products, in units of the square of the least significant bit, as a stored number."""
        shift = max(0, int(total).bit_length() - 50)
        odd = total >> shift | bool(total & ((1 << shift) - 1))  # cut to 50 bits, rounded to odd
        lsb = self.format.lsb
        return int(np.ldexp(self.format.round(np.ldexp(float(odd), shift + 2 * lsb)), -lsb))
