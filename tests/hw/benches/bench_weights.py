# SPDX-License-Identifier: Apache-2.0
"""Bench of the weight update with its elementwise unit, against the exact model of that unit."""

from dataclasses import replace

import cocotb
import numpy as np

from backspike.golden.network import Neuron, Training
from backspike.host.compiler.neuron_constants import neuron_constants
from backspike.hw.arith.elementwise import Elementwise
from backspike.hw.core.update.weight_update import WeightUpdate
from backspike.hw.shapes import Shapes
from backspike.spec.formats import Format
from tests.support.cases import random_numbers, random_sums
from tests.support.small_chips import CHIPS, garbage_descriptor
from tests.support.unit import Bench, WithArithmetic

_CHIPS = {f"weights_{lanes}": replace(CHIPS[lanes], weights=512) for lanes in (1, 2, 8)}
_CHIPS["weights_largest"] = CHIPS["largest"]
_CHIPS["weights_plain"] = replace(CHIPS[2], weights=256, momentum=False)
_CHIPS["weights_e4m3"] = replace(CHIPS[2], weights=128, batch_terms=8, format=Format(exponent=4, mantissa=3))
_CHIPS["weights_e3m4"] = replace(
    CHIPS[2], weights=128, steps=4, format=Format(exponent=3, mantissa=4)
)  # faster rounder

SMALL = [name for name in _CHIPS if name != "weights_largest"]

PLAIN = ({}, {"update": "sign", "momentum": 0.0}, {"decay": 0.9})
"""Updates without velocities."""

UPDATES = (
    *PLAIN,
    {"momentum": 0.9},
    {"momentum": 1.0, "decay": 0.9},
    {"update": "sign", "momentum": 0.9, "decay": 0.9},
    {"update": "lion"},
    {"update": "lion", "momentum": 0.3, "lookahead": 0.77, "decay": 0.0},
    {"update": "lion", "momentum": 0.5, "lookahead": 0.0},
    {"update": "lion", "momentum": 0.75, "lookahead": 0.75},
)


def _unit(name):
    shapes = Shapes(_CHIPS[name])
    return WithArithmetic(WeightUpdate(shapes), shapes, {"velocity_request": "velocity", "weight_request": "weight"})


def units():
    return {name: _unit(name) for name in _CHIPS}


class Run:
    """A bench that does updates one after the other, and the memories: [lane][address]."""

    MEMORIES = ("weights", "gradients", "velocities")

    def __init__(self, dut, name):
        self.config = _CHIPS[name]
        self.shapes = Shapes(self.config)
        self.bench = Bench(dut, name, _unit(name))
        self.fill()
        self.read = dict.fromkeys(self.MEMORIES, [0] * self.config.lanes)
        self.saturated = 0

    def fill(self, numbers=None, sums=None):
        """New contents: random finite numbers and exact sums of all magnitudes, or chosen from some."""
        rng, fmt = self.bench.rng, self.config.format
        shape = self.config.lanes, self.shapes.weight_depth
        for name in ("weights", "velocities"):
            setattr(self, name, random_numbers(rng, fmt, shape) if numbers is None else rng.choice(numbers, shape))
        exact = random_sums(rng, fmt, self.shapes.gradient_sum, shape)
        self.gradients = exact if sums is None else rng.choice(np.array(sums, dtype=object), shape)

    async def start(self):
        await self.bench.start()

    def drive(self):
        """What the banks put out."""
        self.bench.set("memory__banks__data", {name: list(map(int, self.read[name])) for name in self.MEMORIES})

    def sample(self):
        bench = self.bench
        self.saturated += bench.bits("saturated")
        if bench.bits("memory__banks__enable"):
            address = bench.bits("memory__banks__address") % self.shapes.weight_depth
            self.read = {name: getattr(self, name)[:, address].copy() for name in self.MEMORIES}
        for name in self.MEMORIES:
            if bench.bits(f"memory__{name}__enable"):
                assert bench.bits("memory__claims"), "the memories are only the unit's while it claims them"
                place = bench.get(f"memory__{name}__address")
                value = 0 if name == "gradients" else bench.bits(f"memory__{name}__data")
                getattr(self, name)[place["lane"], place["address"]] = value

    async def do(self, training, base, words, clear=0, velocities=0):
        """One update, compared with the model; returns the cycles that it took."""
        bench, fmt = self.bench, self.config.format
        bench.agents[:] = [self]
        fields = {"weight_base": base, "weight_words": words, **neuron_constants(Neuron(), training, fmt)}
        if not self.config.momentum:  # then it has no meaning
            fields |= {"rest": bench.random.getrandbits(fmt.width)}
        bench.set("descriptor", garbage_descriptor(self.shapes, **fields))
        bench.set("clear", clear)
        bench.set("velocities", velocities)
        part = slice(base, base + words)
        after = {name: getattr(self, name).copy() for name in self.MEMORIES}
        after["gradients"][:, part] = 0
        self.saturated = expected = 0
        if clear and velocities:
            after["velocities"][:, part] = 0
        elif not clear:
            weights, gradients, old = (getattr(self, name)[:, part] for name in self.MEMORIES)
            new, direction, over = self._moved(fields, old, gradients << -fmt.lsb)
            after["velocities"][:, part] = new
            unit = Elementwise(fmt, self.shapes.error_sum, 1)
            moved, beyond = unit.model(fields["minus_rate"], direction, fields["decay"], weights, 0)
            after["weights"][:, part] = moved
            expected = int(over.sum() + beyond.sum())
        begin = bench.cycle
        await bench.pulse("start")
        await bench.until(lambda: not bench.bits("busy"))
        cycles = bench.cycle - begin
        for _ in range(20):
            await bench.step()
            writes = [bench.bits(f"memory__{name}__enable") for name in self.MEMORIES] + [bench.bits("busy")]
            assert not any(writes)
        assert self.saturated == expected
        for name in self.MEMORIES:
            if name != "velocities" or self.config.momentum:  # without, there is no memory behind the port
                wrong = np.argwhere(getattr(self, name) != after[name])
                assert not len(wrong), f"{name}: {len(wrong)} wrong, first at {wrong[0]}"
        return cycles

    def _moved(self, fields, old, gradients):
        """New velocities, what weights move against, and which velocities saturate."""
        fmt = self.config.format
        unit = Elementwise(fmt, self.shapes.error_sum, 1)
        kept = fields["momentum"] if self.config.momentum else 0
        rest = fields["rest"] if self.config.momentum and fields["sign"] else 0
        old = old if kept or fields["sign"] else np.zeros_like(old)
        new, over = unit.model(kept, old, rest, old, gradients)
        sums, one = unit.exact(kept, old, 0, 0, gradients), int(fmt.encode(1.0))
        signs = np.where(sums < 0, one | 1 << fmt.width - 1, np.where(sums > 0, one, 0))
        return new, signs.astype(np.int64) if fields["sign"] else new, over


def _training(run, constants):
    rates = 1.0, 0.1, 2.0**-6, run.config.format.max_finite
    return Training(rate=run.bench.random.choice(rates), **constants)


def _updates(name):
    return UPDATES if _CHIPS[name].momentum else PLAIN


@cocotb.test()
@cocotb.parametrize(name=SMALL)
async def updates_of_random_slices(dut, name):
    """All updates, one word and many."""
    run = Run(dut, name)
    await run.start()
    random, depth = run.bench.random, run.shapes.weight_depth
    for constants in _updates(name):
        for words in (1, random.randint(2, 40), random.randint(2, depth)):
            run.fill()
            training = _training(run, constants)
            if not training.mu and training.update == "momentum":  # then nobody need have written the velocities
                run.velocities = run.bench.rng.integers(0, 1 << run.config.format.width, run.velocities.shape)
            await run.do(training, random.randint(0, depth - words), words)


@cocotb.test()
@cocotb.parametrize(name=SMALL)
async def zeros_and_ends_of_the_range(dut, name):
    """Numbers and sums that are zero, round to zero, or saturate; the largest sums that a gradient can be."""
    run = Run(dut, name)
    await run.start()
    fmt = run.config.format
    sign, top, most = 1 << fmt.width - 1, int(fmt.encode(fmt.max_finite)), 1 << run.shapes.gradient_sum - 1
    for constants in _updates(name):
        run.fill([0, sign, 1, sign | 1, top, sign | top], [0, 1, -1, most - 1, -most])
        await run.do(Training(rate=1.0, **constants), 0, run.shapes.weight_depth)


@cocotb.test()
@cocotb.parametrize(name=SMALL)
async def sums_next_to_zero(dut, name):
    """Gradients that the old velocity's share outweighs, meets, or misses by a unit: all three signs."""
    run = Run(dut, name)
    await run.start()
    fmt, rng = run.config.format, run.bench.rng
    for constants in _updates(name):
        run.fill()
        training = Training(rate=0.5, **constants).rounded(fmt)
        meeting = np.round(np.ldexp(training.beta * fmt.decode(run.velocities), -fmt.lsb)).astype(np.int64)
        run.gradients = (-meeting + rng.integers(-1, 2, meeting.shape)).astype(object)
        await run.do(training, 0, run.shapes.weight_depth)


@cocotb.test()
@cocotb.parametrize(name=SMALL, velocities=[0, 1])
async def clearing(dut, name, velocities):
    """Gradients, and velocities if asked for, become 0; no weight changes."""
    run = Run(dut, name)
    await run.start()
    for constants in _updates(name)[::3]:
        run.fill()
        words = run.bench.random.randint(1, 30)
        await run.do(_training(run, constants), run.bench.random.randint(0, 30), words, 1, velocities)


@cocotb.test()
@cocotb.parametrize(name=SMALL)
async def operations_without_gaps(dut, name):
    """Four cycles a weight, five where a sign counts."""
    run = Run(dut, name)
    await run.start()
    for constants in _updates(name):
        words, training = run.shapes.weight_depth, _training(run, constants)
        cycles = await run.do(training, 0, words)
        assert cycles <= (4 + (run.config.momentum and training.update != "momentum")) * words * run.config.lanes + 40


@cocotb.test()
async def ends_of_the_largest_memories(dut):
    """The last weights that a core can have."""
    run = Run(dut, "weights_largest")
    await run.start()
    await run.do(_training(run, {"update": "lion"}), run.shapes.weight_depth - 300, 300)
