# SPDX-License-Identifier: Apache-2.0
"""Holds a packet until it is complete, so that its flits follow each other whatever its writer does meanwhile."""

from amaranth.hdl import Cat, Module, Signal
from amaranth.lib import memory, wiring
from amaranth.lib.wiring import In, Out

from backspike.hw.noc.flit import FlitStream
from backspike.hw.sequential.instructions import WORD_BITS

__all__ = ["PacketBuffer"]

_FLITS = 8


class PacketBuffer(wiring.Component):
    """One packet of up to 8 flits, written half by half, the lower one first. A flit takes three cycles.

    Members
    -------
    half, write: the next half, only while not ``busy``
    send: the packet is complete, with at least one flit; only while not ``busy``
    busy: a packet is being sent
    flits: to the router
    """

    half: In(WORD_BITS)
    write: In(1)
    send: In(1)
    busy: Out(1)
    flits: Out(FlitStream)

    def elaborate(self, platform):
        m = Module()
        m.submodules.halves = halves = memory.Memory(
            shape=WORD_BITS, depth=2 * _FLITS, init=[], attrs={"no_rw_check": 1})  # written first, then read
        read, write = halves.read_port(), halves.write_port()
        count, position, low = Signal(range(2 * _FLITS)), Signal(range(2 * _FLITS)), Signal(WORD_BITS)
        m.d.comb += [
            write.addr.eq(count),
            write.data.eq(self.half),
            write.en.eq(self.write),
            read.addr.eq(position),
            self.flits.p.data.eq(Cat(low, read.data)),
        ]
        with m.If(self.write):
            m.d.sync += count.eq(count + 1)
        with m.FSM() as fsm:
            m.d.comb += self.busy.eq(~fsm.ongoing("FILL"))
            with m.State("FILL"):
                m.d.sync += position.eq(0)
                with m.If(self.send):
                    m.next = "LOW"
            with m.State("LOW"):
                m.d.sync += position.eq(position + 1)
                m.next = "HIGH"
            with m.State("HIGH"):
                m.d.sync += [low.eq(read.data), self.flits.p.last.eq((position + 1)[:len(count)] == count)]
                m.next = "FLIT"
            with m.State("FLIT"):
                m.d.comb += self.flits.valid.eq(1)
                with m.If(self.flits.ready):
                    m.d.sync += position.eq(position + 1)
                    m.next = "LOW"
                    with m.If(self.flits.p.last):
                        m.d.sync += count.eq(0)
                        m.next = "FILL"
        return m
