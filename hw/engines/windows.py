# SPDX-License-Identifier: Apache-2.0
"""What an output pixel sees of the inputs, and what an input pixel sees of the outputs, as rows of bits."""

from amaranth.hdl import Cat, Module, Mux, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.data import StructLayout
from amaranth.lib.wiring import In, Out

from backspike.hw.blocks import half_rate_register, lockstep_register, skid_buffer
from backspike.hw.engines.scan import RowScanner, give_rows, list_bits
from backspike.hw.engines.walks import PLACE, input_pixel
from backspike.hw.shapes import WORD

__all__ = ["OutputRows", "SpikeWindow", "bit_row"]


def bit_row(start, more):
    """The fields ``end``, ``low`` and ``high`` of a scanner's row of ``1 + more`` bits, the first of them ``start``.

    The row's first word is number ``start[5:]`` of its area.
    """
    last = start[:5] + more
    return {"end": last >> 5, "low": start[:5], "high": last[:5]}


class SpikeWindow(wiring.Component):
    """Lists the input spikes that an output pixel sees in one step, with the addresses of their weights.

    A row of the kernel is one row of bits where there is no pooling; with pooling, each pixel is. Nothing of the
    padding is visited.

    Parameters
    ----------
    shapes: Shapes

    Members
    -------
    requests: stream of {step, group, ky, row, kx, column}: a pixel as in ``OutputWalk``, and the first of the slice's
        groups of inputs that are looked at
    groups: number of these groups
    slot, descriptor, skip_off: of the job
    group_address, group_enable, group: fan-in table, one cycle of latency
    tape_address, tape_enable, tape: spikes of a tape word, one cycle of latency
    items: stream of {entry, none, last}: one list for each request; ``entry`` is {address, spike}: weight of the first
        block of outputs, and whether the input does spike (always, unless skipping is off)
    busy: something is inside
    """

    def __init__(self, shapes):
        self.shapes = shapes
        self.request = StructLayout({"step": shapes.step, "group": shapes.fan_in, **PLACE})
        self.entry = StructLayout({"address": shapes.weight_address, "spike": 1})
        self.item = StructLayout({"entry": self.entry, "none": 1, "last": 1})
        # Of an entry of the fan-in table, no more than this core can have; one more bit for a number of channels
        sizes = {"tape": shapes.tape_word, "channels": shapes.tape_bit + 1, "constant": 1} | dict.fromkeys(
            ("row_base", "tap_stride", "row_stride"), shapes.weight_address
        )
        self._layout = StructLayout({name: min(size, shapes.fan_in_entry[name].width) for name, size in sizes.items()})
        super().__init__(
            {
                "requests": In(stream.Signature(self.request)),
                "groups": In(8),
                "slot": In(shapes.slot),
                "descriptor": In(shapes.descriptor),
                "skip_off": In(1),
                "group_address": Out(shapes.fan_in),
                "group_enable": Out(1),
                "group": In(shapes.fan_in_words),
                "tape_address": Out(shapes.tape_address()),
                "tape_enable": Out(1),
                "tape": In(WORD),
                "items": Out(stream.Signature(self.item)),
                "busy": Out(1),
            }
        )

    def connect_job(self, m, engine):
        """Let an engine with ports of the same names give the job, and pass its memories on."""
        for name in ("slot", "descriptor", "skip_off", "group", "tape"):
            m.d.comb += getattr(self, name).eq(getattr(engine, name))
        for name in ("group_address", "group_enable", "tape_address", "tape_enable"):
            m.d.comb += getattr(engine, name).eq(getattr(self, name))

    def elaborate(self, platform):
        m = Module()
        move, advance = Signal(), Signal()
        waiting, read, request, last_group = self._fetch(m, move)
        walking, piece = self._pieces(m, read, request, last_group, move, advance)
        scanner, placing = self._rows(m, walking, piece, advance)
        found, listing = list_bits(m, scanner.words, scanner.word, 0, "spike")
        addressing = self._list(m, found)
        m.d.comb += self.busy.eq(
            self.requests.valid | waiting | read | walking | placing | scanner.busy | listing | addressing
        )
        return m

    def _fetch(self, m, move):
        """Read the entry of each group of each request; returns what the table puts out now."""
        index, last = Signal(self.shapes.fan_in), Signal(self.shapes.fan_in, name="last_index")
        read, request, last_group = Signal(), Signal(self.request), Signal()
        ends = Signal()
        waiting, asked, free = half_rate_register(m, self.requests.valid, self.requests.p, move & ends, "request_held")
        m.d.sync += last.eq(self.groups - 1)
        m.d.comb += [
            ends.eq(index == last),
            self.group_address.eq(self.descriptor.fan_in_base + asked.group + index),
            self.group_enable.eq(move),
            self.requests.ready.eq(free),
        ]
        with m.If(move):
            m.d.sync += read.eq(waiting)
            with m.If(waiting):
                m.d.sync += [request.eq(asked), last_group.eq(ends), index.eq(Mux(ends, 0, index + 1))]
        return waiting, read, request, last_group

    def _pieces(self, m, read, request, last_group, move, advance):
        """Walk over the rows (and, with pooling, the pixels) that the kernel covers of one group."""
        d = self.descriptor
        entry = self.shapes.fan_in_entry(self.group.as_value()[: self.shapes.fan_in_entry.size])
        piece = StructLayout({"group": self._layout, "step": self.shapes.step, "final": 1, **PLACE})
        now, walking, last_group_here = Signal(piece, name="now"), Signal(), Signal()
        kx, column = Signal.like(now.kx, name="kx"), Signal.like(now.column, name="column")  # where a row begins
        down, across = Signal.like(d.pool, name="down"), Signal.like(d.pool, name="across")  # left of a pooling field
        pooled, last_tap = Signal(), Signal.like(d.kernel, name="last_tap")
        last_row, last_column = Signal.like(now.row, name="last_row"), Signal.like(now.column, name="last_column")
        columns_end, rows_end, ends = Signal(), Signal(), Signal()
        m.d.sync += [
            pooled.eq(d.pool != 1),
            last_tap.eq(d.kernel - 1),
            last_row.eq(d.in_height - 1),
            last_column.eq(d.in_width - 1),
        ]
        m.d.comb += [
            columns_end.eq(~pooled | ((across == 0) & ((now.kx == last_tap) | (now.column == last_column)))),
            rows_end.eq((down == 0) & ((now.ky == last_tap) | (now.row == last_row))),
            ends.eq(now.group.constant | (columns_end & rows_end)),
            move.eq(~walking | (advance & ends)),
            now.final.eq(last_group_here & ends),
        ]
        with m.If(move):
            m.d.sync += [
                walking.eq(read),
                last_group_here.eq(last_group),
                now.step.eq(request.step),
                *(now.group[name].eq(entry[name]) for name, _ in self._layout),
                *(now[name].eq(request[name]) for name in PLACE),
                kx.eq(request.kx),
                column.eq(request.column),
                down.eq(d.pool - 1),
                across.eq(d.pool - 1),
            ]
            with m.If(entry.constant):  # at no pixel
                m.d.sync += [now[name].eq(0) for name in PLACE]
        with m.Elif(advance):
            with m.If(~columns_end):
                m.d.sync += [now.column.eq(now.column + 1), across.eq(across - 1)]
                with m.If(across == 0):
                    m.d.sync += [across.eq(d.pool - 1), now.kx.eq(now.kx + 1)]
            with m.Else():
                m.d.sync += [
                    now.kx.eq(kx),
                    now.column.eq(column),
                    across.eq(d.pool - 1),
                    now.row.eq(now.row + 1),
                    down.eq(down - 1),
                ]
                with m.If(down == 0):
                    m.d.sync += [down.eq(d.pool - 1), now.ky.eq(now.ky + 1)]
        return walking, now

    def _rows(self, m, walking, piece, advance):
        """Turn pieces into rows of the scanner, in steps of one multiplication or a short sum each."""
        shapes, d = self.shapes, self.descriptor
        address, bit = shapes.weight_address, shapes.tape_bit
        m.submodules.scanner = scanner = RowScanner(
            width=WORD,
            base=shapes.tape_address().size,
            count=shapes.config.tape_words,
            payload=StructLayout({"address": address, "low": 5}),
            keep_last=True,
        )
        kept = {"tape": shapes.tape_word, "channels": self._layout["channels"].width, "step": shapes.step, "final": 1}
        place = StructLayout(
            {**kept, "row": bit, "column": 7, "pixels": 4, "base": address, "down": address, "across": address}
        )
        sizes = StructLayout({**kept, "pixel": bit, "bits": bit + 1, "address": address})
        start = StructLayout({**kept, "start": bit, "more": bit, "address": address})

        group, placed = piece.group, Signal(place)
        reach, room = Signal(4), Signal(7)
        pooled = Signal()
        m.d.sync += pooled.eq(d.pool != 1)
        m.d.comb += [
            # Without pooling a piece reaches to the right edge of the kernel or of the input.
            reach.eq(d.kernel - piece.kx),
            room.eq(d.in_width - piece.column),
            placed.pixels.eq(Mux(pooled | group.constant, 1, Mux(room < reach, room, reach))),
            placed.row.eq(piece.row * d.in_width),
            placed.column.eq(piece.column),
            placed.base.eq(group.row_base),
            placed.down.eq(piece.ky * group.row_stride),
            placed.across.eq(piece.kx * group.tap_stride),
            placed.tape.eq(group.tape),
            placed.channels.eq(group.channels),
            placed.step.eq(piece.step),
            placed.final.eq(piece.final),
        ]
        one, this = lockstep_register(m, advance, walking, placed, "placed")
        sized = Signal(sizes)
        m.d.comb += [
            *(sized[name].eq(this[name]) for name in kept),
            sized.pixel.eq(this.row + this.column),
            sized.bits.eq(this.pixels * this.channels),
            sized.address.eq(this.base + this.down + this.across),
        ]
        two, this = lockstep_register(m, advance, one, sized, "sized")
        started = Signal(start)
        m.d.comb += [
            *(started[name].eq(this[name]) for name in kept),
            started.start.eq(this.pixel * this.channels),
            started.more.eq(this.bits - 1),
            started.address.eq(this.address),
        ]
        three, this = lockstep_register(m, advance, two, started, "started")
        row, word = Signal(scanner.row), Signal(shapes.tape_word)
        m.d.comb += [
            word.eq(this.tape + this.start[5:]),
            row.base.eq(Cat(word, self.slot, this.step)),
            *(row[name].eq(value) for name, value in bit_row(this.start, this.more).items()),
            row.final.eq(this.final),
            row.payload.address.eq(this.address),
            row.payload.low.eq(this.start[:5]),
        ]
        four, free = give_rows(m, scanner, three, row, "row")
        m.d.comb += [
            advance.eq(free),
            scanner.every.eq(self.skip_off),
            self.tape_address.eq(scanner.address),
            self.tape_enable.eq(scanner.enable),
            scanner.bits[0].eq(self.tape),
        ]
        return scanner, one | two | three | four

    def _list(self, m, found):
        """The address of each spike's weights, a multiplication and then a sum; returns whether any is under way."""
        address, word = self.shapes.weight_address, found.p.payload
        about = {"base": address, "spike": 1, "none": 1, "last": 1}
        item, scaled = (
            Signal(StructLayout({"number": self.shapes.tape_bit, **about})),
            Signal(StructLayout({"offset": address, **about})),
        )
        move = Signal()
        m.d.comb += [
            found.ready.eq(move),
            item.number.eq(Cat(found.p.index, word.index) - word.payload.low),
            item.base.eq(word.payload.address),
            item.spike.eq(found.p.hits),
            item.none.eq(found.p.none),
            item.last.eq(found.p.final & word.last),
        ]
        one, this = lockstep_register(m, move, found.valid, item, "item")
        m.d.comb += [
            scaled.offset.eq(this.number * self.descriptor.blocks),
            *(scaled[name].eq(this[name]) for name in about),
        ]
        two, this = lockstep_register(m, move, one, scaled, "scaled")
        spike = Signal(self.item)
        full, held, free = skid_buffer(m, two, spike, self.items.ready, "spike")
        m.d.comb += [
            spike.entry.address.eq(this.base + this.offset),
            spike.entry.spike.eq(this.spike),
            spike.none.eq(this.none),
            spike.last.eq(this.last),
            move.eq(free),
            self.items.valid.eq(full),
            self.items.p.eq(held),
        ]
        return one | two | full


class OutputRows(wiring.Component):
    """The output pixels that see an input pixel, one row of bits for each, and the taps through which they see it.

    Parameters
    ----------
    shapes: Shapes

    Members
    -------
    requests: stream of pixels as from ``InputWalk``
    descriptor: of the job; row_stride, tap_stride: of its group of inputs
    rows: stream of {word, end, low, high, exists, final, step, start, address}: a row as of a ``RowScanner``, with the
        address of its first word in the bitmap; whether there is such a pixel; the last row of the request; number of
        its first block in the slice; address of the tap, counted from the weights of the first tap
    busy: something is inside
    """

    def __init__(self, shapes):
        self.shapes = shapes
        word = shapes.delta_word
        self.kept = {"exists": 1, "final": 1, "step": shapes.step}
        self.row = StructLayout(
            {
                "word": word,
                "end": word,
                "low": 5,
                "high": 5,
                **self.kept,
                "start": shapes.block,
                "address": shapes.weight_address,
            }
        )
        super().__init__(
            {
                "requests": In(stream.Signature(input_pixel(shapes))),
                "descriptor": In(shapes.descriptor),
                "row_stride": In(17),
                "tap_stride": In(17),
                "rows": Out(stream.Signature(self.row)),
                "busy": Out(1),
            }
        )

    def elaborate(self, platform):
        m = Module()
        move, advance = Signal(), Signal()
        m.d.comb += advance.eq(~self.rows.valid | self.rows.ready)
        walking, tap = self._taps(m, move, advance)
        placing = self._place(m, walking, tap, advance)
        m.d.comb += [
            self.requests.ready.eq(move),
            self.busy.eq(self.requests.valid | walking | placing | self.rows.valid),
        ]
        return m

    def _taps(self, m, move, advance):
        """Walk from the last output pixel that could see the input up and left; taps grow by the stride."""
        d, asked = self.descriptor, self.requests.p
        now = Signal(StructLayout({"row": 8, "column": 8, "ky": 4, "kx": 4, **self.kept}), name="now")
        walking, step = Signal(), Signal.like(asked.step, name="step")
        column, kx = Signal.like(now.column, name="column"), Signal.like(now.kx, name="kx")  # where a row begins
        # Taps up to ``most`` have another within the kernel; none may.
        most, more = Signal.like(d.kernel, name="most"), Signal()
        column_end, row_end = Signal(), Signal()
        m.d.sync += [most.eq(d.kernel - d.stride - 1), more.eq(d.kernel > d.stride)]
        m.d.comb += [
            now.exists.eq(
                (now.row < d.out_height) & (now.ky < d.kernel) & (now.column < d.out_width) & (now.kx < d.kernel)
            ),
            now.step.eq(step),
            column_end.eq((now.column == 0) | ~more | (now.kx > most)),
            row_end.eq((now.row == 0) | ~more | (now.ky > most)),
            now.final.eq(column_end & row_end),
            move.eq(~walking | (advance & now.final)),
        ]
        with m.If(move):
            m.d.sync += [
                walking.eq(self.requests.valid),
                step.eq(asked.step),
                now.row.eq(asked.row.place),
                now.ky.eq(asked.row.tap),
                now.column.eq(asked.column.place),
                now.kx.eq(asked.column.tap),
                column.eq(asked.column.place),
                kx.eq(asked.column.tap),
            ]
        with m.Elif(advance):
            m.d.sync += [now.column.eq(now.column - 1), now.kx.eq(now.kx + d.stride)]
            with m.If(column_end):
                m.d.sync += [
                    now.column.eq(column),
                    now.kx.eq(kx),
                    now.row.eq(now.row - 1),
                    now.ky.eq(now.ky + d.stride),
                ]
        return walking, now

    def _place(self, m, walking, tap, advance):
        """Places of the deltas and weights, in steps of one multiplication or a short sum each."""
        shapes, d = self.shapes, self.descriptor
        address, block = shapes.weight_address, shapes.block
        factors, summed, started = (
            Signal(StructLayout(fields | self.kept))
            for fields in (
                {"row": block, "column": 8, "down": address, "across": address},
                {"pixel": block, "address": address},
                {"start": block, "address": address},
            )
        )
        m.d.comb += [
            *(factors[name].eq(tap[name]) for name in self.kept),
            factors.row.eq(tap.row * d.out_width),
            factors.column.eq(tap.column),
            factors.down.eq(tap.ky * self.row_stride),
            factors.across.eq(tap.kx * self.tap_stride),
        ]
        one, this = lockstep_register(m, advance, walking, factors, "factors")
        m.d.comb += [
            *(summed[name].eq(this[name]) for name in self.kept),
            summed.pixel.eq(this.row + this.column),
            summed.address.eq(this.down + this.across),
        ]
        two, this = lockstep_register(m, advance, one, summed, "summed")
        m.d.comb += [
            *(started[name].eq(this[name]) for name in self.kept),
            started.start.eq(this.pixel * d.blocks),
            started.address.eq(this.address),
        ]
        three, this = lockstep_register(m, advance, two, started, "started")
        row, more = self.rows.p, Signal(block)
        m.d.sync += more.eq(d.blocks - 1)
        with m.If(advance):
            m.d.sync += [
                self.rows.valid.eq(three),
                row.word.eq(d.delta_base + this.start[5:]),
                *(row[name].eq(value) for name, value in bit_row(this.start, more).items()),
                *(row[name].eq(this[name]) for name in (*self.kept, "start", "address")),
            ]
        return one | two | three
