# SPDX-License-Identifier: Apache-2.0
"""The rounder: its model against exact fractions and numpy, the hardware against its model."""

import bisect
import re
from fractions import Fraction

import numpy as np
import pytest

from backspike.hw.arith.rounding import Rounder
from backspike.sim.verilator.runner import default_seed
from backspike.spec.formats import BINARY16, Format
from tests.support.cases import corner_sums, random_sums
from tests.support.check_numbers import check_unit

FORMATS = [BINARY16, Format(exponent=4, mantissa=3), Format(exponent=5, mantissa=2), Format(exponent=2, mantissa=1)]
UNITS = [  # cases, format, rounder; sums of numbers, of products, and in between
    pytest.param(1_000_000, (5, 10), {"width": 97, "lsb": -48}, id="binary16-products"),
    pytest.param(200_000, (5, 10), {"width": 52, "lsb": -24}, id="binary16-numbers"),
    pytest.param(50_000, (4, 3), {"width": 51, "lsb": -18}, id="e4m3-products"),
    pytest.param(50_000, (5, 2), {"width": 38, "lsb": -17}, id="e5m2-one-bit-below"),
]


def rounded_by_search(exact, fmt, lsb):
    """``(pattern, saturated)`` of ``exact * 2**lsb``: the nearer neighbour among all numbers, by exact comparison."""
    infinity = ((1 << fmt.exponent) - 1) << fmt.mantissa
    # The number after the largest finite one, where it would lie without the upper bound.
    numbers = [Fraction(float(value)) for value in fmt.decode(np.arange(infinity))]
    numbers.append(2 * numbers[-1] - numbers[-2])
    results = []
    for value in exact:
        magnitude = abs(Fraction(value) * Fraction(2) ** lsb)
        if magnitude >= numbers[-1]:
            pattern = infinity
        else:
            low = bisect.bisect_right(numbers, magnitude) - 1
            below, above = magnitude - numbers[low], numbers[low + 1] - magnitude
            pattern = low + (above < below or (above == below and low % 2 == 1))
        saturated = pattern == infinity
        results.append((pattern - saturated | (1 << (fmt.width - 1) if value < 0 else 0), saturated))
    return results


@pytest.mark.parametrize("double", [1, 2], ids=["numbers", "products"])
@pytest.mark.parametrize("fmt", FORMATS, ids=str)
def test_model_gives_the_nearest_number(fmt, double):
    lsb, width = double * fmt.lsb, double * fmt.fixed_width + 6
    rng = np.random.default_rng(default_seed())
    sums = np.concatenate([corner_sums(fmt, width, lsb), random_sums(rng, fmt, width, (3000,))])
    value, saturated = Rounder(fmt, width, lsb, 1).model(sums)
    assert list(zip(value, saturated, strict=True)) == rounded_by_search(sums, fmt, lsb)
    assert saturated.any() and not saturated.all()


def test_model_agrees_with_numpy():
    """Sums of up to 53 bits are float64 numbers, which numpy rounds to binary16 once."""
    sums = np.random.default_rng(default_seed()).integers(-(2**47), 2**47, 20000)
    value, saturated = Rounder(BINARY16, 49, -30, 1).model(sums)
    with np.errstate(over="ignore"):
        half = np.ldexp(sums.astype(np.float64), -30).astype(np.float16)
    assert np.array_equal(saturated, np.isinf(half))
    assert np.array_equal(value[~saturated], half.view(np.uint16)[~saturated])
    assert set(value[saturated]) == {0x7BFF, 0xFBFF}


@pytest.mark.parametrize(("cases", "fmt", "unit"), UNITS)
def test_hardware_equals_model(tmp_path_factory, cases, fmt, unit):
    folder = tmp_path_factory.getbasetemp() / "numbers"
    check_unit(folder, cases, kind="Rounder", exponent=fmt[0], mantissa=fmt[1], **unit)


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ((None, 97, -48, 1), TypeError, "fmt must be a Format, not None"),
        ((BINARY16, 1, -48, 1), ValueError, "width must be at least 2, not 1"),
        ((BINARY16, 97.0, -48, 1), TypeError, "width must be an integer, not 97.0"),
        ((BINARY16, 97, -23, 1), ValueError, "lsb must be -1000 to -24, not -23"),
        ((BINARY16, 97, -48, "tag"), TypeError, "tag must be a shape, not 'tag'"),
    ],
)
def test_wrong_parameters_are_refused(arguments, error, message):
    with pytest.raises(error, match=f"^{re.escape(message)}$"):
        Rounder(*arguments)
