# SPDX-License-Identifier: Apache-2.0
"""Ternary update: errors that go back as spikes -1, 0 and 1 of neurons that integrate and fire."""

from amaranth.hdl import Cat, Const, Module, Mux, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from backspike.hw.core.update.elementwise_arbiter import (
    Client,
    request_layout,
    result_latency,
    result_layout,
    tag_layout,
)
from backspike.hw.ram import ReadPort, WritePort

__all__ = ["TernaryMemory", "TernaryUpdate"]


class TernaryMemory(wiring.Signature):
    """The memory of the ternary update: a potential of each neuron that errors charge."""

    def __init__(self, shapes):
        super().__init__(
            {
                "charges": Out(ReadPort(shapes.neuron, shapes.number)),
                "new_charges": Out(WritePort(shapes.neuron, shapes.number)),
            }
        )


class TernaryUpdate(wiring.Component):
    """p = round(p - q + g), then q = 1 if p >= 1/2, -1 if p <= -1/2, else 0, which is the neuron's delta.

    It stands between the delta update and the elementwise unit. Requests and results of frames of other kinds pass. A
    request of a frame in which ternary spikes go back is one term, g; the terms of p and q, which follows from p, are
    added to it, and the number q takes the place of the result. The first such frame of a sample, which is one behind a
    frame of another kind, starts from p = 0.

    A neuron takes three cycles, four where q is not 0.

    Parameters
    ----------
    shapes: Shapes

    Members
    -------
    back: ternary spikes go back in the frame
    slice, train, done: pulse: the backward thread has finished a frame of this slice, which was for training
    given, found: requests and results of the delta update
    request, result: to and from the elementwise unit
    memory: of p
    busy: a result is to come
    """

    def __init__(self, shapes):
        self.shapes = shapes
        request = stream.Signature(request_layout(shapes))
        super().__init__(
            {
                "back": In(1),
                "slice": In(shapes.slice),
                "train": In(1),
                "done": In(1),
                "given": In(request),
                "found": Out(result_layout(shapes)),
                "request": Out(request),
                "result": In(result_layout(shapes)),
                "memory": Out(TernaryMemory(shapes)),
                "busy": Out(1),
            }
        )

    def elaborate(self, platform):
        m = Module()
        begun = Signal(self.shapes.config.slices)  # by slice: the frame before was one of those
        with m.If(self.done):
            m.d.sync += begun.bit_select(self.slice, 1).eq(self.back & self.train)
        self._ask(m, begun.bit_select(self.slice, 1))
        self._answer(m)
        return m

    def _place(self, tag):
        """Address of a neuron's p."""
        config = self.shapes.config
        return Cat(tag.lane, tag.index) if config.lanes > 1 else tag.index

    def _spike(self, number):
        """Whether p spikes, and q if it does."""
        fmt = self.shapes.config.format
        return number[:-1] >= int(fmt.encode(0.5)), Cat(Const(int(fmt.encode(1.0)), fmt.width - 1), number[-1])

    def _ask(self, m, begun):
        """Pass on a term; in a frame back, then ask for p and -q besides, each times 1."""
        shapes, fmt, term = self.shapes, self.shapes.config.format, self.request.p
        reading, adding, resetting = Signal(), Signal(), Signal()  # p is being read; it is the term, -q is
        free, taken, follows = Signal(), Signal(), Signal()
        kept, tag = Signal(shapes.number), Signal(tag_layout(shapes))
        under_way = Signal(range(result_latency(shapes) + 2))  # cycles until the last result is written
        spikes, spike = self._spike(kept)
        m.d.comb += [
            free.eq(~(reading | adding | resetting)),
            taken.eq(self.request.valid & self.request.ready),
            follows.eq(Mux(free, self.back, adding & spikes)),
            self.memory.charges.enable.eq(1),
            self.memory.charges.address.eq(self._place(self.given.p.tag)),
            self.given.ready.eq(free & self.request.ready),
            self.request.valid.eq(Mux(free, self.given.valid, ~reading)),
            term.eq(self.given.p),
            term.last.eq(Mux(free, self.given.p.last, 1) & ~follows),
            self.busy.eq(~free | under_way.any()),
        ]
        with m.If(~free):
            m.d.comb += [
                term.a.eq(Mux(resetting, spike ^ (1 << fmt.width - 1), kept)),
                term.b.eq(int(fmt.encode(1.0))),
                term.product.eq(1),
                term.add.eq(0),
                term.tag.eq(tag),
            ]
        m.d.sync += reading.eq(free & taken & self.back)
        with m.If(reading):
            m.d.sync += [kept.eq(Mux(begun, self.memory.charges.data, 0)), adding.eq(1)]
        with m.Elif(taken):
            m.d.sync += [adding.eq(0), resetting.eq(adding & spikes)]
        with m.If(free & taken):
            m.d.sync += tag.eq(self.given.p.tag)
        with m.If(taken & term.last):
            m.d.sync += under_way.eq(result_latency(shapes) + 1)
        with m.Elif(under_way.any()):
            m.d.sync += under_way.eq(under_way - 1)

    def _answer(self, m):
        """Pass on a result; in a frame back, keep p and pass on q."""
        here = Signal()
        new = self.memory.new_charges
        spikes, spike = self._spike(self.result.value)
        m.d.comb += [
            here.eq(self.back & (self.result.tag.client == Client.DELTA)),
            self.found.eq(self.result),
            new.enable.eq(here & self.result.valid),
            new.address.eq(self._place(self.result.tag)),
            new.data.eq(self.result.value),
        ]
        with m.If(here):
            m.d.comb += self.found.value.eq(Mux(spikes, spike, 0))
