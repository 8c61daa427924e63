# SPDX-License-Identifier: Apache-2.0
"""Feed-forward engine for dense layers: sums of the weights of the inputs that spike."""

from amaranth.hdl import Cat, EnableInserter, Module, Mux, Signal
from amaranth.lib import wiring
from amaranth.lib.data import StructLayout

from backspike.hw.arith.lanes import SpikeLane
from backspike.hw.blocks import lockstep_register, pipe_register
from backspike.hw.engines.dense.row_bits import RowBits, last_word
from backspike.hw.engines.ports import forward_ports, spike_lane

__all__ = ["DenseForward"]


class DenseForward(wiring.Component):
    """For each block of outputs of one step: the sum of the weights of the inputs that spike, group by group.

    It does the jobs with one pixel of the general ``ForwardEngine``; ``skip_off`` has no effect.

    Parameters
    ----------
    shapes: Shapes

    Members: see :func:`forward_ports`.
    """

    def __init__(self, shapes):
        self.shapes = shapes
        self._lanes = [spike_lane(shapes) for _ in range(shapes.config.lanes)]
        super().__init__(forward_ports(shapes))

    def elaborate(self, platform):
        m = Module()
        shapes = self.shapes
        payload = StructLayout({"row": shapes.weight_address, "end": 1, "last": 1})
        m.submodules.bits = bits = RowBits(
            base=shapes.tape_address().size, words=shapes.config.tape_words, payload=payload
        )
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
        group = shapes.fan_in_entry(self.group.as_value()[: shapes.fan_in_entry.size])
        index, block = Signal(shapes.fan_in), Signal(shapes.block)
        walking, settled = Signal(), Signal()
        last_group, last_block, word = Signal(), Signal(), Signal(shapes.tape_word)
        row, free = Signal(bits.row), Signal()
        m.d.comb += [
            self.group_address.eq(d.fan_in_base + index),
            self.group_enable.eq(1),
            # From 1 to as many as the indices can tell: the lower bits are enough.
            last_group.eq((index + 1)[: len(index)] == d.fan_in[: len(index)]),
            last_block.eq((block + 1)[: len(block)] == d.blocks[: len(block)]),
            row.base.eq(Cat(group.tape[: len(word)], self.slot, self.step)),
            row.end.eq(last_word(group.channels, shapes.tape_bit)),
            row.payload.row.eq(group.row_base + block),
            row.payload.end.eq(last_group),
            row.payload.last.eq(last_block),
        ]
        valid, held, taking = pipe_register(m, walking & settled, row, bits.rows.ready, "row")
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
        control = StructLayout({"nonzero": 1, "last": 1, "end": 1})
        place = StructLayout({"number": item.number.shape(), "row": shapes.weight_address})
        now, found, held, address = Signal(control), Signal(place), Signal(place), Signal(shapes.weight_address)
        valid = Signal()
        m.d.comb += [
            # A row without spikes counts only as the end of the reduction.
            valid.eq(bits.items.valid & ~(item.none & ~(item.last & item.payload.end))),
            now.nonzero.eq(~item.none),
            now.last.eq(item.last & item.payload.end),
            now.end.eq(item.payload.last),
            found.number.eq(item.number),
            found.row.eq(item.payload.row),
            bits.items.ready.eq(run),
            self.stalled.eq(~run),
            self.weight_enable.eq(run),
        ]
        with m.If(run):
            m.d.sync += [held.eq(found), address.eq(held.row + held.number * d.blocks)]
        pipeline = [(valid, now)]
        for name in ("held", "asked", "read", *(f"lane_{k}" for k in range(SpikeLane.latency))):
            pipeline.append(lockstep_register(m, run, *pipeline[-1], name))
        del pipeline[0]
        (full, asking), (at_lane_full, at_lane), (done_full, done) = pipeline[0], pipeline[2], pipeline[-1]
        m.d.comb += [
            self.weight_address.eq(address),
            self.terms.eq(Mux(full & asking.nonzero & run, Mux(asking.end, d.last_lanes, lanes), 0)),
            self.results.p.place.step.eq(self.step),
            ends.eq(done_full & done.last),
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
                lane.valid.eq(at_lane_full),
                lane.last.eq(at_lane.last),
                lane.nonzero.eq(at_lane.nonzero),
                lane.operand.eq(self.weights[k]),
            ]
        return Cat(full for full, _ in pipeline).any() | self.results.valid
