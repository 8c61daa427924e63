# SPDX-License-Identifier: Apache-2.0
"""Feed-forward engine for dense layers: sums of the weights of the inputs that spike."""

from amaranth.hdl import Cat, EnableInserter, Module, Mux, Signal, signed
from amaranth.lib import stream, wiring
from amaranth.lib.data import ArrayLayout, StructLayout
from amaranth.lib.wiring import In, Out

from backspike.hw.arith.lanes import SpikeLane
from backspike.hw.blocks import stage
from backspike.hw.engines.dense.row_bits import RowBits
from backspike.hw.engines.dense.sizes import input_bits, last_word
from backspike.hw.shapes import WORD

__all__ = ["DenseForward"]


class DenseForward(wiring.Component):
    """For each block of outputs of one step: the sum of the weights of the inputs that spike, group by group.

    Ports as those of the general ``ForwardEngine``, whose jobs with one pixel it does; ``skip_off`` has no effect.

    Parameters
    ----------
    shapes: Shapes
    """

    def __init__(self, shapes):
        self.shapes = shapes
        lanes = shapes.config.lanes
        self._lanes = [SpikeLane(shapes.config.format, WORD * shapes.config.tape_words) for _ in range(lanes)]
        self.place = StructLayout({"step": shapes.step, "block_last": 1, "last": 1})
        self.result_layout = StructLayout({
            "place": self.place, "sums": ArrayLayout(signed(self._lanes[0].sum_width), lanes)})
        super().__init__({
            "start": In(1),
            "slot": In(shapes.slot),
            "step": In(shapes.step),
            "descriptor": In(shapes.descriptor),
            "skip_off": In(1),
            "busy": Out(1),
            "group_address": Out(shapes.groups),
            "group_enable": Out(1),
            "group": In(shapes.group_words),
            "tape_address": Out(shapes.tape_address()),
            "tape_enable": Out(1),
            "tape": In(WORD),
            "weight_address": Out(shapes.weight_address),
            "weight_enable": Out(1),
            "weights": In(ArrayLayout(shapes.number, lanes)),
            "results": Out(stream.Signature(self.result_layout)),
            "terms": Out(range(lanes + 1)),
            "stalled": Out(1),
        })

    def elaborate(self, platform):
        m = Module()
        shapes = self.shapes
        payload = StructLayout({"row": shapes.weight_address, "end": 1, "last": 1})
        m.submodules.bits = bits = RowBits(
            base=shapes.tape_address().size, words=shapes.config.tape_words, payload=payload)
        walking = self._rows(m, bits)
        reducing = self._reduce(m, bits)
        m.d.comb += [
            self.tape_address.eq(bits.address),
            self.tape_enable.eq(bits.enable),
            bits.bits[0].eq(self.tape),
            self.busy.eq(walking | bits.busy | reducing),
        ]
        return m

    def _rows(self, m, bits):
        """For each block, a row of each group; the table puts out the row's group, once its address has settled."""
        shapes, d = self.shapes, self.descriptor
        group = shapes.group(self.group.as_value()[:shapes.group.size])
        index, block = Signal(shapes.groups), Signal(shapes.block)
        walking, settled = Signal(), Signal()
        last_group, last_block, word = Signal(), Signal(), Signal(shapes.tape_word)
        row, free = Signal(bits.row), Signal()
        m.d.comb += [
            self.group_address.eq(d.groups_base + index),
            self.group_enable.eq(1),
            # From 1 to as many as the indices can tell: the lower bits are enough.
            last_group.eq((index + 1)[:len(index)] == d.groups[:len(index)]),
            last_block.eq((block + 1)[:len(block)] == d.blocks[:len(block)]),
            row.base.eq(Cat(group.tape[:len(word)], self.slot, self.step)),
            row.end.eq(last_word(group.channels, input_bits(shapes))),
            row.payload.row.eq(group.row_base + block),
            row.payload.end.eq(last_group),
            row.payload.last.eq(last_block),
        ]
        valid, held, taking = stage(m, walking & settled, row, bits.rows.ready, "row")
        m.d.comb += [free.eq(taking), bits.rows.valid.eq(valid), bits.rows.p.eq(held)]
        with m.If(self.start):
            m.d.sync += [walking.eq(1), settled.eq(0), index.eq(0), block.eq(0)]
        with m.Elif(walking & settled & free):
            m.d.sync += [index.eq(Mux(last_group, 0, index + 1)), settled.eq(last_group & (index == 0))]
            with m.If(last_group):
                m.d.sync += [block.eq(block + 1), walking.eq(~last_block)]
        with m.Else():
            m.d.sync += settled.eq(walking)
        return walking

    def _reduce(self, m, bits):
        """Address, weight, sum: a pipeline that stands still while a result waits for the one before."""
        shapes, d, lanes = self.shapes, self.descriptor, self.shapes.config.lanes
        run, ends = Signal(), Signal()
        item = bits.items.p
        control = StructLayout({"valid": 1, "nonzero": 1, "last": 1, "end": 1})
        found = StructLayout({"control": control, "number": item.number.shape(), "row": shapes.weight_address})
        now, held = Signal(found), Signal(found)
        m.d.comb += [
            # A row without spikes counts only as the end of the reduction.
            now.control.valid.eq(bits.items.valid & ~(item.none & ~(item.last & item.payload.end))),
            now.control.nonzero.eq(~item.none),
            now.control.last.eq(item.last & item.payload.end),
            now.control.end.eq(item.payload.last),
            now.number.eq(item.number),
            now.row.eq(item.payload.row),
            bits.items.ready.eq(run),
            self.stalled.eq(~run),
            self.weight_enable.eq(run),
        ]
        address = Signal(shapes.weight_address)
        with m.If(run):
            m.d.sync += [held.eq(now), address.eq(held.row + held.number * d.blocks)]
        pipeline = [held.control]
        for name in ("asked", "read", *(f"lane_{k}" for k in range(SpikeLane.latency))):
            after = Signal(control, name=f"{name}_control")
            with m.If(run):
                m.d.sync += after.eq(pipeline[-1])
            pipeline.append(after)
        at_lane, done = pipeline[2], pipeline[-1]
        useful = held.control.valid & held.control.nonzero & run
        m.d.comb += [
            self.weight_address.eq(address),
            self.terms.eq(Mux(useful, Mux(held.control.end, d.last_lanes, lanes), 0)),
            self.results.p.place.step.eq(self.step),
            ends.eq(done.valid & done.last),
            run.eq(~(ends & self.results.valid)),
        ]
        with m.If(self.results.ready):
            m.d.sync += self.results.valid.eq(0)
        with m.If(ends & run):
            m.d.sync += [
                self.results.valid.eq(1),
                self.results.p.place.block_last.eq(done.end),
                self.results.p.place.last.eq(done.end),
                *(self.results.p.sums[k].eq(lane.sum) for k, lane in enumerate(self._lanes)),
            ]
        for k, lane in enumerate(self._lanes):
            m.submodules[f"lane_{k}"] = EnableInserter(run)(lane)
            m.d.comb += [
                lane.valid.eq(at_lane.valid), lane.last.eq(at_lane.last),
                lane.nonzero.eq(at_lane.nonzero), lane.operand.eq(self.weights[k]),
            ]
        return Cat(part.valid for part in pipeline).any() | self.results.valid
