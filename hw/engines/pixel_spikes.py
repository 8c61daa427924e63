# SPDX-License-Identifier: Apache-2.0
"""Search for the spikes that an output pixel sees."""

from amaranth.hdl import Cat, Module, Mux, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.data import StructLayout

from backspike.hw.blocks import Queue, half_rate_register, lockstep_register, pipe_register, skid_buffer
from backspike.hw.engines.operand_list import OperandList
from backspike.hw.engines.ports import spike_ports
from backspike.hw.engines.rows import RowLister, part_of_row
from backspike.hw.engines.walks import PLACE, OutputWalk

__all__ = ["PixelSpikes"]

PIXELS = 8
"""Output pixels that the search for spikes may be ahead."""


class PixelSpikes(wiring.Component):
    """The spikes that each output pixel sees are listed once, and played for each block, if the list has room for them.

    A row of the kernel is one row of bits where there is no pooling; with pooling, each pixel is. Nothing of the
    padding is visited.

    Parameters
    ----------
    shapes: Shapes

    Members: see :func:`spike_ports`.
    """

    def __init__(self, shapes):
        self.shapes = shapes
        # ``spike``: whether the input does (always, unless skipping is off)
        self._entry = StructLayout({"address": shapes.weight_address, "spike": 1})
        # Of an entry of the fan-in table, no more than this core can have; one more bit for a number of channels
        sizes = {"tape": shapes.tape_word, "channels": shapes.tape_bit + 1, "constant": 1} | dict.fromkeys(
            ("row_base", "tap_stride", "row_stride"), shapes.weight_address
        )
        self._layout = StructLayout({name: min(size, shapes.fan_in_entry[name].width) for name, size in sizes.items()})
        super().__init__(spike_ports(shapes))

    def elaborate(self, platform):
        m = Module()
        block = StructLayout({"block": self.shapes.block, "block_last": 1, "step_last": 1})
        m.submodules.lists = lists = OperandList(self._entry, block, self.shapes.config.list_depth)
        requests = stream.Signature(StructLayout(PLACE)).create(path=("requests",))
        move, advance = Signal(), Signal()
        asking = self._pixels(m, requests, lists.commands)
        waiting, read, request, last_group = self._fetch(m, requests, move)
        walking, piece = self._pieces(m, read, request, last_group, move, advance)
        bits, placing = self._rows(m, walking, piece, advance)
        addressing = self._list(m, bits.items, lists.items)
        item, out = lists.out.p, self.spikes.p
        m.d.comb += [
            self.spikes.valid.eq(lists.out.valid),
            lists.out.ready.eq(self.spikes.ready),
            out.base.eq(item.entry.address),
            out.offset.eq(item.payload.block),
            out.nonzero.eq(~item.none & item.entry.spike),
            out.last.eq(item.last),
            out.block_last.eq(item.payload.block_last),
            out.step_last.eq(item.payload.step_last),
            self.busy.eq(asking | waiting | read | walking | placing | bits.busy | addressing | lists.busy),
        ]
        return m

    def _pixels(self, m, requests, commands):
        """Ask for the spikes of each pixel, and play them for each of its blocks; returns whether any are to come."""
        d = self.descriptor
        m.submodules.walk = walk = OutputWalk(self.shapes)
        m.submodules.asked = asked = Queue(StructLayout({"block": self.shapes.block, "last": 1}), PIXELS)
        seen, now, command = walk.pixels.p, asked.o.p, commands.p
        played, last_block = Signal(self.shapes.block), Signal(self.shapes.block)
        m.d.sync += last_block.eq(d.blocks - 1)
        m.d.comb += [
            walk.start.eq(self.start),
            walk.descriptor.eq(d),
            walk.times.eq(Mux(d.replay, 1, d.blocks)),
            walk.pixels.ready.eq(requests.ready & asked.i.ready),
            requests.valid.eq(walk.pixels.valid & asked.i.ready),
            *(requests.p[name].eq(seen[name]) for name in PLACE),
            asked.i.valid.eq(walk.pixels.valid & requests.ready),
            asked.i.p.block.eq(seen.time),
            asked.i.p.last.eq(seen.last),
            command.payload.block.eq(Mux(d.replay, played, now.block)),
            command.payload.block_last.eq(command.payload.block == last_block),
            command.payload.step_last.eq(now.last),
            command.final.eq(command.payload.block_last | ~d.replay),
            commands.valid.eq(asked.o.valid),
            asked.o.ready.eq(commands.ready & command.final),
        ]
        with m.If(commands.valid & commands.ready):
            m.d.sync += played.eq(Mux(command.final, 0, played + 1))
        return walk.busy | asked.o.valid

    def _fetch(self, m, requests, move):
        """Read the entry of each group of each request; returns what the table puts out now."""
        index, last = Signal(self.shapes.fan_in), Signal(self.shapes.fan_in, name="last_index")
        read, request, last_group = Signal(), Signal(StructLayout(PLACE)), Signal()
        ends = Signal()
        waiting, asked, free = half_rate_register(m, requests.valid, requests.p, move & ends, "request_held")
        m.d.sync += last.eq(self.descriptor.fan_in - 1)
        m.d.comb += [
            ends.eq(index == last),
            self.fan_in.address.eq(self.descriptor.fan_in_base + index),
            self.fan_in.enable.eq(move),
            requests.ready.eq(free),
        ]
        with m.If(move):
            m.d.sync += read.eq(waiting)
            with m.If(waiting):
                m.d.sync += [request.eq(asked), last_group.eq(ends), index.eq(Mux(ends, 0, index + 1))]
        return waiting, read, request, last_group

    def _pieces(self, m, read, request, last_group, move, advance):
        """Walk over the rows (and, with pooling, the pixels) that the kernel covers of one group."""
        d = self.descriptor
        entry = self.shapes.fan_in_entry(self.fan_in.data.as_value()[: self.shapes.fan_in_entry.size])
        piece = StructLayout({"group": self._layout, "final": 1, **PLACE})
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
        """Turn pieces into rows of bits, in steps of one multiplication or a short sum each."""
        shapes, d = self.shapes, self.descriptor
        address, bit = shapes.weight_address, shapes.tape_bit
        m.submodules.spikes = bits = RowLister(
            base=shapes.tape_address().size,
            words=shapes.config.tape_words,
            payload=StructLayout({"address": address, "low": 5}),
            parts=True,
        )
        kept = {"tape": shapes.tape_word, "channels": self._layout["channels"].width, "final": 1}
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
        row, word = Signal(bits.row), Signal(shapes.tape_word)
        m.d.comb += [
            word.eq(this.tape + this.start[5:]),
            row.base.eq(Cat(word, self.slot, self.step)),
            *(row[name].eq(value) for name, value in part_of_row(this.start, this.more).items()),
            row.final.eq(this.final),
            row.payload.address.eq(this.address),
            row.payload.low.eq(this.start[:5]),
        ]
        wiring.connect(m, bits.memory, wiring.flipped(self.tape))
        four, held, free = pipe_register(m, three, row, bits.rows.ready, "row")
        m.d.comb += [
            advance.eq(free),
            bits.rows.valid.eq(four),
            bits.rows.p.eq(held),
            bits.every.eq(self.skip_off),
        ]
        return bits, one | two | three | four

    def _list(self, m, found, items):
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
            item.number.eq(found.p.number - word.low),
            item.base.eq(word.address),
            item.spike.eq(found.p.hits[0]),
            item.none.eq(found.p.none),
            item.last.eq(found.p.last),
        ]
        one, this = lockstep_register(m, move, found.valid, item, "item")
        m.d.comb += [
            scaled.offset.eq(this.number * self.descriptor.blocks),
            *(scaled[name].eq(this[name]) for name in about),
        ]
        two, this = lockstep_register(m, move, one, scaled, "scaled")
        spike = Signal(items.p.shape())
        full, held, free = skid_buffer(m, two, spike, items.ready, "spike")
        m.d.comb += [
            spike.entry.address.eq(this.base + this.offset),
            spike.entry.spike.eq(this.spike),
            spike.none.eq(this.none),
            spike.last.eq(this.last),
            move.eq(free),
            items.valid.eq(full),
            items.p.eq(held),
        ]
        return one | two | full
