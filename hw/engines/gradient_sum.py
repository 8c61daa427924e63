# SPDX-License-Identifier: Apache-2.0
"""Adds a delta to a gradient: the arithmetic of a lane of the weight-gradient engines."""

from amaranth.hdl import Cat, Const, EnableInserter, Module, signed
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from backspike.hw.arith.term import FixedTerm

__all__ = ["GradientSum"]


class GradientSum(wiring.Component):
    """sum = gradient + delta, exactly, in units of ``2**fmt.lsb``, modulo the width of a gradient.

    The delta is taken while ``move`` is 1, which also moves the delta before it on; the gradient belongs to the delta
    that was taken two moves before, and ``sum`` is there a cycle after it.

    Parameters
    ----------
    shapes: Shapes

    Members
    -------
    move, delta, gradient, sum: as above
    """

    def __init__(self, shapes):
        self.shapes = shapes
        super().__init__(
            {
                "move": In(1),
                "delta": In(shapes.number),
                "gradient": In(signed(shapes.gradient_sum)),
                "sum": Out(signed(shapes.gradient_sum)),
            }
        )

    def elaborate(self, platform):
        m = Module()
        m.submodules.number = number = EnableInserter(self.move)(FixedTerm(self.shapes.config.format))
        # The carry enters a bit below the sum, so that one carry chain does.
        total = Cat(Const(1, 1), self.gradient).as_signed() + Cat(number.carry, number.term).as_signed()
        m.d.comb += [number.operand.eq(self.delta), number.nonzero.eq(1)]
        m.d.sync += self.sum.eq(total >> 1)
        return m
