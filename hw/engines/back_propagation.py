# SPDX-License-Identifier: Apache-2.0
"""Back-propagation engine: partial sums of W delta for the inputs whose surrogate mask is set."""

from amaranth.hdl import Cat, Module, Mux, Signal, signed
from amaranth.lib import stream, wiring
from amaranth.lib.data import ArrayLayout, StructLayout
from amaranth.lib.wiring import In, Out

from backspike.hw.arith.lanes import ProductLane
from backspike.hw.blocks import Queue, delayed, valid_mask
from backspike.hw.engines.delta_rows import ROWS_AHEAD, DeltaRows, outputs_of
from backspike.hw.engines.scan import RowScanner, list_bits
from backspike.hw.shapes import WORD

__all__ = ["BackwardEngine"]


class BackwardEngine(wiring.Component):
    """For each step and each input whose mask is set: the exact sum of W_ji delta_i[t] over the slice's outputs.

    Each lane skips the zero deltas of its own outputs; the lanes may be a few results apart. The sums of the lanes
    are added when the slowest has finished, and a sum of zero is not sent.

    Parameters
    ----------
    shapes: Shapes

    Members
    -------
    start, slot, descriptor, skip_off, busy: as in the feed-forward engine; ``busy`` falls when the last result is taken
    tape_address, tape_enable, masks: masks of a tape word; low, high: its CHUNK_LOW and CHUNK_HIGH (same enable)
    delta_words, delta_enables, bitmaps: each lane's bitmap of non-zero deltas
    weight_addresses, weights, delta_addresses, deltas: each lane's banks, one cycle of latency
    results: stream of {x, y, neuron, step, sum}; x, y and neuron say who owns the input
    terms, result, stalled: for the counters, as in the feed-forward engine
    offered: outputs of the slice, in a cycle in which a masked input and step is listed
    """

    def __init__(self, shapes):
        self.shapes = shapes
        lanes = shapes.config.lanes
        self._lanes = [ProductLane(shapes.config.format, WORD * shapes.delta_depth) for _ in range(lanes)]
        self.target = StructLayout({"x": 3, "y": 3, "neuron": 12, "step": shapes.step})
        self.result_layout = StructLayout({"target": self.target, "sum": signed(shapes.error_sum)})
        self.info = StructLayout({"pattern": shapes.config.steps, "step": shapes.step})
        super().__init__({
            "start": In(1),
            "slot": In(shapes.slot),
            "descriptor": In(shapes.descriptor),
            "skip_off": In(1),
            "busy": Out(1),
            "tape_address": Out(shapes.tape_address()),
            "tape_enable": Out(1),
            "masks": In(shapes.words_of_steps),
            "low": In(shapes.chunk_low),
            "high": In(shapes.chunk_high),
            "delta_words": Out(ArrayLayout(shapes.delta_word, lanes)),
            "delta_enables": Out(lanes),
            "bitmaps": In(ArrayLayout(shapes.words_of_steps, lanes)),
            "weight_addresses": Out(ArrayLayout(shapes.weight_address, lanes)),
            "weights": In(ArrayLayout(shapes.number, lanes)),
            "delta_addresses": Out(ArrayLayout(shapes.delta_address(), lanes)),
            "deltas": In(ArrayLayout(shapes.number, lanes)),
            "results": Out(stream.Signature(self.result_layout)),
            "terms": Out(range(lanes + 1)),
            "offered": Out(13),
            "result": Out(1),
            "stalled": Out(1),
        })

    def elaborate(self, platform):
        m = Module()
        m.submodules.targets = targets = Queue(self.target, 2 * ROWS_AHEAD)
        lanes = [self._lane(m, k) for k in range(self.shapes.config.lanes)]
        scanning = self._inputs(m, [rows for rows, _, _, _ in lanes], targets)
        self._merge(m, [sums for _, sums, _, _ in lanes], targets)
        m.d.comb += [
            self.busy.eq(scanning | targets.o.valid),
            self.terms.eq(sum(term for _, _, term, _ in lanes)),
            self.result.eq(self.results.valid & self.results.ready),
            self.stalled.eq(Cat(stalled for _, _, _, stalled in lanes).any()),
        ]
        return m

    def _inputs(self, m, lane_rows, targets):
        """Offer every lane one row for each step and masked input; returns whether some are still to come."""
        shapes, d = self.shapes, self.descriptor
        extra = StructLayout({"low": shapes.chunk_low, "high": shapes.chunk_high, "masks": WORD})
        m.submodules.scanner = scanner = RowScanner(
            width=WORD, base=shapes.tape_address().size, count=shapes.config.tape_words,
            payload=shapes.step, extra=extra, emit_empty=False)
        items, listing = list_bits(m, scanner, 2)
        active, step = Signal(), Signal(shapes.step)
        valid = valid_mask(self.low.count, WORD)
        m.d.comb += [
            scanner.rows.valid.eq(active),
            scanner.rows.p.base.eq(Cat(d.tape_base[:shapes.tape_word], self.slot)),
            scanner.rows.p.count.eq(d.tape_words),
            scanner.rows.p.payload.eq(step),
            self.tape_address.eq(scanner.address),
            self.tape_enable.eq(scanner.enable),
            scanner.mask.eq(Mux(self.skip_off, valid, self.masks[scanner.at] & valid)),
            scanner.extra.low.eq(self.low),
            scanner.extra.masks.eq(self.masks[scanner.at]),
            scanner.extra.high.eq(self.high),
        ]
        with m.If(self.start):
            m.d.sync += [active.eq(1), step.eq(0)]
        with m.Elif(active & scanner.rows.ready):
            m.d.sync += [step.eq(step + 1), active.eq(step + 1 != d.steps)]

        # One row at a time goes to all lanes together.
        offered, address, target = Signal(), Signal(shapes.weight_address), Signal(self.target)
        masked = Signal()  # always 1, unless skipping is off; what is not masked has no terms, so that it is not sent
        room = Signal()
        item = items.p
        m.d.comb += [
            room.eq(targets.i.ready & Cat(rows.ready for rows in lane_rows).all()),
            items.ready.eq(~offered | room),
            targets.i.valid.eq(offered & room),
            self.offered.eq(Mux(targets.i.valid, outputs_of(d, shapes.config.lanes), 0)),
            targets.i.p.eq(target),
        ]
        with m.If(items.ready):
            m.d.sync += [
                offered.eq(items.valid),
                address.eq(item.payload.extra.low.row_base + item.index * d.blocks),
                masked.eq(item.payload.extra.masks.bit_select(item.index, 1)),
                target.x.eq(item.payload.extra.high.x),
                target.y.eq(item.payload.extra.high.y),
                target.neuron.eq(item.payload.extra.high.neuron + item.index),
                target.step.eq(item.payload.payload),
            ]
        for rows in lane_rows:
            m.d.comb += [
                rows.valid.eq(offered & room),
                rows.p.address.eq(address),
                rows.p.info.step.eq(target.step),
                rows.p.info.pattern.eq(masked << target.step),
            ]
        return active | scanner.busy | listing | offered

    def _lane(self, m, k):
        """Deltas of lane k times their weights; returns its rows, its stream of sums, and its counter signals."""
        shapes, d = self.shapes, self.descriptor
        m.submodules[f"outputs_{k}"] = outputs = DeltaRows(shapes, self.info, emit_empty=True)
        m.submodules[f"lane_{k}"] = lane = self._lanes[k]
        m.submodules[f"sums_{k}"] = sums = Queue(signed(lane.sum_width), ROWS_AHEAD)
        item, go, fresh = outputs.items.p, Signal(name=f"go_{k}"), Signal(init=1, name=f"fresh_{k}")
        under_way = Signal(range(ROWS_AHEAD + 1), name=f"under_way_{k}")
        m.d.comb += [
            outputs.descriptor.eq(d),
            outputs.skip_off.eq(self.skip_off),
            outputs.blocks.eq(d.blocks - (k >= d.last_lanes)),
            self.delta_words[k].eq(outputs.delta_word),
            self.delta_enables[k].eq(outputs.delta_enable),
            outputs.deltas.eq(self.bitmaps[k]),
            outputs.items.ready.eq(~item.last | (under_way != ROWS_AHEAD)),
            go.eq(outputs.items.valid & outputs.items.ready),
        ]
        m.d.sync += under_way.eq(under_way + (go & item.last) - (sums.o.valid & sums.o.ready))
        with m.If(go):
            m.d.sync += fresh.eq(item.last)

        flags = StructLayout({"valid": 1, "first": 1, "last": 1, "nonzero": 1})
        issued = Signal(flags, name=f"issued_{k}")
        addresses = Signal(StructLayout({"weight": shapes.weight_address, "delta": shapes.delta_address()}),
                           name=f"addresses_{k}")
        nonzero = Signal(name=f"nonzero_{k}")
        m.d.comb += nonzero.eq(item.hits.any())
        m.d.sync += [
            issued.valid.eq(go), issued.first.eq(fresh), issued.last.eq(item.last), issued.nonzero.eq(nonzero),
            addresses.weight.eq(item.address), addresses.delta.block.eq(item.block),
            addresses.delta.step.eq(item.info.step),
        ]
        at_lane = delayed(m, issued, 1, f"read_{k}")
        m.d.comb += [
            self.weight_addresses[k].eq(addresses.weight),
            self.delta_addresses[k].eq(addresses.delta),
            lane.valid.eq(at_lane.valid),
            lane.first.eq(at_lane.first),
            lane.last.eq(at_lane.last),
            lane.nonzero.eq(at_lane.nonzero),
            lane.a.eq(self.weights[k]),
            lane.b.eq(self.deltas[k]),
            sums.i.valid.eq(lane.done),
            sums.i.p.eq(lane.sum),
        ]
        return outputs.rows, sums.o, go & nonzero, outputs.items.valid & ~outputs.items.ready

    def _merge(self, m, sums, targets):
        """Add the lanes' sums of one row, and pass on those that are not zero."""
        total = Signal(signed(self.shapes.error_sum))
        complete = Signal()
        m.d.comb += [
            total.eq(sum(lane.p for lane in sums)),
            complete.eq(targets.o.valid & Cat(lane.valid for lane in sums).all()),
            self.results.valid.eq(complete & total.any()),
            self.results.p.target.eq(targets.o.p),
            self.results.p.sum.eq(total),
            targets.o.ready.eq(complete & (self.results.ready | ~total.any())),
        ]
        for lane in sums:
            m.d.comb += lane.ready.eq(targets.o.ready)
