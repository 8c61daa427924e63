# SPDX-License-Identifier: Apache-2.0
"""Pairs of an input bit and a non-zero delta of the same step, for dense layers."""

from amaranth.hdl import Cat, Module, Mux, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.data import ArrayLayout, StructLayout
from amaranth.lib.wiring import In, Out

from backspike.hw.blocks import half_rate_register, pipe_register
from backspike.hw.engines.dense.row_bits import RowBits, last_word
from backspike.hw.engines.group_loop import GroupLoop
from backspike.hw.shapes import WORD

__all__ = ["USE", "Pairs"]

USE = StructLayout({"masked": 1, "spikes": 1})
"""What an input is used for: its error (its surrogate mask is set), the gradients of its weights (it spikes)."""


class Pairs(wiring.Component):
    """For each group, live step and input that is masked or spikes: the blocks of outputs with a non-zero delta.

    Constant inputs have no error: of them only the spikes count.

    Parameters
    ----------
    shapes: Shapes

    Members
    -------
    start, slot, descriptor, live: as in the engines
    errors: the masks count; stable like the descriptor
    group_address, group_words: fan-in table, one cycle of latency
    tape_address, tape_enable, masks, spikes: the inputs' bits of a tape word, one cycle of latency
    bitmap_address, bitmap_enable, bitmaps: all lanes' bitmaps of non-zero deltas, one cycle of latency
    items: stream of {row, input, step, use, block, hits, last}: weight address of the input's first block, number of
        the input in its group, what for, block in the slice, lanes with a non-zero delta in it (none, if there is no
        block at all), last block of the input
    group: entry of the group in work
    quiet: the parent has nothing in work
    busy: items are still to come, or the parent is at work
    found: an input has been found, and what for
    """

    def __init__(self, shapes):
        self.shapes = shapes
        lanes = shapes.config.lanes
        self._row = StructLayout(
            {"row": shapes.weight_address, "input": shapes.tape_bit, "step": shapes.step, "use": USE}
        )
        self.item = StructLayout(
            {
                "row": shapes.weight_address,
                "input": shapes.tape_bit,
                "step": shapes.step,
                "use": USE,
                "block": shapes.block,
                "hits": lanes,
                "last": 1,
            }
        )
        super().__init__(
            {
                "start": In(1),
                "slot": In(shapes.slot),
                "descriptor": In(shapes.descriptor),
                "live": In(shapes.config.steps),
                "errors": In(1),
                "group_address": Out(shapes.fan_in),
                "group_words": In(shapes.fan_in_words),
                "group": Out(shapes.fan_in_entry),
                "tape_address": Out(shapes.tape_address()),
                "tape_enable": Out(1),
                "masks": In(WORD),
                "spikes": In(WORD),
                "bitmap_address": Out(shapes.bitmap_address()),
                "bitmap_enable": Out(1),
                "bitmaps": In(ArrayLayout(WORD, lanes)),
                "items": Out(stream.Signature(self.item)),
                "quiet": In(1),
                "busy": Out(1),
                "found": Out(USE),
            }
        )

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
            base=shapes.tape_address().size, words=shapes.config.tape_words, payload=shapes.step, banks=2
        )
        step, looking, live = Signal(shapes.step), Signal(), Signal()
        row = bits.rows.p
        m.d.comb += [
            live.eq(self.live.bit_select(step, 1)),
            bits.rows.valid.eq(looking & live),
            row.base.eq(Cat(group.tape[: shapes.tape_word], self.slot, step)),
            row.end.eq(last_word(group.channels, shapes.tape_bit)),
            row.payload.eq(step),
            self.tape_address.eq(bits.address),
            self.tape_enable.eq(bits.enable),
            bits.bits[0].eq(self.masks),
            bits.bits[1].eq(self.spikes),
            bits.off[0].eq(group.constant | ~self.errors),
        ]
        with m.If(groups.begin):
            m.d.sync += [looking.eq(1), step.eq(0)]
        with m.Elif(looking & (~live | bits.rows.ready)):
            following = (step + 1)[: len(step)]
            m.d.sync += [step.eq(following), looking.eq(following != self.descriptor.steps[: len(step)])]
        return bits, looking

    def _outputs(self, m, groups, inputs):
        """A row of bits of the deltas for each input."""
        shapes, d = self.shapes, self.descriptor
        m.submodules.outputs = bits = RowBits(
            base=shapes.bitmap_address().size, words=shapes.delta_depth, payload=self._row, banks=shapes.config.lanes
        )
        placed, advance = Signal(self._row), Signal()
        # An input every other cycle at most: so the chain of those who wait for each other ends here.
        one, this, empty = half_rate_register(
            m, inputs.items.valid & ~inputs.items.p.none, inputs.items.p, advance, "input_found"
        )
        m.d.comb += [
            inputs.items.ready.eq(empty),
            placed.row.eq(groups.group.row_base + this.number * d.blocks),
            placed.input.eq(this.number),
            placed.step.eq(this.payload),
            placed.use.eq(this.hits),
            self.found.eq(Mux(one & advance, placed.use, 0)),
        ]
        two, that, free = pipe_register(m, one, placed, bits.rows.ready, "placed")
        row, item = bits.rows.p, bits.items.p
        m.d.comb += [
            advance.eq(free),
            bits.rows.valid.eq(two),
            row.base.eq(Cat(d.delta_base[: shapes.delta_word], that.step)),
            row.end.eq(last_word(d.blocks, max(6, shapes.block))),
            row.payload.eq(that),
            self.bitmap_address.eq(bits.address),
            self.bitmap_enable.eq(bits.enable),
            bits.bits.eq(self.bitmaps),
            self.items.valid.eq(bits.items.valid),
            bits.items.ready.eq(self.items.ready),
            *(self.items.p[name].eq(item.payload[name]) for name in ("row", "input", "step", "use")),
            self.items.p.block.eq(item.number),
            self.items.p.hits.eq(item.hits),
            self.items.p.last.eq(item.last),
        ]
        return bits, one | two
