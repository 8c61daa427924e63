# SPDX-License-Identifier: Apache-2.0
"""Search for spikes in dense layers."""

from amaranth.hdl import Cat, Module, Mux, Signal
from amaranth.lib import wiring
from amaranth.lib.data import StructLayout

from backspike.hw.blocks import lockstep_register, pipe_register
from backspike.hw.engines.ports import spike_ports
from backspike.hw.engines.rows import RowLister, last_word

__all__ = ["DenseSpikes"]


class DenseSpikes(wiring.Component):
    """For dense layers: the spikes of the step are scanned again for each block, group by group.

    That costs no cycle as long as no word of a group is zero, and needs no lists. ``skip_off`` has no effect.

    Parameters
    ----------
    shapes: Shapes

    Members: see :func:`spike_ports`.
    """

    def __init__(self, shapes):
        self.shapes = shapes
        super().__init__(spike_ports(shapes))

    def elaborate(self, platform):
        m = Module()
        shapes = self.shapes
        payload = StructLayout({"row": shapes.weight_address, "end": 1, "last": 1})
        m.submodules.bits = bits = RowLister(
            base=shapes.tape_address().size, words=shapes.config.tape_words, payload=payload
        )
        walking = self._rows(m, bits)
        run, item, out = self.spikes.ready, bits.items.p, self.spikes.p
        place = Signal(
            StructLayout({"number": item.number.shape(), **{name: out[name].shape() for name in _KEPT}}), name="place"
        )
        end = Signal()
        m.d.comb += [
            end.eq(item.last & item.payload.end),
            place.number.eq(item.number),
            place.base.eq(item.payload.row),
            place.nonzero.eq(~item.none),
            place.last.eq(end),
            place.block_last.eq(item.payload.last),
            bits.items.ready.eq(run),
        ]
        wiring.connect(m, bits.memory, wiring.flipped(self.tape))
        # A row without spikes counts only as the end of the sum.
        full, held = lockstep_register(m, run, bits.items.valid & (~item.none | end), place, "held")
        m.d.comb += [
            self.spikes.valid.eq(full),
            *(out[name].eq(held[name]) for name in _KEPT),
            out.offset.eq(held.number * self.descriptor.blocks),
            out.step_last.eq(1),
            self.busy.eq(walking | bits.busy | full),
        ]
        return m

    def _rows(self, m, bits):
        """For each block, a row of each group; the table puts out the row's group, once its address has settled."""
        shapes, d = self.shapes, self.descriptor
        group = shapes.fan_in_entry(self.fan_in.data.as_value()[: shapes.fan_in_entry.size])
        index, block = Signal(shapes.fan_in), Signal(shapes.block)
        walking, settled = Signal(), Signal()
        last_group, last_block, word, row = Signal(), Signal(), Signal(shapes.tape_word), Signal(bits.row)
        m.d.comb += [
            self.fan_in.address.eq(d.fan_in_base + index),
            self.fan_in.enable.eq(1),
            # From 1 to as many as the indices can tell: the lower bits are enough.
            last_group.eq((index + 1)[: len(index)] == d.fan_in[: len(index)]),
            last_block.eq((block + 1)[: len(block)] == d.blocks[: len(block)]),
            row.base.eq(Cat(group.tape[: len(word)], self.slot, self.step)),
            row.end.eq(last_word(group.channels, shapes.tape_bit)),
            row.payload.row.eq(group.row_base + block),
            row.payload.end.eq(last_group),
            row.payload.last.eq(last_block),
        ]
        valid, held, free = pipe_register(m, walking & settled, row, bits.rows.ready, "row")
        m.d.comb += [bits.rows.valid.eq(valid), bits.rows.p.eq(held)]
        with m.If(self.start):
            m.d.sync += [walking.eq(1), settled.eq(0), index.eq(0), block.eq(0)]
        with m.Elif(walking & settled & free):
            m.d.sync += [index.eq(Mux(last_group, 0, index + 1)), settled.eq(last_group & (index == 0))]
            with m.If(last_group):
                m.d.sync += [block.eq(block + 1), walking.eq(~last_block)]
        with m.Else():
            m.d.sync += settled.eq(walking)
        return walking


_KEPT = ("base", "nonzero", "last", "block_last")
