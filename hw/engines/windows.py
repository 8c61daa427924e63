# SPDX-License-Identifier: Apache-2.0
"""What an output pixel sees of the inputs, and what an input pixel sees of the outputs, as rows of bits."""

from amaranth.hdl import Cat, Module, Mux, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.data import StructLayout
from amaranth.lib.wiring import In, Out

from backspike.hw.blocks import stage
from backspike.hw.engines.scan import RowScanner, list_bits
from backspike.hw.engines.walks import COORDINATE, input_pixel
from backspike.hw.shapes import WORD

__all__ = ["OutputRows", "SpikeWindow", "bit_row"]


def bit_row(m, row, start, bits):
    """Make ``row`` of a scanner hold ``bits`` bits (at least 1) from bit ``start`` of word ``row.base``'s area.

    Returns the number of the row's first word, which the caller adds to the area's address.
    """
    end = Signal(range(1 << 15), name="last_bit")
    m.d.comb += [
        end.eq(start[:5] + bits - 1),
        row.count.eq((end >> 5) + 1),
        row.low.eq(start[:5]),
        row.high.eq(end[:5]),
    ]
    return start[5:]


class SpikeWindow(wiring.Component):
    """Lists the input spikes that an output pixel sees in one step, with the addresses of their weights.

    A row of the kernel is one row of bits where there is no pooling; with pooling, each pixel is. Nothing of the
    padding is visited.

    Parameters
    ----------
    shapes: Shapes

    Members
    -------
    requests: stream of {step, top, left, top_in, left_in, group, groups}: a pixel as in ``OutputWalk``, and which of
        the slice's groups of inputs are looked at
    slot, descriptor, skip_off: of the job
    group_address, group_enable, group: group table, one cycle of latency
    tape_address, tape_enable, tape: spikes of a tape word, one cycle of latency
    items: stream of {entry, none, last}: one list for each request; ``entry`` is {address, spike}: weight of the first
        block of outputs, and whether the input does spike (always, unless skipping is off)
    busy: something is inside
    """

    def __init__(self, shapes):
        self.shapes = shapes
        self.request = StructLayout({
            "step": shapes.step, "group": 8, "groups": 8,
            **dict.fromkeys(("top", "left", "top_in", "left_in"), COORDINATE)})
        self.entry = StructLayout({"address": shapes.weight_address, "spike": 1})
        self.item = StructLayout({"entry": self.entry, "none": 1, "last": 1})
        self.piece = StructLayout({
            "group": shapes.group, "step": shapes.step, "final": 1,
            "row": 7, "column": 7, "pixels": 4, "ky": 4, "kx": 4})
        super().__init__({
            "requests": In(stream.Signature(self.request)),
            "slot": In(shapes.slot),
            "descriptor": In(shapes.descriptor),
            "skip_off": In(1),
            "group_address": Out(shapes.groups),
            "group_enable": Out(1),
            "group": In(shapes.group_words),
            "tape_address": Out(shapes.tape_address()),
            "tape_enable": Out(1),
            "tape": In(WORD),
            "items": Out(stream.Signature(self.item)),
            "busy": Out(1),
        })

    def connect_job(self, m, engine):
        """Let an engine with ports of the same names give the job, and pass its memories on."""
        for name in ("slot", "descriptor", "skip_off", "group", "tape"):
            m.d.comb += getattr(self, name).eq(getattr(engine, name))
        for name in ("group_address", "group_enable", "tape_address", "tape_enable"):
            m.d.comb += getattr(engine, name).eq(getattr(self, name))

    def elaborate(self, platform):
        m = Module()
        read, request, last_group, take = self._fetch(m)
        piece, pieces_ready = self._pieces(m, read, request, last_group, take)
        scanner, waiting = self._rows(m, read, piece, pieces_ready)
        found, listing = list_bits(m, scanner, 4)
        self._list(m, found)
        m.d.comb += self.busy.eq(self.requests.valid | read | waiting | scanner.busy | listing | self.items.valid)
        return m

    def _fetch(self, m):
        """Read the entry of each group of each request; returns what the table puts out now."""
        index, read, step = Signal(8), Signal(), Signal()
        request, last_group, take = Signal(self.request), Signal(), Signal()
        asked = self.requests.p
        ends = index + 1 == asked.groups
        m.d.comb += [
            step.eq(~read | take),
            self.group_address.eq(self.descriptor.groups_base + asked.group + index),
            self.group_enable.eq(step),
            self.requests.ready.eq(step & ends),
        ]
        with m.If(step):
            m.d.sync += read.eq(self.requests.valid)
            with m.If(self.requests.valid):
                m.d.sync += [request.eq(asked), last_group.eq(ends), index.eq(Mux(ends, 0, index + 1))]
        return read, request, last_group, take

    def _pieces(self, m, read, request, last_group, take):
        """Walk over the rows (and, with pooling, the pixels) that the kernel covers of one group."""
        d = self.descriptor
        group = self.group_entry(self.group)
        piece, ready = Signal(self.piece), Signal()
        fresh = Signal(init=1)
        ky, kx, row, column = Signal(4), Signal(4), Signal(7), Signal(7)
        down, across = Signal.like(d.pool, name="down"), Signal.like(d.pool, name="across")  # within a pooling field
        now = {}
        pooled = d.pool != 1
        above, left = request.top < 0, request.left < 0
        starts = {
            "ky": (ky, Mux(above, -request.top, 0)), "row": (row, Mux(above, 0, request.top_in)),
            "kx": (kx, Mux(left, -request.left, 0)), "column": (column, Mux(left, 0, request.left_in)),
            "down": (down, 0), "across": (across, 0)}
        for name, (register, start) in starts.items():
            now[name] = Signal.like(register, name=f"now_{name}")
            m.d.comb += now[name].eq(Mux(fresh, start, register))
        # Without pooling a piece reaches to the right edge of the kernel or of the input.
        reach, room = Signal(4), Signal(7)
        field_right, field_bottom = now["across"] + 1 == d.pool, now["down"] + 1 == d.pool
        columns_end, rows_end, ends = Signal(), Signal(), Signal()
        m.d.comb += [
            reach.eq(d.kernel - now["kx"]),
            room.eq(d.in_width - now["column"]),
            columns_end.eq(~pooled | (field_right & ((now["kx"] + 1 == d.kernel) | (now["column"] + 1 == d.in_width)))),
            rows_end.eq(field_bottom & ((now["ky"] + 1 == d.kernel) | (now["row"] + 1 == d.in_height))),
            ends.eq(group.constant | (columns_end & rows_end)),
            take.eq(read & ready & ends),
            piece.group.eq(group),
            piece.step.eq(request.step),
            piece.final.eq(last_group & ends),
            piece.row.eq(now["row"]),
            piece.column.eq(now["column"]),
            piece.pixels.eq(Mux(pooled | group.constant, 1, Mux(room < reach, room, reach))),
            piece.ky.eq(now["ky"]),
            piece.kx.eq(now["kx"]),
        ]
        with m.If(read & ready):
            m.d.sync += fresh.eq(ends)
            m.d.sync += [register.eq(now[name]) for name, (register, _) in starts.items()]
            with m.If(~columns_end):
                m.d.sync += [column.eq(now["column"] + 1), across.eq(now["across"] + 1)]
                with m.If(field_right):
                    m.d.sync += [across.eq(0), kx.eq(now["kx"] + 1)]
            with m.Else():
                m.d.sync += [register.eq(start) for register, start in (starts[n] for n in ("kx", "column", "across"))]
                m.d.sync += [row.eq(now["row"] + 1), down.eq(now["down"] + 1)]
                with m.If(field_bottom):
                    m.d.sync += [down.eq(0), ky.eq(now["ky"] + 1)]
        return piece, ready

    def group_entry(self, words):
        """The fields of an entry of the group table."""
        return self.shapes.group(words.as_value()[:self.shapes.group.size])

    def _rows(self, m, read, piece, ready):
        """Turn pieces into rows of the scanner, in two steps of arithmetic."""
        shapes, d = self.shapes, self.descriptor
        numbers = StructLayout({"piece": self.piece, "pixel": 14, "bits": 14, "address": shapes.weight_address})
        placed = Signal(numbers)
        row_info = StructLayout({"address": shapes.weight_address, "low": 5})
        m.submodules.scanner = scanner = RowScanner(
            width=WORD, base=shapes.tape_address().size, count=shapes.config.tape_words, payload=row_info, extra=WORD,
            emit_empty=True)
        row = scanner.rows.p
        advance = Signal()
        one, this, free = stage(m, read, piece, advance, "piece_held")
        group = self.group_entry(this.group)
        m.d.comb += [
            ready.eq(free),
            placed.piece.eq(this),
            placed.pixel.eq(Mux(group.constant, 0, this.row * d.in_width + this.column)),
            placed.bits.eq(this.pixels * group.channels),
            placed.address.eq(group.row_base + Mux(group.constant, 0, this.ky * group.row_stride
                                                   + this.kx * group.tap_stride)),
        ]
        two, that, free = stage(m, one, placed, scanner.rows.ready, "placed_held")
        group = self.group_entry(that.piece.group)
        start, word = Signal(14), Signal(shapes.tape_word)
        m.d.comb += [
            advance.eq(free),
            start.eq(that.pixel * group.channels),
            word.eq(group.tape + bit_row(m, row, start, that.bits)),
            scanner.rows.valid.eq(two),
            row.base.eq(Cat(word, self.slot, that.piece.step)),
            row.final.eq(that.piece.final),
            row.payload.address.eq(that.address),
            row.payload.low.eq(start[:5]),
            self.tape_address.eq(scanner.address),
            self.tape_enable.eq(scanner.enable),
            scanner.extra.eq(self.tape),
            scanner.mask.eq(scanner.inside & (scanner.extra | self.skip_off.replicate(WORD))),
        ]
        return scanner, one | two

    def _list(self, m, found):
        """The address of each spike's weights, in one step of arithmetic."""
        item = Signal(StructLayout({
            "number": 14, "base": self.shapes.weight_address, "spike": 1, "none": 1, "last": 1}))
        word = found.p.payload
        m.d.comb += [
            item.number.eq(Cat(found.p.index[:5], word.index) - word.payload.low),
            item.base.eq(word.payload.address),
            item.spike.eq(word.extra.bit_select(found.p.index[:5], 1)),
            item.none.eq(found.p.none),
            item.last.eq(found.p.final & word.last),
        ]
        full, held, free = stage(m, found.valid, item, self.items.ready, "item_held")
        m.d.comb += [
            found.ready.eq(free),
            self.items.valid.eq(full),
            self.items.p.entry.address.eq(held.base + held.number * self.descriptor.blocks),
            self.items.p.entry.spike.eq(held.spike),
            self.items.p.none.eq(held.none),
            self.items.p.last.eq(held.last),
        ]


class OutputRows(wiring.Component):
    """The output pixels that see an input pixel, one row of bits for each, and the taps through which they see it.

    Parameters
    ----------
    shapes: Shapes

    Members
    -------
    requests: stream of pixels as from ``InputWalk``
    descriptor: of the job; row_stride, tap_stride: of its group of inputs
    rows: stream of {start, exists, final, step, address}: first bit of the pixel's deltas, counted from the slice's
        first; whether there is such a pixel; the last row of the request; address of the tap, counted from the weights
        of the first tap
    busy: something is inside
    """

    def __init__(self, shapes):
        self.shapes = shapes
        self.row = StructLayout({
            "start": 14, "exists": 1, "final": 1, "step": shapes.step, "address": shapes.weight_address})
        super().__init__({
            "requests": In(stream.Signature(input_pixel(shapes))),
            "descriptor": In(shapes.descriptor),
            "row_stride": In(17),
            "tap_stride": In(17),
            "rows": Out(stream.Signature(self.row)),
            "busy": Out(1),
        })

    def elaborate(self, platform):
        m = Module()
        d, asked = self.descriptor, self.requests.p
        tap = StructLayout({"row": 8, "column": 8, "ky": 4, "kx": 4, "exists": 1, "final": 1, "step": self.shapes.step})
        up, left = Signal(4), Signal(4)  # rows and columns before the last that sees the pixel
        row_hop, column_hop = Signal(4), Signal(4)  # the same in taps of the kernel
        now, placed = Signal(tap), Signal(self.row)
        column_end, row_end, ready, free = Signal(), Signal(), Signal(), Signal()
        m.d.comb += [
            now.row.eq(asked.row.place - up),
            now.column.eq(asked.column.place - left),
            now.ky.eq(asked.row.tap + row_hop),
            now.kx.eq(asked.column.tap + column_hop),
            now.exists.eq((asked.row.place >= up) & (now.row < d.out_height) & (now.ky < d.kernel)
                          & (asked.column.place >= left) & (now.column < d.out_width) & (now.kx < d.kernel)),
            now.step.eq(asked.step),
            column_end.eq((now.column == 0) | (now.kx + d.stride >= d.kernel)),
            row_end.eq((now.row == 0) | (now.ky + d.stride >= d.kernel)),
            now.final.eq(column_end & row_end),
            self.requests.ready.eq(ready & now.final),
        ]
        with m.If(self.requests.valid & ready):
            m.d.sync += [left.eq(left + 1), column_hop.eq(column_hop + d.stride)]
            with m.If(column_end):
                m.d.sync += [left.eq(0), column_hop.eq(0), up.eq(up + 1), row_hop.eq(row_hop + d.stride)]
                with m.If(row_end):
                    m.d.sync += [up.eq(0), row_hop.eq(0)]
        one, this, taking = stage(m, self.requests.valid, now, free, "tap_held")
        pixel = Signal(14)
        m.d.comb += [
            ready.eq(taking),
            pixel.eq(this.row * d.out_width + this.column),
            placed.start.eq(pixel * d.blocks),
            placed.address.eq(this.ky * self.row_stride + this.kx * self.tap_stride),
            placed.exists.eq(this.exists),
            placed.final.eq(this.final),
            placed.step.eq(this.step),
        ]
        two, that, taking = stage(m, one, placed, self.rows.ready, "row_held")
        m.d.comb += [
            free.eq(taking),
            self.rows.valid.eq(two),
            self.rows.p.eq(that),
            self.busy.eq(self.requests.valid | one | two),
        ]
        return m
