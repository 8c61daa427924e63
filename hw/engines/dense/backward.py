# SPDX-License-Identifier: Apache-2.0
"""Back-propagation engine for dense layers: partial sums of W delta for the inputs whose surrogate mask is set."""

from amaranth.hdl import Cat, EnableInserter, Module, Mux, Signal
from amaranth.lib import wiring
from amaranth.lib.data import StructLayout

from backspike.hw.arith.lanes import ProductLane
from backspike.hw.engines.dense.pairs import Pairs
from backspike.hw.engines.ports import error_ports

__all__ = ["DenseBackward"]


class DenseBackward(wiring.Component):
    """For each step and each input whose mask is set: the exact sum of W delta over the slice's outputs.

    Ports as those of the general ``BackwardEngine``, whose jobs with one pixel it does; ``skip_off`` has no effect. All
    lanes work on one block at a time, where at least one of them has a non-zero delta.

    Parameters
    ----------
    shapes: Shapes
    """

    def __init__(self, shapes):
        self.shapes = shapes
        lanes = shapes.config.lanes
        self._lanes = [ProductLane(shapes.config.format, shapes.block_depth) for _ in range(lanes)]
        super().__init__(error_ports(shapes))

    def elaborate(self, platform):
        m = Module()
        m.submodules.pairs = pairs = Pairs(self.shapes, constants=False)
        wiring_names = ("start", "slot", "descriptor", "live", "bitmaps")
        m.d.comb += [getattr(pairs, name).eq(getattr(self, name)) for name in wiring_names]
        m.d.comb += [
            pairs.group_words.eq(self.group),
            pairs.tape.eq(self.masks),
            self.group_address.eq(pairs.group_address),
            self.group_enable.eq(1),
            self.tape_address.eq(pairs.tape_address),
            self.tape_enable.eq(pairs.tape_enable),
            self.bitmap_address.eq(pairs.bitmap_address),
            self.bitmap_enable.eq(pairs.bitmap_enable),
            self.busy.eq(pairs.busy),
            self.row.eq(pairs.input),
            self.result.eq(self.results.valid & self.results.ready),
        ]
        m.d.comb += pairs.quiet.eq(~self._reduce(m, pairs))
        return m

    def _reduce(self, m, pairs):
        """Addresses, operands, product, sum: a pipeline that stands still while a result waits for the one before."""
        shapes, lanes = self.shapes, self.shapes.config.lanes
        run, ends = Signal(), Signal()
        item = pairs.items.p
        control = StructLayout({"valid": 1, "last": 1, "hits": lanes, "input": shapes.tape_bit,
                                "step": shapes.step})
        now, weight = Signal(control), Signal(shapes.weight_address)
        delta = Signal(shapes.delta_address())
        m.d.comb += [
            now.valid.eq(pairs.items.valid),
            now.last.eq(item.last),
            now.hits.eq(Mux(item.none, 0, item.hits)),
            now.input.eq(item.input),
            now.step.eq(item.step),
            pairs.items.ready.eq(run),
            self.operand_enable.eq(run),
            self.stalled.eq(~run),
        ]
        with m.If(run):
            m.d.sync += [
                weight.eq(item.row + item.block),
                delta.block.eq(self.descriptor.block_base + item.block),
                delta.step.eq(item.step),
            ]
        pipeline = [now]
        for name in ("asked", "read", *(f"lane_{k}" for k in range(ProductLane.latency))):
            after = Signal(control, name=f"{name}_control")
            with m.If(run):
                m.d.sync += after.eq(pipeline[-1])
            pipeline.append(after)
        read, done = pipeline[2], pipeline[-1]
        for k, lane in enumerate(self._lanes):
            m.submodules[f"lane_{k}"] = EnableInserter(run)(lane)
            m.d.comb += [
                self.weight_addresses[k].eq(weight), self.delta_addresses[k].eq(delta),
                lane.valid.eq(read.valid), lane.last.eq(read.last),
                lane.nonzero.eq(read.hits[k]), lane.a.eq(self.weights[k]), lane.b.eq(self.deltas[k]),
            ]
        asked = pipeline[1]
        total, target = sum(lane.sum for lane in self._lanes), self.results.p.target
        m.d.comb += [
            self.terms.eq(Mux(asked.valid & run, sum(asked.hits), 0)),
            ends.eq(done.valid & done.last),
            run.eq(~(ends & self.results.valid)),
        ]
        with m.If(self.results.ready):
            m.d.sync += self.results.valid.eq(0)
        with m.If(ends & run):
            m.d.sync += [
                self.results.valid.eq(total.any()),  # a sum of zero is not sent
                self.results.p.sum.eq(total),
                target.x.eq(pairs.group.x),
                target.y.eq(pairs.group.y),
                target.neuron.eq(pairs.group.neuron + done.input),
                target.step.eq(done.step),
            ]
        return Cat(part.valid for part in pipeline).any() | self.results.valid
