# SPDX-License-Identifier: Apache-2.0
"""A lane of the weight-gradient engine: adds deltas to exact sums in memory."""

from amaranth.hdl import Module, Signal, signed
from amaranth.lib import stream, wiring
from amaranth.lib.data import StructLayout
from amaranth.lib.wiring import In, Out

from backspike.hw.engines.gradient_sum import GradientSum

__all__ = ["GradientLane"]


class GradientLane(wiring.Component):
    """G += delta, one term each cycle; a term waits while one of the two before it has the same gradient.

    Parameters
    ----------
    shapes: Shapes
    entry: shape {address, spike} of a spike: address of its weights' first block

    Members
    -------
    terms: stream of {entry, payload, none, first, last} as a ``Replay`` plays it; ``payload`` is {block, address, hit}:
        block of the output in the slice, place of its delta, and whether that is not zero
    delta_address, delta_enable, delta: delta memory, one cycle of latency
    read_address, read_enable, gradient: gradient bank, one cycle of latency
    write_address, write_enable, sum: its write port, two cycles after the read
    term: a useful term is issued; stalled: a term has to wait
    busy: something is inside
    """

    def __init__(self, shapes, entry):
        self.shapes = shapes
        self.delta_place = StructLayout({"block": shapes.block, "address": shapes.delta_address(), "hit": 1})
        played = StructLayout({"entry": entry, "payload": self.delta_place, "none": 1, "first": 1, "last": 1})
        super().__init__(
            {
                "terms": In(stream.Signature(played)),
                "delta_address": Out(shapes.delta_address()),
                "delta_enable": Out(1),
                "delta": In(shapes.number),
                "read_address": Out(shapes.weight_address),
                "read_enable": Out(1),
                "gradient": In(signed(shapes.gradient_sum)),
                "write_address": Out(shapes.weight_address),
                "write_enable": Out(1),
                "sum": Out(signed(shapes.gradient_sum)),
                "term": Out(1),
                "stalled": Out(1),
                "busy": Out(1),
            }
        )

    def elaborate(self, platform):
        m = Module()
        shapes = self.shapes
        place = StructLayout({"valid": 1, "address": shapes.weight_address})
        # Each place is a stage: the delta is read, waits as a number, is shifted while the gradient is read, is added.
        fetched, asked, reading, adding = (
            Signal(place, name=name) for name in ("fetched", "asked", "reading", "adding")
        )
        given, conflict, go, free = self.terms.p, Signal(), Signal(), Signal()
        at_reading, at_adding = Signal(), Signal()  # what is asked for is being read, or added to
        m.submodules.adder = adder = GradientSum(shapes)
        # A gradient that is read in the cycle in which it is written would have its old value.
        m.d.comb += [
            conflict.eq(at_reading | at_adding),
            go.eq(asked.valid & ~conflict),
            free.eq(~(asked.valid & conflict)),
            self.stalled.eq(~free),
            self.terms.ready.eq(free),
            self.delta_address.eq(given.payload.address),
            self.delta_enable.eq(free),
            adder.move.eq(free),
            adder.delta.eq(self.delta),
            adder.gradient.eq(self.gradient),
            self.sum.eq(adder.sum),
            self.read_address.eq(asked.address),
            self.read_enable.eq(1),
            self.term.eq(go),
            self.write_address.eq(adding.address),
            self.write_enable.eq(adding.valid),
            self.busy.eq(self.terms.valid | fetched.valid | asked.valid | reading.valid | adding.valid),
        ]
        with m.If(free):
            # What is no term ends here.
            useful = ~given.none & given.entry.spike & given.payload.hit
            m.d.sync += [
                fetched.valid.eq(self.terms.valid & useful),
                fetched.address.eq(given.entry.address + given.payload.block),
                asked.eq(fetched),
                at_reading.eq(fetched.valid & asked.valid & (fetched.address == asked.address)),
                at_adding.eq(fetched.valid & reading.valid & (fetched.address == reading.address)),
            ]
        with m.Else():
            m.d.sync += [at_reading.eq(0), at_adding.eq(at_reading)]
        m.d.sync += [reading.valid.eq(go), reading.address.eq(asked.address), adding.eq(reading)]
        return m
