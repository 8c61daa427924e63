# SPDX-License-Identifier: Apache-2.0
"""Walks over the output pixels and over the input pixels of a slice."""

from amaranth.hdl import Array, Module, Signal, signed
from amaranth.lib import stream, wiring
from amaranth.lib.data import StructLayout
from amaranth.lib.wiring import In, Out

__all__ = ["COORDINATE", "InputWalk", "OutputWalk", "input_pixel", "output_pixel"]

COORDINATE = signed(10)
"""A row or column of the padded input."""


def output_pixel(shapes):
    """What an ``OutputWalk`` says of a pixel."""
    return StructLayout({
        "round": shapes.groups, "step": shapes.step, "time": 13, "last": 1,
        **dict.fromkeys(("top", "left", "top_in", "left_in"), COORDINATE)})


def input_pixel(shapes):
    """What an ``InputWalk`` says of a pixel."""
    axis = StructLayout({"place": 8, "tap": 2})
    return StructLayout({"step": shapes.step, "first": 14, "row": axis, "column": axis})


class OutputWalk(wiring.Component):
    """All output pixels for some steps of each round, one each cycle; a step that is not live takes one cycle.

    Parameters
    ----------
    shapes: Shapes

    Members
    -------
    start: pulse; descriptor, live, rounds, first_step, steps, times are stable until ``busy`` falls
    live: by step: whether its pixels are wanted
    rounds: number of rounds; first_step, steps: steps of each; times: how often each pixel comes in a row
    pixels: stream of {round, step, time, top, left, top_in, left_in, last}: the first row and column that the kernel
        covers, of the pooled and of the unpooled input, negative in the padding; ``last`` pixel of the step
    busy: pixels are still to come
    """

    def __init__(self, shapes):
        self.pixel = output_pixel(shapes)
        super().__init__({
            "start": In(1),
            "descriptor": In(shapes.descriptor),
            "live": In(shapes.config.steps),
            "rounds": In(8),
            "first_step": In(shapes.step),
            "steps": In(5),
            "times": In(13),
            "pixels": Out(stream.Signature(self.pixel)),
            "busy": Out(1),
        })

    def elaborate(self, platform):
        m = Module()
        d, now = self.descriptor, Signal(self.pixel)
        x, y = Signal.like(d.out_width, name="x"), Signal.like(d.out_height, name="y")
        hop, edge = d.stride * d.pool, d.padding * d.pool
        right, bottom = x + 1 == d.out_width, y + 1 == d.out_height
        live = self.live.bit_select(now.step, 1)
        m.d.comb += [
            self.pixels.valid.eq(self.busy & live),
            self.pixels.p.eq(now),
            self.pixels.p.last.eq(right & bottom),
        ]

        def leftmost():
            return [x.eq(0), now.left.eq(-d.padding), now.left_in.eq(-edge)]

        def corner():
            return [*leftmost(), y.eq(0), now.top.eq(-d.padding), now.top_in.eq(-edge)]

        with m.If(self.start):
            m.d.sync += [self.busy.eq(1), now.round.eq(0), now.step.eq(self.first_step), now.time.eq(0), *corner()]
        with m.Elif(self.busy & (self.pixels.ready | ~live)):
            with m.If(live & (now.time + 1 != self.times)):
                m.d.sync += now.time.eq(now.time + 1)
            with m.Else():
                m.d.sync += now.time.eq(0)
                with m.If(live & ~right):
                    m.d.sync += [x.eq(x + 1), now.left.eq(now.left + d.stride), now.left_in.eq(now.left_in + hop)]
                with m.Elif(live & ~bottom):
                    m.d.sync += [*leftmost(), y.eq(y + 1), now.top.eq(now.top + d.stride),
                                 now.top_in.eq(now.top_in + hop)]
                with m.Else():
                    m.d.sync += [*corner(), now.step.eq(now.step + 1)]
                    with m.If(now.step + 1 == self.first_step + self.steps):
                        m.d.sync += [now.step.eq(self.first_step), now.round.eq(now.round + 1),
                                     self.busy.eq(now.round + 1 != self.rounds)]
        return m


class InputWalk(wiring.Component):
    """All input pixels of each step, one each cycle; a step that is not live takes one cycle.

    Parameters
    ----------
    shapes: Shapes

    Members
    -------
    start: pulse; descriptor, live and channels are stable until ``busy`` falls
    live: by step: whether its pixels are wanted
    channels: bits of a pixel
    pixels: stream of {step, first, row, column}: number of the pixel's first bit; ``row`` and ``column`` are {place,
        tap}: the last output row that could see the pixel, and the row of the kernel through which it would
    busy: pixels are still to come
    """

    def __init__(self, shapes):
        self.pixel = input_pixel(shapes)
        super().__init__({
            "start": In(1),
            "descriptor": In(shapes.descriptor),
            "live": In(shapes.config.steps),
            "channels": In(14),
            "pixels": Out(stream.Signature(self.pixel)),
            "busy": Out(1),
        })

    def elaborate(self, platform):
        m = Module()
        d, now = self.descriptor, Signal(self.pixel)
        x, y = Signal.like(d.in_width, name="x"), Signal.like(d.in_height, name="y")
        right, bottom = x + 1 == d.in_width, y + 1 == d.in_height
        origin = Signal(now.row.shape())
        with m.Switch(d.stride):
            for stride in range(1, 5):
                with m.Case(stride):
                    m.d.comb += [origin.place.eq(Array(p // stride for p in range(8))[d.padding]),
                                 origin.tap.eq(Array(p % stride for p in range(8))[d.padding])]
        columns, rows = Signal.like(d.pool, name="columns"), Signal.like(d.pool, name="rows")  # within a pooling field
        live = self.live.bit_select(now.step, 1)
        m.d.comb += [self.pixels.valid.eq(self.busy & live), self.pixels.p.eq(now)]

        def follow(axis, within):
            """The next pixel of an axis."""
            m.d.sync += within.eq(within + 1)
            with m.If(within + 1 == d.pool):
                m.d.sync += [within.eq(0), axis.tap.eq(axis.tap + 1)]
                with m.If(axis.tap + 1 == d.stride):
                    m.d.sync += [axis.tap.eq(0), axis.place.eq(axis.place + 1)]

        def leftmost():
            return [x.eq(0), columns.eq(0), now.column.eq(origin)]

        def corner():
            return [*leftmost(), y.eq(0), rows.eq(0), now.row.eq(origin), now.first.eq(0)]

        with m.If(self.start):
            m.d.sync += [self.busy.eq(1), now.step.eq(0), *corner()]
        with m.Elif(self.busy & (self.pixels.ready | ~live)):
            m.d.sync += now.first.eq(now.first + self.channels)
            with m.If(live & ~right):
                m.d.sync += x.eq(x + 1)
                follow(now.column, columns)
            with m.Elif(live & ~bottom):
                m.d.sync += [*leftmost(), y.eq(y + 1)]
                follow(now.row, rows)
            with m.Else():
                m.d.sync += [*corner(), now.step.eq(now.step + 1), self.busy.eq(now.step + 1 != d.steps)]
        return m
