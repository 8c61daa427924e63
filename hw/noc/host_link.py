# SPDX-License-Identifier: Apache-2.0
"""The host link: AXI4-Stream on one side, node (0, 0) on the other."""

from amaranth.hdl import Array, Module, Mux, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import Component, In, Out, connect

from backspike.hw.noc.flit import FlitStream, LinkStream, header_of, tag_of
from backspike.hw.noc.flow import FlitBuffer, FlitMerge, round_begins
from backspike.hw.noc.packet_gate import DROP, LINK_READ, PacketGate
from backspike.spec.config import ChipConfig
from backspike.spec.counters import LINK_COUNTERS
from backspike.spec.packets import Kind, header
from backspike.spec.tables import Region

__all__ = ["AxiStream", "HostLink"]

AxiStream = wiring.Signature({"tdata": Out(32), "tlast": Out(1), "tvalid": Out(1), "tready": In(1)})
"""AXI4-Stream of 32-bit words without byte strobes; one AXI packet is one packet of the chip."""


class FaultReport(Component):
    """Makes a FAULT packet of a dropped packet, if it is not still sending one.

    Members
    -------
    drop : In(DROP)
    o : Out(FlitStream)

    Latency is one cycle; a drop that comes while a report is at ``o`` is not reported. Nothing to send after reset.
    """

    drop: In(DROP)
    o: Out(FlitStream)

    def elaborate(self, platform):
        m = Module()
        kept = Signal(DROP)
        head, second = Signal(32), Signal()
        m.d.comb += [
            head.eq(header(Kind.FAULT, host=1, cause=0, from_x=0, from_y=0, link=1)),
            tag_of(Kind.FAULT, header_of(head).tag).cause.eq(kept.cause),
            self.o.valid.eq(kept.valid),
            self.o.payload.data.eq(Mux(second, kept.header, head)),
            self.o.payload.last.eq(second),
        ]
        with m.If(self.o.valid & self.o.ready):
            m.d.sync += second.eq(~second)
        with m.If(~kept.valid):
            m.d.sync += kept.eq(self.drop)
        with m.Elif(self.o.ready & second):
            m.d.sync += kept.valid.eq(0)
        return m


class CounterReply(Component):
    """Answers a READ of the host link's counters with a DATA packet.

    Members
    -------
    read : In(Stream(LINK_READ))
        Taken when the reply has been sent.
    counters : In(32).array(len(LINK_COUNTERS))
        In the order of ``LINK_COUNTERS``.
    o : Out(FlitStream)
        Follows ``read.valid`` in the same cycle, one flit per cycle. Reset ends a reply.
    """

    def __init__(self):
        super().__init__(
            {
                "read": In(stream.Signature(LINK_READ)),
                "counters": In(32).array(len(LINK_COUNTERS)),
                "o": Out(FlitStream),
            }
        )

    def elaborate(self, platform):
        m = Module()
        position = Signal(range(len(LINK_COUNTERS) + 2))
        last = Signal()
        request = self.read.payload
        head = header(Kind.DATA, host=1, region=Region.COUNTER, from_x=0, from_y=0, link=1)
        counter = Array(self.counters)[(request.address + position - 2)[:3]]
        m.d.comb += [
            self.o.valid.eq(self.read.valid),
            self.o.payload.data.eq(Mux(position == 0, head, Mux(position == 1, request.address, counter))),
            last.eq(position == request.count + 1),
            self.o.payload.last.eq(last),
            self.read.ready.eq(self.o.ready & last),
        ]
        with m.If(self.o.valid & self.o.ready):
            m.d.sync += position.eq(Mux(last, 0, position + 1))
        return m


class HostLink(Component):
    """Lets well-formed packets of the host into the mesh, and packets for the host out.

    What the host sends is stored packet by packet and checked (:class:`PacketGate`). A bad packet is dropped, counted,
    and reported with a FAULT packet (``link`` = 1, the cause, the offending header); what is dropped while a report
    waits to be sent is only counted. A READ with ``host`` = 1 of the region COUNTER is answered with the link's own
    counters. Packets to the host come from the mesh, the reports and the replies, which count as one sender each.

    Parameters
    ----------
    config : ChipConfig
        For the size of the mesh.

    Members
    -------
    s_axis : In(AxiStream)
        From the host.
    m_axis : Out(AxiStream)
        To the host.
    to_mesh : Out(LinkStream)
    from_mesh : In(LinkStream)
        Into the west port of the router of node (0, 0), and from its north port, or the west one of a chain.

    Counters, from reset, modulo 2**32: ``words_in`` and ``packets_in`` count everything that the host has sent,
    ``dropped`` is the part of ``packets_in`` that was dropped; ``words_out`` and ``packets_out`` count everything that
    the host has taken. One word per cycle in both directions. ``s_axis.tready`` and ``m_axis`` come from registers.

    Raises
    ------
    TypeError: ``config`` is not a ``ChipConfig``
    """

    def __init__(self, config):
        if not isinstance(config, ChipConfig):
            raise TypeError(f"config must be a ChipConfig, not {config!r}")
        self.config = config
        super().__init__(
            {
                "s_axis": In(AxiStream),
                "m_axis": Out(AxiStream),
                "to_mesh": Out(LinkStream),
                "from_mesh": In(LinkStream),
            }
        )

    def elaborate(self, platform):
        m = Module()
        # A word of the host may come late in its cycle, from a memory say, and much logic looks at it.
        m.submodules.entry = entry = FlitBuffer()
        m.submodules.gate = gate = PacketGate(self.config)
        m.submodules.report = report = FaultReport()
        m.submodules.reply = reply = CounterReply()
        m.submodules.merge = merge = FlitMerge(3, sources=[1, 2])
        m.submodules.buffer = buffer = FlitBuffer()
        connect(m, entry.o, gate.i)
        connect(m, gate.read, reply.read)
        connect(m, report.o, merge.i[1])
        connect(m, reply.o, merge.i[2])
        connect(m, merge.o, buffer.i)
        s, outgoing = self.s_axis, self.m_axis
        inward, outward = self.to_mesh, self.from_mesh
        m.d.comb += [
            inward.payload.data.eq(gate.o.payload.data),
            inward.payload.last.eq(gate.o.payload.last),
            inward.payload.round.eq(gate.odd),  # the host is one sender: each of its packets is a round
            inward.valid.eq(gate.o.valid),
            gate.o.ready.eq(inward.ready),
            merge.i[0].payload.data.eq(outward.payload.data),
            merge.i[0].payload.last.eq(outward.payload.last),
            merge.i[0].valid.eq(outward.valid),
            merge.begins[0].eq(round_begins(m, outward, "mesh")),
            outward.ready.eq(merge.i[0].ready),
            entry.i.payload.data.eq(s.tdata),
            entry.i.payload.last.eq(s.tlast),
            entry.i.valid.eq(s.tvalid),
            s.tready.eq(entry.i.ready),
            report.drop.eq(gate.drop),
            outgoing.tdata.eq(buffer.o.payload.data),
            outgoing.tlast.eq(buffer.o.payload.last),
            outgoing.tvalid.eq(buffer.o.valid),
            buffer.o.ready.eq(outgoing.tready),
        ]
        events = {
            "words_in": s.tvalid & s.tready,
            "words_out": outgoing.tvalid & outgoing.tready,
            "packets_in": s.tvalid & s.tready & s.tlast,
            "packets_out": outgoing.tvalid & outgoing.tready & outgoing.tlast,
            "dropped": gate.drop.valid,
        }
        for name, counter in zip(LINK_COUNTERS, reply.counters, strict=True):
            value = Signal(32, name=name)
            m.d.sync += value.eq(value + events[name])
            m.d.comb += counter.eq(value)
        return m
