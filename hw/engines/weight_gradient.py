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
    """sum + 2**low carry = gradient + delta n, exactly, in units of ``2**fmt.lsb``, for the low part of a gradient.

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
    beyond: with ``sum``: carry = (beyond + 1) >> 1
    carries: with ``sum``: the carry is not 0
    """

    def __init__(self, shapes):
        self.shapes = shapes
        config = shapes.config
        self._number = CountedTerm(config.format, config.operand_bits) if shapes.traced else FixedTerm(config.format)
        self.latency = self._number.latency
        whole = max(shapes.gradient_low, len(self._number.term)) + 1
        super().__init__(
            {
                "move": In(1),
                "delta": In(shapes.number),
                **({"operand": In(shapes.config.operand_bits)} if shapes.traced else {}),
                "gradient": In(signed(shapes.gradient_low)),
                "clear": In(1),
                "sum": Out(signed(shapes.gradient_low)),
                "beyond": Out(signed(whole - shapes.gradient_low + 1)),
                "carries": Out(1),
            }
        )

    def elaborate(self, platform):
        m = Module()
        low, number = self.shapes.gradient_low, self._number
        m.submodules.number = EnableInserter(self.move)(number)
        # The carry enters a bit below the sum, so that one carry chain does.
        total = Cat(Const(1, 1), self.gradient).as_signed() + Cat(number.carry, number.term).as_signed()
        whole = Signal(signed(low - 1 + len(self.beyond)))
        m.d.comb += [
            number.operand.eq(self.delta),
            number.count.eq(self.operand) if self.shapes.traced else number.nonzero.eq(1),
            self.sum.eq(whole[:low]),
            self.beyond.eq(whole[low - 1 :].as_signed()),
            self.carries.eq(self.beyond.any() & ~self.beyond.all()),
        ]
        m.d.sync += whole.eq(Mux(self.clear, 0, total >> 1))  # the synchronous clear of the flip-flops
        return m


class GradientLanes(wiring.Component):
    """Reads gradients, adds deltas to them, writes them: for lanes that work on the same address.

    The low part of a gradient is read while its delta is shifted, then it is added to, then it is written; a term that
    would read what is being added to or written waits. Where the sum is beyond the low part, the high part follows at
    the same pace: it is read while the low part is written.

    Parameters
    ----------
    shapes: Shapes
    lanes: how many lanes work in lock step

    Members
    -------
    move: all terms move on; only while not ``waits``
    valid, hits, address: a term whose delta is being read: the lanes for which it counts, and its gradient
    deltas: of the term before the last move; operand: of its input, only in chips with operands of several bits
    gradients: ReadPort of the low parts, the lanes' banks at one address; it reads in each cycle
    new_gradients: WritePort of the banks at one address, a part for each lane
    highs, new_highs: of the high parts; read and written on a carry only
    terms: useful terms in this cycle
    carries: terms in this cycle that reach the high part
    clear: new gradients are 0 in the cycle after
    waits: a term has to wait
    busy: a gradient is not written

    A term each cycle, but two of the same gradient are three cycles apart. A low part is written 2 moves after the
    latency of a ``GradientSum``, a high part two cycles later.
    """

    def __init__(self, shapes, lanes):
        self.shapes, self.lanes = shapes, lanes
        address = shapes.weight_address
        low, high = (ArrayLayout(width, lanes) for width in (shapes.gradient_low, shapes.gradient_high))
        super().__init__(
            {
                "move": In(1),
                "valid": In(1),
                "hits": In(lanes),
                "address": In(address),
                "deltas": In(ArrayLayout(shapes.number, lanes)),
                **({"operand": In(shapes.config.operand_bits)} if shapes.traced else {}),
                "gradients": Out(ReadPort(address, low)),
                "new_gradients": Out(WritePort(address, low, parts=lanes)),
                "highs": Out(ReadPort(address, high)),
                "new_highs": Out(WritePort(address, high, parts=lanes)),
                "clear": In(1),
                "terms": Out(range(lanes + 1)),
                "carries": Out(range(lanes + 1)),
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
        carrying = self._carry(m, writing, sums)
        m.d.comb += [
            self.waits.eq(at_adding | at_writing),
            self.busy.eq(Cat(stage.lanes for stage in (*before, reading, adding, writing)).any() | carrying),
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

    def _carry(self, m, writing, sums):
        """Read, add to and write the high parts of what is written beyond the low part; returns whether any is under
        way.

        A term of the same gradient comes three cycles later, when the high part is written.
        """
        reading, adding, changing = (Signal(writing.shape(), name=f"{name}_high") for name in ("read", "add", "write"))
        m.d.comb += [
            reading.address.eq(writing.address),
            reading.lanes.eq(writing.lanes & Cat(lane.carries for lane in sums)),
            self.carries.eq(sum(reading.lanes)),
            self.highs.enable.eq(reading.lanes.any()),
            self.highs.address.eq(reading.address),
            self.new_highs.enable.eq(changing.lanes),
            self.new_highs.address.eq(changing.address),
        ]
        m.d.sync += [adding.eq(reading), changing.eq(adding)]
        for k, lane in enumerate(sums):
            beyond, high = (
                Signal.like(lane.beyond, name=f"beyond_{k}"),
                Signal(self.shapes.gradient_high, name=f"high_{k}"),
            )
            # (beyond + 1) >> 1 + high
            total = Cat(Const(1, 1), self.highs.data[k]) + beyond
            m.d.sync += [beyond.eq(lane.beyond), high.eq(Mux(self.clear, 0, total >> 1))]
            m.d.comb += self.new_highs.data[k].eq(high)
        return Cat(adding.lanes, changing.lanes).any()
