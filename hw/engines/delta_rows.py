# SPDX-License-Identifier: Apache-2.0
"""The inner scan of the back-propagation and weight-gradient engines: which deltas does a row of weights meet?"""

from amaranth.hdl import Cat, Module, Mux, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.data import StructLayout
from amaranth.lib.wiring import In, Out

from backspike.hw.blocks import Queue, any_of, valid_mask
from backspike.hw.engines.scan import RowScanner, list_bits
from backspike.hw.shapes import WORD

__all__ = ["ROWS_AHEAD", "DeltaRows", "outputs_of"]

ROWS_AHEAD = 4
"""Rows that a lane may be behind the scan of the inputs, and results that may wait for the slowest lane."""


def outputs_of(descriptor, lanes):
    """Number of outputs of a slice."""
    return ((descriptor.blocks - 1) << (lanes.bit_length() - 1)) + descriptor.last_lanes


class DeltaRows(wiring.Component):
    """Scans one lane's bitmap of non-zero deltas, and lists the outputs that a row of weights meets.

    The inner half of the back-propagation and weight-gradient engines.

    Parameters
    ----------
    shapes: Shapes
    info: shape that travels with a row; its field ``pattern`` (one bit a step) selects the steps
    emit_empty: list one item (``none``) for a row without any delta

    Members
    -------
    rows: stream of {address, info}: address of the row's first weight in the lane's bank
    descriptor, skip_off, blocks: of the job; ``blocks`` is the number of outputs in this lane
    delta_word, delta_enable, deltas: the lane's bitmap memory, one cycle of latency
    items: stream of {address, block, last, none, hits, info}; ``hits`` are the steps with a non-zero delta
    busy: something is inside
    """

    def __init__(self, shapes, info, *, emit_empty):
        self.shapes, self.info, self.emit_empty = shapes, info, emit_empty
        steps = shapes.config.steps
        self.row = StructLayout({"address": shapes.weight_address, "info": info})
        self.item = StructLayout({
            "address": shapes.weight_address, "block": shapes.block, "last": 1, "none": 1, "hits": steps, "info": info})
        super().__init__({
            "rows": In(stream.Signature(self.row)),
            "descriptor": In(shapes.descriptor),
            "skip_off": In(1),
            "blocks": In(13),
            "delta_word": Out(shapes.delta_word),
            "delta_enable": Out(1),
            "deltas": In(shapes.words_of_steps),
            "items": Out(stream.Signature(self.item)),
            "busy": Out(1),
        })

    def elaborate(self, platform):
        m = Module()
        shapes, d = self.shapes, self.descriptor
        steps = shapes.config.steps
        m.submodules.ahead = ahead = Queue(self.row, ROWS_AHEAD)
        wiring.connect(m, wiring.flipped(self.rows), ahead.i)
        m.submodules.scanner = scanner = RowScanner(
            width=WORD, base=shapes.delta_word, count=shapes.delta_depth, payload=self.row,
            extra=shapes.words_of_steps, emit_empty=self.emit_empty)
        items, listing = list_bits(m, scanner, 2)

        hits = Signal(WORD)
        m.d.comb += [
            scanner.rows.valid.eq(ahead.o.valid),
            ahead.o.ready.eq(scanner.rows.ready),
            scanner.rows.p.base.eq(d.delta_base),
            scanner.rows.p.count.eq(d.delta_words),
            scanner.rows.p.payload.eq(ahead.o.p),
            self.delta_word.eq(scanner.address),
            self.delta_enable.eq(scanner.enable),
            hits.eq(any_of(self.deltas[t] & scanner.at.info.pattern[t].replicate(WORD) for t in range(steps))),
            scanner.mask.eq(Mux(self.skip_off, valid_mask((self.blocks - (scanner.index << 5))[:13], WORD), hits)),
            scanner.extra.eq(self.deltas),
            self.busy.eq(ahead.o.valid | scanner.busy | listing),
        ]

        item, word = items.p, items.p.payload
        number = Cat(item.index[:5], word.index)
        m.d.comb += [
            self.items.valid.eq(items.valid),
            items.ready.eq(self.items.ready),
            self.items.p.address.eq(word.payload.address + number),
            self.items.p.block.eq(d.block_base + number),
            self.items.p.last.eq(item.final & word.last),
            self.items.p.none.eq(item.none),
            self.items.p.hits.eq(Cat(
                word.extra[t].bit_select(item.index[:5], 1) & word.payload.info.pattern[t] & ~item.none
                for t in range(steps))),
            self.items.p.info.eq(word.payload.info),
        ]
        return m
