# SPDX-License-Identifier: Apache-2.0
"""Bench of the delta update with its elementwise unit: errors and deltas against the golden neuron, clearing."""

import cocotb
import numpy as np

from backspike.golden.arithmetic import BitExact
from backspike.golden.exact import Exact, round_sum
from backspike.golden.network import Neuron, Training
from backspike.golden.neuron import Output, rate_error, step_back
from backspike.host.compiler.neuron_constants import neuron_constants
from backspike.hw.core.update.delta import DeltaUpdate
from backspike.hw.core.update.elementwise_arbiter import Client
from backspike.hw.shapes import WORD, Shapes
from backspike.spec.packets import NO_LABEL
from tests.support.codec import Codec
from tests.support.small_chips import CHIPS as PLAIN
from tests.support.small_chips import COUNTED, LANES, TERNARY, Outputs, garbage_descriptor
from tests.support.unit import Bench, Memory, Others, WithArithmetic, long_test

CHIPS = PLAIN | COUNTED | TERNARY
NEURONS = (
    Neuron(kappa=0.9, reset="hard"),
    Neuron(kappa=0.75, reset="soft", amplitude=2.5),
    Neuron(kappa=0.5, reset="hard", kappa_back=1.0, amplitude=0.3),
    Neuron(kappa=0.5, reset="soft", kappa_back=0.0),
)


def _unit(lanes):
    shapes = Shapes(CHIPS[lanes])
    return WithArithmetic(DeltaUpdate(shapes), shapes, {"request": "delta"})


def units():
    return {f"delta_{lanes}": _unit(lanes) for lanes in CHIPS}


class _Deltas:
    """The delta memory of all lanes; what is being written reads as garbage."""

    def __init__(self, run):
        self.run, self.bench = run, run.bench
        self.words = [0] * run.config.lanes
        run.bench.agents.append(self)

    def drive(self):
        self.bench.set("memory__old_deltas__data", self.words)

    def sample(self):
        bench = self.bench
        address = bench.bits("memory__old_deltas__address")
        self.words = [bank[address] for bank in self.run.banks]
        written = bench.get("memory__deltas__address")
        if bench.bits("memory__deltas__enable") and address == self.run.delta_address.pack(written["place"]):
            self.words[written["lane"]] = bench.random.getrandbits(self.run.config.format.width)


class _ErrorSums(Memory):
    """The error sums, whose read port somebody else takes in some cycles."""

    def __init__(self, bench, sums, share):
        super().__init__(bench, "memory__error_sums__address", "memory__error_sums__data", [sums])
        self.share, self.taken = share, False

    def drive(self):
        super().drive()
        self.taken = self.bench.random.random() < self.share
        self.bench.set("memory__error_taken", self.taken)

    def sample(self):
        super().sample()
        if self.taken:
            self.words = [self.bench.random.getrandbits(self.data_bits)]


class _Cleared:
    """Lets the unit clear an error sum in some cycles only."""

    def __init__(self, bench, withheld):
        self.bench, self.withheld = bench, withheld
        bench.agents.append(self)

    def drive(self):
        self.now = self.bench.random.random() >= self.withheld
        self.bench.set("memory__clearing", self.now)

    def sample(self):
        pass


class Run:
    """A bench that does jobs one after the other; memories stay from one to the next."""

    def __init__(self, dut, lanes, withheld=0.3, others=0.5):
        self.config = config = CHIPS[lanes]
        self.shapes, self.withheld, self.others = Shapes(config), withheld, others
        self.bench = bench = Bench(dut, f"delta_{lanes}", _unit(lanes))
        self.delta_address = Codec(self.shapes.delta_address())
        depth, random = 1 << self.delta_address.width, bench.random
        self.banks = [[random.getrandbits(config.format.width) for _ in range(depth)] for _ in range(config.lanes)]
        self.sums = {}

    async def start(self):
        await self.bench.start()

    def _error_sums(self, steps, outputs):
        """Integers of up to 96 bits, of all magnitudes; some zero."""
        random = self.bench.random
        lengths = [[random.choice((0, 10, 24, 40, 48, 60, 70, 95)) for _ in range(outputs)] for _ in range(steps)]
        return np.array(
            [[random.choice((1, -1)) * random.getrandbits(length) for length in row] for row in lengths], dtype=object
        ).reshape(steps, outputs)

    def _word(self, value):
        """An error sum as the memory holds it; there are two words for 0."""
        if not value and self.bench.random.randrange(2):
            return 1 << 96 | self.bench.random.getrandbits(96)
        return value & (1 << 96) - 1

    async def do(self, neuron, shape, steps, loss, *, at_end=False, back=False):
        """One job, at the end of the memories or anywhere, compared with the golden model; returns its cycles.

        ``back``: errors stand for what a ``TernaryUpdate`` would make of them.
        """
        bench, random, config, shapes = self.bench, self.bench.random, self.config, self.shapes
        lanes, fmt = config.lanes, config.format
        bench.agents.clear()
        bench.watchers[:] = [self._write]
        outputs = shape.count

        def base(depth, count):
            return depth - count if at_end else random.randint(0, depth - count)

        first_block = base(shapes.block_depth, shape.all_blocks)
        first = first_block * lanes
        first_word = base(shapes.delta_depth, shape.bitmap_words)
        fields = {
            **shape.fields(),
            "steps": steps,
            "soft": neuron.soft,
            "loss": loss,
            "block_base": first_block,
            "delta_base": first_word,
            **neuron_constants(neuron, training := Training(rate=0.5, loss_scale=random.choice((0.25, 0.3, 3.0))), fmt),
        }
        slot = config.slots - 1 if at_end else random.randrange(config.slots)
        label = random.choice((0, outputs - 1, random.randrange(outputs), NO_LABEL))
        own = bench.rng.random((2, config.steps, outputs)) < random.choice((0.1, 0.5, 0.9))
        fields["sample"], counts = self._counts(own[0], loss)
        width = 2 + shapes.count
        own_memory = {
            slot << shapes.neuron | first + n: sum(
                (int(own[0, t, n]) | int(own[1, t, n]) << 1 | int(counts[t, n]) << 2) << width * t
                for t in range(config.steps)
            )
            for n in range(outputs)
        }
        error_sums = self._error_sums(steps, outputs)
        where = [
            [t | first + n << shapes.step_address | slot << shapes.step_address + shapes.neuron for n in range(outputs)]
            for t in range(steps)
        ]
        self.sums = {
            address: self._word(int(value))
            for row, values in zip(where, error_sums, strict=True)
            for address, value in zip(row, values, strict=True)
        }
        before, self.bitmaps, banks = dict(self.sums), {}, [list(bank) for bank in self.banks]
        _ErrorSums(bench, self.sums, self.withheld / 3)
        Memory(bench, "memory__history__address", "memory__history__data", [own_memory], "memory__history__enable")
        _Deltas(self)
        self.cleared = _Cleared(bench, self.withheld)
        Others(bench, [Client.NEURON], self.others)
        for name, value in (("descriptor", garbage_descriptor(shapes, **fields)), ("slot", slot), ("label", label)):
            bench.set(name, value)
        if config.ternary:
            bench.set("back", back)
        begin = bench.cycle
        await bench.pulse("start")
        await bench.until(lambda: not bench.bits("busy"), 100_000)
        cycles = bench.cycle - begin
        await bench.step(20)
        assert not bench.bits("busy")

        whole = fields["sample"], counts[:steps] + own[0, :steps]
        deltas = self._golden(None if back else neuron, training, own[:, :steps], loss, label, error_sums, whole)
        bitmaps = {
            (lane, first_word + word, t): 0
            for lane in range(lanes)
            for word in range(shape.bitmap_words)
            for t in range(steps)
        }
        patterns = fmt.encode(deltas)
        for t in range(steps):
            for lane in range(lanes):
                for block in range(shape.all_blocks):  # 0 in lanes that a pixel's last block has not
                    banks[lane][t | first_block + block << shapes.step_address] = 0
            for n in range(outputs):
                lane, block = shape.place(n)
                banks[lane][t | first_block + block << shapes.step_address] = value = int(patterns[t, n])
                if value & (1 << fmt.width - 1) - 1:
                    bitmaps[lane, first_word + block // WORD, t] |= 1 << block % WORD
        assert self.banks == banks
        assert self.bitmaps == bitmaps
        assert self.sums == before if loss else all(word >> 96 for word in self.sums.values())
        return cycles

    def _counts(self, spikes, loss):
        """Steps of a sample, and each neuron's spikes before each step; with a loss of theirs, from none to in all."""
        random, rng, bits = self.bench.random, self.bench.rng, self.shapes.count
        if loss != 3:
            return random.getrandbits(8), rng.integers(0, 1 << bits, spikes.shape)
        sample = random.choice((1, (1 << bits) - 1, random.randint(1, (1 << bits) - 1)))
        counts = rng.choice([0, sample, *rng.integers(0, sample + 1, 4)], spikes.shape)
        spikes &= counts > 0
        return sample, counts - spikes

    def _golden(self, neuron, training, own, loss, label, error_sums, whole):
        """Deltas [steps, outputs]; ``whole``: steps of a sample, and each neuron's spikes in it [steps, outputs].

        ``neuron`` None: deltas are errors where the mask is set.
        """
        fmt = self.config.format
        arithmetic, unit = BitExact(fmt), 2 * fmt.lsb
        spikes, masks = own
        steps, outputs = spikes.shape
        if not loss:
            high, low = error_sums >> 48, error_sums & (1 << 48) - 1
            parts = (high.astype(float) * 2.0 ** (unit + 48), low.astype(float) * 2.0**unit)
            errors = round_sum(Exact(parts, unit), fmt)[0]
        else:  # an output that the slice has not stands for a label of another slice
            total, counts = {1: (steps, spikes.sum(axis=0)[None]), 2: (1, spikes), 3: whole}[loss]
            counts = np.pad(counts, ((0, 0), (0, 1)))
            constants, labels = arithmetic.constants(training), [min(label, outputs)] * len(counts)
            error = rate_error(constants, counts, labels, total, arithmetic)[:, :outputs]
            errors = np.broadcast_to(error, (steps, outputs))
        if neuron is None:
            return np.where(masks, errors, 0.0)
        deltas, delta = np.empty((steps, outputs)), np.zeros(outputs)
        for t in reversed(range(steps)):
            output = Output(spikes[t], masks[t])
            deltas[t] = delta = step_back(arithmetic.constants(neuron), delta, errors[t], output, arithmetic)
        return deltas

    def _write(self):
        bench = self.bench
        if bench.bits("memory__cleared__enable") and self.cleared.now:
            self.sums[bench.bits("memory__cleared__address")] = 1 << 96 | bench.random.getrandbits(96)
        if bench.bits("memory__deltas__enable"):
            assert bench.bits("busy"), "the memory is only the unit's while it is busy"
            address = bench.get("memory__deltas__address")
            place = self.delta_address.pack(address["place"])
            self.banks[address["lane"]][place] = bench.bits("memory__deltas__data")
        if bench.bits("memory__bitmaps__enable"):
            address = bench.get("memory__bitmaps__address")
            key = address["lane"], address["place"]["word"], address["place"]["step"]
            assert key not in self.bitmaps, "written twice"
            self.bitmaps[key] = bench.bits("memory__bitmaps__data")


@cocotb.test()
@cocotb.parametrize(lanes=LANES, loss=[0, 1, 2], waits=[(0.0, 0.95), (0.3, 0.5), (0.9, 0.9), (0.2, 0.1)])
async def deltas_of_random_jobs(dut, lanes, loss, waits):
    """All sorts of errors and resets; clearing is withheld, and the elementwise unit is busy for others."""
    run = Run(dut, lanes, *waits)
    await run.start()
    random = run.bench.random
    for neuron in NEURONS:
        steps = random.choice((1, min(6, run.config.steps)))
        await run.do(neuron, Outputs.random(random, run.shapes, 48 // lanes), steps, loss)


@cocotb.test()
@cocotb.parametrize(lanes=LANES, loss=[0, 1, 2])
async def one_neuron(dut, lanes, loss):
    """Each step needs the one after it, which is still under way."""
    run = Run(dut, lanes)
    await run.start()
    for neuron in NEURONS:
        for steps in (1, 2, run.config.steps):
            if steps <= run.config.steps:
                await run.do(neuron, Outputs(1, lanes), steps, loss)


@cocotb.test()
@cocotb.parametrize(lanes=LANES)
async def words_of_32(dut, lanes):
    """Bitmaps of one and of two words, the last of them full, short, or of one block."""
    run = Run(dut, lanes, 0.1, 0.2)
    await run.start()
    for blocks in (31, 32, 33, 64):
        if blocks <= run.shapes.block_depth:
            shape = Outputs((blocks - 1) * lanes + max(1, lanes - 1), lanes)
            await run.do(NEURONS[blocks % 4], shape, min(2, run.config.steps), blocks % 2)


@cocotb.test()
@cocotb.parametrize(lanes=LANES, loss=[0, 1])
async def pixels(dut, lanes, loss):
    """Channels that are no multiple of the lanes: gaps in the deltas of each pixel, but none in the neurons."""
    run = Run(dut, lanes, 0.1, 0.3)
    await run.start()
    shapes = [(1, 3, 3), (lanes + 1, 2, 2), (2 * lanes + 1, 1, 5), (max(1, lanes - 1), 5, 1), (1, 8, 4), (1, 3, 11)]
    for k, shape in enumerate(shapes):
        await run.do(NEURONS[k % 4], Outputs(shape[0], lanes, *shape[1:]), min(2, run.config.steps), loss, at_end=k % 2)


@cocotb.test()
@cocotb.parametrize(lanes=LANES)
async def five_cycles_at_most(dut, lanes):
    """For a neuron and step, if nobody else uses the elementwise unit: two for the error, three for the delta."""
    run = Run(dut, lanes, 0.0, 1.0)
    await run.start()
    steps = min(4, run.config.steps)
    for shape in (Outputs(32 * lanes, lanes), Outputs(lanes, lanes, 4, 7)):
        cycles = await run.do(NEURONS[0], shape, steps, 0)
        assert cycles <= 5 * steps * shape.count + (steps + 1) * 18


@long_test
async def ends_of_the_largest_memories(dut):
    """The most blocks of a pixel, the most pixels; the last slot and all steps."""
    run = Run(dut, "largest", 0.0, 1.0)
    await run.start()
    await run.do(NEURONS[1], Outputs((1 << 13) - 1, 1), 1, 1)
    await run.do(NEURONS[2], Outputs(1, 1, 127, 127), 1, 0)
    await run.do(NEURONS[0], Outputs(5, 1, 2, 4), run.config.steps, 0, at_end=True)


@cocotb.test()
@cocotb.parametrize(chip=list(COUNTED), loss=[0, 1, 2, 3])
async def errors_of_a_samples_spikes(dut, chip, loss):
    """Counts go on over the frames of a sample; the neurons of a target, and others, from no spike to all."""
    run = Run(dut, chip)
    await run.start()
    for neuron in NEURONS:
        for steps in (1, run.config.steps):
            await run.do(neuron, Outputs.random(run.bench.random, run.shapes, 24), steps, loss)
    await run.do(NEURONS[3], Outputs(1, run.config.lanes), 1, loss)


@cocotb.test()
@cocotb.parametrize(loss=[0, 1, 2, 3])
async def errors_for_ternary_spikes(dut, loss):
    """One pass: deltas are what comes back for errors; a pass of another kind before and after it."""
    run = Run(dut, "ternary")
    await run.start()
    for neuron in NEURONS:
        for back in (False, True, True):
            await run.do(neuron, Outputs.random(run.bench.random, run.shapes, 40), 1, loss, back=back)
    shape = Outputs(64, run.config.lanes)
    assert await run.do(NEURONS[0], shape, 1, loss, back=True) < await run.do(NEURONS[0], shape, 1, loss)
