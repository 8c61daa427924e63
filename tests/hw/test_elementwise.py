# SPDX-License-Identifier: Apache-2.0
"""The elementwise unit: its model against exact fractions and SoftFloat, the hardware against its model."""

import re
from fractions import Fraction

import numpy as np
import pytest

from backspike.hw.arith.elementwise import Elementwise
from backspike.hw.arith.rounding import Rounder
from backspike.sim.verilator.runner import default_seed
from backspike.spec.formats import BINARY16, Format
from tests.support.cases import random_numbers, random_sums
from tests.support.check_numbers import check_unit
from tests.support.softfloat import softfloat_mul_add

FORMATS = [BINARY16, Format(exponent=4, mantissa=3), Format(exponent=5, mantissa=2)]
UNITS = [
    pytest.param(1_000_000, {"exponent": 5, "mantissa": 10, "sum_width": 96}, id="binary16-96-bit-addend"),
    pytest.param(50_000, {"exponent": 4, "mantissa": 3, "sum_width": 96}, id="e4m3-96-bit-addend"),
    pytest.param(50_000, {"exponent": 5, "mantissa": 2, "sum_width": 40}, id="e5m2-40-bit-addend"),
]


@pytest.mark.parametrize("fmt", FORMATS, ids=str)
def test_model_rounds_the_exact_sum(fmt):
    rng = np.random.default_rng(default_seed())
    a, b, c, d = random_numbers(rng, fmt, (4, 3000))
    addend = random_sums(rng, fmt, 96, (3000,))
    unit = Fraction(2) ** (2 * fmt.lsb)
    w, x, y, z = ([Fraction(float(v)) for v in fmt.decode(bits)] for bits in (a, b, c, d))
    exact = [(p * q + r * s) / unit + t for p, q, r, s, t in zip(w, x, y, z, addend, strict=True)]
    assert all(value.denominator == 1 for value in exact)
    expected = Rounder(fmt, 98, 2 * fmt.lsb, 1).model([int(value) for value in exact])
    got = Elementwise(fmt, 96, 1).model(a, b, c, d, addend)
    assert np.array_equal(got[0], expected[0]) and np.array_equal(got[1], expected[1])


@pytest.mark.parametrize("operation", ["product", "sum", "fused"])
def test_model_agrees_with_softfloat(operation):
    """Except for the sign of an exact zero, which the chip always makes positive."""
    rng = np.random.default_rng(default_seed())
    a, b, c = random_numbers(rng, BINARY16, (3, 50_000))
    one = np.full_like(a, 0x3C00)
    b = one if operation == "sum" else b
    c = np.zeros_like(c) if operation == "product" else c
    value, saturated = Elementwise(BINARY16, 96, 1).model(a, b, c, one, 0)
    reference, overflow = softfloat_mul_add(a, b, c)
    x, y, z = (BINARY16.decode(bits) for bits in (a, b, c))
    exact_zero = x * y == -z  # a product of two binary16 numbers is exact in float64
    assert np.array_equal(value, np.where(exact_zero, 0, reference))
    assert np.array_equal(saturated, overflow)
    assert saturated.any() and exact_zero.any()


@pytest.mark.parametrize(("cases", "unit"), UNITS)
def test_hardware_equals_model(tmp_path_factory, cases, unit):
    check_unit(tmp_path_factory.getbasetemp() / "numbers", cases, kind="Elementwise", **unit)


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        (("half", 96, 1), TypeError, "fmt must be a Format, not 'half'"),
        ((BINARY16, "96", 1), TypeError, "sum_width must be an integer, not '96'"),
        ((BINARY16, 1, 1), ValueError, "sum_width must be at least 2, not 1"),
        ((BINARY16, 96, None), TypeError, "tag must be a shape, not None"),
    ],
)
def test_wrong_parameters_are_refused(arguments, error, message):
    with pytest.raises(error, match=f"^{re.escape(message)}$"):
        Elementwise(*arguments)
