# SPDX-License-Identifier: Apache-2.0
"""Weight-gradient engine for dense layers: adds delta s to the gradients."""

from amaranth.hdl import Cat, Module, Signal
from amaranth.lib import wiring
from amaranth.lib.data import ArrayLayout, StructLayout
from amaranth.lib.wiring import In, Out

from backspike.hw.blocks import skid
from backspike.hw.engines.dense.pairs import Pairs
from backspike.hw.engines.gradient_lane import GradientLane
from backspike.hw.shapes import WORD

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
        lanes = shapes.config.lanes
        self.entry = StructLayout({"address": shapes.weight_address, "spike": 1})
        super().__init__({
            "start": In(1),
            "slot": In(shapes.slot),
            "descriptor": In(shapes.descriptor),
            "live": In(shapes.config.steps),
            "skip_off": In(1),
            "busy": Out(1),
            "group_address": Out(shapes.groups),
            "group_enable": Out(1),
            "group": In(shapes.group_words),
            "tape_address": Out(shapes.tape_address()),
            "tape_enable": Out(1),
            "tape": In(WORD),
            "bitmap_address": Out(shapes.bitmap_address()),
            "bitmap_enable": Out(1),
            "bitmaps": In(ArrayLayout(WORD, lanes)),
            "delta_addresses": Out(ArrayLayout(shapes.delta_address(), lanes)),
            "delta_enables": Out(lanes),
            "deltas": In(ArrayLayout(shapes.number, lanes)),
            "read_addresses": Out(ArrayLayout(shapes.weight_address, lanes)),
            "read_enables": Out(lanes),
            "gradients": In(ArrayLayout(shapes.gradient_sum, lanes)),
            "write_addresses": Out(ArrayLayout(shapes.weight_address, lanes)),
            "write_enables": Out(lanes),
            "sums": Out(ArrayLayout(shapes.gradient_sum, lanes)),
            "terms": Out(range(lanes + 1)),
            "rows": Out(range(lanes + 1)),
            "stalled": Out(1),
        })

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
