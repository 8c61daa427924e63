# SPDX-License-Identifier: Apache-2.0
"""Random jobs of the engines: a slice's shape, inputs, weights, deltas, and the memories that hold them."""

import itertools
from collections import Counter

import numpy as np

from backspike.hw.shapes import WORD, Shapes
from backspike.spec.config import ChipConfig
from backspike.spec.tables import FAN_IN
from tests.support.cases import random_numbers

__all__ = ["CONFIGS", "DENSE", "KINDS", "LANES", "SHAPES", "Job", "descriptor"]

CONFIGS = {
    1: ChipConfig(
        lanes=1, steps=4, slots=3, slices=3, tape_words=12, weights=4096, neurons=512, fan_in=5, list_depth=128
    ),
    2: ChipConfig(
        lanes=2, steps=1, slots=2, slices=1, tape_words=10, weights=4096, neurons=1024, fan_in=4, list_depth=64
    ),
    8: ChipConfig(lanes=8, steps=6, slots=8, slices=5, tape_words=14, weights=8192, neurons=2048, list_depth=128),
    "operands": ChipConfig(
        lanes=2,
        steps=2,
        slots=2,
        slices=2,
        tape_words=10,
        weights=4096,
        neurons=512,
        fan_in=4,
        list_depth=128,
        operand_bits=7,
        noise=True,
        batch_terms=1 << 10,
    ),
    "largest": ChipConfig(
        lanes=1,
        steps=16,
        slots=8,
        slices=16,
        tape_words=512,
        weights=1 << 17,
        neurons=1 << 14,
        routes=256,
        fan_in=256,
        list_depth=1 << 12,
        batch_terms=1 << 23,
    ),
}
"""Small configurations, by lanes, most of their sizes not powers of two; one whose gradients have operands, and
whose feedback learns, and one with the largest memories."""

LANES = [lanes for lanes in CONFIGS if isinstance(lanes, int)]

KINDS = ["pixels", "dense"]
"""Engines with the walk over pixels, and those for dense layers only."""

DENSE = {"height": 1, "width": 1, "kernel": 1, "stride": 1, "padding": 0, "pool": 1}
"""The shape of a dense slice."""


def _shape(height, width, kernel, stride, padding, pool):
    return {"height": height, "width": width, "kernel": kernel, "stride": stride, "padding": padding, "pool": pool}


SHAPES = (
    _shape(5, 7, 3, 2, 1, 1),  # padding that is no multiple of the stride; the last column but one is of two windows
    _shape(4, 6, 5, 3, 4, 1),  # windows that are mostly padding
    _shape(7, 5, 2, 3, 1, 1),  # inputs that no output sees
    _shape(9, 6, 1, 4, 0, 1),
    _shape(3, 1, 7, 1, 6, 1),  # windows larger than the input
    _shape(8, 10, 3, 4, 2, 2),
    _shape(9, 6, 3, 2, 1, 3),
    _shape(6, 9, 2, 1, 1, 3),
    _shape(8, 4, 4, 1, 0, 1),  # one output column
    _shape(5, 10, 1, 1, 0, 5),
)
"""Shapes at which arithmetic of places goes wrong most easily."""

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
    shape: ``{height, width, kernel, stride, padding, pool}`` of the input, such as ``DENSE``; the sizes are in pixels
        before pooling
    channels: channels of each group of inputs; ``None`` among them stands for a constant group of one input
    feedback: inputs of each group behind these, which only gets errors
    blocks, last_lanes, steps: of the slice
    garbage: whether bits of tapes and bitmaps that belong to nothing are random

    Attributes
    ----------
    groups: groups of inputs: the fields of ``FAN_IN``, ``bits`` [steps][number], and whether they only get
        errors, ``behind``
    weights: bit patterns, [lanes][address]; any garbage where the slice has none
    deltas: bit patterns [steps, pixels, outputs]
    traced: whether inputs have operands of their own; else a spike counts ``one``, in a constant group ``bias``
    learning: whether groups that get errors learn from noise, which is in their bits
    """

    def __init__(
        self,
        bench,
        config,
        *,
        spikes=None,
        deltas=None,
        shape=None,
        channels=None,
        feedback=(),
        blocks=None,
        last_lanes=None,
        steps=None,
        garbage=True,
    ):
        self.garbage = garbage
        self.config, self.shapes, self.random, self.rng = config, Shapes(config), bench.random, bench.rng
        random, lanes = bench.random, config.lanes
        self.steps = random.choice((1, config.steps, random.randint(1, config.steps))) if steps is None else steps
        self.last_lanes = random.randint(1, lanes) if last_lanes is None else last_lanes
        self.feedback = list(feedback)
        while not self._fits(self._random_shape() if shape is None else shape, channels, blocks):
            assert shape is None or channels is None or blocks is None, "the job does not fit"
        self.outputs = (self.blocks - 1) * lanes + self.last_lanes
        self.block_base = random.randint(0, self.shapes.block_depth - self.pixels * self.blocks)
        self.slot = random.randrange(config.slots)
        self._place_groups(spikes)
        depth = self.shapes.weight_depth
        self.weights = [random_numbers(self.rng, config.format, (depth,)) for _ in range(lanes)]
        self._make_deltas(deltas)
        self._most = (1 << config.operand_bits) - 1
        self.one, self.bias = (random.choice((1, self._most, random.randint(1, self._most))) for _ in range(2))
        self.traced = config.operand_bits > 1 and random.random() < 0.7
        self.learning = config.noise and bool(self.feedback) and random.random() < 0.8

    def _random_shape(self):
        random = self.random
        if random.random() < 0.2:
            return DENSE
        kernel, pool = random.choice((1, 2, 3, 3, 3, 5, 7)), random.choice((1, 1, 1, 2, 3))
        least = max(1, kernel - 2)
        return {
            "height": pool * random.randint(least, 7),
            "width": pool * random.randint(least, 7),
            "kernel": kernel,
            "stride": random.randint(1, 4),
            "padding": random.randint(0, kernel - 1),
            "pool": pool,
        }

    def _fits(self, shape, channels, blocks):
        """Choose what is left open; whether the result fits into the configuration."""
        random, config = self.random, self.config
        self.shape = shape
        pooled = [shape[name] // shape["pool"] + 2 * shape["padding"] - shape["kernel"] for name in ("height", "width")]
        if min(pooled) < 0:
            return False
        self.out_height, self.out_width = (size // shape["stride"] + 1 for size in pooled)
        self.pixels = self.out_height * self.out_width
        area, window = shape["height"] * shape["width"], (shape["kernel"] * shape["pool"]) ** 2
        if channels is None:
            most = min(200, config.list_depth // window, config.tape_words * WORD // area)
            if not most:
                return False
            entries = config.fan_in - len(self.feedback)
            count = random.choice((1, 1, min(2, entries), min(3, entries)))
            channels = [random.randint(1, most) for _ in range(count)]
            if count < entries and random.random() < 0.4:
                channels.insert(random.randint(0, count), None)
        rows = sum(1 if size is None else size * shape["kernel"] ** 2 for size in channels) + sum(self.feedback)
        if blocks is None:
            most = min(
                self.shapes.block_depth // self.pixels,
                self.shapes.weight_depth // rows,
                config.list_depth // shape["kernel"] ** 2,
            )
            if not most:
                return False
            blocks = random.choice((1, most, random.randint(1, most)))
        self.blocks, self.channels = blocks, channels
        sizes = [1 if size is None else size * area for size in channels] + self.feedback
        words = sum(-(-size // WORD) for size in sizes)
        longest = max(1 if size is None else size * window for size in channels)
        self.replay = sum(1 if size is None else size * window for size in channels) <= config.list_depth
        return (
            rows * blocks <= self.shapes.weight_depth
            and self.pixels * blocks <= self.shapes.block_depth
            and words <= config.tape_words
            and shape["kernel"] ** 2 * blocks <= config.list_depth
            and longest <= config.list_depth
        )

    def _place_groups(self, density):
        random, kernel = self.random, self.shape["kernel"]
        area = self.shape["height"] * self.shape["width"]
        constants = [size is None for size in self.channels] + [True] * len(self.feedback)
        sizes = [1 if size is None else size for size in self.channels] + self.feedback
        rows = [size * (1 if own else kernel**2) for own, size in zip(constants, sizes, strict=True)]
        free = self.shapes.weight_depth - sum(rows) * self.blocks
        free_words = self.config.tape_words - sum(
            -(-size * (1 if own else area) // WORD) for own, size in zip(constants, sizes, strict=True)
        )
        most = (1 << self.config.operand_bits) - 1
        self.groups, address, word = [None] * len(sizes), 0, 0
        order = list(range(len(sizes)))
        random.shuffle(order)  # in any order, with gaps
        for k in order:
            gap, skipped = random.randint(0, free // 2), random.randint(0, free_words)
            free, address = free - gap, address + gap
            free_words, word = free_words - skipped, word + skipped
            constant = constants[k]
            count = sizes[k] * (1 if constant else area)
            self.groups[k] = {
                "tape": word,
                "channels": sizes[k],
                "row_base": address,
                "constant": int(constant),
                "tap_stride": sizes[k] * self.blocks,
                "row_stride": sizes[k] * self.blocks * kernel,
                "x": random.randrange(8),
                "y": random.randrange(8),
                "neuron": random.randrange((1 << 14) - count),
                "bits": self.random_bits(count, density),
                "operands": self.rng.choice((1, most, self.rng.integers(1, most + 1)), size=count),
                "behind": k >= len(self.channels),
            }
            address += rows[k] * self.blocks
            word += -(-count // WORD)
        self.fan_in_base = random.randint(0, self.config.fan_in - len(sizes))

    def random_bits(self, count, density):
        """Spikes or masks of all configured steps; those of steps that the slice has not are garbage."""
        shares = self.rng.choice(_DENSITIES, size=-(-count // WORD)) if density is None else np.array([density])
        shares = np.resize(np.repeat(shares, WORD), count)
        return (self.rng.random((self.config.steps, count)) < shares).astype(int)

    def _make_deltas(self, density):
        """Deltas, among them -0, and the bitmaps of those that are not zero."""
        config, rng, lanes = self.config, self.rng, self.config.lanes
        sign = 1 << config.format.width - 1
        deltas = random_numbers(rng, config.format, (self.steps, self.pixels, self.outputs))
        for lane in range(lanes):
            share = self.random.choice(_DENSITIES) if density is None else density
            part = deltas[:, :, lane::lanes]
            part[rng.random(part.shape) >= share] = self.random.choice((0, sign))
        self.deltas = deltas
        self.delta_words = -(-self.pixels * self.blocks // WORD)
        self.delta_base = self.random.randint(0, self.shapes.delta_depth - self.delta_words)

    def move_to_the_end(self):
        """Give the slice the last places in all memories of the core; only before anything is asked about it."""
        address, word, kernel = self.shapes.weight_depth, self.config.tape_words, self.shape["kernel"]
        for group in self.groups:
            address -= group["channels"] * self.blocks * (1 if group["constant"] else kernel**2)
            word -= -(-group["bits"].shape[1] // WORD)
            group["row_base"], group["tape"] = address, word
        self.slot, self.fan_in_base = self.config.slots - 1, self.config.fan_in - len(self.groups)
        self.block_base = self.shapes.block_depth - self.pixels * self.blocks
        self.delta_base = self.shapes.delta_depth - self.delta_words

    @property
    def nonzero(self):
        """Whether a delta is not zero, [steps, pixels, outputs]."""
        return self.deltas & (1 << self.config.format.width - 1) - 1 != 0

    def active_steps(self):
        """Bits of the steps that have a non-zero delta; those of steps that the slice has not are garbage."""
        bits = self.random.getrandbits(self.config.steps) >> self.steps << self.steps
        return bits | sum(int(any_) << t for t, any_ in enumerate(self.nonzero.any(axis=(1, 2))))

    def pairs(self):
        """Every pair of an input and an output pixel that sees it: ``(group, number in it, pixel, weight address)``."""
        shape = self.shape
        kernel, stride, padding, pool = (shape[name] for name in ("kernel", "stride", "padding", "pool"))
        result = []
        for g, group in enumerate(self.groups):
            size = group["channels"]
            for pixel in range(self.pixels):
                y, x = divmod(pixel, self.out_width)
                if group["constant"]:
                    result += [(g, c, pixel, group["row_base"] + c * self.blocks) for c in range(size)]
                    continue
                for ky, kx in np.ndindex(kernel, kernel):
                    place, other = y * stride - padding + ky, x * stride - padding + kx
                    if not (0 <= place < shape["height"] // pool and 0 <= other < shape["width"] // pool):
                        continue
                    address = group["row_base"] + ky * group["row_stride"] + kx * group["tap_stride"]
                    for down, right in np.ndindex(pool, pool):
                        first = ((place * pool + down) * shape["width"] + other * pool + right) * size
                        result += [(g, first + c, pixel, address + c * self.blocks) for c in range(size)]
        return result

    def operand(self, group, number):
        """What an input of a group multiplies deltas with, if it spikes."""
        if self.groups[group]["constant"]:
            return self.bias
        return int(self.groups[group]["operands"][number]) if self.traced else self.one

    def useful_terms(self):
        """Products of a set input bit and a non-zero delta."""
        deltas = self.nonzero.sum(axis=2)
        seen = Counter((g, n, pixel) for g, n, pixel, _ in self.pairs())
        return sum(
            times * int(self.groups[g]["bits"][: self.steps, n] @ deltas[:, pixel])
            for (g, n, pixel), times in seen.items()
        )

    def descriptor(self, errors=1):
        """The descriptor of a job that sends errors, if ``errors``."""
        names = {"in_width": "width", "in_height": "height"}
        shape = {
            name: self.shape[names.get(name, name)]
            for name in ("in_width", "in_height", "kernel", "stride", "padding", "pool")
        }
        return descriptor(
            self.shapes,
            fan_in_base=self.fan_in_base,
            fan_in=len(self.channels),
            groups=len(self.groups),
            errors=(2 if self.feedback else self.random.choice((1, 3))) * errors,
            **shape,
            out_width=self.out_width,
            out_height=self.out_height,
            blocks=self.blocks,
            last_lanes=self.last_lanes,
            block_base=self.block_base,
            delta_base=self.delta_base,
            steps=self.steps,
            replay=int(self.replay),
            tape_words=self.random.randint(1, self.config.tape_words) if self.traced else 0,
            one=self.one,
            bias=self.bias,
            learning=int(self.learning),
        )

    def presynaptic(self):
        """The operands' own places, by address."""
        return {
            WORD * group["tape"] + n: int(operand)
            for group in self.groups
            for n, operand in enumerate(group["operands"])
        }

    def tape(self):
        """The tape's own words, by address."""
        width, slot_bits, words = self.shapes.tape_word, self.shapes.slot, {}
        for group in self.groups:
            count = group["bits"].shape[1]
            for start in range(0, count, WORD):
                for t, bits in enumerate(group["bits"]):
                    own = list(bits[start : start + WORD])
                    if self.garbage:
                        own += [self.random.getrandbits(1) for _ in range(WORD - len(own))]
                    address = (t << slot_bits | self.slot) << width | group["tape"] + start // WORD
                    words[address] = sum(int(bit) << n for n, bit in enumerate(own))
        return words

    def group_table(self):
        """The fan-in table, by address."""
        return {
            self.fan_in_base + k: FAN_IN.pack(**{name: group[name] for name in FAN_IN.fields})
            for k, group in enumerate(self.groups)
        }

    def bitmaps(self):
        """All lanes' bitmaps in one, by address."""
        lanes = self.config.lanes
        rows = self.pixels * self.blocks
        flags = np.zeros((self.steps, self.pixels, self.blocks * lanes), dtype=bool)
        flags[:, :, : self.outputs] = self.nonzero
        flags = flags.reshape(self.steps, rows, lanes)
        bank = {}
        for k, t in itertools.product(range(self.delta_words), range(self.steps)):
            word = 0
            for lane in range(lanes):
                own = flags[t, WORD * k : WORD * (k + 1), lane]
                bits = self.random.getrandbits(WORD) >> len(own) << len(own) if self.garbage else 0
                word |= (sum(int(bit) << n for n, bit in enumerate(own)) | bits) << WORD * lane
            bank[t << self.shapes.delta_word | self.delta_base + k] = word
        return bank

    def delta_banks(self):
        """The delta memory of each lane, by address."""
        lanes, step_bits = self.config.lanes, self.shapes.step_address
        banks = [{} for _ in range(lanes)]
        for t in range(self.steps):
            for pixel in range(self.pixels):
                for output in range(self.outputs):
                    block = self.block_base + pixel * self.blocks + output // lanes
                    banks[output % lanes][t | block << step_bits] = self.deltas[t, pixel, output]
        return banks
