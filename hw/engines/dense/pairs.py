# SPDX-License-Identifier: Apache-2.0
"""Pairs of an input bit and a non-zero delta of the same step, for dense layers."""

from amaranth.hdl import Cat, Module, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.data import ArrayLayout, StructLayout
from amaranth.lib.wiring import In, Out

from backspike.hw.blocks import relay, stage
from backspike.hw.engines.dense.row_bits import RowBits, last_word
from backspike.hw.engines.group_loop import GroupLoop
from backspike.hw.shapes import WORD

__all__ = ["Pairs"]


class Pairs(wiring.Component):
    """For each group of inputs, live step and set input bit: the blocks of outputs with a non-zero delta in that step.

    Parameters
    ----------
    shapes: Shapes
    constants: also the inputs of constant groups

    Members
    -------
    start, slot, descriptor, live: as in the general engines
    group_address, group: group table, one cycle of latency
    tape_address, tape_enable, tape: the inputs' bits of a tape word, one cycle of latency
    bitmap_address, bitmap_enable, bitmaps: all lanes' bitmaps of non-zero deltas, one cycle of latency
    items: stream of {row, input, step, block, hits, none, last}: weight address of the input's first block, number of
        the input in its group, block in the slice, lanes with a non-zero delta in it; ``none``: no block at all;
        ``last`` block of the input
    group: entry of the group in work
    quiet: the parent has nothing in work
    busy: items are still to come, or the parent is at work
    input: an input bit has been found
    """

    def __init__(self, shapes, *, constants):
        self.shapes, self.constants = shapes, constants
        lanes = shapes.config.lanes
        self._input = StructLayout({"number": shapes.tape_bit, "step": shapes.step})
        self._row = StructLayout({"row": shapes.weight_address, "input": shapes.tape_bit, "step": shapes.step})
        self.item = StructLayout({
            "row": shapes.weight_address, "input": shapes.tape_bit, "step": shapes.step, "block": shapes.block,
            "hits": lanes, "none": 1, "last": 1})
        super().__init__({
            "start": In(1),
            "slot": In(shapes.slot),
            "descriptor": In(shapes.descriptor),
            "live": In(shapes.config.steps),
            "group_address": Out(shapes.groups),
            "group_words": In(shapes.group_words),
            "group": Out(shapes.group),
            "tape_address": Out(shapes.tape_address()),
            "tape_enable": Out(1),
            "tape": In(WORD),
            "bitmap_address": Out(shapes.bitmap_address()),
            "bitmap_enable": Out(1),
            "bitmaps": In(ArrayLayout(WORD, lanes)),
            "items": Out(stream.Signature(self.item)),
            "quiet": In(1),
            "busy": Out(1),
            "input": Out(1),
        })

    def elaborate(self, platform):
        m = Module()
        m.submodules.groups = groups = GroupLoop(self.shapes)
        inputs, looking = self._inputs(m, groups)
        outputs, waiting = self._outputs(m, groups, inputs)
        m.d.comb += [
            groups.start.eq(self.start),
            groups.descriptor.eq(self.descriptor),
            groups.words.eq(self.group_words),
            self.group_address.eq(groups.address),
            self.group.eq(groups.group),
            groups.idle.eq(~(looking | inputs.busy | waiting | outputs.busy) & self.quiet),
            self.busy.eq(groups.busy),
        ]
        return m

    def _inputs(self, m, groups):
        """A row of input bits for each live step."""
        shapes, group = self.shapes, groups.group
        m.submodules.inputs = bits = RowBits(
            base=shapes.tape_address().size, words=shapes.config.tape_words, payload=shapes.step)
        step, looking, live = Signal(shapes.step), Signal(), Signal()
        row = bits.rows.p
        m.d.comb += [
            live.eq(self.live.bit_select(step, 1)),
            bits.rows.valid.eq(looking & live),
            row.base.eq(Cat(group.tape[:shapes.tape_word], self.slot, step)),
            row.end.eq(last_word(group.channels, shapes.tape_bit)),
            row.payload.eq(step),
            self.tape_address.eq(bits.address),
            self.tape_enable.eq(bits.enable),
            bits.bits[0].eq(self.tape),
        ]
        with m.If(groups.begin):
            m.d.sync += [looking.eq(1 if self.constants else ~group.constant), step.eq(0)]
        with m.Elif(looking & (~live | bits.rows.ready)):
            following = (step + 1)[:len(step)]
            m.d.sync += [step.eq(following), looking.eq(following != self.descriptor.steps[:len(step)])]
        return bits, looking

    def _outputs(self, m, groups, inputs):
        """A row of bits of the deltas for each input."""
        shapes, d = self.shapes, self.descriptor
        lanes = shapes.config.lanes
        m.submodules.outputs = bits = RowBits(
            base=shapes.bitmap_address().size, words=shapes.delta_depth, payload=self._row, banks=lanes)
        found, placed, advance = Signal(self._input), Signal(self._row), Signal()
        m.d.comb += [found.number.eq(inputs.items.p.number), found.step.eq(inputs.items.p.payload)]
        # An input every other cycle at most: so the chain of those who wait for each other ends here.
        one, this, free = relay(m, inputs.items.valid & ~inputs.items.p.none, found, advance, "found")
        m.d.comb += [
            inputs.items.ready.eq(free),
            self.input.eq(inputs.items.valid & free & ~inputs.items.p.none),
            placed.row.eq(groups.group.row_base + this.number * d.blocks),
            placed.input.eq(this.number),
            placed.step.eq(this.step),
        ]
        two, that, free = stage(m, one, placed, bits.rows.ready, "placed")
        row, item = bits.rows.p, bits.items.p
        m.d.comb += [
            advance.eq(free),
            bits.rows.valid.eq(two),
            row.base.eq(Cat(d.delta_base[:shapes.delta_word], that.step)),
            row.end.eq(last_word(d.blocks, max(6, shapes.block))),
            row.payload.eq(that),
            self.bitmap_address.eq(bits.address),
            self.bitmap_enable.eq(bits.enable),
            bits.bits.eq(self.bitmaps),
            self.items.valid.eq(bits.items.valid),
            bits.items.ready.eq(self.items.ready),
            self.items.p.row.eq(item.payload.row),
            self.items.p.input.eq(item.payload.input),
            self.items.p.step.eq(item.payload.step),
            self.items.p.block.eq(item.number),
            self.items.p.hits.eq(item.hits),
            self.items.p.none.eq(item.none),
            self.items.p.last.eq(item.last),
        ]
        return bits, one | two
