# SPDX-License-Identifier: Apache-2.0
"""Lanes of the weight-gradient engine: G += delta n, exactly."""

from itertools import pairwise

from amaranth.hdl import Cat, Const, EnableInserter, Module, Mux, Signal, signed
from amaranth.lib import wiring
from amaranth.lib.data import ArrayLayout, StructLayout
from amaranth.lib.wiring import In, Out

from backspike.hw.arith.term import CountedTerm, FixedTerm
from backspike.hw.ram import ReadPort, WritePort

__all__ = ["GradientLanes", "GradientSum"]


class GradientSum(wiring.Component):
    """sum = gradient + delta n, exactly, in units of ``2**fmt.lsb``, modulo the width of a gradient.

    The delta is taken while ``move`` is 1, which also moves the delta before it on; the gradient belongs to the delta
    that was taken ``latency`` moves before, and ``sum`` is there a cycle after it.

    Parameters
    ----------
    shapes: Shapes

    Attributes
    ----------
    latency: 2, or 3 in chips with operands of several bits

    Members
    -------
    move, delta, gradient, sum: as above
    operand: n, taken with the delta; only in those chips, and else 1
    clear: ``sum`` is 0 in the cycle after
    """

    def __init__(self, shapes):
        self.shapes = shapes
        self.latency = CountedTerm.latency if shapes.traced else FixedTerm.latency
        super().__init__(
            {
                "move": In(1),
                "delta": In(shapes.number),
                **({"operand": In(shapes.config.operand_bits)} if shapes.traced else {}),
                "gradient": In(signed(shapes.gradient_sum)),
                "clear": In(1),
                "sum": Out(signed(shapes.gradient_sum)),
            }
        )

    def elaborate(self, platform):
        m = Module()
        config = self.shapes.config
        number = CountedTerm(config.format, config.operand_bits) if self.shapes.traced else FixedTerm(config.format)
        m.submodules.number = EnableInserter(self.move)(number)
        # The carry enters a bit below the sum, so that one carry chain does.
        total = Cat(Const(1, 1), self.gradient).as_signed() + Cat(number.carry, number.term).as_signed()
        m.d.comb += [
            number.operand.eq(self.delta),
            number.count.eq(self.operand) if self.shapes.traced else number.nonzero.eq(1),
        ]
        m.d.sync += self.sum.eq(Mux(self.clear, 0, total >> 1))  # the synchronous clear of the flip-flops
        return m


class GradientLanes(wiring.Component):
    """Reads gradients, adds deltas to them, writes them: for lanes that work on the same address.

    A gradient is read while its delta is shifted, then it is added to, then it is written. A term that would read what
    is being added to or written waits.

    Parameters
    ----------
    shapes: Shapes
    lanes: how many lanes work in lock step

    Members
    -------
    move: all terms move on; only while not ``waits``
    valid, hits, address: a term whose delta is being read: the lanes for which it counts, and its gradient
    deltas: of the term before the last move; operand: of its input, only in chips with operands of several bits
    gradients: ReadPort of the lanes' banks at one address; it reads in each cycle
    new_gradients: WritePort of the banks at one address, a part for each lane
    terms: useful terms in this cycle
    clear: new gradients are 0 in the cycle after
    waits: a term has to wait
    busy: a gradient is not written

    A term each cycle, but two of the same gradient are three cycles apart. A gradient is written 2 moves after the
    latency of a ``GradientSum``.
    """

    def __init__(self, shapes, lanes):
        self.shapes, self.lanes = shapes, lanes
        totals = ArrayLayout(shapes.gradient_sum, lanes)
        super().__init__(
            {
                "move": In(1),
                "valid": In(1),
                "hits": In(lanes),
                "address": In(shapes.weight_address),
                "deltas": In(ArrayLayout(shapes.number, lanes)),
                **({"operand": In(shapes.config.operand_bits)} if shapes.traced else {}),
                "gradients": Out(ReadPort(shapes.weight_address, totals)),
                "new_gradients": Out(WritePort(shapes.weight_address, totals, parts=lanes)),
                "clear": In(1),
                "terms": Out(range(lanes + 1)),
                "waits": Out(1),
                "busy": Out(1),
            }
        )

    def elaborate(self, platform):
        m = Module()
        place = StructLayout({"address": self.shapes.weight_address, "lanes": self.lanes})
        # The delta comes, and is multiplied; the gradient is read; it is added to; it is written.
        sums = [GradientSum(self.shapes) for _ in range(self.lanes)]
        names = ("coming", "multiplied")[: sums[0].latency - 1]
        *before, reading, adding, writing = (
            Signal(place, name=name) for name in (*names, "reading", "adding", "writing")
        )
        coming, next_one = before[0], before[-1]
        at_adding, at_writing = Signal(), Signal()  # what is to be read is being added to, or written
        with m.If(self.move):
            m.d.sync += [
                coming.address.eq(self.address),
                coming.lanes.eq(Mux(self.valid, self.hits, 0)),
                *(stage.eq(last) for last, stage in pairwise((*before, reading))),
                at_adding.eq(next_one.lanes.any() & reading.lanes.any() & (next_one.address == reading.address)),
                at_writing.eq(next_one.lanes.any() & adding.lanes.any() & (next_one.address == adding.address)),
            ]
        with m.Else():
            m.d.sync += [at_adding.eq(0), at_writing.eq(at_adding)]
        m.d.sync += [
            adding.address.eq(reading.address),
            adding.lanes.eq(Mux(self.move, reading.lanes, 0)),
            writing.eq(adding),
        ]
        m.d.comb += [
            self.waits.eq(at_adding | at_writing),
            self.busy.eq(Cat(stage.lanes for stage in (*before, reading, adding, writing)).any()),
            self.terms.eq(sum(Mux(self.move, reading.lanes, 0))),
            self.gradients.address.eq(reading.address),
            self.gradients.enable.eq(1),
            self.new_gradients.address.eq(writing.address),
            self.new_gradients.enable.eq(writing.lanes),
        ]
        for k, lane in enumerate(sums):
            m.submodules[f"sum_{k}"] = lane
            m.d.comb += [
                lane.move.eq(self.move),
                lane.clear.eq(self.clear),
                lane.delta.eq(self.deltas[k]),
                *([lane.operand.eq(self.operand)] if self.shapes.traced else []),
                lane.gradient.eq(self.gradients.data[k]),
                self.new_gradients.data[k].eq(lane.sum),
            ]
        return m
