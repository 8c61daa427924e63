# SPDX-License-Identifier: Apache-2.0
"""Configurations with which single units are simulated, and shapes of slices that fit them."""

from dataclasses import dataclass

import numpy as np

from backspike.hw.shapes import WORD
from backspike.spec.config import ChipConfig

__all__ = ["CHIPS", "COUNTED", "LANES", "NOISY", "TERNARY", "Outputs", "garbage_descriptor"]

CHIPS = {
    1: ChipConfig(lanes=1, steps=4, slots=3, slices=3, tape_words=6, weights=4096, neurons=128),
    2: ChipConfig(lanes=2, steps=5, slots=2, slices=2, tape_words=5, weights=4096, neurons=256),
    4: ChipConfig(lanes=4, steps=1, slots=5, slices=1, tape_words=4, weights=8192, neurons=256),
    8: ChipConfig(lanes=8, steps=6, slots=8, slices=5, tape_words=7, weights=8192, neurons=512),
    "largest": ChipConfig(
        lanes=1,
        steps=16,
        slots=8,
        slices=16,
        tape_words=1 << 9,
        weights=1 << 17,
        neurons=1 << 14,
        fan_in=1 << 8,
        routes=1 << 8,
        list_depth=1 << 12,
        batch_terms=1 << 23,
    ),
}
"""Small configurations, by lanes, most of their sizes not powers of two; and one with the largest memories."""

COUNTED = {
    "counted": ChipConfig(
        **{"lanes": 2, "steps": 1, "slots": 3, "slices": 2, "tape_words": 5, "weights": 4096, "neurons": 256},
        operand_bits=7,
    ),
    "counted_little": ChipConfig(
        **{"lanes": 1, "steps": 4, "slots": 2, "slices": 3, "tape_words": 6, "weights": 4096, "neurons": 128},
        operand_bits=3,
    ),
}
"""Chips in which neurons count their spikes: one whose frames have one step, and one that counts to 7."""

NOISY = {
    "noisy": ChipConfig(
        **{"lanes": 2, "steps": 3, "slots": 2, "slices": 2, "tape_words": 5, "weights": 4096, "neurons": 128},
        noise=True,
    ),
    "noisy_counted": ChipConfig(
        **{"lanes": 1, "steps": 1, "slots": 2, "slices": 2, "tape_words": 5, "weights": 4096, "neurons": 64},
        operand_bits=7,
        noise=True,
    ),
}
"""Chips with noise, one of which counts spikes too."""
TERNARY = {
    "ternary": ChipConfig(
        **{"lanes": 2, "steps": 1, "slots": 3, "slices": 3, "tape_words": 5, "weights": 4096, "neurons": 256},
        **{"operand_bits": 4, "ternary": True},
    ),
}
"""A chip in which ternary spikes go back."""

LANES = [lanes for lanes in CHIPS if isinstance(lanes, int)]


def garbage_descriptor(shapes, **fields):
    """All fields of a descriptor; those that are not given are random garbage."""
    rng = np.random.default_rng(sum(map(ord, repr(sorted(fields.items())))))
    values = {name: int(rng.integers(0, 1 << field.shape)) for name, field in shapes.descriptor}
    for name, value in fields.items():
        assert 0 <= value < 1 << shapes.descriptor[name].shape, f"{name} is {value}"
    return values | fields


@dataclass(frozen=True)
class Outputs:
    """Outputs of a slice: ``channels`` at each of ``height * width`` pixels, in a core with so many lanes."""

    channels: int
    lanes: int
    height: int = 1
    width: int = 1

    @classmethod
    def random(cls, random, shapes, most=None, pixels=None):
        """A shape that fits into the core, with at most ``most`` blocks and ``pixels`` pixels in all."""
        lanes, most = shapes.config.lanes, min(shapes.block_depth, most or shapes.block_depth)
        height = random.choice((1, random.randint(1, min(7, most))))
        width = random.choice((1, random.randint(1, min(7, most // height))))
        if pixels:
            height, width = min(height, pixels), min(width, max(1, pixels // height))
        blocks = random.choice((1, random.randint(1, most // (height * width))))
        return cls((blocks - 1) * lanes + random.randint(1, lanes), lanes, height, width)

    @property
    def pixels(self):
        return self.height * self.width

    @property
    def count(self):
        """Neurons of the slice."""
        return self.pixels * self.channels

    @property
    def blocks(self):
        """Blocks of lanes of one pixel."""
        return -(-self.channels // self.lanes)

    @property
    def last_lanes(self):
        return self.channels - (self.blocks - 1) * self.lanes

    @property
    def all_blocks(self):
        return self.pixels * self.blocks

    @property
    def bitmap_words(self):
        return -(-self.all_blocks // WORD)

    def place(self, neuron):
        """``(lane, block)`` of a neuron's delta, from the slice's first block on."""
        pixel, channel = divmod(neuron, self.channels)
        return channel % self.lanes, pixel * self.blocks + channel // self.lanes

    def fields(self):
        """Fields of the descriptor."""
        return {
            "out_height": self.height,
            "out_width": self.width,
            "blocks": self.blocks,
            "last_lanes": self.last_lanes,
        }
