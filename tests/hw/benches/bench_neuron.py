# SPDX-License-Identifier: Apache-2.0
"""Bench of the neuron update with its elementwise unit: potentials, spikes, masks, against the golden neuron."""

from itertools import product

import cocotb
import numpy as np
from amaranth.hdl import signed
from amaranth.lib.data import ArrayLayout, StructLayout

from backspike.golden.arithmetic import BitExact
from backspike.golden.exact import Exact
from backspike.golden.feedback import advance
from backspike.golden.network import Neuron, Training
from backspike.golden.neuron import NOISE, Output, State, initial_state, step
from backspike.host.compiler.neuron_constants import neuron_constants, noisy_thresholds
from backspike.hw.core.update.elementwise_arbiter import Client
from backspike.hw.core.update.neuron import NeuronUpdate
from backspike.hw.shapes import WORD, Shapes
from tests.support.small_chips import CHIPS as PLAIN
from tests.support.small_chips import COUNTED, NOISY, TERNARY, Outputs, garbage_descriptor
from tests.support.unit import Bench, Memory, Others, Sink, Source, WithArithmetic, long_test

CHIPS = PLAIN | COUNTED | NOISY | TERNARY
UNITS = (1, 2, 8, "largest", *COUNTED, *NOISY, *TERNARY)
LANES = UNITS[:3]
NEURONS = (
    Neuron(kappa=0.9, theta=1.0, width=1.0, reset="hard"),
    Neuron(kappa=0.75, theta=0.7, width=0.5, reset="soft"),
    Neuron(kappa=1.0, theta=0.5, width=3.0, reset="soft", reset_value=0.4, strict=True),
    Neuron(kappa=0.5, theta=2.0, width=4.0, reset="hard", strict=True),
)


def _unit(lanes):
    shapes = Shapes(CHIPS[lanes])
    place = StructLayout({"step": shapes.step, "block_last": 1, "last": 1})
    sums = ArrayLayout(signed(shapes.config.format.fixed_width + 14), shapes.config.lanes)
    unit = NeuronUpdate(shapes, StructLayout({"place": place, "sums": sums}))
    return WithArithmetic(unit, shapes, {"request": "neuron"})


def units():
    return {f"neuron_{lanes}": _unit(lanes) for lanes in UNITS}


class Run:
    """A bench that does jobs one after the other; potentials stay from one to the next."""

    def __init__(self, dut, lanes, idle=(0.0, 0.0), others=0.5):
        self.config = CHIPS[lanes]
        self.shapes, self.idle, self.others = Shapes(self.config), idle, others
        self.bench = bench = Bench(dut, f"neuron_{lanes}", _unit(lanes))
        width = self.config.format.width + 1 + self.shapes.count
        self.potentials = [bench.random.getrandbits(width) for _ in range(self.config.neurons)]
        self.states = [bench.random.randint(1, (1 << 16) - 1) for _ in range(self.config.neurons)]

    async def start(self):
        await self.bench.start()

    def _sums(self, neuron, steps, outputs):
        """Sums in units of the format's lsb: near the threshold, tiny, zero, beyond the largest number."""
        rng, fmt = self.bench.rng, self.config.format
        unit, shape = 2.0**-fmt.lsb, (steps, outputs)
        near = rng.uniform(-2, 3, shape) * neuron.theta * unit
        edges = round(neuron.theta * unit), round((neuron.theta + neuron.width / 2) * unit)
        exact = rng.choice([0, 1, -1, *edges], shape)
        large = rng.uniform(-1.5, 1.5, shape) * fmt.max_finite * unit
        choice = rng.random(shape)
        return np.where(choice < 0.7, near, np.where(choice < 0.9, exact, large)).astype(np.int64)

    async def do(self, neuron, shape, steps, block=None, more=0, *, train=None, clamp=None, sums=None, back=None):
        """The jobs of a frame of a slice, compared with the golden model; returns their cycles.

        ``block`` is its first one. With ``more`` they start from what the memory holds of its neurons. ``clamp``:
        lowest and highest I for which the mask is set. ``sums`` [steps, outputs] are random, by default. ``back``:
        ternary spikes go back in the frame, of a sample with so many steps; 0: in the last layer.
        """
        bench, config, fmt = self.bench, self.config, self.config.format
        bench.agents.clear()
        bench.watchers[:] = [self._write]
        outputs = shape.count
        last = self.shapes.block_depth - shape.all_blocks
        block = bench.random.randint(0, last) if block is None else block
        first = block * config.lanes
        fields = {
            "last_lanes": shape.last_lanes,
            "block_base": block,
            "steps": steps,
            "soft": neuron.soft,
            **neuron_constants(neuron, Training(rate=0.5), fmt),
            **noisy_thresholds(neuron, NOISE, fmt),
        }
        fields |= {"clamp": clamp is not None} if self.shapes.count else {}
        if clamp is not None:
            fields |= zip(("mask_low", "mask_high"), map(int, fmt.encode(clamp)), strict=True)
        fields |= {} if back is None else {"sample": back, "loss": 0 if back else 3}
        fields = garbage_descriptor(self.shapes, **fields)
        slot = bench.random.randrange(config.slots)
        train = bench.random.randrange(2) if train is None else train
        self.own, self.saturated = {}, 0
        Memory(bench, "memory__potentials__address", "memory__potentials__data", [self.potentials])
        if config.noise:
            Memory(bench, "memory__noise__states__address", "memory__noise__states__data", [self.states])
        source, sink = Source(bench, "results", self.idle[0]), Sink(bench, "words", self.idle[1])
        Others(bench, [Client.ERROR, Client.DELTA, Client.VELOCITY, Client.WEIGHT], self.others)
        kinds = {"more": more, "back": int(back is not None)}
        for name, value in (("descriptor", fields), ("job", {"slot": slot, "train": train, **kinds})):
            bench.set(name, value)

        sums = self._sums(neuron, steps, outputs) if sums is None else sums
        for t in range(steps):
            source.send(*self._results(shape, t, sums[t].reshape(shape.pixels, shape.channels)))
        before, begin = list(self.potentials), bench.cycle
        noise, states = self._noise(steps, first, outputs, bool(config.noise and train))
        await bench.until(lambda: source.empty and not bench.bits("busy"), 300_000)
        cycles = bench.cycle - begin
        await bench.until(lambda: not bench.bits("words__valid"))
        await bench.step(20)
        assert not bench.bits("busy") and not bench.bits("words__valid")

        kept = before[first : first + outputs]
        if back is None:
            outcome, left, saturated = self._golden(neuron, sums, kept if more else None, clamp, train, noise)
        else:
            outcome, left, saturated = self._at_rest(kept, back), kept, False
        words, own = [], {}
        for t, (output, counts) in enumerate(outcome):
            for n in range(outputs):
                own[slot, first + n, t] = int(output.spikes[n]), int(output.masks[n]), int(counts[n])
            for word in range(-(-outputs // WORD)):
                spikes, masks = (
                    sum(int(bit) << n for n, bit in enumerate(bits[WORD * word : WORD * (word + 1)])) for bits in output
                )
                lowered = (noise[t] > 0) & output.masks
                told = sum(int(bit) << n for n, bit in enumerate(lowered[WORD * word : WORD * (word + 1)]))
                words.append(
                    {
                        "targets_base": fields["targets_base"] % (1 << self.shapes.route),
                        "targets": fields["targets"],
                        "slot": slot,
                        "train": train,
                        **kinds,
                        "step": t,
                        "word": word,
                        "spikes": spikes,
                        "masks": masks,
                        **({"noise": told} if config.noise else {}),
                    }
                )
        assert sink.items == words
        assert self.own == own
        assert self.states == states
        before[first : first + outputs] = left
        assert self.potentials == before
        assert self.saturated >= saturated  # others may saturate too
        return cycles

    def _noise(self, steps, first, outputs, noisy):
        """The noise of each step, and the states of all generators then; 0 where there is none."""
        states, noise = np.array(self.states), np.zeros((steps, outputs), dtype=int)
        if noisy:
            own = slice(first, first + outputs)
            for t in range(steps):
                noise[t] = 2 * (states[own] & 1) - 1
                states[own] = advance(states[own])
        return noise, states.tolist()

    def _golden(self, neuron, sums, left, clamp, train, noise):
        """``(spikes and masks, counts)`` of each step, what the memory holds then, and whether something saturated.

        ``left``: what it holds before; None where a sample begins.
        """
        fmt, outputs, outcome = self.config.format, sums.shape[1], []
        arithmetic = BitExact(fmt)
        constants, state, counts = arithmetic.constants(neuron), initial_state(outputs), np.zeros(outputs, dtype=int)
        if left is not None:
            words = np.array(left)
            state = State(fmt.decode(words >> 1 & (1 << fmt.width) - 1), (words & 1).astype(np.float64))
            counts = words >> fmt.width + 1
        for row, moves in zip(sums, noise, strict=True):
            current, last = Exact((row * 2.0**fmt.lsb,), fmt.lsb), state
            state, output = step(constants, state, current, arithmetic, moves)
            if clamp is not None:
                value = state.potentials
                if train:
                    terms = (constants.kappa, last.potentials), (constants.rr, counts)
                    value = arithmetic.combine(*terms, total=current)
                output = output._replace(masks=(value >= clamp[0]) & (value <= clamp[1]))
            counts = (counts + last.spikes.astype(int)) % (1 << self.shapes.count)
            outcome.append((output, counts))
        patterns = fmt.encode(state.potentials).astype(int) | counts << fmt.width
        return outcome, (patterns << 1 | state.spikes.astype(int)).tolist(), arithmetic.saturated

    def _at_rest(self, kept, sample):
        """As ``_golden`` of a frame in which ternary spikes go back: nothing changes."""
        words = np.array(kept)
        counts = ((words >> self.config.format.width + 1) + (words & 1)) % (1 << self.shapes.count)
        masks = (counts > 0) & (counts != sample) if sample else counts >= 0
        return [(Output(np.zeros(len(kept)), masks), counts)]

    def _results(self, shape, step, sums):
        """What the engine gives in a step for sums [pixels, channels], garbage in lanes that have none."""
        lanes, results = shape.lanes, []
        for pixel, row in enumerate(sums):
            for block in range(shape.blocks):
                part = [int(value) for value in row[block * lanes : (block + 1) * lanes]]
                part += [self.bench.random.getrandbits(20) for _ in range(lanes - len(part))]
                last = block == shape.blocks - 1
                place = {"step": step, "block_last": last, "last": last and pixel == shape.pixels - 1}
                results.append({"place": place, "sums": part})
        return results

    def _write(self):
        bench = self.bench
        self.saturated |= bench.bits("saturated")
        potentials, history = "memory__new_potentials__", "memory__history__"
        if bench.bits(potentials + "enable"):
            self.potentials[bench.bits(potentials + "address")] = bench.bits(potentials + "data")
        states = "memory__noise__new_states__"
        if self.config.noise and bench.bits(states + "enable"):
            self.states[bench.bits(states + "address")] = bench.bits(states + "data")
        enables = bench.bits(history + "enable")
        assert bool(enables) >= bool(bench.bits(potentials + "enable"))
        if enables:
            address, bits = bench.get(history + "address"), bench.get(history + "data")
            for t in range(self.config.steps):
                if enables >> t & 1:
                    key = address["slot"], address["neuron"], t
                    assert key not in self.own, "written twice"
                    self.own[key] = bits[t]["spike"], bits[t]["mask"], bits[t].get("count", 0)


@cocotb.test()
@cocotb.parametrize(lanes=LANES, idle=[(0.0, 0.0), (0.6, 0.3), (0.1, 0.97)])
async def neurons_of_random_jobs(dut, lanes, idle):
    """All kinds of neurons and shapes, with pauses of the sums and of who takes the words."""
    run = Run(dut, lanes, idle)
    await run.start()
    config, random = run.config, run.bench.random
    for neuron in NEURONS:
        shape = Outputs.random(random, run.shapes, run.shapes.block_depth // 2)
        await run.do(neuron, shape, random.randint(1, config.steps))


@cocotb.test()
@cocotb.parametrize(lanes=LANES)
async def one_neuron(dut, lanes):
    """Each step needs the one before, which is still under way; and one step only."""
    run = Run(dut, lanes)
    await run.start()
    for neuron in NEURONS:
        for steps in (run.config.steps, 1, 2):
            await run.do(neuron, Outputs(1, lanes), steps)


@cocotb.test()
@cocotb.parametrize(lanes=LANES, idle=[(0.0, 0.0), (0.4, 0.4)])
async def frames_of_a_sample(dut, lanes, idle):
    """A frame that goes on with a sample starts from what the frame before has left, of one step or of several."""
    run = Run(dut, lanes, idle)
    await run.start()
    random, steps, spiked = run.bench.random, run.config.steps, 0
    for neuron in NEURONS:
        shape = Outputs.random(random, run.shapes, run.shapes.block_depth // 2)
        block = random.randint(0, run.shapes.block_depth - shape.all_blocks)
        first = block * run.config.lanes
        for more in (0, 1, 1, 0, 1):
            spiked += more * sum(word & 1 for word in run.potentials[first : first + shape.count])
            await run.do(neuron, shape, random.choice((1, steps)), block, more)
    assert spiked > 5, "no neuron has just spiked when a frame begins"


@cocotb.test()
@cocotb.parametrize(lanes=LANES, outputs=[31, 32, 33, 64])
async def words_of_32(dut, lanes, outputs):
    """The last word of a step is short, full, or of one neuron; the words do not care for the pixels."""
    run = Run(dut, lanes, (0.0, 0.5))
    await run.start()
    await run.do(NEURONS[1], Outputs(outputs, lanes), run.config.steps)
    await run.do(NEURONS[2], Outputs(1, lanes, 1, outputs), run.config.steps)


@cocotb.test()
@cocotb.parametrize(lanes=LANES, channels=[1, 3, 9, 11, 32])
async def pixels(dut, lanes, channels):
    """Numbers of channels that are no multiple of the lanes: neurons follow each other without gaps."""
    run = Run(dut, lanes, (0.2, 0.2))
    await run.start()
    most = run.config.neurons // channels
    for height, width in ((1, 3), (2, 1), (min(5, most // 2), 2)):
        shape = Outputs(channels, lanes, height, width)
        for block in (0, run.shapes.block_depth - shape.all_blocks):
            await run.do(NEURONS[height % 4], shape, run.config.steps, block)


@cocotb.test()
@cocotb.parametrize(lanes=LANES)
async def two_cycles_a_neuron(dut, lanes):
    """Between two steps, and between words, it may take as long as the elementwise unit takes, and no more."""
    run = Run(dut, lanes, others=1.0)
    await run.start()
    steps = run.config.steps
    for shape in (Outputs(run.config.neurons, lanes), Outputs(lanes + 1, lanes, 4, 7)):
        cycles = await run.do(NEURONS[0], shape, steps)
        words = -(-shape.count // WORD)
        assert cycles <= (2 * shape.count + 12 * words) * steps + 4


@long_test
async def ends_of_the_largest_memories(dut):
    """All neurons that a core can have, in one pixel and in many; and the last ones."""
    run = Run(dut, "largest")
    await run.start()
    await run.do(NEURONS[1], Outputs(run.config.neurons, 1), 2)
    await run.do(NEURONS[0], Outputs(129, 1, 1, 127), 1)
    await run.do(NEURONS[2], Outputs(5, 1, 3, 3), run.config.steps, run.config.neurons - 45)


INTEGRATING = Neuron(kappa=1.0, kappa_back=0.0, theta=0.5, reset="soft", reset_value=1.0)


@cocotb.test()
@cocotb.parametrize(chip=list(COUNTED), idle=[(0.0, 0.0), (0.4, 0.4)])
async def spikes_are_counted(dut, chip, idle):
    """Over the frames of samples, from 0 with each; modulo what the bits can say; those for training have a clamp."""
    run = Run(dut, chip, idle)
    await run.start()
    random, steps, most = run.bench.random, run.config.steps, 0
    for neuron in (INTEGRATING, *NEURONS):
        shape = Outputs.random(random, run.shapes, 24)
        block = random.randint(0, run.shapes.block_depth - shape.all_blocks)
        first = block * run.config.lanes
        clamp = (0.0, float(steps)) if neuron.soft else None
        for frame in range(10):
            await run.do(neuron, shape, random.choice((1, steps)), block, int(frame > 0), clamp=clamp)
            counts = [word >> run.config.format.width + 1 for word in run.potentials[first : first + shape.count]]
            most = max(most, *counts)
    assert most == 7 if run.shapes.count == 3 else most > 7


@cocotb.test()
@cocotb.parametrize(chip=list(COUNTED), steps=[1, 2, 7])
async def clamp_at_its_bounds(dut, chip, steps):
    """Neurons that never spike, and that spike in each step; their input is at a bound, or a little beside it."""
    run = Run(dut, chip)
    await run.start()
    fmt = run.config.format
    one, ulp = round(2.0**-fmt.lsb), round(2.0 ** (np.frexp(steps)[1] - 1 - fmt.mantissa - fmt.lsb))
    beside = (0, 1, -1, ulp // 2, -(ulp // 2), ulp, -ulp)
    cases = list(product((0, 1), (0, steps * one), beside))
    inside = [0 <= fmt.round(float(bound + d) / one) <= steps for _, bound, d in cases]
    assert 0 < sum(inside) < len(cases)
    shape, given = Outputs(len(cases), run.config.lanes), np.zeros(len(cases), dtype=np.int64)
    spiking = np.array([one * always for always, _, _ in cases])
    for frame in range(steps):
        last = frame == steps - 1
        sums = np.array([bound + d for _, bound, d in cases]) - given if last else spiking
        given += sums
        clamp = (0.0, float(steps))
        await run.do(INTEGRATING, shape, 1, 5, int(frame > 0), train=int(last), clamp=clamp, sums=sums[np.newaxis])
    first = 5 * run.config.lanes
    counts = [word >> fmt.width + 1 for word in run.potentials[first : first + len(cases)]]
    assert counts == [always * (steps - 1) for always, _, _ in cases]
    assert [bits[1] for bits in run.own.values()] == inside


@cocotb.test()
@cocotb.parametrize(chip=list(NOISY), idle=[(0.0, 0.0), (0.4, 0.4)])
async def noise_moves_thresholds(dut, chip, idle):
    """In frames for training; generators go on then, each with its neuron, and the bit is told where the mask is."""
    run = Run(dut, chip, idle)
    await run.start()
    random, steps = run.bench.random, run.config.steps
    for neuron in NEURONS:
        shape = Outputs.random(random, run.shapes, 24)
        block = random.randint(0, run.shapes.block_depth - shape.all_blocks)
        for frame in range(4):
            await run.do(neuron, shape, random.choice((1, steps)), block, int(frame > 0), train=int(frame != 2))
        await run.do(neuron, Outputs(1, run.config.lanes), steps, train=1)


@cocotb.test()
@cocotb.parametrize(chip=list(COUNTED))
async def a_clamp_takes_three_cycles(dut, chip):
    run = Run(dut, chip, others=1.0)
    await run.start()
    shape = Outputs(run.config.neurons, run.config.lanes)
    await run.do(INTEGRATING, shape, 1, 0)
    cycles = await run.do(INTEGRATING, shape, 1, 0, 1, train=1, clamp=(0.0, 2.0))
    words = -(-shape.count // WORD)
    assert cycles <= 6 * shape.count + 12 * words + 4


@cocotb.test()
@cocotb.parametrize(idle=[(0.0, 0.0), (0.4, 0.4)])
async def neurons_rest_while_ternary_spikes_go_back(dut, idle):
    """Their masks follow from counts, whatever the inputs are; behind such frames a sample could go on."""
    run = Run(dut, "ternary", idle)
    await run.start()
    random, most = run.bench.random, 1 << run.shapes.count
    for neuron in (INTEGRATING, *NEURONS):
        shape = Outputs.random(random, run.shapes, 24)
        block = random.randint(0, run.shapes.block_depth - shape.all_blocks)
        await run.do(neuron, shape, 1, block)
        masks = []
        for sample in (1, 3, most - 1, 0, 2):
            await run.do(neuron, shape, 1, block, 1)
            for train in (0, 1):
                await run.do(neuron, shape, 1, block, 1, train=train, back=sample)
                masks.append({mask for _, mask, _ in run.own.values()})
        assert {1} in masks
