# SPDX-License-Identifier: Apache-2.0
"""The memories of a core as the host sees them: which addresses there are, and what they hold."""

from collections import defaultdict

from backspike.spec.config import ChipConfig
from backspike.spec.counters import COUNTERS
from backspike.spec.fields import Fields
from backspike.spec.packets import MAX_PAYLOAD
from backspike.spec.tables import (
    DESCRIPTOR,
    DESCRIPTOR_STRIDE,
    EXPECTATIONS_STRIDE,
    FAN_IN,
    FAN_IN_STRIDE,
    ROUTE,
    TAPE_SLOT_STRIDE,
    TAPE_STRIDE,
    Region,
)
from tests.support.chip_model.numbers import Numbers

__all__ = ["Memory"]

_READ_ONLY = Region.GRADIENT, Region.GRADIENT_HIGH, Region.COUNTER
_WRITE_ONLY = Region.DESCRIPTOR, Region.EXPECTATION, Region.FAN_IN, Region.ROUTE, Region.TAPE
_ONE_PIXEL = {"in_width", "in_height", "out_width", "out_height", "kernel", "stride", "pool"}
_NUMBERS = (
    "threshold",
    "mask_low",
    "mask_high",
    "kappa",
    "reset",
    "kappa_back",
    "amplitude",
    "loss_scale",
    "minus_rate",
    "momentum",
    "rest",
    "decay",
    "threshold_raised",
    "threshold_lowered",
)


class Memory:
    """Words by region and address. What was never written is not there: its contents are undefined.

    Parameters
    ----------
    config: ChipConfig

    Attributes
    ----------
    words: by region and address; of gradients, their exact sums are in ``gradients`` instead
    gradients: by address of a weight
    spikes, masks: by slot, step and tape word
    errors: by slot, neuron and step
    """

    def __init__(self, config: ChipConfig):
        self.config, self.numbers = config, Numbers(config.format)
        self.words = defaultdict(dict)
        self.words[Region.CONTROL] = {0: 0, 1: 0}
        self.words[Region.COUNTER] = dict.fromkeys(range(len(COUNTERS)), 0)
        self.gradients, self.spikes, self.masks, self.errors = {}, {}, {}, {}
        self.sizes = {
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

    def writable(self, region: int, address: int) -> bool:
        """Whether there is such a word to be written."""
        if region in _READ_ONLY or address >= self.sizes.get(region, 0):
            return False
        _, step, word = _tape_place(address)
        return region != Region.TAPE or (step < self.config.steps and word < self.config.tape_words)

    def readable(self, region: int, address: int, count: int) -> bool:
        """Whether there are so many words to be read."""
        if region in _WRITE_ONLY or not 0 < count < MAX_PAYLOAD:
            return False
        return address + count <= self.sizes.get(region, 0)

    def write(self, region: int, address: int, word: int) -> None:
        """What a word of a WRITE changes here."""
        if region in (Region.WEIGHT, Region.VELOCITY):
            word &= (1 << self.config.format.width) - 1
        if region == Region.NOISE:
            word &= 0xFFFF
        if region == Region.TAPE:
            self.spikes[_tape_place(address)] = word
        elif region == Region.CONTROL and address:
            self.words[Region.CONTROL][0] &= ~4
            self.words[Region.COUNTER].update(dict.fromkeys(self.words[Region.COUNTER], 0))
        elif region == Region.CONTROL:
            self.words[region][0] = self.words[region][0] & ~1 | word & 1
        else:
            self.words[region][address] = word

    def read(self, region: int, address: int) -> int | None:
        """A word; None where nobody wrote one."""
        if region in (Region.GRADIENT, Region.GRADIENT_HIGH):
            value, shift = self.gradients.get(address), 32 * (region == Region.GRADIENT_HIGH)
            return None if value is None else value >> shift & 0xFFFFFFFF
        return self.words[region].get(address)

    def table(self, fields: Fields, region: Region, address: int) -> dict:
        """The fields of a table's entry."""
        words = [self.words[region][address + k] for k in range(fields.word_count)]
        return fields.unpack(sum(word << 32 * k for k, word in enumerate(words)))

    def group(self, entry: int) -> dict:
        """An entry of the fan-in table."""
        return self.table(FAN_IN, Region.FAN_IN, entry * FAN_IN_STRIDE)

    def routes(self, base: int, count: int) -> list:
        """Entries of the route table."""
        return [self.table(ROUTE, Region.ROUTE, base + k) for k in range(count)]

    def descriptor(self, index: int) -> dict:
        """The description of a slice, its numbers in units, with ``channels`` of a pixel, ``outputs`` of all, and the
        number of the first, ``neuron``."""
        values = self.table(DESCRIPTOR, Region.DESCRIPTOR, index * DESCRIPTOR_STRIDE)
        if self.config.dense_only:
            values |= dict.fromkeys(_ONE_PIXEL, 1) | {"padding": 0}
        values |= {name: self.numbers.units(values[name]) for name in _NUMBERS}
        values["channels"] = (values["blocks"] - 1) * self.config.lanes + values["last_lanes"]
        values["neuron"] = values["block_base"] * self.config.lanes
        values["outputs"] = values["channels"] * values["out_width"] * values["out_height"]
        return values


def _tape_place(address):
    """Slot, step and word of an address of region TAPE."""
    return address // TAPE_SLOT_STRIDE, address % TAPE_SLOT_STRIDE // TAPE_STRIDE, address % TAPE_STRIDE
