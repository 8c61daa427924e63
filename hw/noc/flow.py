# SPDX-License-Identifier: Apache-2.0
"""Building blocks of the network: buffers that cut combinational paths, and a merger of packet streams."""

from amaranth.hdl import Module, Mux, Signal
from amaranth.lib.wiring import Component, In, Out

from backspike.hw.noc.flit import FLIT, FlitStream

__all__ = ["FlitBuffer", "FlitMerge", "select"]


class FlitBuffer(Component):
    """A queue of two flits with no combinational path from one side to the other.

    Members
    -------
    i : In(FlitStream)
    o : Out(FlitStream)

    Latency is one cycle, throughput one flit per cycle. ``o`` and ``i.ready`` come from registers. Empty after reset.
    """

    i: In(FlitStream)
    o: Out(FlitStream)

    def elaborate(self, platform):
        m = Module()
        head = Signal(FLIT)
        spare = Signal(FLIT)
        spared = Signal()
        m.d.comb += [self.i.ready.eq(~spared), self.o.payload.eq(head)]
        with m.If(self.o.ready | ~self.o.valid):
            m.d.sync += [
                head.eq(Mux(spared, spare, self.i.payload)),
                self.o.valid.eq(spared | self.i.valid),
                spared.eq(0),
            ]
        with m.Elif(~spared):
            m.d.sync += spared.eq(self.i.valid)
        with m.If(~spared):
            m.d.sync += spare.eq(self.i.payload)
        return m


class FlitMerge(Component):
    """Several packet streams into one, a whole packet at a time, round robin between packets.

    Parameters
    ----------
    inputs : int
        Number of input streams, at least 1.

    Members
    -------
    i : In(FlitStream).array(inputs)
    o : Out(FlitStream)

    ``o`` follows the chosen input in the same cycle. The choice comes from a register: it moves on when a packet ends
    or the chosen input has none, so that a new input costs one cycle if the output was idle and none if it was busy,
    and the packets of one input follow each other without a gap. An input waits for at most one packet of each other
    input. What is offered stays offered until it is taken.

    Raises
    ------
    TypeError, ValueError: ``inputs`` is not a positive integer
    """

    def __init__(self, inputs):
        if not isinstance(inputs, int) or isinstance(inputs, bool):
            raise TypeError(f"inputs must be an integer, not {inputs!r}")
        if inputs < 1:
            raise ValueError(f"inputs must be at least 1, not {inputs!r}")
        self.inputs = inputs
        super().__init__({"i": In(FlitStream).array(inputs), "o": Out(FlitStream)})

    def elaborate(self, platform):
        m = Module()
        owner = Signal(range(self.inputs))
        inside = Signal()  # the owner's packet has begun
        m.d.comb += [
            self.o.payload.as_value().eq(select([i.payload.as_value() for i in self.i], owner)),
            self.o.valid.eq(select([i.valid for i in self.i], owner)),
            *(i.ready.eq(self.o.ready & (owner == n)) for n, i in enumerate(self.i)),
        ]
        ends = self.o.ready & self.o.payload.last
        with m.If(self.o.valid & self.o.ready):
            m.d.sync += inside.eq(~self.o.payload.last)
        with m.If(Mux(self.o.valid, ends, ~inside)), m.Switch(owner):
            for n in range(self.inputs):
                with m.Case(n) if n < self.inputs - 1 else m.Default():
                    self._choose_after(m, n, owner)
        return m

    def _choose_after(self, m, n, owner):
        """The next input after ``n`` that has a packet; ``n`` again if there is none."""
        for distance in range(self.inputs - 1, 0, -1):
            other = (n + distance) % self.inputs
            with m.If(self.i[other].valid):
                m.d.sync += owner.eq(other)


def select(values, index):
    """``values[index]`` as a tree of two-way multiplexers, which maps to half the LUTs of a ``Switch``.

    A value of None is never asked for, nor is one behind the last.
    """
    if len(values) == 1:
        return values[0]
    pairs = [(values[n], values[n + 1] if n + 1 < len(values) else None) for n in range(0, len(values), 2)]
    return select(
        [high if low is None else low if high is None else Mux(index[0], high, low) for low, high in pairs], index[1:]
    )
