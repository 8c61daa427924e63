# SPDX-License-Identifier: Apache-2.0
"""Unpacking, exact fixed point and order of stored numbers, over all patterns."""

import re
from fractions import Fraction

import numpy as np
import pytest
from amaranth.hdl import Cat, Module, Signal, signed
from amaranth.sim import Simulator

from backspike.hw.arith.numbers import (
    check_format,
    check_integer,
    not_below,
    not_below_model,
    of_count,
    of_count_model,
    product_model,
    product_width,
    to_fixed,
    to_fixed_model,
)
from backspike.sim.verilator.runner import default_seed
from backspike.spec.formats import BINARY16, Format

FORMATS = [BINARY16, Format(exponent=4, mantissa=3), Format(exponent=5, mantissa=2), Format(exponent=2, mantissa=1)]


def finite_patterns(fmt):
    patterns = np.arange(1 << fmt.width)
    return patterns[(patterns >> fmt.mantissa) & ((1 << fmt.exponent) - 1) != (1 << fmt.exponent) - 1]


def simulated(function, fmt, width, patterns):
    """Values of a combinational function of a stored number, from Amaranth's simulator."""
    m, bits, result, values = Module(), Signal(fmt.width), Signal(signed(width)), []
    m.d.comb += result.eq(function(bits, fmt))

    async def bench(ctx):
        for pattern in patterns:
            ctx.set(bits, int(pattern))
            values.append(ctx.get(result))

    simulator = Simulator(m)
    simulator.add_testbench(bench)
    simulator.run()
    return np.array(values)


@pytest.mark.parametrize("fmt", FORMATS, ids=str)
def test_to_fixed_is_the_value_in_units_of_the_smallest_subnormal(fmt):
    patterns = finite_patterns(fmt)
    exact = to_fixed_model(patterns, fmt)
    unit = Fraction(2) ** fmt.lsb
    assert all(int(k) * unit == Fraction(float(v)) for k, v in zip(exact, fmt.decode(patterns), strict=True))
    assert np.abs(exact).max() < 1 << (fmt.fixed_width - 1)
    assert len(to_fixed(Signal(fmt.width), fmt)) == fmt.fixed_width
    assert np.array_equal(simulated(to_fixed, fmt, fmt.fixed_width + 4, patterns), exact)


@pytest.mark.parametrize("fmt", FORMATS, ids=str)
def test_comparison_is_that_of_the_values(fmt):
    """All pairs with the numbers at the ends, next to zero and both zeros, and random pairs."""
    patterns, rng = finite_patterns(fmt), np.random.default_rng(default_seed())
    sign = 1 << (fmt.width - 1)
    top = int(fmt.encode(fmt.max_finite))
    ends = [0, 1, 2, top - 1, top]
    bounds = np.array(ends + [sign | end for end in ends])
    few = np.unique(np.concatenate([rng.choice(patterns, 200), bounds]))
    a, b = (grid.ravel() for grid in np.meshgrid(few, np.concatenate([bounds, rng.choice(patterns, 50)])))
    expected = fmt.decode(a) >= fmt.decode(b)
    assert np.array_equal(not_below_model(a, b, fmt), expected)
    m, bits, bound, result, got = Module(), Signal(fmt.width), Signal(fmt.width), Signal(), []
    m.d.comb += result.eq(not_below(bits, bound, fmt))

    async def bench(ctx):
        for pair in zip(a, b, strict=True):
            ctx.set(Cat(bits, bound), int(pair[0]) | int(pair[1]) << fmt.width)
            got.append(ctx.get(result))

    simulator = Simulator(m)
    simulator.add_testbench(bench)
    simulator.run()
    assert np.array_equal(got, expected)


@pytest.mark.parametrize("fmt", FORMATS, ids=str)
def test_counts_are_cut_to_what_the_format_holds(fmt):
    counts = np.arange(256)
    numbers = np.array(sorted({*fmt.decode(finite_patterns(fmt))} & {*range(256)}))
    expected = numbers[np.searchsorted(numbers, counts, side="right") - 1]
    assert np.array_equal(fmt.decode(of_count_model(counts, fmt)), expected)
    m, count, result, got = Module(), Signal(8), Signal(fmt.width), []
    m.d.comb += result.eq(of_count(count, fmt))

    async def bench(ctx):
        for value in counts:
            ctx.set(count, int(value))
            got.append(ctx.get(result))

    simulator = Simulator(m)
    simulator.add_testbench(bench)
    simulator.run()
    assert np.array_equal(fmt.decode(got), expected)


@pytest.mark.parametrize("fmt", FORMATS, ids=str)
def test_product_width_holds_the_largest_products(fmt):
    largest = fmt.encode([fmt.max_finite, -fmt.max_finite])
    products = product_model(largest[[0, 0]], largest, fmt)
    unit = Fraction(2) ** (2 * fmt.lsb)
    assert products[0] * unit == Fraction(fmt.max_finite) ** 2 and products[1] == -products[0]
    assert int(products[0]).bit_length() == product_width(fmt) - 1


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: check_format("half"), TypeError, "fmt must be a Format, not 'half'"),
        (lambda: to_fixed(Signal(16), None), TypeError, "fmt must be a Format, not None"),
        (lambda: not_below(Signal(16), Signal(16), 16), TypeError, "fmt must be a Format, not 16"),
        (lambda: of_count(Signal(8), None), TypeError, "fmt must be a Format, not None"),
        (lambda: check_integer("terms", True, 1), TypeError, "terms must be an integer, not True"),
        (lambda: check_integer("terms", 0, 1), ValueError, "terms must be at least 1, not 0"),
        (lambda: check_integer("width", 9, 1, 8), ValueError, "width must be 1 to 8, not 9"),
    ],
)
def test_wrong_parameters_are_refused(call, error, message):
    with pytest.raises(error, match=f"^{re.escape(message)}$"):
        call()
