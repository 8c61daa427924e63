# SPDX-License-Identifier: Apache-2.0
"""Plays lists: the inner loops of the engines, which fetch the operands of a term in two or three cycles."""

from amaranth.hdl import Module, Mux, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from backspike.hw.sequential.instructions import WORD_BITS, Op

__all__ = ["ListPlayer"]


class ListPlayer(wiring.Component):
    """Goes through the entries of a list in the memory.

    What it does with them is said by FORWARD, ERRORS and GRADIENT in :mod:`backspike.hw.sequential.instructions`; they
    take 2, 3, and 2 + 3 ``words`` cycles for each entry, and a few more.

    Parameters
    ----------
    words: memory words of a gradient, at least 2
    one: the stored number 1

    Members
    -------
    set, first, end: the list is from ``first`` to before ``end``
    start, op, base: play it; ``base`` is added to the entries
    busy: it is being played; done: in its last cycle
    address, write, written, read: as of the processor
    part, fixed: which word of the delta is wanted, and in the next cycle that word
    term, a, b: a term for the lane
    """

    def __init__(self, words, one):
        self.words, self.one = words, one
        super().__init__({
            "set": In(1),
            "first": In(WORD_BITS),
            "end": In(WORD_BITS),
            "start": In(1),
            "op": In(Op),
            "base": In(WORD_BITS),
            "busy": Out(1),
            "done": Out(1),
            "address": Out(WORD_BITS),
            "write": Out(1),
            "written": Out(WORD_BITS),
            "read": In(WORD_BITS),
            "part": Out(range(words)),
            "fixed": In(WORD_BITS),
            "term": Out(1),
            "a": Out(WORD_BITS),
            "b": Out(WORD_BITS),
        })

    def elaborate(self, platform):
        m = Module()
        at, end, base = Signal(WORD_BITS), Signal(WORD_BITS), Signal(WORD_BITS)
        place, factor = Signal(WORD_BITS), Signal(WORD_BITS)  # of what an entry names; what follows an entry of ERRORS
        total = Signal(WORD_BITS + 1)  # a word of a gradient, and its carry
        forward, errors = self.op == Op.FORWARD, self.op == Op.ERRORS
        named = Signal()  # ``place`` waits to be read (FORWARD)
        fetched = Signal()  # what an entry names stands at the memory's output
        m.d.comb += [
            self.written.eq(total),
            self.term.eq(fetched),
            self.a.eq(self.read),
            self.b.eq(Mux(forward, self.one, factor)),
            self.address.eq(at),
        ]
        m.d.sync += fetched.eq(0)
        with m.If(self.set):
            m.d.sync += [at.eq(self.first), end.eq(self.end)]
        with m.FSM() as fsm:
            m.d.comb += self.busy.eq(~fsm.ongoing("IDLE"))
            with m.State("IDLE"), m.If(self.start):
                m.d.sync += [base.eq(self.base), named.eq(0)]
                m.next = "ENTRY"
            with m.State("ENTRY"):
                m.d.sync += [at.eq(at + 1), total.eq(0)]
                m.next = "NAME"
                with m.If(at == end):
                    m.next = "LAST"
            with m.State("NAME"):
                m.d.sync += [place.eq(self.read + base), named.eq(forward)]
                m.next = "READ"
                with m.If(forward):  # of the entry before; so a sum need not become an address in the same cycle
                    m.d.comb += self.address.eq(place)
                    m.d.sync += fetched.eq(named)
                    m.next = "ENTRY"
                with m.Elif(errors):
                    m.d.sync += at.eq(at + 1)
            with m.State("READ"):
                m.d.comb += self.address.eq(place)
                m.next = "ADD"
                with m.If(errors):
                    m.d.sync += [factor.eq(self.read), fetched.eq(1)]
                    m.next = "ENTRY"
            self._add_delta(m, place, total)
            with m.State("LAST"):
                m.d.comb += self.address.eq(place)
                m.d.sync += fetched.eq(named)
                m.next = "END"
            with m.State("END"):
                m.d.comb += self.done.eq(1)
                m.next = "IDLE"
        return m

    def _add_delta(self, m, place, total):
        """A word of a gradient after the other, which stands at the memory's output in state ADD."""
        with m.State("ADD"):
            m.d.sync += total.eq(self.read + self.fixed + total[-1])
            m.next = "WRITE"
        with m.State("WRITE"):
            m.d.comb += [self.address.eq(place), self.write.eq(1)]
            m.d.sync += place.eq(place + 1)
            m.next = "READ"
            with m.If(self.part == self.words - 1):
                m.d.sync += self.part.eq(0)
                m.next = "ENTRY"
            with m.Else():
                m.d.sync += self.part.eq(self.part + 1)
