# SPDX-License-Identifier: Apache-2.0
"""Berkeley SoftFloat as the reference of those elementwise results that IEEE 754 defines.

The chip differs from IEEE 754 in two documented ways: an exact zero is always +0, and results beyond the largest
finite number saturate to it instead of becoming infinite.
"""

import numpy as np
import softfloatpy

from backspike.spec.formats import BINARY16

__all__ = ["check_against_softfloat", "softfloat_mul_add"]


def softfloat_mul_add(a, b, c):
    """``round(a * b + c)`` for lists of binary16 patterns: ``(values, saturated)`` with the chip's saturation.

    Where ``c`` is a zero, SoftFloat's multiplication computes it; where ``b`` is 1, its addition; else its fused
    multiply-add. The signs of exact zeros are SoftFloat's, not the chip's.
    """
    load, one = softfloatpy.Float16.from_bytes, 0x3C00
    values, saturated = [], []
    for x, y, z in zip(a, b, c, strict=True):
        first, second, third = (load(int(bits).to_bytes(2, "big")) for bits in (x, y, z))
        if z in (0, 0x8000):
            result = softfloatpy.f16_mul(first, second)
        elif y == one:
            result = softfloatpy.f16_add(first, third)
        else:
            result = softfloatpy.f16_mul_add(first, second, third)
        bits = int.from_bytes(result.to_bytes(), "big")
        infinite = bits & 0x7FFF == 0x7C00
        values.append(bits - 1 if infinite else bits)
        saturated.append(infinite)
    return np.array(values), np.array(saturated)


def check_against_softfloat(fmt, cases, response, valid):
    """Compare those of an Elementwise unit's results that are ``a * b + c`` (d is one) or ``a * b`` (c and d are 0).

    Returns the number of cases compared; ``AssertionError`` if one differs.
    """
    if fmt != BINARY16:
        return 0
    product = (cases["c"] == 0) & (cases["d"] == 0)
    comparable = (valid == 1) & (cases["addend"] == 0) & (product | (cases["d"] == 0x3C00))
    a, b, c = (cases[name][comparable] for name in "abc")
    value, saturated = softfloat_mul_add(a, b, c)
    got = response[comparable]
    zero = value & 0x7FFF == 0
    exact_zero = zero & (got["value"] == 0)  # checked against the exact model elsewhere
    wrong = np.flatnonzero(((got["value"] != value) & ~exact_zero) | (got["saturated"] != saturated))
    if len(wrong):
        k = wrong[0]
        raise AssertionError(
            f"{len(wrong)} differ from SoftFloat, first {int(a[k]):#x} * {int(b[k]):#x} + {int(c[k]):#x}: "
            f"{int(got['value'][k]):#x}, not {int(value[k]):#x}"
        )
    return len(a)
