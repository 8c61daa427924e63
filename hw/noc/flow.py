# SPDX-License-Identifier: Apache-2.0
"""Building blocks of the network: buffers that cut combinational paths, and a merger of packet streams."""

from amaranth.hdl import Cat, Module, Mux, Signal
from amaranth.lib import stream
from amaranth.lib.wiring import Component, In, Out

from backspike.hw.noc.flit import FLIT, FlitStream

__all__ = ["FlitBuffer", "FlitMerge", "round_begins", "select"]


class FlitBuffer(Component):
    """A queue of two flits with no combinational path from one side to the other.

    Parameters
    ----------
    layout : StructLayout
        Of a flit: ``FLIT`` or ``LINK``.

    Members
    -------
    i : In(Stream(layout))
    o : Out(Stream(layout))

    Latency is one cycle, throughput one flit per cycle. ``o`` and ``i.ready`` come from registers. Empty after reset.
    """

    def __init__(self, layout=FLIT):
        self.layout = layout
        super().__init__({"i": In(stream.Signature(layout)), "o": Out(stream.Signature(layout))})

    def elaborate(self, platform):
        m = Module()
        head = Signal(self.layout)
        spare = Signal(self.layout)
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
    """Several packet streams into one, a whole packet at a time, and as much for each sender behind them.

    Time is cut into rounds. A source (a single sender) may send one packet in a round of the output. Another input
    brings the packets of several senders in rounds of its own, and may send those of one of its rounds. An input that
    has more is late, and waits while another input has a packet that is not. If all who have a packet are late, the
    next round begins. So no sender has more than one packet in a round of any link, however far it is, and one
    that always has a packet has one in every round.

    Parameters
    ----------
    inputs : int
        Number of input streams, at least 1.
    sources : iterable of int
        Numbers of the inputs that are sources.

    Members
    -------
    i : In(FlitStream).array(inputs)
    begins : In(inputs)
        For each input that is no source: a round of this input begins, see :func:`round_begins`.
    o : Out(FlitStream)
    round : Out(1)
        Parity of the round of the packet that is at ``o``.

    ``o`` follows the chosen input in the same cycle. The choice comes from a register: it moves on when a packet ends
    or the chosen input has none. So a new input costs one cycle if the output was idle or waited for the rest of a
    round, and none if it was busy. The packets of one input follow each other without a gap. A packet that is first at
    its input waits for at most two packets of each sender behind the other inputs. What is offered stays offered until
    it is taken. Reset begins a round.

    Raises
    ------
    TypeError, ValueError: ``inputs`` is not a positive integer
    """

    def __init__(self, inputs, sources=()):
        if not isinstance(inputs, int) or isinstance(inputs, bool):
            raise TypeError(f"inputs must be an integer, not {inputs!r}")
        if inputs < 1:
            raise ValueError(f"inputs must be at least 1, not {inputs!r}")
        self.inputs = inputs
        self.sources = frozenset(sources)
        super().__init__(
            {
                "i": In(FlitStream).array(inputs),
                "begins": In(inputs),
                "o": Out(FlitStream),
                "round": Out(1),
            }
        )

    def elaborate(self, platform):
        m = Module()
        owner = Signal(range(self.inputs))
        m.d.comb += [
            self.o.payload.as_value().eq(select([i.payload.as_value() for i in self.i], owner)),
            self.o.valid.eq(select([i.valid for i in self.i], owner)),
            *(i.ready.eq(self.o.ready & (owner == n)) for n, i in enumerate(self.i)),
        ]
        ends = self.o.valid & self.o.ready & self.o.payload.last
        late, next_round = self._keep_rounds(m, owner, ends)
        self._choose(m, owner, ends, late, next_round)
        return m

    def _keep_rounds(self, m, owner, ends):
        """Which inputs have sent what they may send in this round, and whether the owner's packet begins the next."""
        late, done, parity, next_round = Signal(self.inputs), Signal(self.inputs), Signal(), Signal()
        # Only a header can be late, as a source's packet counts when it ends.
        m.d.comb += [
            late.eq(done | self.begins),
            next_round.eq(select(list(late), owner)),
            self.round.eq(parity ^ next_round),
        ]
        m.d.sync += done.eq(late)
        with m.If(self.o.valid & next_round):
            m.d.sync += [parity.eq(~parity), done.eq(0)]
        for n in self.sources:
            with m.If(ends & (owner == n)):
                m.d.sync += done[n].eq(1)
        return late, next_round

    def _choose(self, m, owner, ends, late, next_round):
        """The next owner: another input that has a packet and is not late; else the same."""
        inside = Signal()  # the owner's packet has begun
        with m.If(self.o.valid & self.o.ready):
            m.d.sync += inside.eq(~self.o.payload.last)
        # Nobody is late if the owner has nothing, or if its packet, which may be one flit, begins the next round.
        free = ~self.o.valid | next_round
        if self.inputs == 2:  # a source has had its turn, and there is only one other
            free |= select([n in self.sources for n in range(self.inputs)], owner)
        waiting = Cat(i.valid & (owner != n) & (~late[n] | free) for n, i in enumerate(self.i))
        chosen = Signal.like(owner)
        for n in reversed(range(self.inputs)):
            with m.If(waiting[n]):
                m.d.comb += chosen.eq(n)
        with m.If(Mux(self.o.valid, ends, ~inside) & waiting.any()):
            m.d.sync += owner.eq(chosen)


def round_begins(m, link, name):
    """Whether the flit at a link is of another round than the one before; in the first cycle of the flit only."""
    seen = Signal(name=f"{name}_round")
    with m.If(link.valid):
        m.d.sync += seen.eq(link.payload.round)
    return link.valid & (link.payload.round ^ seen)


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
