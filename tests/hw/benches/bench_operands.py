# SPDX-License-Identifier: Apache-2.0
"""Bench of the operand update: operands and flags of every input of every frame, against the golden recurrence."""

import cocotb
import numpy as np

from backspike.golden.operands import operands
from backspike.hw.core.update.operands import OperandUpdate
from backspike.hw.shapes import WORD, Shapes
from backspike.spec.config import ChipConfig
from tests.support.jobs import descriptor
from tests.support.unit import Bench, Memory

BITS = (2, 4, 7, 8)
LEAKS = (128, 192, 224, 240, 256)
CONFIGS = {bits: ChipConfig(slots=3, steps=3, slices=2, tape_words=11, operand_bits=bits) for bits in BITS}


def units():
    return {f"operands_{bits}": OperandUpdate(Shapes(config)) for bits, config in CONFIGS.items()}


class Run:
    """The unit with its memories, in which everything that it must not touch is checked too."""

    def __init__(self, dut, bits, taken=0.0):
        self.bits, self.shapes, self.taken_share = bits, Shapes(CONFIGS[bits]), taken
        self.bench = bench = Bench(dut, f"operands_{bits}", OperandUpdate(self.shapes))
        self.tape = [bench.random.getrandbits(WORD) for _ in range(1 << self.shapes.tape_address().size)]
        self.operands = [bench.random.getrandbits(bits) for _ in range(1 << self.shapes.tape_bit)]
        self.saturated = self.waited = 0
        Memory.behind(bench, "memory__tape", [self.tape])
        Memory.behind(bench, "memory__operands", [self.operands])
        bench.agents.append(self)

    def drive(self):
        """Somebody writes the tape at times."""
        self.taken = self.bench.random.random() < self.taken_share
        self.bench.set("memory__tape_taken", self.taken)

    def sample(self):
        bench = self.bench
        self.saturated += bench.bits("saturated")
        writes = {name: bench.bits(f"memory__new_{name}__enable") for name in ("tape", "operands")}
        assert bench.bits("busy") or not any(writes.values())
        assert bench.bits("busy") == bench.bits("memory__claims")
        assert not (writes["tape"] and self.taken), "two write the tape"
        for name, memory in (("tape", self.tape), ("operands", self.operands)):
            if writes[name]:
                memory[bench.bits(f"memory__new_{name}__address")] = bench.bits(f"memory__new_{name}__data")

    async def frame(self, tape, words, *, more, leak, one, spikes=None):
        """A frame of a slice in any slot; spikes are random, by default. Returns them [inputs] and the cycles."""
        bench, size = self.bench, self.shapes.tape_word
        slot = bench.random.randrange(self.shapes.config.slots)
        if spikes is None:
            spikes = bench.rng.random(words * WORD) < bench.random.choice((0.05, 0.3, 0.7))
        for k in range(words):
            word = sum(int(bit) << n for n, bit in enumerate(spikes[k * WORD : (k + 1) * WORD]))
            self.tape[slot << size | tape + k] = word
        self.expected_tape, self.expected_operands = list(self.tape), list(self.operands)
        self.slot, self.place = slot << size | tape, (tape, words)
        fields = {"tape": tape, "tape_words": words, "leak": leak, "one": one}
        bench.set("descriptor", descriptor(self.shapes, **fields))
        bench.set("slot", slot)
        bench.set("more", more)
        begin = bench.cycle
        await bench.pulse("start")
        await bench.until(lambda: not bench.bits("busy"))
        cycles = bench.cycle - begin
        await bench.step(3)
        return spikes, cycles

    def check(self, values):
        """Operands and flags are these; nothing else has changed."""
        tape, words = self.place
        self.expected_operands[tape * WORD : (tape + words) * WORD] = [int(value) for value in values]
        for k in range(words):
            flags = values[k * WORD : (k + 1) * WORD] != 0
            self.expected_tape[self.slot + k] = sum(int(flag) << n for n, flag in enumerate(flags))
        assert self.operands == self.expected_operands
        assert self.tape == self.expected_tape


@cocotb.test()
@cocotb.parametrize(bits=BITS, leak=[0, 1, *LEAKS], taken=[0.0, 0.33])
async def operands_follow_the_golden_recurrence(dut, bits, leak, taken):
    """Frames of a sample one after the other; then those of another, which begins from 0; flag and all values."""
    run = Run(dut, bits, taken)
    await run.bench.start()
    most = (1 << bits) - 1
    for one in sorted({1, max(1, most // 4), most}):
        words = run.bench.random.randint(1, 4)
        tape, before, state = run.bench.random.randint(0, 11 - words), run.saturated, None
        for frame in range(6):
            spikes, _ = await run.frame(tape, words, more=int(frame > 0), leak=leak, one=one)
            values, state = operands(spikes[None, None], leak=leak, one=one, bits=bits, state=state)
            run.check(values[0, 0])
        assert (run.saturated > before) == state.saturated


@cocotb.test()
async def every_product_is_rounded_to_the_nearest_even(dut):
    """All operands of 7 bits, with leaks at which each fraction occurs."""
    run = Run(dut, 7)
    await run.bench.start()
    spikes = np.zeros(128, dtype=bool)
    for leak in (1, 37, 128, 131, 255, 256):
        run.operands[: 4 * WORD] = range(128)
        await run.frame(0, 4, more=1, leak=leak, one=1, spikes=spikes)
        run.check(np.array([round(leak * n / 256) for n in range(128)]))


@cocotb.test()
@cocotb.parametrize(bits=[2, 7])
async def slices_keep_their_operands(dut, bits):
    """Two slices whose frames alternate, in any slot, each with its own leak and its own samples."""
    run = Run(dut, bits, 0.2)
    await run.bench.start()
    most = (1 << bits) - 1
    slices = [{"tape": 0, "words": 3, "leak": 256, "one": 1}, {"tape": 3, "words": 8, "leak": 192, "one": most}]
    states = [None, None]
    for _ in range(16):
        number = run.bench.random.randrange(2)
        part, state = slices[number], states[number]
        if run.bench.random.random() < 0.3:
            state = None
        spikes, _ = await run.frame(**part, more=int(state is not None))
        numbers = {name: part[name] for name in ("leak", "one")}
        values, states[number] = operands(spikes[None, None], **numbers, bits=bits, state=state)
        run.check(values[0, 0])


@cocotb.test()
@cocotb.parametrize(words=[1, 5, 11])
async def an_input_takes_a_cycle_and_so_does_a_word(dut, words):
    run = Run(dut, 7)
    await run.bench.start()
    _, cycles = await run.frame(0, words, more=0, leak=128, one=32)
    assert cycles == (WORD + 1) * words + 6


@cocotb.test()
async def a_finished_word_waits_for_its_turn(dut):
    """The tape is nearly always written by somebody else: later, and the same."""
    run = Run(dut, 7, 0.9)
    await run.bench.start()
    spikes, cycles = await run.frame(2, 6, more=0, leak=128, one=32)
    assert cycles > (WORD + 1) * 6 + 6
    run.check(operands(spikes[None, None], leak=128, one=32, bits=7)[0][0, 0])


@cocotb.test()
async def a_slice_without_operands_takes_no_time(dut):
    run = Run(dut, 7)
    await run.bench.start()
    _, cycles = await run.frame(4, 0, more=1, leak=128, one=32)
    assert cycles <= 2
    run.check(np.zeros(0))
