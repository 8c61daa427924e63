# SPDX-License-Identifier: Apache-2.0
"""Weight-gradient engine for dense layers: adds delta s to the gradients."""

from amaranth.hdl import Cat, Module, Signal
from amaranth.lib import wiring
from amaranth.lib.data import StructLayout

from backspike.hw.blocks import skid
from backspike.hw.engines.dense.pairs import Pairs
from backspike.hw.engines.gradient_lane import GradientLane
from backspike.hw.engines.ports import gradient_ports

__all__ = ["DenseGradient"]


class DenseGradient(wiring.Component):
    """G += delta s for every spike and every non-zero delta of the same step.

    Ports as those of the general ``GradientEngine``, whose jobs with one pixel it does; ``skip_off`` has no effect. All
    lanes work on one block at a time, where at least one of them has a non-zero delta. ``rows`` counts spikes.

    Parameters
    ----------
    shapes: Shapes
    """

    def __init__(self, shapes):
        self.shapes = shapes
        self.entry = StructLayout({"address": shapes.weight_address, "spike": 1})
        super().__init__(gradient_ports(shapes))

    def elaborate(self, platform):
        m = Module()
        m.submodules.pairs = pairs = Pairs(self.shapes, constants=True)
        lanes = [GradientLane(self.shapes, self.entry) for _ in range(self.shapes.config.lanes)]
        ready = Signal()
        full, item, free = skid(m, pairs.items.valid, pairs.items.p, ready, "item")
        m.d.comb += [getattr(pairs, name).eq(getattr(self, name))
                     for name in ("start", "slot", "descriptor", "live", "bitmaps", "tape")]
        m.d.comb += [
            pairs.group_words.eq(self.group),
            self.group_address.eq(pairs.group_address),
            self.group_enable.eq(1),
            self.tape_address.eq(pairs.tape_address),
            self.tape_enable.eq(pairs.tape_enable),
            self.bitmap_address.eq(pairs.bitmap_address),
            self.bitmap_enable.eq(pairs.bitmap_enable),
            self.busy.eq(pairs.busy),
            self.rows.eq(pairs.input),
            self.terms.eq(sum(lane.term for lane in lanes)),
            self.stalled.eq(Cat(lane.stalled for lane in lanes).any()),
            pairs.quiet.eq(~(full | Cat(lane.busy for lane in lanes).any())),
            pairs.items.ready.eq(free),
            ready.eq(Cat(lane.terms.ready for lane in lanes).all()),
        ]
        for k, lane in enumerate(lanes):
            m.submodules[f"lane_{k}"] = lane
            term = lane.terms.p
            m.d.comb += [
                lane.terms.valid.eq(full & ready),
                term.entry.address.eq(item.row),
                term.entry.spike.eq(1),
                term.none.eq(item.none),
                term.payload.block.eq(item.block),
                term.payload.address.block.eq(self.descriptor.block_base + item.block),
                term.payload.address.step.eq(item.step),
                term.payload.hit.eq(item.hits[k]),
                self.delta_addresses[k].eq(lane.delta_address),
                self.delta_enables[k].eq(lane.delta_enable),
                lane.delta.eq(self.deltas[k]),
                self.read_addresses[k].eq(lane.read_address),
                self.read_enables[k].eq(lane.read_enable),
                lane.gradient.eq(self.gradients[k]),
                self.write_addresses[k].eq(lane.write_address),
                self.write_enables[k].eq(lane.write_enable),
                self.sums[k].eq(lane.sum),
            ]
        return m
