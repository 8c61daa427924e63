# SPDX-License-Identifier: Apache-2.0
"""Plays lists: the inner loops of the engines, which fetch the operands of a term in two or three cycles."""

from amaranth.hdl import Module, Mux, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from backspike.hw.sequential.instructions import WORD_BITS, Op

__all__ = ["ListPlayer"]


class ListPlayer(wiring.Component):
    """Goes through the entries of a list in the memory. What it does with them is said by FORWARD, ERRORS and GRADIENT in
    :mod:`backspike.hw.sequential.instructions`; they take 2, 3, and 1 + 2 ``words`` cycles for each entry, and one more.

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
        place, operand = Signal(WORD_BITS), Signal(WORD_BITS)  # of what an entry names, and the first factor
        found, total, carry = Signal(WORD_BITS), Signal(WORD_BITS + 1), Signal()
        forward, errors = self.op == Op.FORWARD, self.op == Op.ERRORS
        fetched = Signal()  # the last factor of a term stands at the memory's output
        last_part = self.part == self.words - 1
        m.d.comb += [
            found.eq(self.read + base),
            total.eq(self.read + self.fixed + carry),
            self.written.eq(total),
            self.term.eq(fetched),
            self.a.eq(Mux(forward, self.read, operand)),
            self.b.eq(Mux(forward, self.one, self.read)),
            self.address.eq(at),
        ]
        m.d.sync += fetched.eq(0)
        with m.If(self.set):
            m.d.sync += [at.eq(self.first), end.eq(self.end)]
        with m.FSM() as fsm:
            m.d.comb += self.busy.eq(~fsm.ongoing("IDLE"))
            with m.State("IDLE"), m.If(self.start):
                m.d.sync += base.eq(self.base)
                m.next = "ENTRY"
            with m.State("ENTRY"):
                m.d.sync += [at.eq(at + 1), carry.eq(0)]
                m.next = "OPERAND"
                with m.If(at == end):
                    m.d.comb += self.done.eq(1)
                    m.next = "IDLE"
            with m.State("OPERAND"):
                m.d.comb += self.address.eq(found)
                m.d.sync += [place.eq(found), fetched.eq(forward)]
                m.next = "WRITE"
                with m.If(forward):
                    m.next = "ENTRY"
                with m.Elif(errors):
                    m.next = "FACTOR"
            with m.State("FACTOR"):
                m.d.sync += [operand.eq(self.read), at.eq(at + 1), fetched.eq(1)]
                m.next = "ENTRY"
            with m.State("WRITE"):
                m.d.comb += [self.address.eq(place), self.write.eq(1)]
                m.d.sync += [carry.eq(total[-1]), place.eq(place + 1)]
                m.next = "READ"
                with m.If(last_part):
                    m.d.sync += self.part.eq(0)
                    m.next = "ENTRY"
                with m.Else():
                    m.d.sync += self.part.eq(self.part + 1)
            with m.State("READ"):
                m.d.comb += self.address.eq(place)
                m.next = "WRITE"
        return m
