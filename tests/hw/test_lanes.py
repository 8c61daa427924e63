# SPDX-License-Identifier: Apache-2.0
"""The lanes: their models against exact fractions, the hardware against the models."""

import re
from fractions import Fraction

import numpy as np
import pytest

from backspike.hw.arith.lanes import ProductLane, SpikeLane
from backspike.hw.arith.rounding import Rounder
from backspike.sim.verilator.runner import default_seed
from backspike.spec.formats import BINARY16, Format
from tests.support.cases import random_numbers
from tests.support.check_numbers import check_unit
from tests.support.softfloat import softfloat_mul_add

FORMATS = [BINARY16, Format(exponent=4, mantissa=3), Format(exponent=5, mantissa=2)]
UNITS = [
    pytest.param(1_000_000, {"kind": "SpikeLane", "exponent": 5, "mantissa": 10, "terms": 1000}, id="spike-binary16"),
    pytest.param(
        1_000_000, {"kind": "ProductLane", "exponent": 5, "mantissa": 10, "terms": 1000}, id="product-binary16"
    ),
    pytest.param(50_000, {"kind": "SpikeLane", "exponent": 4, "mantissa": 3, "terms": 1}, id="spike-e4m3-one-term"),
    pytest.param(50_000, {"kind": "SpikeLane", "exponent": 5, "mantissa": 2, "terms": 64}, id="spike-e5m2"),
    pytest.param(50_000, {"kind": "ProductLane", "exponent": 4, "mantissa": 3, "terms": 64}, id="product-e4m3"),
]


@pytest.mark.parametrize("fmt", FORMATS, ids=str)
def test_models_are_exact_sums(fmt):
    rng = np.random.default_rng(default_seed())
    a, b = (random_numbers(rng, fmt, (2000, 3)) for _ in range(2))
    last = rng.random(a.shape) < 0.1
    nonzero = (rng.random(a.shape) < 0.8).astype(int)
    spike = SpikeLane(fmt, 2000).model(last=last, operand=a, nonzero=nonzero)
    plain = SpikeLane(fmt, 2000).model(last=last, operand=a)
    product = ProductLane(fmt, 2000).model(last=last, a=a, b=b, nonzero=nonzero)
    unit = Fraction(2) ** fmt.lsb
    x, y = ([[Fraction(float(v)) for v in row] for row in fmt.decode(bits)] for bits in (a, b))
    for copy in range(3):
        sums = [Fraction(0)] * 3
        for k in range(len(a)):
            if k and last[k - 1, copy]:
                sums = [Fraction(0)] * 3
            used = int(nonzero[k, copy])
            sums[0] += used * x[k][copy]
            sums[1] += x[k][copy]
            sums[2] += used * x[k][copy] * y[k][copy]
            got = spike[k, copy] * unit, plain[k, copy] * unit, product[k, copy] * unit**2
            assert list(got) == sums, (k, copy)


def test_two_terms_and_one_rounding_are_softfloat_addition():
    """Except for the sign of an exact zero, which the chip always makes positive."""
    rng = np.random.default_rng(default_seed())
    a, c = random_numbers(rng, BINARY16, (2, 50_000))
    lane = SpikeLane(BINARY16, 2)
    sums = lane.model(last=np.array([0, 1])[:, None] * np.ones_like([a, c]), operand=np.stack([a, c]))[1]
    value, saturated = Rounder(BINARY16, lane.sum_width, BINARY16.lsb, 1).model(sums)
    reference, overflow = softfloat_mul_add(a, np.full_like(a, 0x3C00), c)
    assert np.array_equal(value, np.where(sums == 0, 0, reference))
    assert np.array_equal(saturated, overflow)
    assert saturated.any() and (sums == 0).any()


@pytest.mark.parametrize("fmt", FORMATS, ids=str)
@pytest.mark.parametrize("terms", [1, 2, 3, 64, 1000])
def test_sum_width_holds_the_extreme_sums_and_no_more_than_needed(fmt, terms):
    largest = int(np.ldexp(fmt.max_finite, -fmt.lsb))
    for lane, extreme in (
        (SpikeLane(fmt, terms), largest * terms),
        (ProductLane(fmt, terms), largest**2 * terms),
    ):
        assert extreme < 1 << (lane.sum_width - 1)
        assert lane.sum_width - 1 <= extreme.bit_length() + 1


@pytest.mark.parametrize(("cases", "unit"), UNITS)
def test_hardware_equals_model(tmp_path_factory, cases, unit):
    check_unit(tmp_path_factory.getbasetemp() / "numbers", cases, **unit)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: SpikeLane(16, 4), TypeError, "fmt must be a Format, not 16"),
        (lambda: SpikeLane(BINARY16, 0), ValueError, "terms must be at least 1, not 0"),
        (lambda: ProductLane(16, 4), TypeError, "fmt must be a Format, not 16"),
        (lambda: ProductLane(BINARY16, 2.5), TypeError, "terms must be an integer, not 2.5"),
    ],
)
def test_wrong_parameters_are_refused(call, error, message):
    with pytest.raises(error, match=f"^{re.escape(message)}$"):
        call()
