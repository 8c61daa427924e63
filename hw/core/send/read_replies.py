# SPDX-License-Identifier: Apache-2.0
"""Answers to the host: memory words, and reports of dropped packets."""

from amaranth.hdl import Module, Mux, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.data import ArrayLayout
from amaranth.lib.wiring import In, Out

from backspike.hw.core.receive.receiver import fault_layout
from backspike.hw.core.send.packet_arbiter import packet_header
from backspike.hw.shapes import index_bits
from backspike.spec.packets import Kind
from backspike.spec.tables import Region

__all__ = ["Replies"]


class Replies(wiring.Component):
    """Fetches the words of a READ, two for each DATA packet, and turns drops into FAULT packets.

    Parameters
    ----------
    shapes: Shapes

    Members
    -------
    x, y: coordinates of the core
    read, region, address, count: a READ to answer; ignored while ``reading``
    reading: a READ is in work; holding: it is one of memories that engines use, so that none may start
    fetch_region, fetch_address: the word that is fetched; it must stand in ``word`` two cycles later, or later, if
        ``late`` is set until it does
    fault: stream of drops
    data_packets, fault_packets: packet streams
    """

    def __init__(self, shapes):
        self.shapes = shapes
        # No region that can be read has more addresses.
        self.width = index_bits(max(shapes.config.weights, shapes.config.neurons if shapes.noise else 0))
        super().__init__(
            {
                "x": In(3),
                "y": In(3),
                "read": In(1),
                "region": In(4),
                "address": In(32),
                "count": In(4),
                "reading": Out(1),
                "holding": Out(1),
                "fetch_region": Out(4),
                "fetch_address": Out(self.width),
                "word": In(32),
                "late": In(1),
                "fault": In(stream.Signature(fault_layout())),
                "data_packets": Out(stream.Signature(shapes.packet)),
                "fault_packets": Out(stream.Signature(shapes.packet)),
            }
        )

    def elaborate(self, platform):
        m = Module()
        left, number = Signal(4), Signal(1)
        start = Signal(self.width)  # address of the packet's first word
        words = Signal(ArrayLayout(32, 2))
        packet, fault = self.data_packets.p, self.fault_packets.p
        m.d.comb += [
            self.holding.eq(self.reading & (self.fetch_region < Region.CONTROL)),
            packet.header.eq(
                packet_header(Kind.DATA, host=1, region=self.fetch_region, from_x=self.x, from_y=self.y, link=0)
            ),
            packet.words[0].eq(start),
            packet.words[1].eq(words[0]),
            packet.words[2].eq(words[1]),
            packet.length.eq(Mux(number, 3, 2)),
            fault.header.eq(
                packet_header(Kind.FAULT, host=1, cause=self.fault.p.cause, from_x=self.x, from_y=self.y, link=0)
            ),
            fault.words[0].eq(self.fault.p.header),
            fault.length.eq(1),
            self.fault_packets.valid.eq(self.fault.valid),
            self.fault.ready.eq(self.fault_packets.ready),
        ]
        with m.FSM():
            with m.State("IDLE"), m.If(self.read):
                m.d.sync += [
                    self.reading.eq(1),
                    left.eq(self.count),
                    number.eq(0),
                    self.fetch_region.eq(self.region),
                    self.fetch_address.eq(self.address),
                ]
                m.next = "FETCH"
            with m.State("FETCH"):
                with m.If(~number):
                    m.d.sync += start.eq(self.fetch_address)
                m.next = "WAIT"
            with m.State("WAIT"):
                m.next = "TAKE"
            with m.State("TAKE"), m.If(~self.late):
                m.d.sync += [
                    words[number].eq(self.word),
                    left.eq(left - 1),
                    self.fetch_address.eq(self.fetch_address + 1),
                ]
                with m.If(number | (left == 1)):
                    m.next = "SEND"
                with m.Else():
                    m.d.sync += number.eq(1)
                    m.next = "FETCH"
            with m.State("SEND"):
                m.d.comb += self.data_packets.valid.eq(1)
                with m.If(self.data_packets.ready):
                    m.d.sync += number.eq(0)
                    with m.If(left == 0):
                        m.d.sync += self.reading.eq(0)
                        m.next = "IDLE"
                    with m.Else():
                        m.next = "FETCH"
        return m
