# SPDX-License-Identifier: Apache-2.0
"""Weight-gradient engine: adds delta s, summed over the steps, to the gradients."""

from amaranth.hdl import Cat, Module, Mux, Signal
from amaranth.lib import wiring
from amaranth.lib.data import ArrayLayout, StructLayout
from amaranth.lib.wiring import In, Out

from backspike.hw.arith.lanes import SpikeLane
from backspike.hw.arith.rounding import Rounder
from backspike.hw.blocks import Queue, any_of, delayed, valid_mask
from backspike.hw.engines.delta_rows import DeltaRows, outputs_of
from backspike.hw.engines.scan import Enumerator, RowScanner, list_bits
from backspike.hw.shapes import WORD

__all__ = ["GradientEngine"]


class GradientEngine(wiring.Component):
    """G_ji = round(G_ji + sum_t delta_i[t] s_j[t]) for the pairs (j, i) that have a term.

    The inputs that spike are listed once for all lanes; each lane then visits those of its own outputs that have a
    non-zero delta in a step in which the input spikes, and the terms of such a pair one each cycle.

    Parameters
    ----------
    shapes: Shapes

    Members
    -------
    start, slot, descriptor, skip_off, busy: as in the feed-forward engine; at the end all gradients are written
    tape_address, tape_enable, tape: spikes of a tape word; chunk: its CHUNK_LOW entry (same enable)
    delta_words, delta_enables, bitmaps: each lane's bitmap of non-zero deltas
    delta_addresses, deltas: each lane's delta memory, one cycle of latency
    read_addresses, gradients: each lane's gradient bank, one cycle of latency
    write_addresses, write_enables, rounded: write port of each lane's gradient bank
    terms, results, row, saturated: for the counters: useful terms and results of all lanes, a row listed
    offered: outputs of the slice times spikes of the input, in a cycle in which a row is listed
    """

    def __init__(self, shapes):
        self.shapes = shapes
        lanes, steps = shapes.config.lanes, shapes.config.steps
        self.info = StructLayout({"pattern": steps})
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
            "delta_words": Out(ArrayLayout(shapes.delta_word, lanes)),
            "delta_enables": Out(lanes),
            "bitmaps": In(ArrayLayout(shapes.words_of_steps, lanes)),
            "delta_addresses": Out(ArrayLayout(shapes.delta_address(), lanes)),
            "deltas": In(ArrayLayout(shapes.number, lanes)),
            "read_addresses": Out(ArrayLayout(shapes.weight_address, lanes)),
            "gradients": In(ArrayLayout(shapes.number, lanes)),
            "write_addresses": Out(ArrayLayout(shapes.weight_address, lanes)),
            "write_enables": Out(lanes),
            "rounded": Out(ArrayLayout(shapes.number, lanes)),
            "terms": Out(range(lanes + 1)),
            "results": Out(range(lanes + 1)),
            "row": Out(1),
            "offered": Out(18),
            "saturated": Out(1),
        })

    def elaborate(self, platform):
        m = Module()
        lanes = [self._lane(m, k) for k in range(self.shapes.config.lanes)]
        scanning = self._inputs(m, [rows for rows, _, _, _ in lanes])
        m.d.comb += [
            self.busy.eq(scanning | Cat(busy for _, busy, _, _ in lanes).any()),
            self.terms.eq(sum(term for _, _, term, _ in lanes)),
            self.results.eq(sum(done for _, _, _, done in lanes)),
        ]
        return m

    def _inputs(self, m, lane_rows):
        """Offer every lane one row for each input that spikes; returns whether some are still to come."""
        shapes, d = self.shapes, self.descriptor
        steps = shapes.config.steps
        extra = StructLayout({"row_base": 17, "spikes": shapes.words_of_steps})
        m.submodules.scanner = scanner = RowScanner(
            width=WORD, base=shapes.tape_address().size, count=shapes.config.tape_words,
            payload=1, extra=extra, emit_empty=False)
        items, listing = list_bits(m, scanner, 2)
        active = Signal()
        valid = valid_mask(self.chunk.count, WORD)
        in_use = self._steps_in_use()
        m.d.comb += [
            scanner.rows.valid.eq(active),
            scanner.rows.p.base.eq(Cat(d.tape_base[:shapes.tape_word], self.slot)),
            scanner.rows.p.count.eq(d.tape_words),
            self.tape_address.eq(scanner.address),
            self.tape_enable.eq(scanner.enable),
            scanner.mask.eq(valid & (self.skip_off.replicate(WORD) | any_of(
                self.tape[t] & in_use[t].replicate(WORD) for t in range(steps)))),
            scanner.extra.row_base.eq(self.chunk.row_base),
            scanner.extra.spikes.eq(self.tape),
        ]
        with m.If(self.start):
            m.d.sync += active.eq(1)
        with m.Elif(scanner.rows.ready):
            m.d.sync += active.eq(0)

        offered, address, pattern = Signal(), Signal(shapes.weight_address), Signal(steps)
        room = Signal()
        item = items.p
        m.d.comb += [
            room.eq(Cat(rows.ready for rows in lane_rows).all()),
            items.ready.eq(~offered | room),
            self.row.eq(offered & room),
            self.offered.eq(Mux(self.row, outputs_of(d, shapes.config.lanes) * sum(pattern), 0)),
        ]
        with m.If(items.ready):
            m.d.sync += [
                offered.eq(items.valid),
                address.eq(item.payload.extra.row_base + item.index * d.blocks),
                pattern.eq(Cat(item.payload.extra.spikes[t].bit_select(item.index, 1) for t in range(steps)) & in_use),
            ]
        for rows in lane_rows:
            m.d.comb += [
                rows.valid.eq(offered & room),
                rows.p.address.eq(address),
                rows.p.info.pattern.eq(pattern),
            ]
        return active | scanner.busy | listing | offered

    def _steps_in_use(self):
        """One bit a step, set for the steps of the network."""
        return valid_mask(self.descriptor.steps, self.shapes.config.steps)

    def _lane(self, m, k):
        """Gradients of lane k; returns its rows, and its busy and counter signals."""
        shapes, d = self.shapes, self.descriptor
        steps, fmt = shapes.config.steps, shapes.config.format
        m.submodules[f"outputs_{k}"] = outputs = DeltaRows(shapes, self.info, emit_empty=False)
        m.submodules[f"pairs_{k}"] = pairs = Queue(outputs.item, 2)
        pair = StructLayout({"address": shapes.weight_address, "block": shapes.block, "hits": steps})
        m.submodules[f"steps_{k}"] = listed = Enumerator(width=steps, payload=pair)
        wiring.connect(m, outputs.items, pairs.i)
        found = pairs.o.p
        m.d.comb += [
            outputs.descriptor.eq(d),
            outputs.skip_off.eq(self.skip_off),
            outputs.blocks.eq(d.blocks - (k >= d.last_lanes)),
            self.delta_words[k].eq(outputs.delta_word),
            self.delta_enables[k].eq(outputs.delta_enable),
            outputs.deltas.eq(self.bitmaps[k]),
            listed.words.valid.eq(pairs.o.valid),
            pairs.o.ready.eq(listed.words.ready),
            listed.words.p.mask.eq(Mux(self.skip_off, self._steps_in_use(), found.hits)),
            listed.words.p.payload.address.eq(found.address),
            listed.words.p.payload.block.eq(found.block),
            listed.words.p.payload.hits.eq(found.hits),
            listed.items.ready.eq(1),
        ]
        item = listed.items.p
        go, fresh, nonzero = listed.items.valid, Signal(init=1, name=f"fresh_{k}"), Signal(name=f"nonzero_{k}")
        with m.If(go):
            m.d.sync += fresh.eq(item.final)
        issued = Signal(StructLayout({"valid": 1, "first": 1, "last": 1, "nonzero": 1}), name=f"issued_{k}")
        gradient = Signal(shapes.weight_address, name=f"gradient_{k}")
        delta = Signal(shapes.delta_address(), name=f"delta_{k}")
        m.d.comb += nonzero.eq(item.payload.hits.bit_select(item.index[:shapes.step], 1))
        m.d.sync += [
            issued.valid.eq(go), issued.first.eq(fresh), issued.last.eq(item.final), issued.nonzero.eq(nonzero),
            gradient.eq(item.payload.address), delta.block.eq(item.payload.block), delta.step.eq(item.index),
        ]
        at_lane = delayed(m, issued, 1, f"read_{k}")
        m.submodules[f"lane_{k}"] = lane = SpikeLane(fmt, terms=1 << shapes.step, seeded=True)
        m.submodules[f"rounder_{k}"] = rounder = Rounder(fmt, lane.sum_width, fmt.lsb, shapes.weight_address)
        m.d.comb += [
            self.delta_addresses[k].eq(delta),
            self.read_addresses[k].eq(gradient),
            lane.valid.eq(at_lane.valid),
            lane.first.eq(at_lane.first),
            lane.last.eq(at_lane.last),
            lane.nonzero.eq(at_lane.nonzero),
            lane.operand.eq(self.deltas[k]),
            lane.seed.eq(self.gradients[k]),
            rounder.valid.eq(lane.done),
            rounder.sum.eq(lane.sum),
            rounder.tag.eq(delayed(m, gradient, 1 + lane.latency, f"write_{k}")),
            self.write_addresses[k].eq(rounder.tag_out),
            self.write_enables[k].eq(rounder.done),
            self.rounded[k].eq(rounder.value),
        ]
        saturated = Signal(name=f"saturated_{k}")
        m.d.comb += saturated.eq(rounder.done & rounder.saturated)
        with m.If(saturated):
            m.d.comb += self.saturated.eq(1)
        depth = 2 + lane.latency + rounder.latency
        draining = Signal(range(depth + 1), name=f"draining_{k}")
        with m.If(go):
            m.d.sync += draining.eq(depth)
        with m.Elif(draining.any()):
            m.d.sync += draining.eq(draining - 1)
        busy = outputs.busy | pairs.o.valid | go | draining.any()
        return outputs.rows, busy, go & nonzero, rounder.done
