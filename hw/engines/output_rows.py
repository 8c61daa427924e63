# SPDX-License-Identifier: Apache-2.0
"""What an input pixel sees of the outputs, as rows of bits."""

from amaranth.hdl import Module, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.data import StructLayout
from amaranth.lib.wiring import In, Out

from backspike.hw.blocks import lockstep_register
from backspike.hw.engines.rows import part_of_row
from backspike.hw.engines.walks import input_pixel

__all__ = ["OutputRows"]


class OutputRows(wiring.Component):
    """The output pixels that see an input pixel, one row of bits for each, and the taps through which they see it.

    Parameters
    ----------
    shapes: Shapes

    Members
    -------
    requests: stream of pixels as from ``InputWalk``
    descriptor: of the job; row_stride, tap_stride: of its group of inputs
    rows: stream of {word, end, low, high, exists, final, step, start, address}: a row as of a ``RowReader``, with the
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
                *(row[name].eq(value) for name, value in part_of_row(this.start, more).items()),
                *(row[name].eq(this[name]) for name in (*self.kept, "start", "address")),
            ]
        return one | two | three
