# SPDX-License-Identifier: Apache-2.0
"""Which addresses of a core the host may read and write."""

from amaranth.hdl import Array
from amaranth.utils import exact_log2

from backspike.spec.counters import COUNTERS
from backspike.spec.tables import (
    DESCRIPTOR_STRIDE,
    EXPECTATIONS_STRIDE,
    FAN_IN_STRIDE,
    TAPE_SLOT_STRIDE,
    TAPE_STRIDE,
    Region,
)

__all__ = ["READABLE", "WRITABLE", "is_one_of", "read_tape", "region_sizes"]

READABLE = (
    *(Region.WEIGHT, Region.GRADIENT, Region.GRADIENT_HIGH, Region.VELOCITY),
    *(Region.NOISE, Region.CONTROL, Region.COUNTER),
)
WRITABLE = tuple(set(Region) - {Region.GRADIENT, Region.GRADIENT_HIGH, Region.COUNTER})


def region_sizes(config):
    """Number of addresses of each region."""
    return {
        Region.WEIGHT: config.weights,
        Region.GRADIENT: config.weights,
        Region.GRADIENT_HIGH: config.weights,
        Region.VELOCITY: config.weights if config.momentum else 0,
        Region.DESCRIPTOR: config.slices * DESCRIPTOR_STRIDE,
        Region.EXPECTATION: config.slices * EXPECTATIONS_STRIDE,
        Region.FAN_IN: config.fan_in * FAN_IN_STRIDE,
        Region.ROUTE: config.routes,
        Region.TAPE: config.slots * TAPE_SLOT_STRIDE,
        Region.NOISE: config.neurons if config.noise else 0,
        Region.CONTROL: 2,
        Region.COUNTER: len(COUNTERS),
    }


def read_tape(address):
    """Word and step of an address of region TAPE."""
    word_bits, step_bits = exact_log2(TAPE_STRIDE), exact_log2(TAPE_SLOT_STRIDE)
    return address[:word_bits], address[word_bits:step_bits]


def is_one_of(code, codes):
    """Whether a 4-bit code is one of these."""
    return Array(int(number in codes) for number in range(16))[code]
