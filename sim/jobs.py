# SPDX-License-Identifier: Apache-2.0
"""Random jobs of the engines: a slice's inputs, weights, deltas, and the memories that hold them."""

import numpy as np

from backspike.hw.config import ChipConfig
from backspike.hw.shapes import WORD, Shapes
from backspike.sim.cases import random_numbers

__all__ = ["CONFIGS", "LANES", "Job", "descriptor"]

CONFIGS = {
    1: ChipConfig(lanes=1, steps=4, slots=3, slices=3, tape_words=6, weights=4096, neurons=128),
    2: ChipConfig(lanes=2, steps=5, slots=2, slices=2, tape_words=5, weights=4096, neurons=256),
    4: ChipConfig(lanes=4, steps=1, slots=4, slices=1, tape_words=4, weights=8192, neurons=256),
    8: ChipConfig(lanes=8, steps=6, slots=2, slices=5, tape_words=7, weights=8192, neurons=512),
    "largest": ChipConfig(
        lanes=1, steps=16, slots=4, slices=16, tape_words=128, weights=1 << 17, neurons=1 << 12, peers=256),
}
"""Small configurations, by lanes, most of their sizes not powers of two; and one with the largest memories."""

LANES = [lanes for lanes in CONFIGS if isinstance(lanes, int)]

_DENSITIES = (0.0, 0.03, 0.2, 0.5, 1.0)


def descriptor(shapes, **fields):
    """All fields of a descriptor; those that are not given are random garbage."""
    rng = np.random.default_rng(sum(map(ord, repr(sorted(fields.items())))))
    values = {name: int(rng.integers(0, 1 << field.shape)) for name, field in shapes.descriptor}
    for name, value in fields.items():
        assert 0 <= value < 1 << shapes.descriptor[name].shape, f"{name} is {value}"
    return values | fields


class Job:
    """One slice, random in everything but what is given.

    Parameters
    ----------
    bench: Bench, for its random numbers
    config: ChipConfig
    spikes, deltas: densities; by default of each word, or lane, its own
    counts: numbers of inputs of the tape words
    blocks, last_lanes, steps: of the slice

    Attributes
    ----------
    words: tape words of the slice: {count, row_base, bits [steps] of all configured steps, garbage in unused places}
    weights: bit patterns, [lanes][address]; any garbage where the slice has none
    deltas: bit patterns [steps, outputs]
    """

    def __init__(self, bench, config, *, spikes=None, deltas=None, counts=None, blocks=None, last_lanes=None,
                 steps=None):
        self.config, self.shapes, self.random, self.rng = config, Shapes(config), bench.random, bench.rng
        random, lanes = bench.random, config.lanes
        self.steps = random.choice((1, config.steps, random.randint(1, config.steps))) if steps is None else steps
        if counts is None:
            counts = [random.choice((0, 1, 31, 32, 32, random.randint(1, 32)))
                      for _ in range(random.randint(1, config.tape_words))]
        depth = self.shapes.weight_depth
        most = max(1, min(self.shapes.block_depth, depth // max(sum(counts), 1) // 2))
        self.blocks = random.choice((1, most, random.randint(1, most))) if blocks is None else blocks
        self.last_lanes = random.randint(1, lanes) if last_lanes is None else last_lanes
        self.outputs = (self.blocks - 1) * lanes + self.last_lanes
        self.tape_base = random.randint(0, config.tape_words - len(counts))
        self.block_base = random.randint(0, self.shapes.block_depth - self.blocks)
        self.slot = random.randrange(config.slots)
        self._place_words(counts, spikes)
        self.weights = [random_numbers(self.rng, config.format, (depth,)) for _ in range(lanes)]
        self._make_deltas(deltas)

    def _place_words(self, counts, density):
        random = self.random
        free = self.shapes.weight_depth - sum(counts) * self.blocks
        self.words, address, order = [None] * len(counts), 0, list(range(len(counts)))
        random.shuffle(order)  # rows of the words in any order, with gaps
        for k in order:
            gap = random.randint(0, free // 2)
            free, address = free - gap, address + gap
            share = random.choice(_DENSITIES) if density is None else density
            bits = self.rng.random((self.config.steps, WORD)) < share
            self.words[k] = {"count": counts[k], "row_base": address,
                             "bits": [sum(int(bit) << n for n, bit in enumerate(row)) for row in bits]}
            address += counts[k] * self.blocks

    def _make_deltas(self, density):
        """Deltas, among them -0, and the bitmaps of those that are not zero."""
        config, rng, lanes = self.config, self.rng, self.config.lanes
        sign = 1 << config.format.width - 1
        deltas = random_numbers(rng, config.format, (self.steps, self.outputs))
        for lane in range(lanes):
            share = self.random.choice(_DENSITIES) if density is None else density
            part = deltas[:, lane::lanes]
            part[rng.random(part.shape) >= share] = self.random.choice((0, sign))
        self.deltas = deltas
        self.delta_words = -(-self.blocks // WORD)
        self.delta_base = self.random.randint(0, self.shapes.delta_depth - self.delta_words)

    def move_to_the_end(self):
        """Give the slice the last places in all memories of the core; only before anything is asked about it."""
        address = self.shapes.weight_depth
        for word in self.words:
            address -= word["count"] * self.blocks
            word["row_base"] = address
        self.slot, self.tape_base = self.config.slots - 1, self.config.tape_words - len(self.words)
        self.block_base = self.shapes.block_depth - self.blocks
        self.delta_base = self.shapes.delta_depth - self.delta_words

    @property
    def inputs(self):
        """``(word number, bit)`` of every input."""
        return [(k, bit) for k, word in enumerate(self.words) for bit in range(word["count"])]

    def bit(self, word, bit, step):
        """The spike (or mask) of an input."""
        return self.words[word]["bits"][step] >> bit & 1

    def spikes(self):
        """Array [steps, inputs]."""
        bits = [[self.bit(k, bit, t) for k, bit in self.inputs] for t in range(self.steps)]
        return np.array(bits, dtype=int).reshape(self.steps, -1)

    def place(self, word, bit, output):
        """``(lane, address)`` of a weight."""
        entry = self.words[word]
        return output % self.config.lanes, entry["row_base"] + bit * self.blocks + output // self.config.lanes

    def weight(self, word, bit, output, banks=None):
        lane, address = self.place(word, bit, output)
        return int((banks or self.weights)[lane][address])

    def descriptor(self):
        return descriptor(
            self.shapes, tape_base=self.tape_base, tape_words=len(self.words), blocks=self.blocks,
            last_lanes=self.last_lanes, block_base=self.block_base, delta_base=self.delta_base,
            delta_words=self.delta_words, steps=self.steps)

    def tape(self):
        """The tape's own words, by address."""
        width = self.shapes.tape_word
        return {self.slot << width | self.tape_base + k: sum(bits << WORD * t for t, bits in enumerate(word["bits"]))
                for k, word in enumerate(self.words)}

    def by_tape_address(self, entries):
        """A memory without slots, read at a tape address."""
        mask = (1 << self.shapes.tape_word) - 1
        garbage = self.random

        def read(address):
            k = (address & mask) - self.tape_base
            return entries[k] if 0 <= k < len(entries) else garbage.getrandbits(20)

        return read

    def chunks_low(self):
        return [word["row_base"] | word["count"] << 17 for word in self.words]

    def bitmaps(self):
        """The bitmap of each lane, by address; steps that the slice has not are garbage."""
        lanes, magnitude = self.config.lanes, (1 << self.config.format.width - 1) - 1
        banks = []
        for lane in range(lanes):
            bank = {self.delta_base + k: 0 for k in range(self.delta_words)}
            for t in range(self.config.steps):
                for k in range(self.delta_words):
                    if t >= self.steps:
                        bits = self.random.getrandbits(WORD)
                    else:
                        own = self.deltas[t, lane::lanes][WORD * k:WORD * (k + 1)]
                        bits = sum(int(value & magnitude != 0) << n for n, value in enumerate(own))
                    bank[self.delta_base + k] |= bits << WORD * t
            banks.append(bank)
        return banks

    def delta_banks(self):
        """The delta memory of each lane, by address."""
        lanes, step_bits = self.config.lanes, self.shapes.step
        banks = [{} for _ in range(lanes)]
        for t in range(self.steps):
            for output in range(self.outputs):
                address = t | self.block_base + output // lanes << step_bits
                banks[output % lanes][address] = self.deltas[t, output]
        return banks
