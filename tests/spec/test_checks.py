# SPDX-License-Identifier: Apache-2.0
"""Checks of parameters: numbers of numpy are numbers, what is kept is Python's own, and errors name what is wrong."""

import math
import re

import numpy as np
import pytest

from backspike.golden.network import Conv, Dense, Network, Neuron, Training
from backspike.golden.presets import default_training
from backspike.spec.checks import check_flag, check_integer, check_number
from backspike.spec.config import ChipConfig, mesh_shape
from backspike.spec.counters import counter_difference
from backspike.spec.formats import Format


@pytest.mark.parametrize("value", [3, np.int64(3), np.uint8(3), np.int32(3)])
def test_an_integer_comes_back_as_pythons_own(value):
    assert type(check_integer("size", value, 1, 3)) is int
    assert check_integer("size", value) == 3


@pytest.mark.parametrize("value", [0.5, np.float32(0.5), np.float64(0.5), np.float16(0.5)])
def test_a_number_comes_back_as_pythons_own(value):
    assert type(check_number("share", value, 0, 1)) is float
    assert check_number("share", value, 0, 1) == 0.5
    assert type(check_number("share", np.int64(1), 0, 1)) is int


@pytest.mark.parametrize("value", [True, np.True_])
def test_a_flag_comes_back_as_pythons_own(value):
    assert check_flag("bias", value) is True


@pytest.mark.parametrize(
    ("check", "kind", "message"),
    [
        (lambda: check_integer("size", True), TypeError, "size must be an integer, not True"),
        (lambda: check_integer("size", np.True_), TypeError, "size must be an integer, not np.True_"),
        (lambda: check_integer("size", 2.0), TypeError, "size must be an integer, not 2.0"),
        (lambda: check_integer("size", "2"), TypeError, "size must be an integer, not '2'"),
        (lambda: check_integer("size", np.int64(0), 1), ValueError, "size must be at least 1, not 0"),
        (lambda: check_integer("size", 9, 1, 8), ValueError, "size must be 1 to 8, not 9"),
        (lambda: check_number("share", True, 0), TypeError, "share must be a number, not True"),
        (lambda: check_number("share", np.False_, 0), TypeError, "share must be a number, not np.False_"),
        (lambda: check_number("share", None, 0), TypeError, "share must be a number, not None"),
        (lambda: check_number("share", np.array([1.0]), 0), TypeError, "share must be a number, not array([1.])"),
        (lambda: check_number("share", math.nan, 0), ValueError, "share must be at least 0, not nan"),
        (lambda: check_number("share", math.inf, 0), ValueError, "share must be at least 0, not inf"),
        (lambda: check_number("share", 0, 0, open_low=True), ValueError, "share must be more than 0, not 0"),
        (lambda: check_number("share", 2, 0, 1), ValueError, "share must be at least 0 and at most 1, not 2"),
        (lambda: check_flag("bias", 1), TypeError, "bias must be True or False, not 1"),
        (lambda: check_flag("bias", None), TypeError, "bias must be True or False, not None"),
    ],
)
def test_what_is_wrong_is_named(check, kind, message):
    with pytest.raises(kind, match=f"^{re.escape(message)}$"):
        check()


def test_numbers_of_numpy_describe_chips_and_networks():
    """Equal to what Python's numbers describe, and printed in the same way."""
    pairs = [
        (ChipConfig(lanes=np.int64(2), chain=np.True_), ChipConfig(lanes=2, chain=True)),
        (Format(exponent=np.int8(4), mantissa=np.int8(3)), Format(exponent=4, mantissa=3)),
        (Neuron(kappa=np.float32(0.75), strict=np.True_), Neuron(kappa=0.75, strict=True)),
        (Training(rate=np.float32(0.5), momentum=np.int64(0)), Training(rate=0.5, momentum=0)),
        (Dense(inputs=np.int64(4), outputs=np.uint8(3)), Dense(inputs=4, outputs=3)),
        (Conv(**dict.fromkeys(_CONV, np.int64(2)), bias=np.True_), Conv(**dict.fromkeys(_CONV, 2), bias=True)),
        (Network.parse("4-3", steps=np.int64(2)), Network.parse("4-3", steps=2)),
    ]
    for found, expected in pairs:
        assert found == expected
        assert repr(found) == repr(expected)
    assert mesh_shape(np.int64(6)) == (3, 2)
    network = Network.parse("64-10")
    assert default_training(network, batch=np.int64(4)) == default_training(network, batch=4)


_CONV = ("in_channels", "out_channels", "in_height", "in_width", "kernel", "stride")


@pytest.mark.parametrize(
    ("before", "after", "events"),
    [(0, 0, 0), (5, 12, 7), (0, 2**32 - 1, 2**32 - 1), (2**32 - 3, 4, 7), (2**32 - 1, 0, 1), (1, 0, 2**32 - 1)],
)
def test_a_counter_that_wraps_between_two_looks_gives_the_events_between_them(before, after, events):
    assert counter_difference(before, after) == events
