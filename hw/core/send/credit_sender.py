# SPDX-License-Identifier: Apache-2.0
"""Tells every source of a slice that its errors have been sent, or that a slot is free."""

from amaranth.hdl import Module, Mux, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from backspike.hw.core.send.packet_arbiter import packet_header
from backspike.spec.packets import Kind

__all__ = ["Notifier"]


class Notifier(wiring.Component):
    """Sends one packet without payload to each source.

    Parameters
    ----------
    shapes: Shapes

    Members
    -------
    x, y: coordinates of the core
    active: send; must stay high until ``done``
    credit: CREDIT packets, otherwise ERRORS_DONE
    slot, sources_base, sources: which slot, and the part of the route table (at least one source)
    route_address, route: route table, one cycle of latency
    packets: packet stream
    done: the last packet is taken in this cycle
    """

    def __init__(self, shapes):
        self.shapes = shapes
        super().__init__(
            {
                "x": In(3),
                "y": In(3),
                "active": In(1),
                "credit": In(1),
                "slot": In(shapes.slot),
                "sources_base": In(8),
                "sources": In(8),
                "route_address": Out(shapes.route),
                "route": In(shapes.route_entry),
                "packets": Out(stream.Signature(shapes.packet)),
                "done": Out(1),
            }
        )

    def elaborate(self, platform):
        m = Module()
        number, read = Signal(self.shapes.route), Signal()
        route = self.route
        place = {"x": route.x, "y": route.y, "host": route.host, "slice": route.slice, "slot": self.slot}
        taken = self.packets.valid & self.packets.ready
        m.d.comb += [
            self.route_address.eq(self.sources_base + number),
            self.packets.valid.eq(self.active & read),
            self.packets.p.header.eq(
                Mux(
                    self.credit,
                    packet_header(Kind.CREDIT, **place, from_x=self.x, from_y=self.y),
                    packet_header(Kind.ERRORS_DONE, **place),
                )
            ),
            self.done.eq(taken & (number + 1 == self.sources)),
        ]
        m.d.sync += read.eq(self.active & ~taken)
        with m.If(taken):
            m.d.sync += number.eq(Mux(self.done, 0, number + 1))
        return m
