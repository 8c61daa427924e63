# SPDX-License-Identifier: Apache-2.0
"""Storage formats against numpy's float16 and exact fractions."""

import dataclasses
import re
from fractions import Fraction

import numpy as np
import pytest

from backspike.spec.formats import BINARY16, Format

SMALL = [
    Format(exponent=4, mantissa=3),
    Format(exponent=5, mantissa=2),
    Format(exponent=2, mantissa=1),
    Format(exponent=3, mantissa=4),
]


def finite_patterns(fmt):
    patterns = np.arange(1 << fmt.width)
    return patterns[(patterns >> fmt.mantissa) & ((1 << fmt.exponent) - 1) != (1 << fmt.exponent) - 1]


def value_of(pattern, fmt):
    """The value of a pattern by the definition of IEEE 754, as a fraction."""
    field = pattern % (1 << fmt.mantissa)
    code = pattern >> fmt.mantissa & ((1 << fmt.exponent) - 1)
    significand = Fraction(field, 1 << fmt.mantissa) + (code > 0)
    magnitude = significand * Fraction(2) ** (max(code, 1) - fmt.bias)
    return -magnitude if pattern >> (fmt.width - 1) else magnitude


def test_decode_binary16_is_numpy_float16():
    patterns = finite_patterns(BINARY16)
    reference = patterns.astype(np.uint16).view(np.float16).astype(np.float64)
    decoded = BINARY16.decode(patterns)
    assert np.array_equal(decoded, reference)
    assert np.array_equal(np.signbit(decoded), np.signbit(reference))


@pytest.mark.parametrize("fmt", SMALL, ids=str)
def test_decode_follows_the_definition(fmt):
    patterns = finite_patterns(fmt)
    assert [Fraction(float(value)) for value in fmt.decode(patterns)] == [value_of(int(p), fmt) for p in patterns]


@pytest.mark.parametrize("fmt", [BINARY16, *SMALL], ids=str)
def test_encode_undoes_decode(fmt):
    patterns = finite_patterns(fmt)
    assert np.array_equal(fmt.encode(fmt.decode(patterns)), patterns)
    assert fmt.encode(fmt.decode(patterns.reshape(2, -1))).shape == (2, len(patterns) // 2)


@pytest.mark.parametrize("fmt", [BINARY16, *SMALL], ids=str)
def test_derived_properties_describe_the_patterns(fmt):
    values = fmt.decode(finite_patterns(fmt))
    positive = values[values > 0]
    assert fmt.width == 1 + fmt.exponent + fmt.mantissa
    assert positive.min() == 2.0**fmt.lsb
    assert positive.max() == fmt.max_finite
    assert int(np.ldexp(fmt.max_finite, -fmt.lsb)).bit_length() == fmt.fixed_width - 1


def wide_range(rng, fmt, count):
    """float64 values of all magnitudes that matter to a format, and far beyond it on both sides."""
    return np.ldexp(rng.uniform(-2, 2, count), rng.integers(fmt.lsb - 4, fmt.bias + 5, count))


def ties(fmt):
    """All midpoints of neighbouring non-negative numbers, and the float64 values next to them."""
    values = fmt.decode(np.arange(((1 << fmt.exponent) - 1) << fmt.mantissa))
    middle = np.append((values[:-1] + values[1:]) / 2, values[-1] + (values[-1] - values[-2]) / 2)
    return np.concatenate([middle, np.nextafter(middle, 0), np.nextafter(middle, np.inf)])


def test_round_binary16_is_numpy_float16_with_saturation():
    rng = np.random.default_rng(1)
    values = np.concatenate([wide_range(rng, BINARY16, 200_000), ties(BINARY16), [0.0, 5e-324, 1e308]])
    values = np.concatenate([values, -values])
    with np.errstate(over="ignore"):
        reference = np.clip(values.astype(np.float16).astype(np.float64), -BINARY16.max_finite, BINARY16.max_finite)
    rounded = BINARY16.round(values)
    assert np.array_equal(rounded, reference)
    assert np.array_equal(np.signbit(rounded), np.signbit(reference))


@pytest.mark.parametrize("fmt", SMALL, ids=str)
def test_round_gives_the_nearest_number_with_ties_to_even(fmt):
    numbers = [value_of(pattern, fmt) for pattern in range(((1 << fmt.exponent) - 1) << fmt.mantissa)]
    values = np.concatenate([wide_range(np.random.default_rng(1), fmt, 300), ties(fmt)])
    for value, rounded in zip(values, fmt.round(values), strict=True):
        magnitude = abs(Fraction(float(value)))
        nearest = min(range(len(numbers)), key=lambda k: (abs(numbers[k] - magnitude), k % 2))
        assert abs(Fraction(float(rounded))) == numbers[nearest], value
        assert np.signbit(rounded) == np.signbit(value)


@pytest.mark.parametrize("fmt", [BINARY16, *SMALL], ids=str)
def test_rounded_numbers_can_be_encoded(fmt):
    values = wide_range(np.random.default_rng(2), fmt, 10_000)
    assert np.array_equal(fmt.decode(fmt.encode(fmt.round(values))), fmt.round(values))


E4M3 = Format(exponent=4, mantissa=3)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: Format(exponent=5.0), TypeError, "exponent must be an integer, not 5.0"),
        (lambda: Format(mantissa=True), TypeError, "mantissa must be an integer, not True"),
        (lambda: Format(exponent=6), ValueError, "exponent must be 2 to 5, not 6"),
        (lambda: Format(exponent=1), ValueError, "exponent must be 2 to 5, not 1"),
        (lambda: Format(mantissa=0), ValueError, "mantissa must be 1 to 10, not 0"),
        (lambda: Format(mantissa=11), ValueError, "mantissa must be 1 to 10, not 11"),
        (
            lambda: E4M3.decode([0, 0x78]),
            ValueError,
            "0x78 is not the pattern of a finite number of Format(exponent=4, mantissa=3)",
        ),
        (
            lambda: E4M3.decode(0x100),
            ValueError,
            "0x100 is not the pattern of a finite number of Format(exponent=4, mantissa=3)",
        ),
    ],
)
def test_wrong_arguments_are_refused(call, error, message):
    with pytest.raises(error, match=f"^{re.escape(message)}$"):
        call()


@pytest.mark.parametrize("value", [1.0625, 248.0, 2.0**-10, np.inf, -np.inf, np.nan])
def test_encode_refuses_what_the_format_does_not_hold(value):
    with pytest.raises(ValueError, match=r"^[-+0-9.a-z]+ is not a finite number of Format\(exponent=4, mantissa=3\)$"):
        E4M3.encode([1.0, value])


def test_formats_are_immutable_values():
    assert Format(exponent=5, mantissa=10) == BINARY16
    with pytest.raises(dataclasses.FrozenInstanceError):
        BINARY16.exponent = 4
