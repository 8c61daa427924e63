# SPDX-License-Identifier: Apache-2.0
"""Feed-forward engine: sums of the weights of the inputs that spike."""

from amaranth.hdl import Cat, Module, Mux, Signal, signed
from amaranth.lib import stream, wiring
from amaranth.lib.data import ArrayLayout, StructLayout
from amaranth.lib.wiring import In, Out

from backspike.hw.arith.lanes import SpikeLane
from backspike.hw.blocks import Queue, delayed, valid_mask
from backspike.hw.engines.scan import RowScanner, list_bits
from backspike.hw.shapes import WORD

__all__ = ["ForwardEngine"]

RESULTS = 4
"""Results that may wait for the neuron update."""


class ForwardEngine(wiring.Component):
    """For each step and block of outputs: sum_j W_ji s_j[t], over the inputs j that spike.

    All lanes share the spike; lane k adds the weights of output k of the block. One term per lane and cycle; words
    of zeros are skipped behind the queue, and no cycle is lost between reductions.

    Parameters
    ----------
    shapes: Shapes

    Members
    -------
    start: pulse that begins a job; slot, descriptor, skip_off stay stable until ``busy`` falls
    busy: a job is in work; its results may still be waiting in ``results``
    tape_address, tape_enable, tape: spikes of a tape word; chunk: its CHUNK_LOW entry (same enable)
    weight_address, weights: one word of each lane's bank, one cycle of latency
    results: stream of {step, block, block_last, sums}, in order of steps, then blocks
    terms: useful terms issued in this cycle
    stalled: a term was ready but had to wait for room in ``results``
    """

    def __init__(self, shapes):
        self.shapes = shapes
        lanes = shapes.config.lanes
        self._lanes = [SpikeLane(shapes.config.format, WORD * shapes.config.tape_words) for _ in range(lanes)]
        self.sum_width = self._lanes[0].sum_width
        self.place = StructLayout({"step": shapes.step, "block": 13, "block_last": 1})
        self.result_layout = StructLayout({
            "place": self.place,
            "sums": ArrayLayout(signed(self.sum_width), lanes),
        })
        super().__init__({
            "start": In(1),
            "slot": In(shapes.slot),
            "descriptor": In(shapes.descriptor),
            "skip_off": In(1),
            "busy": Out(1),
            "tape_address": Out(shapes.tape_address()),
            "tape_enable": Out(1),
            "tape": In(shapes.words_of_steps),
            "chunk": In(shapes.chunk_low),
            "weight_address": Out(shapes.weight_address),
            "weights": In(ArrayLayout(shapes.number, lanes)),
            "results": Out(stream.Signature(self.result_layout)),
            "terms": Out(range(lanes + 1)),
            "stalled": Out(1),
        })

    def elaborate(self, platform):
        m = Module()
        extra = StructLayout({"row_base": 17, "spikes": WORD})
        m.submodules.scanner = scanner = RowScanner(
            width=WORD, base=self.shapes.tape_address().size, count=self.shapes.config.tape_words,
            payload=self.place, extra=extra, emit_empty=True)
        items, listing = list_bits(m, scanner, 4)
        m.d.comb += [
            self.tape_address.eq(scanner.address),
            self.tape_enable.eq(scanner.enable),
            scanner.extra.row_base.eq(self.chunk.row_base),
            scanner.extra.spikes.eq(self.tape[scanner.at.step] & valid_mask(self.chunk.count, WORD)),
            scanner.mask.eq(Mux(self.skip_off, valid_mask(self.chunk.count, WORD), scanner.extra.spikes)),
        ]
        rows_left = self._rows(m, scanner)
        waiting = self._reduce(m, items)
        m.d.comb += self.busy.eq(rows_left | scanner.busy | listing | waiting)
        return m

    def _rows(self, m, scanner):
        """Offer one row for each step and block."""
        active = Signal()
        place = Signal(self.place)
        d = self.descriptor
        last_step = Signal()
        m.d.comb += [
            place.block_last.eq(place.block + 1 == d.blocks),
            last_step.eq(place.step + 1 == d.steps),
            scanner.rows.valid.eq(active),
            scanner.rows.p.base.eq(Cat(d.tape_base[:self.shapes.tape_word], self.slot)),
            scanner.rows.p.count.eq(d.tape_words),
            scanner.rows.p.payload.eq(place),
        ]
        step, block = Signal.like(place.step, name="step"), Signal.like(place.block, name="block")
        m.d.comb += [place.step.eq(step), place.block.eq(block)]
        with m.If(self.start):
            m.d.sync += [active.eq(1), step.eq(0), block.eq(0)]
        with m.Elif(active & scanner.rows.ready):
            m.d.sync += block.eq(block + 1)
            with m.If(place.block_last):
                m.d.sync += [block.eq(0), step.eq(step + 1), active.eq(~last_step)]
        return active

    def _reduce(self, m, items):
        """Fetch the weight of each spike and accumulate; returns whether results are still under way."""
        lanes = self.shapes.config.lanes
        d = self.descriptor
        item = items.p
        info = item.payload
        m.submodules.places = places = Queue(self.place, RESULTS)
        m.submodules.sums = sums = Queue(ArrayLayout(signed(self.sum_width), lanes), RESULTS)

        flags = StructLayout({"valid": 1, "first": 1, "last": 1, "nonzero": 1})
        issued = Signal(flags)
        product = Signal(18)
        base = Signal(17)
        fresh = Signal(init=1)
        go = Signal()
        m.d.comb += [
            self.stalled.eq(items.valid & ~items.ready),
            items.ready.eq(places.i.ready | ~(item.final & info.last)),
            go.eq(items.valid & items.ready),
            places.i.valid.eq(items.valid & item.final & info.last),
            places.i.p.eq(info.payload),
        ]
        m.d.sync += [
            issued.valid.eq(go),
            issued.first.eq(fresh),
            issued.last.eq(item.final & info.last),
            issued.nonzero.eq(~item.none & info.extra.spikes.bit_select(item.index, 1)),
            product.eq(item.index * d.blocks),
            base.eq(info.extra.row_base + info.payload.block),
        ]
        with m.If(go):
            m.d.sync += fresh.eq(item.final & info.last)
        at_memory = delayed(m, issued, 1, "address_given")
        at_lane = delayed(m, at_memory, 1, "weight_read")
        address = Signal(self.shapes.weight_address)
        m.d.sync += address.eq(base + product)
        width = Signal(range(lanes + 1))
        m.d.comb += [
            self.weight_address.eq(address),
            width.eq(Mux(info.payload.block_last, d.last_lanes, lanes)),
            self.terms.eq(Mux(go & ~item.none & info.extra.spikes.bit_select(item.index, 1), width, 0)),
        ]
        for k, lane in enumerate(self._lanes):
            m.submodules[f"lane_{k}"] = lane
            m.d.comb += [
                lane.valid.eq(at_lane.valid),
                lane.first.eq(at_lane.first),
                lane.last.eq(at_lane.last),
                lane.nonzero.eq(at_lane.nonzero),
                lane.operand.eq(self.weights[k]),
                sums.i.p[k].eq(lane.sum),
            ]
            if k == 0:
                m.d.comb += sums.i.valid.eq(lane.done)
        # A place is queued when the last term is issued, so the queue of places bounds the sums under way.
        m.d.comb += [
            self.results.valid.eq(sums.o.valid),
            self.results.p.place.eq(places.o.p),
            self.results.p.sums.eq(sums.o.p),
            sums.o.ready.eq(self.results.ready),
            places.o.ready.eq(self.results.ready & sums.o.valid),
        ]
        return places.o.valid
