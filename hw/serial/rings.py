# SPDX-License-Identifier: Apache-2.0
"""Packets to bytes and back, and the memories in which bytes wait.

In the stream of bytes a packet is one byte, its number of words minus one, and its words, least significant byte first.
Positions count the bytes of a session, modulo twice the size of a ring.
"""

from amaranth.hdl import Array, Cat, Module, Mux, Signal
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import Component, In, Out

from backspike.hw.noc.host_link import AxiStream
from backspike.spec.packets import MAX_PAYLOAD, Kind

__all__ = ["POSITION", "RING_BITS", "Inbox", "Outbox"]

RING_BITS = 11
"""Each ring holds 2**11 bytes: one block RAM, and several milliseconds of the line."""

POSITION = RING_BITS + 1
"""Bits of a position."""


class Inbox(Component):
    """Holds the bytes of a frame until it is known to be good, and makes packets of them.

    The first word comes eleven cycles after ``keep``, others eight cycles after the one before was taken, ten where a
    packet begins. Reset empties the ring, and all positions are 0.

    Members
    -------
    data : In(8), valid : In(1)
        Payload of a frame.
    keep : In(1), drop : In(1)
        For one cycle at the end of the frame: what came since the last end is passed on, or forgotten.
    fits : Out(1)
        There was room for all bytes of the frame; else it must not be kept.
    expected : Out(POSITION), taken : Out(POSITION)
        Positions after the last byte that was kept, and after the last one that has left the ring.
    o : Out(AxiStream)
        A packet of more words than there may be is passed on as well, so that the stream stays in step: the host link
        drops and reports it.
    """

    data: In(8)
    valid: In(1)
    keep: In(1)
    drop: In(1)
    fits: Out(1, init=1)
    expected: Out(POSITION)
    taken: Out(POSITION)
    o: Out(AxiStream)

    def elaborate(self, platform):
        m = Module()
        m.submodules.ring = ring = Memory(shape=8, depth=1 << RING_BITS, init=[])
        write, read = ring.write_port(), ring.read_port()
        end, full = Signal(POSITION), Signal()  # position after the last byte of the frame; no room for another
        m.d.comb += [
            full.eq((end[:RING_BITS] == self.taken[:RING_BITS]) & (end[RING_BITS] != self.taken[RING_BITS])),
            write.addr.eq(end[:RING_BITS]),
            write.data.eq(self.data),
            write.en.eq(self.valid & ~full),
            read.addr.eq(self.taken[:RING_BITS]),
        ]
        with m.If(self.keep):
            m.d.sync += self.expected.eq(end)
        with m.Elif(self.drop):
            m.d.sync += end.eq(self.expected)
        with m.Elif(write.en):
            m.d.sync += end.eq(end + 1)
        with m.If(self.keep | self.drop):
            m.d.sync += self.fits.eq(1)
        with m.Elif(self.valid & full):
            m.d.sync += self.fits.eq(0)
        self._unpack(m, read.data)
        return m

    def _unpack(self, m, byte):
        fetched, use = Signal(), Signal()
        inside = Signal()  # the length of a packet is known, but not all of its words have left
        words, place = Signal(8), Signal(2)  # words after this one; byte in the word
        m.d.comb += [
            use.eq(fetched & ~self.o.tvalid),
            self.o.tlast.eq(words == 0),
        ]
        m.d.sync += fetched.eq(~fetched & (self.taken != self.expected))
        with m.If(fetched & ~use):
            m.d.sync += fetched.eq(1)
        with m.If(use):
            m.d.sync += self.taken.eq(self.taken + 1)
            with m.If(~inside):
                m.d.sync += [words.eq(byte), inside.eq(1)]
            with m.Else():
                m.d.sync += [
                    self.o.tdata.eq(Cat(self.o.tdata[8:], byte)),
                    place.eq(place + 1),
                    self.o.tvalid.eq(place == 3),
                ]
        with m.If(self.o.tvalid & self.o.tready):
            m.d.sync += [self.o.tvalid.eq(0), words.eq(words - 1), inside.eq(~self.o.tlast)]


class Outbox(Component):
    """Makes bytes of packets and holds them until they have arrived at the other end.

    A word takes four cycles, a packet two more; it counts as written from the second cycle after its last word on.
    Reset empties the ring, and all positions are 0.

    Members
    -------
    i : In(AxiStream)
        Packets of at most 16 words.
    acked : In(POSITION)
        Position after the last byte that is no longer needed.
    written : Out(POSITION)
        Position after the last whole packet.
    address : In(RING_BITS), data : Out(8)
        For reading what is held, with one cycle of latency.
    fault : Out(1)
        A FAULT packet begins, for one cycle.
    """

    i: In(AxiStream)
    acked: In(POSITION)
    written: Out(POSITION)
    address: In(RING_BITS)
    data: Out(8)
    fault: Out(1)

    def elaborate(self, platform):
        m = Module()
        m.submodules.ring = ring = Memory(shape=8, depth=1 << RING_BITS, init=[])
        write, read = ring.write_port(), ring.read_port()
        end, used = Signal(POSITION), Signal(POSITION)
        words, place = Signal(range(MAX_PAYLOAD + 1)), Signal(2)
        first = Signal()
        m.d.comb += [read.addr.eq(self.address), self.data.eq(read.data)]
        m.d.sync += used.eq(self.written - self.acked)
        room = ~used[RING_BITS] & ~used[RING_BITS - 4 : RING_BITS].all()  # for the longest packet, which takes 65 bytes
        with m.FSM():
            with m.State("BETWEEN"), m.If(self.i.tvalid & room):
                m.d.sync += [end.eq(end + 1), words.eq(0), first.eq(1)]
                m.next = "WORDS"
            with m.State("WORDS"):
                m.d.comb += [
                    write.addr.eq(end[:RING_BITS]),
                    write.en.eq(self.i.tvalid),
                    write.data.eq(Array(self.i.tdata.word_select(k, 8) for k in range(4))[place]),
                    self.i.tready.eq(place == 3),
                    self.fault.eq(self.i.tvalid & first & (self.i.tdata[:4] == Kind.FAULT)),
                ]
                with m.If(self.i.tvalid):
                    m.d.sync += [end.eq(end + 1), place.eq(place + 1), first.eq(0)]
                    with m.If(place == 3):
                        m.d.sync += words.eq(Mux(self.i.tlast, words, words + 1))
                        with m.If(self.i.tlast):
                            m.next = "LENGTH"
            with m.State("LENGTH"):
                m.d.comb += [write.addr.eq(self.written[:RING_BITS]), write.data.eq(words), write.en.eq(1)]
                m.d.sync += self.written.eq(end)
                m.next = "BETWEEN"
        return m
