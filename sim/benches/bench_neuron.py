# SPDX-License-Identifier: Apache-2.0
"""Bench of the neuron update with its elementwise unit: potentials, spikes, masks, against the golden neuron."""

import cocotb
import numpy as np

from backspike.golden.arithmetic import BitExact
from backspike.golden.exact import Exact
from backspike.golden.network import Neuron, Training
from backspike.golden.neuron import initial_state, step
from backspike.host.scalars import layer_scalars
from backspike.hw.core.arithmetic import Client
from backspike.hw.core.neuron import NeuronUpdate
from backspike.hw.engines.feed_forward import ForwardEngine
from backspike.hw.shapes import WORD, Shapes
from backspike.sim.jobs import CONFIGS, descriptor
from backspike.sim.unit import Bench, Memory, Others, Sink, Source, WithArithmetic

UNITS = (1, 2, 8, "largest")
LANES = UNITS[:3]
NEURONS = (
    Neuron(kappa=0.9, theta=1.0, width=1.0, reset="hard"),
    Neuron(kappa=0.75, theta=0.7, width=0.5, reset="soft"),
    Neuron(kappa=1.0, theta=0.5, width=3.0, reset="soft", reset_value=0.4, strict=True),
    Neuron(kappa=0.5, theta=2.0, width=4.0, reset="hard", strict=True),
)


def _unit(lanes):
    shapes = Shapes(CONFIGS[lanes])
    return WithArithmetic(NeuronUpdate(shapes, ForwardEngine(shapes).result_layout), shapes, "forward")


def units():
    return {f"neuron_{lanes}": _unit(lanes) for lanes in UNITS}


class Run:
    """A bench that does jobs one after the other; potentials stay from one to the next."""

    def __init__(self, dut, lanes, idle=(0.0, 0.0), others=0.5):
        self.config = CONFIGS[lanes]
        self.shapes, self.idle, self.others = Shapes(self.config), idle, others
        self.bench = bench = Bench(dut, f"neuron_{lanes}", _unit(lanes))
        width = self.config.format.width + 1
        self.potentials = [bench.random.getrandbits(width) for _ in range(self.config.neurons)]

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

    async def do(self, neuron, blocks, last_lanes, steps):
        """One job, compared with the golden model; returns the cycles that it took."""
        bench, config, lanes, fmt = self.bench, self.config, self.config.lanes, self.config.format
        bench.agents.clear()
        bench.watchers[:] = [self._write]
        outputs = (blocks - 1) * lanes + last_lanes
        block_base = bench.random.randint(0, self.shapes.block_depth - blocks)
        fields = {"blocks": blocks, "last_lanes": last_lanes, "block_base": block_base, "steps": steps,
                  "soft": neuron.soft, **layer_scalars(neuron, Training(rate=0.5), fmt)}
        fields = descriptor(self.shapes, **fields)
        slot, train = bench.random.randrange(config.slots), bench.random.randrange(2)
        self.own, self.saturated = {}, 0
        Memory(bench, "potential_address", "potential", [self.potentials])
        source, sink = Source(bench, "results", self.idle[0]), Sink(bench, "words", self.idle[1])
        Others(bench, [Client.ERROR, Client.DELTA, Client.VELOCITY, Client.WEIGHT], self.others)
        for name, value in (("descriptor", fields), ("slot", slot), ("train", train)):
            bench.set(name, value)

        sums = self._sums(neuron, steps, outputs)
        for t in range(steps):
            for block in range(blocks):
                part = [int(value) for value in sums[t, block * lanes:(block + 1) * lanes]]
                part += [bench.random.getrandbits(20) for _ in range(lanes - len(part))]
                place = {"step": t, "block": block, "block_last": block == blocks - 1}
                source.send({"place": place, "sums": part})
        before, begin = list(self.potentials), bench.cycle
        await bench.until(lambda: source.empty and not bench.bits("busy"))
        cycles = bench.cycle - begin
        await bench.until(lambda: not bench.bits("words__valid"))
        await bench.step(20)
        assert not bench.bits("busy") and not bench.bits("words__valid")

        arithmetic = BitExact(fmt)
        first = block_base * lanes
        state, words, own = initial_state(outputs), [], {}
        for t in range(steps):
            current = Exact((sums[t] * 2.0**fmt.lsb,), fmt.lsb)
            state, output = step(arithmetic.constants(neuron), state, current, arithmetic)
            for n in range(outputs):
                own[slot, first + n, t] = int(output.spikes[n]), int(output.masks[n])
            for word in range(-(-outputs // WORD)):
                spikes, masks = (sum(int(bit) << n for n, bit in enumerate(bits[WORD * word:WORD * (word + 1)]))
                                 for bits in output)
                words.append({
                    "targets_base": fields["targets_base"], "targets": fields["targets"], "slot": slot, "train": train,
                    "step": t, "word": word, "spikes": spikes, "masks": masks})
        assert sink.items == words
        assert self.own == own
        for n in range(outputs):
            before[first + n] = int(state.spikes[n]) | int(fmt.encode(state.potentials[n])) << 1
        assert self.potentials == before
        assert self.saturated >= arithmetic.saturated  # others may saturate too
        return cycles

    def _write(self):
        bench = self.bench
        self.saturated |= bench.bits("saturated")
        if bench.bits("potential_write"):
            self.potentials[bench.bits("potential_write_address")] = bench.bits("potential_value")
        enables = bench.bits("own_write")
        assert bool(enables) == bool(bench.bits("potential_write"))
        if enables:
            address, bits = bench.get("own_address"), bench.get("own_bits")
            for t in range(self.config.steps):
                if enables >> t & 1:
                    key = address["slot"], address["neuron"], t
                    assert key not in self.own, "written twice"
                    self.own[key] = bits[t]["spike"], bits[t]["mask"]


@cocotb.test()
@cocotb.parametrize(lanes=LANES, idle=[(0.0, 0.0), (0.6, 0.3), (0.1, 0.97)])
async def neurons_of_random_jobs(dut, lanes, idle):
    """All kinds of neurons and sizes, with pauses of the sums and of who takes the words."""
    run = Run(dut, lanes, idle)
    await run.start()
    config, random = run.config, run.bench.random
    for neuron in NEURONS:
        blocks = random.randint(1, run.shapes.block_depth // 2)
        await run.do(neuron, blocks, random.randint(1, lanes), random.randint(1, config.steps))


@cocotb.test()
@cocotb.parametrize(lanes=LANES)
async def one_neuron(dut, lanes):
    """Each step needs the one before, which is still under way; and one step only."""
    run = Run(dut, lanes)
    await run.start()
    for neuron in NEURONS:
        for steps in (run.config.steps, 1, 2):
            await run.do(neuron, 1, 1, steps)


@cocotb.test()
@cocotb.parametrize(lanes=LANES, outputs=[31, 32, 33, 64])
async def words_of_32(dut, lanes, outputs):
    """The last word of a step is short, full, or of one neuron."""
    run = Run(dut, lanes, (0.0, 0.5))
    await run.start()
    blocks = -(-outputs // lanes)
    await run.do(NEURONS[1], blocks, outputs - (blocks - 1) * lanes, run.config.steps)


@cocotb.test()
@cocotb.parametrize(lanes=LANES)
async def a_neuron_each_cycle(dut, lanes):
    """Between two steps it may take as long as the elementwise unit takes, and no more."""
    run = Run(dut, lanes, others=0.0)
    await run.start()
    blocks, steps = run.shapes.block_depth, run.config.steps
    cycles = await run.do(NEURONS[0], blocks, lanes, steps)
    assert cycles <= (blocks * lanes + 16) * steps + 4


@cocotb.test()
async def ends_of_the_largest_memories(dut):
    """All neurons that a core can have."""
    run = Run(dut, "largest")
    await run.start()
    await run.do(NEURONS[1], run.config.neurons, 1, 2)
