# SPDX-License-Identifier: Apache-2.0
"""Operand update: the traces or counts of a slice's inputs, by which gradients multiply deltas."""

from amaranth.hdl import Cat, Module, Mux, Signal
from amaranth.lib import wiring
from amaranth.lib.data import StructLayout
from amaranth.lib.wiring import In, Out

from backspike.golden.operands import LEAK_BITS
from backspike.hw.blocks import lockstep_register
from backspike.hw.ram import ReadPort, WritePort
from backspike.hw.shapes import WORD

__all__ = ["OperandMemory", "OperandUpdate"]


class OperandMemory(wiring.Signature):
    """The memories of the operand update.

    Members
    -------
    tape : ReadPort
        Words of input spikes.
    new_tape : WritePort
        Words of flags in their place: operands that are not zero.
    tape_taken : In(1)
        Somebody else writes the tape in this cycle.
    operands : ReadPort
        By bit of the tape; the same for all slots.
    new_operands : WritePort
    claims : Out(1)
        Nobody else reads tape and operands.
    """

    def __init__(self, shapes):
        bits = shapes.config.operand_bits
        super().__init__(
            {
                "tape": Out(ReadPort(shapes.tape_address(), WORD)),
                "new_tape": Out(WritePort(shapes.tape_address(), WORD)),
                "tape_taken": In(1),
                "operands": Out(ReadPort(shapes.tape_bit, bits)),
                "new_operands": Out(WritePort(shapes.tape_bit, bits)),
                "claims": Out(1),
            }
        )


class OperandUpdate(wiring.Component):
    """n = min(max, round(leak n / 256) + one s) for all inputs of a slice, s being their spikes in a frame of one step;
    without the first term in the first frame of a sample. Rounded to nearest, ties to even.

    Then the tape holds flags of the operands that are not zero, for the search that looks for what gradients learn
    from. A slice without tape words has no operands, and its job takes no time.

    An input each cycle, and a cycle for each word of flags, or more while somebody else writes the tape; then 6 cycles.

    Parameters
    ----------
    shapes: Shapes

    Members
    -------
    start: pulse; slot, more and descriptor are stable while ``busy``
    more: the frame goes on with the sample of the frame before
    busy: something is not written
    memory: tape and operands
    saturated: an operand was larger than its bits can say
    """

    def __init__(self, shapes):
        self.shapes = shapes
        super().__init__(
            {
                "start": In(1),
                "slot": In(shapes.slot),
                "more": In(1),
                "descriptor": In(shapes.descriptor),
                "busy": Out(1),
                "memory": Out(OperandMemory(shapes)),
                "saturated": Out(1),
            }
        )

    def elaborate(self, platform):
        m = Module()
        shapes, memory = self.shapes, self.memory
        place = StructLayout({"bit": range(WORD), "word": shapes.tape_word})
        walk, left, move = Signal(place), Signal(shapes.tape_word + 1), Signal()
        stages = [(left.any(), walk)]
        for name in ("read", "held", "scaled", "summed"):
            stages.append(lockstep_register(m, move, *stages[-1], name))
        finished, word = Signal(), Signal(shapes.tape_word, name="finished_word")
        self._walk(m, walk, left, move)
        total, flags = self._compute(m, stages, move)
        full, written = stages[-1]
        m.d.comb += [
            # Of what is in a register: who writes the tape comes late in the cycle.
            move.eq(~finished),
            memory.operands.enable.eq(move),
            memory.operands.address.eq(walk),
            memory.tape.enable.eq(move),
            memory.tape.address.word.eq(walk.word),
            memory.tape.address.slot.eq(self.slot),
            memory.new_operands.enable.eq(full & move),
            memory.new_operands.address.eq(written),
            memory.new_tape.enable.eq(finished & ~memory.tape_taken),
            memory.new_tape.address.word.eq(word),
            memory.new_tape.address.slot.eq(self.slot),
            memory.new_tape.data.eq(flags),
            memory.claims.eq(self.busy),
            self.busy.eq(Cat(full for full, _ in stages).any() | finished),
            self.saturated.eq(full & move & total[-1]),
        ]
        with m.If(move):
            m.d.sync += [finished.eq(full & written.bit.all()), word.eq(written.word)]
        with m.Elif(~memory.tape_taken):
            m.d.sync += finished.eq(0)
        return m

    def _walk(self, m, walk, left, move):
        """All inputs of the slice's words."""
        with m.If(self.start):
            m.d.sync += [walk.bit.eq(0), walk.word.eq(self.descriptor.tape), left.eq(self.descriptor.tape_words)]
        with m.Elif(move & left.any()):
            m.d.sync += walk.as_value().eq(walk.as_value() + 1)
            with m.If(walk.bit.all()):
                m.d.sync += left.eq(left - 1)

    def _compute(self, m, stages, move):
        """Read, multiply, round and add, in a stage each; returns the sum with its overflow, and the last 32 flags."""
        d, memory, bits = self.descriptor, self.memory, self.shapes.config.operand_bits
        spikes, before = Signal(WORD), Signal(bits)
        product, spike = Signal(bits + LEAK_BITS + 1), Signal()
        total, flags = Signal(bits + 1), Signal(WORD)
        kept, lost = product[LEAK_BITS:], product[:LEAK_BITS]
        up = lost[-1] & (lost[:-1].any() | kept[0])
        with m.If(move):
            m.d.sync += [
                before.eq(Mux(self.more, memory.operands.data, 0)),
                spikes.eq(Mux(stages[1][1].bit == 0, memory.tape.data, spikes >> 1)),
                product.eq(before * d.leak),
                spike.eq(spikes[0]),
                # At most 2**bits - 1 twice.
                total.eq(kept[:bits] + Mux(spike, d.one[:bits], 0) + up),
                flags.eq(Cat(flags[1:], total.any())),
            ]
        m.d.comb += memory.new_operands.data.eq(total[:bits] | total[-1].replicate(bits))
        return total, flags
