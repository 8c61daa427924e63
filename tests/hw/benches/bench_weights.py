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

SMALL = [name for name in _CHIPS if name != "weights_largest"]


def _unit(name):
    shapes = Shapes(_CHIPS[name])
    return WithArithmetic(WeightUpdate(shapes), shapes, "update")


def units():
    return {name: _unit(name) for name in _CHIPS}


class Run:
    """A bench that does updates one after the other, and the memories: [lane][address]."""

    MEMORIES = ("weight", "gradient", "velocity")

    def __init__(self, dut, name):
        self.config = _CHIPS[name]
        self.shapes = Shapes(self.config)
        self.bench = bench = Bench(dut, name, _unit(name))
        bench.peek = True
        self.fill()
        self.read = dict.fromkeys(self.MEMORIES, [0] * self.config.lanes)

    def fill(self, numbers=None, sums=None):
        """New contents: random finite numbers and exact sums of all magnitudes, or chosen from some."""
        rng, fmt = self.bench.rng, self.config.format
        shape = self.config.lanes, self.shapes.weight_depth
        for name in ("weight", "velocity"):
            setattr(self, name, random_numbers(rng, fmt, shape) if numbers is None else rng.choice(numbers, shape))
        exact = random_sums(rng, fmt, self.shapes.gradient_sum, shape)
        self.gradient = exact if sums is None else rng.choice(np.array(sums, dtype=object), shape)

    async def start(self):
        await self.bench.start()

    def drive(self):
        """What the memories put out for the lane that is selected."""
        lane = self.bench.bits("lane") % self.config.lanes
        for name in self.MEMORIES:
            self.bench.set(name, int(self.read[name][lane]))

    def sample(self):
        bench = self.bench
        if bench.bits("enable"):
            address = bench.bits("address") % self.shapes.weight_depth
            self.read = {name: getattr(self, name)[:, address].copy() for name in self.MEMORIES}
        writes = (
            ("weight_write", "weight_value", self.weight),
            ("velocity_write", "velocity_value", self.velocity),
            ("gradient_clear", None, self.gradient),
        )
        for port, value, memory in writes:
            if bench.bits(port):
                assert bench.bits("busy"), "the memories are only the unit's while it is busy"
                place = bench.get(port.split("_")[0] + "_place")
                memory[place["lane"], place["address"]] = bench.bits(value) if value else 0

    async def do(self, training, base, words, clear=0, velocities=0):
        """One update, compared with the model; returns the cycles that it took."""
        bench, fmt = self.bench, self.config.format
        bench.agents[:] = [self]
        fields = {"weight_base": base, "weight_words": words, **neuron_constants(Neuron(), training, fmt)}
        bench.set("descriptor", garbage_descriptor(self.shapes, **fields))
        bench.set("clear", clear)
        bench.set("velocities", velocities)
        part = slice(base, base + words)
        after = {name: getattr(self, name).copy() for name in self.MEMORIES}
        after["gradient"][:, part] = 0
        if clear and velocities:
            after["velocity"][:, part] = 0
        elif not clear:
            weights, gradients, old = (getattr(self, name)[:, part] for name in self.MEMORIES)
            unit, one = Elementwise(fmt, self.shapes.error_sum, 1), int(fmt.encode(1.0))
            old = old if self.config.momentum and training.momentum else np.zeros_like(old)
            new, _ = unit.model(fields["momentum"], old, 0, 0, gradients << -fmt.lsb)
            after["velocity"][:, part] = new
            after["weight"][:, part], _ = unit.model(fields["minus_rate"], new, one, weights, 0)
        begin = bench.cycle
        await bench.pulse("start")
        await bench.until(lambda: not bench.bits("busy"))
        cycles = bench.cycle - begin
        for _ in range(20):
            await bench.step()
            writes = [bench.bits(name) for name in ("weight_write", "velocity_write", "gradient_clear", "busy")]
            assert not any(writes)
        for name in self.MEMORIES:
            if name != "velocity" or self.config.momentum:  # without, there is no memory behind the port
                wrong = np.argwhere(getattr(self, name) != after[name])
                assert not len(wrong), f"{name}: {len(wrong)} wrong, first at {wrong[0]}"
        return cycles


def _training(run, momentum):
    rates = 1.0, 0.1, 2.0**-6, run.config.format.max_finite
    return Training(rate=run.bench.random.choice(rates), momentum=momentum)


def _momenta(name):
    return (0.0, 0.9, 1.0) if _CHIPS[name].momentum else (0.0,)


@cocotb.test()
@cocotb.parametrize(name=SMALL)
async def updates_of_random_slices(dut, name):
    """With and without momentum, one word and many."""
    run = Run(dut, name)
    await run.start()
    random, depth = run.bench.random, run.shapes.weight_depth
    for momentum in _momenta(name):
        for words in (1, random.randint(2, 40), random.randint(2, depth)):
            run.fill()
            if not momentum:  # then nobody need have written the velocities
                run.velocity = run.bench.rng.integers(0, 1 << run.config.format.width, run.velocity.shape)
            await run.do(_training(run, momentum), random.randint(0, depth - words), words)


@cocotb.test()
@cocotb.parametrize(name=SMALL)
async def zeros_and_ends_of_the_range(dut, name):
    """Numbers and sums that are zero, or saturate, of both signs; the largest sums that a gradient can be."""
    run = Run(dut, name)
    await run.start()
    fmt = run.config.format
    sign, top, most = 1 << fmt.width - 1, int(fmt.encode(fmt.max_finite)), 1 << run.shapes.gradient_sum - 1
    for momentum in _momenta(name):
        run.fill([0, sign, 1, sign | 1, top, sign | top], [0, 1, -1, most - 1, -most])
        await run.do(Training(rate=1.0, momentum=momentum), 0, run.shapes.weight_depth)


@cocotb.test()
@cocotb.parametrize(name=SMALL, velocities=[0, 1])
async def clearing(dut, name, velocities):
    """Gradients, and velocities if asked for, become 0; no weight changes."""
    run = Run(dut, name)
    await run.start()
    for momentum in _momenta(name):
        run.fill()
        words = run.bench.random.randint(1, 30)
        await run.do(_training(run, momentum), run.bench.random.randint(0, 30), words, 1, velocities)


@cocotb.test()
@cocotb.parametrize(name=SMALL)
async def operations_without_gaps(dut, name):
    """Four cycles a weight."""
    run = Run(dut, name)
    await run.start()
    for momentum in _momenta(name)[:2]:
        words = run.shapes.weight_depth
        cycles = await run.do(_training(run, momentum), 0, words)
        assert cycles <= 4 * words * run.config.lanes + 40


@cocotb.test()
async def ends_of_the_largest_memories(dut):
    """The last weights that a core can have."""
    run = Run(dut, "weights_largest")
    await run.start()
    await run.do(_training(run, 0.9), run.shapes.weight_depth - 300, 300)
