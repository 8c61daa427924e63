# SPDX-License-Identifier: Apache-2.0
"""Walks over the output pixels and over the input pixels of a slice."""

from amaranth.hdl import Array, Module, Mux, Signal, signed
from amaranth.lib import stream, wiring
from amaranth.lib.data import StructLayout
from amaranth.lib.wiring import In, Out

__all__ = ["PLACE", "InputWalk", "OutputWalk", "input_pixel", "output_pixel"]

PLACE = {"ky": 4, "row": 7, "kx": 4, "column": 7}
"""First row and column of the kernel that are not in the padding, and the row and column of the input there."""

COORDINATE = signed(10)
"""A row or column of the padded input."""


def output_pixel(shapes):
    """What an ``OutputWalk`` says of a pixel."""
    return StructLayout({"time": shapes.block, "last": 1, **PLACE})


def input_pixel(shapes):
    """What an ``InputWalk`` says of a pixel."""
    axis = StructLayout({"place": 8, "tap": 2})
    return StructLayout({"step": shapes.step, "first": shapes.tape_bit, "row": axis, "column": axis})


class OutputWalk(wiring.Component):
    """All output pixels, one each cycle.

    Parameters
    ----------
    shapes: Shapes

    Members
    -------
    start: pulse; descriptor and times are stable until ``busy`` falls
    times: how often each pixel comes in a row
    pixels: stream of {time, last, ky, row, kx, column}: ``last`` pixel; the first row and column of the kernel that are
        not in the padding, and what they see of the unpooled input
    busy: pixels are still to come
    """

    def __init__(self, shapes):
        self.pixel = output_pixel(shapes)
        super().__init__(
            {
                "start": In(1),
                "descriptor": In(shapes.descriptor),
                "times": In(13),
                "pixels": Out(stream.Signature(self.pixel)),
                "busy": Out(1),
            }
        )

    def elaborate(self, platform):
        m = Module()
        d, out = self.descriptor, self.pixels.p
        x, y = Signal.like(d.out_width, name="x"), Signal.like(d.out_height, name="y")  # pixels that follow
        time, last_time = Signal.like(out.time, name="time"), Signal.like(out.time, name="last_time")
        # First row and column that the kernel covers, of the pooled and of the unpooled input, negative in the padding
        top, left, top_in, left_in = (Signal(COORDINATE, name=name) for name in ("top", "left", "top_in", "left_in"))
        hop, edge = Signal(8), Signal(8)
        m.d.sync += [hop.eq(d.stride * d.pool), edge.eq(d.padding * d.pool), last_time.eq(self.times - 1)]
        walking, beginning, advance = Signal(), Signal(), Signal()
        right, bottom = x == 0, y == 0
        m.d.comb += [
            advance.eq(~self.pixels.valid | self.pixels.ready),
            self.busy.eq(walking | self.pixels.valid),
        ]
        with m.If(advance):
            m.d.sync += [
                self.pixels.valid.eq(walking & ~beginning),
                out.time.eq(time),
                out.last.eq(right & bottom),
                out.ky.eq(Mux(top < 0, -top, 0)),
                out.row.eq(Mux(top < 0, 0, top_in)),
                out.kx.eq(Mux(left < 0, -left, 0)),
                out.column.eq(Mux(left < 0, 0, left_in)),
            ]
        leftmost = [x.eq(d.out_width - 1), left.eq(-d.padding), left_in.eq(-edge)]
        with m.If(self.start):
            m.d.sync += [walking.eq(1), beginning.eq(1)]
        with m.Elif(beginning):
            m.d.sync += [beginning.eq(0), time.eq(0), *leftmost]
            m.d.sync += [y.eq(d.out_height - 1), top.eq(-d.padding), top_in.eq(-edge)]
        with m.Elif(walking & advance):
            with m.If(time != last_time):
                m.d.sync += time.eq(time + 1)
            with m.Else():
                m.d.sync += time.eq(0)
                with m.If(~right):
                    m.d.sync += [x.eq(x - 1), left.eq(left + d.stride), left_in.eq(left_in + hop)]
                with m.Else():
                    m.d.sync += [*leftmost, y.eq(y - 1), top.eq(top + d.stride), top_in.eq(top_in + hop)]
                    with m.If(bottom):
                        m.d.sync += walking.eq(0)
        return m


class InputWalk(wiring.Component):
    """All input pixels of each step, one each cycle; a step that is not active takes one cycle.

    Parameters
    ----------
    shapes: Shapes

    Members
    -------
    start: pulse; descriptor, active_steps and channels are stable until ``busy`` falls
    active_steps: by step: whether its pixels are wanted
    channels: bits from one pixel to the next
    pixels: stream of {step, first, row, column}: number of the pixel's first bit; ``row`` and ``column`` are {place,
        tap}: the last output row that could see the pixel, and the row of the kernel through which it would
    busy: pixels are still to come
    """

    def __init__(self, shapes):
        self.pixel = input_pixel(shapes)
        super().__init__(
            {
                "start": In(1),
                "descriptor": In(shapes.descriptor),
                "active_steps": In(shapes.config.steps),
                "channels": In(14),
                "pixels": Out(stream.Signature(self.pixel)),
                "busy": Out(1),
            }
        )

    def elaborate(self, platform):
        m = Module()
        d, now = self.descriptor, Signal(self.pixel)
        x, y = Signal.like(d.in_width, name="x"), Signal.like(d.in_height, name="y")  # pixels that follow
        origin = Signal(now.row.shape())
        with m.Switch(d.stride):
            for stride in range(1, 5):
                with m.Case(stride):
                    m.d.sync += [
                        origin.place.eq(Array(p // stride for p in range(8))[d.padding]),
                        origin.tap.eq(Array(p % stride for p in range(8))[d.padding]),
                    ]
        # Pixels that follow within a pooling field
        columns, rows = Signal.like(d.pool, name="columns"), Signal.like(d.pool, name="rows")
        last_step = Signal.like(now.step)
        m.d.sync += last_step.eq(d.steps - 1)
        walking, beginning, found, advance = Signal(), Signal(), Signal(), Signal()
        active = self.active_steps.bit_select(now.step, 1)
        m.d.comb += [
            found.eq(walking & ~beginning & active),
            advance.eq(~self.pixels.valid | self.pixels.ready),
            self.busy.eq(walking | self.pixels.valid),
        ]
        with m.If(advance):
            m.d.sync += [self.pixels.valid.eq(found), self.pixels.p.eq(now)]

        def follow(axis, within):
            """The next pixel of an axis."""
            m.d.sync += within.eq(within - 1)
            with m.If(within == 0):
                m.d.sync += [within.eq(d.pool - 1), axis.tap.eq(axis.tap + 1)]
                with m.If(axis.tap + 1 == d.stride):
                    m.d.sync += [axis.tap.eq(0), axis.place.eq(axis.place + 1)]

        def leftmost():
            return [x.eq(d.in_width - 1), columns.eq(d.pool - 1), now.column.eq(origin)]

        def corner():
            return [*leftmost(), y.eq(d.in_height - 1), rows.eq(d.pool - 1), now.row.eq(origin), now.first.eq(0)]

        with m.If(self.start):
            m.d.sync += [walking.eq(1), beginning.eq(1)]
        with m.Elif(beginning):
            m.d.sync += [beginning.eq(0), now.step.eq(0), *corner()]
        with m.Elif(walking & (advance | ~active)):
            m.d.sync += now.first.eq(now.first + self.channels)
            with m.If(active & (x != 0)):
                m.d.sync += x.eq(x - 1)
                follow(now.column, columns)
            with m.Elif(active & (y != 0)):
                m.d.sync += [*leftmost(), y.eq(y - 1)]
                follow(now.row, rows)
            with m.Else():
                m.d.sync += [*corner(), now.step.eq(now.step + 1)]
                with m.If(now.step == last_step):
                    m.d.sync += walking.eq(0)
        return m
