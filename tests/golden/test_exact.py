# SPDX-License-Identifier: Apache-2.0
"""Exact products and their rounding, against ``fractions.Fraction``, for every kind of number a format has."""

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, note, seed, settings
from hypothesis import strategies as st

from backspike.golden import exact
from backspike.spec.formats import BINARY16, Format
from tests.support.fraction_model import Rounder

SEED = 20240608
FORMATS = [BINARY16, Format(exponent=5, mantissa=2), Format(exponent=4, mantissa=3), Format(exponent=2, mantissa=1)]
EXTREMES = (0.0, -0.0, 2.0**-24, -(2.0**-24), 65504.0, -65504.0, 1.0, 1 + 2.0**-10, 2.0**-14, 1023 * 2.0**-24)
ROUNDERS = {number_format: Rounder(number_format.exponent, number_format.mantissa) for number_format in FORMATS}

finite = st.one_of(
    st.sampled_from(EXTREMES),
    st.integers(0, 0x7BFF).map(lambda code: float(BINARY16.decode(code))),
    st.integers(0x8000, 0xFBFF).map(lambda code: float(BINARY16.decode(code))),
)


def bits(value):
    return np.float64(value).view(np.int64)


def as_fractions(total):
    flat = [part.reshape(-1) for part in total.parts]
    return [sum((Fraction(x) for x in parts), Fraction(0)) for parts in zip(*flat, strict=True)]


def expect(value, number_format=BINARY16):
    """``(bits, saturated)`` that the exact value must round to."""
    rounder = ROUNDERS[number_format]
    rounder.saturated = False
    return bits(rounder(value)), rounder.saturated


def check_rounding(total):
    """Element by element: ``round_sum`` of what are exactly these fractions."""
    rounded, saturated = exact.round_sum(total, BINARY16)
    expected = [expect(value) for value in as_fractions(total)]
    assert rounded.reshape(-1).view(np.int64).tolist() == [bits for bits, _ in expected]
    assert saturated == any(flag for _, flag in expected)


@seed(SEED)
@settings(max_examples=150, deadline=None)
@given(st.data())
def test_matrix_product_is_exact_and_rounded_once(data):
    note(f"seed {SEED}")
    rows, inner, columns = (data.draw(st.integers(1, n)) for n in (3, 12, 3))
    a = np.array(data.draw(st.lists(finite, min_size=rows * inner, max_size=rows * inner))).reshape(rows, inner)
    b = np.array(data.draw(st.lists(finite, min_size=inner * columns, max_size=inner * columns)))
    b = b.reshape(inner, columns)
    total = exact.matmul(a, b, BINARY16.lsb, BINARY16.lsb)
    expected = [
        sum((Fraction(x) * Fraction(y) for x, y in zip(row, col, strict=True)), Fraction(0))
        for row in a.tolist()
        for col in b.T.tolist()
    ]
    assert as_fractions(total) == expected
    check_rounding(total)


@seed(SEED)
@settings(max_examples=300, deadline=None)
@given(st.lists(st.tuples(finite, finite), min_size=1, max_size=8))
def test_sums_of_products_are_rounded_once(pairs):
    note(f"seed {SEED}")
    check_rounding(exact.Exact(tuple(np.array([x * y]) for x, y in pairs), 2 * BINARY16.lsb))


@seed(SEED)
@settings(max_examples=300, deadline=None)
@given(code=st.integers(0, 0x7BFE), sign=st.sampled_from([1, -1]), scale=st.sampled_from([1, -1, 0]))
def test_the_smallest_term_decides_a_tie(code, sign, scale):
    """A sum that lies 2**-48 beside the middle between two numbers."""
    low, high = BINARY16.decode([code, code + 1])
    parts = (np.array([sign * (low + high) / 2]), np.array([scale * 2.0**-48]))
    check_rounding(exact.Exact(parts, 2 * BINARY16.lsb))


@pytest.mark.parametrize("inner", [1, 784, 4096])
def test_the_largest_products_with_the_smallest(inner):
    a = np.full((2, inner), 65504.0)
    b = np.full((inner, 2), 65504.0)
    a[1, ::2] *= -1
    if inner % 2:
        a[1, -1] = 2.0**-24
        b[-1] = 2.0**-24
    else:
        a[1, 0] = -(2.0**-24)
        b[0] = 2.0**-24
    total = exact.matmul(a, b, -24, -24)
    expected = [
        sum((Fraction(x) * Fraction(y) for x, y in zip(row, col, strict=True)), Fraction(0))
        for row in a.tolist()
        for col in b.T.tolist()
    ]
    assert as_fractions(total) == expected
    check_rounding(total)


def test_exact_zero_is_plus_zero_and_a_vanishing_negative_is_minus_zero():
    zero = exact.Exact((np.array([-0.0, 1.5, -(2.0**-48)]), np.array([-0.0, -1.5, 0.0])), -48)
    rounded, _ = exact.round_sum(zero, BINARY16)
    assert rounded.tolist() == [0, 0, 0]
    assert np.signbit(rounded).tolist() == [False, False, True]


@pytest.mark.parametrize("number_format", FORMATS, ids=str)
def test_rounding_at_and_beside_every_middle(number_format):
    """Every number, every middle between two, and the float64 neighbours of both."""
    count = ROUNDERS[number_format].count
    numbers = np.append(number_format.decode(np.arange(count)), float(ROUNDERS[number_format].table[count]))
    points = np.concatenate([numbers, (numbers[1:] + numbers[:-1]) / 2])
    points = np.concatenate([points, np.nextafter(points, np.inf), np.nextafter(points, 0)])
    points = np.concatenate([points, -points])
    ours, saturated = exact.round_to(points, number_format)
    assert np.array_equal(ours.view(np.int64), number_format.round(points).view(np.int64))
    assert saturated
    chosen = np.random.default_rng(SEED).permutation(len(points))[:4000]
    expected = [expect(Fraction(x), number_format)[0] for x in points[chosen].tolist()]
    kept = ours[chosen].view(np.int64)
    differing = kept != np.array(expected)
    assert not (differing & (points[chosen] != 0)).any(), points[chosen][differing][:5]
    inside = np.abs(points) <= number_format.max_finite
    assert not exact.round_to(points[inside], number_format)[1]


def test_binary16_agrees_with_numpy():
    generator = np.random.default_rng(SEED)
    values = np.ldexp(generator.standard_normal(200_000), generator.integers(-30, 14, 200_000))
    ours, _ = exact.round_to(values, BINARY16)
    assert np.array_equal(ours.view(np.int64), values.astype(np.float16).astype(np.float64).view(np.int64))


def test_saturation_begins_where_the_next_number_would_be_nearest():
    below, at = np.nextafter(65520.0, 0), 65520.0
    assert exact.round_to(np.array([below]), BINARY16) == (65504.0, False)
    assert exact.round_to(np.array([at]), BINARY16) == (65504.0, True)
    assert exact.round_to(np.array([-at]), BINARY16) == (-65504.0, True)


@pytest.mark.parametrize("constant, expected", [(1.0, 0), (0.75, -2), (-6.0, 1), (2.0**-24, -24), (0.0, 0)])
def test_low_bit(constant, expected):
    assert exact.low_bit(constant) == expected
