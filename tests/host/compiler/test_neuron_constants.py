# SPDX-License-Identifier: Apache-2.0
"""Thresholds and mask intervals against a search through all numbers of the format, in exact arithmetic."""

import re
from fractions import Fraction
from functools import cache

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from backspike.golden.network import Neuron, Training
from backspike.host.compiler.neuron_constants import clamp_interval, mask_interval, neuron_constants, smallest_number
from backspike.spec.formats import BINARY16, Format

SMALL = Format(exponent=3, mantissa=2)
SETTINGS = settings(max_examples=60, deadline=None, derandomize=True)


@cache
def numbers(fmt):
    """All finite numbers as fractions, in order."""
    bits = np.arange(1 << fmt.width)
    finite = bits[(bits >> fmt.mantissa & ((1 << fmt.exponent) - 1)) != (1 << fmt.exponent) - 1]
    return sorted({Fraction(value) for value in fmt.decode(finite).tolist()})


@cache
def units(fmt):
    """The same numbers as integers in units of the format's lsb."""
    return [int(n / Fraction(2) ** fmt.lsb) for n in numbers(fmt)]


def between(fmt, low, high):
    """All numbers n with low < n < high, by looking at each."""
    scale = Fraction(2) ** -fmt.lsb
    low, high = low * scale, high * scale
    pairs = zip(numbers(fmt), units(fmt), strict=True)
    return [n for n, k in pairs if k * low.denominator > low.numerator and k * high.denominator < high.numerator]


def value(fmt, pattern):
    assert pattern != 1 << (fmt.width - 1), "zero is +0"
    return Fraction(float(fmt.decode(pattern)))


FORMATS = st.sampled_from([SMALL, BINARY16])
NEAR = st.one_of(
    st.floats(-20, 20, allow_nan=False).map(Fraction),
    st.builds(lambda k: numbers(SMALL)[k % len(numbers(SMALL))], st.integers(0)),
    st.builds(lambda k: numbers(BINARY16)[k % len(numbers(BINARY16))], st.integers(0)),
)


@SETTINGS
@given(FORMATS, NEAR, st.booleans())
def test_smallest_number(fmt, bound, strict):
    allowed = between(fmt, bound, Fraction(1 << 40))
    if not strict and bound in numbers(fmt):
        allowed = [bound, *allowed]
    if allowed:
        assert value(fmt, smallest_number(fmt, bound, strict)) == allowed[0]
    else:
        with pytest.raises(ValueError, match=r"^theta must leave a number >=? theta in the format, not "):
            smallest_number(fmt, bound, strict)


@SETTINGS
@given(FORMATS, NEAR, st.one_of(NEAR.map(abs), st.sampled_from([Fraction(1, 1 << 30), Fraction(10**6)])))
def test_mask_interval(fmt, theta, width):
    inside = between(fmt, theta - width / 2, theta + width / 2)
    low, high = (value(fmt, pattern) for pattern in mask_interval(fmt, theta, width))
    if inside:
        assert (low, high) == (inside[0], inside[-1])
    else:
        assert (low, high) == (numbers(fmt)[-1], numbers(fmt)[0])


def test_a_threshold_beyond_the_format():
    message = "theta must leave a number > theta in the format, not 65504.0"
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        smallest_number(BINARY16, 65504.0, strict=True)


def test_scalars_are_the_rounded_constants():
    neuron = Neuron(kappa=0.3, theta=0.7, width=1.1, strict=True, amplitude=0.9)
    training = Training(rate=0.1, momentum=0.9, decay=0.99, loss_scale=0.125)
    constants = neuron_constants(neuron, training, BINARY16)
    assert constants.pop("sign") == 0
    decoded = {name: float(BINARY16.decode(pattern)) for name, pattern in constants.items()}
    kappa, theta = np.float16(0.3), np.float16(0.7)
    assert decoded == {
        "threshold": np.nextafter(theta, np.float16(1)),
        "mask_low": decoded["mask_low"],
        "mask_high": decoded["mask_high"],
        "kappa": kappa,
        "reset": np.float16(float(kappa) * float(theta)),
        "kappa_back": kappa,
        "amplitude": np.float16(0.9),
        "loss_scale": 0.125,
        "minus_rate": -np.float16(0.1),
        "momentum": np.float16(0.9),
        "rest": 0.0,
        "decay": np.float16(0.99),
    }
    half = float(np.float16(1.1)) / 2
    assert (
        abs(decoded["mask_low"] - float(theta))
        < half
        <= float(theta) - np.nextafter(np.float16(decoded["mask_low"]), np.float16(-1))
    )


def test_bounds_of_a_clamp_are_those_of_the_golden_model():
    neuron = Neuron(kappa=1.0, kappa_back=0.0, theta=0.5, reset_value=0.3)
    low, high = clamp_interval(BINARY16, neuron, 7, last=False)
    assert (low, float(BINARY16.decode(high))) == (0, float(np.float16(7 * float(np.float16(0.3)))))
    assert BINARY16.decode(clamp_interval(BINARY16, neuron, 7, last=True)).tolist() == [-65504.0, 65504.0]


def test_a_hard_reset_takes_nothing_away():
    scalars = neuron_constants(Neuron(reset="hard"), Training(rate=0.5), BINARY16)
    assert scalars["reset"] == 0
    assert scalars["minus_rate"] == 0xB800
    assert scalars["threshold"] == 0x3C00


UPDATES = [
    ({}, (0, 0.0, 0.0)),
    ({"momentum": 0.5}, (0, 0.5, 0.0)),
    ({"update": "sign"}, (1, 63 / 64, 0.0)),
    ({"update": "sign", "momentum": 0.0}, (1, 0.0, 0.0)),
    ({"update": "lion"}, (1, 7 / 64, 7 / 8)),
    ({"update": "lion", "momentum": 0.25, "lookahead": 0.75}, (1, 0.75, -0.5)),
    ({"update": "lion", "momentum": 0.75, "lookahead": 0.75}, (1, 0.75, 0.0)),
]


@pytest.mark.parametrize("constants, expected", UPDATES)
def test_modes_and_numbers_of_an_update(constants, expected):
    found = neuron_constants(Neuron(), Training(rate=0.5, **constants), BINARY16)
    numbers = [float(BINARY16.decode(found[name])) for name in ("momentum", "rest")]
    assert (found["sign"], *numbers) == expected
