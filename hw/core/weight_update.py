# SPDX-License-Identifier: Apache-2.0
"""Weight update at the end of a batch: velocity, weight, cleared gradient."""

from amaranth.hdl import Const, Module, Mux, Signal, signed
from amaranth.lib import stream, wiring
from amaranth.lib.data import StructLayout
from amaranth.lib.wiring import In, Out

from backspike.hw.blocks import Queue
from backspike.hw.core.arithmetic import Client, request_layout, result_layout, tag_layout

__all__ = ["WeightUpdate"]

VELOCITIES = 16
"""Velocities that may be on their way to the weight operation."""


class WeightUpdate(wiring.Component):
    """V = round(mu V + G), W = round(W - eta V), G = 0 for all weight words of a slice; or only G = 0, or V = G = 0.

    Two operations a weight. The old V counts as 0 where mu is 0, and in a core without velocities.

    Parameters
    ----------
    shapes: Shapes

    Members
    -------
    start: pulse; clear (change no weight), velocities (clear them too) and descriptor are stable while ``busy``
    address: read address of all weight, gradient and velocity banks; enable holds their outputs while 0
    lane: which lane's outputs stand in weight, gradient (an exact sum, in units of the format's lsb) and velocity
    gradient_clear, velocity_write, weight_write: write enables; velocity_value and weight_value what is written
    gradient_lane, gradient_address, velocity_lane, ...: where
    request, result: to and from the elementwise unit
    """

    def __init__(self, shapes):
        self.shapes = shapes
        number, place = shapes.number, {"lane": shapes.lane, "address": shapes.weight_address}
        self.place = StructLayout(place)
        super().__init__({
            "start": In(1),
            "clear": In(1),
            "velocities": In(1),
            "busy": Out(1),
            "descriptor": In(shapes.descriptor),
            "address": Out(shapes.weight_address),
            "enable": Out(1),
            "lane": Out(shapes.lane),
            "weight": In(number),
            "gradient": In(signed(shapes.gradient_sum)),
            "velocity": In(number),
            "gradient_clear": Out(1),
            "gradient_place": Out(self.place),
            "velocity_write": Out(1),
            "velocity_place": Out(self.place),
            "velocity_value": Out(number),
            "weight_write": Out(1),
            "weight_place": Out(self.place),
            "weight_value": Out(number),
            "request": Out(stream.Signature(request_layout(shapes))),
            "result": In(result_layout(shapes)),
        })

    def elaborate(self, platform):
        m = Module()
        tag = self.result.tag
        place, read = Signal(self.place), Signal(self.place)
        reading, given, go = Signal(), Signal(), Signal()
        velocity = StructLayout({"place": self.place, "weight": self.shapes.number, "value": self.shapes.number})
        m.submodules.velocities = velocities = Queue(velocity, VELOCITIES)
        moved, finished = Signal(), Signal()  # a velocity, a weight came out of the unit
        waiting = Signal(range(VELOCITIES + 1))  # velocities under way or queued
        under_way = Signal(range(64))
        m.d.comb += [
            moved.eq(self.result.valid & (tag.client == Client.VELOCITY)),
            finished.eq(self.result.valid & (tag.client == Client.WEIGHT)),
            self.busy.eq(reading | given | waiting.any() | under_way.any()),
            velocities.i.valid.eq(moved),
            velocities.i.p.place.lane.eq(tag.lane),
            velocities.i.p.place.address.eq(tag.index),
            velocities.i.p.weight.eq(tag.weight),
            velocities.i.p.value.eq(self.result.value),
            self.weight_write.eq(finished),
            self.weight_place.lane.eq(tag.lane),
            self.weight_place.address.eq(tag.index),
            self.weight_value.eq(self.result.value),
        ]
        self._walk(m, place, read, reading, given, go)
        first = given & ~self.clear & (waiting != VELOCITIES)
        self._request(m, velocities.o, first, read)
        begun = Signal()
        m.d.comb += [
            begun.eq(first & self.request.ready & ~velocities.o.valid),
            go.eq(begun | (given & self.clear)),
            self.gradient_clear.eq(go),
            self.gradient_place.eq(read),
        ]
        with m.If(moved):
            m.d.comb += [
                self.velocity_write.eq(1), self.velocity_place.eq(velocities.i.p.place),
                self.velocity_value.eq(self.result.value),
            ]
        with m.Elif(self.clear):
            m.d.comb += [self.velocity_write.eq(go & self.velocities), self.velocity_place.eq(read)]
        asked = self.request.valid & self.request.ready & ~begun
        m.d.sync += [
            waiting.eq(waiting + begun - (velocities.o.valid & velocities.o.ready)),
            under_way.eq(under_way + asked - finished),
        ]
        return m

    def _walk(self, m, place, read, reading, given, go):
        """All addresses of the slice, and all lanes of each."""
        d = self.descriptor
        left = Signal(18)
        advance = ~given | go
        last_lane = place.lane == self.shapes.config.lanes - 1
        m.d.comb += [self.address.eq(place.address), self.enable.eq(advance), self.lane.eq(read.lane)]
        with m.If(self.start):
            m.d.sync += [
                reading.eq(1), place.lane.eq(0), place.address.eq(d.weight_base), left.eq(d.weight_words)]
        with m.Elif(advance):
            m.d.sync += [given.eq(reading), read.eq(place), place.lane.eq(place.lane + 1)]
            with m.If(last_lane):
                m.d.sync += [place.lane.eq(0), place.address.eq(place.address + 1), left.eq(left - 1)]
                with m.If(left == 1):
                    m.d.sync += reading.eq(0)

    def _request(self, m, velocities, first, read):
        """Finish weights whose velocity is known before starting others."""
        request, d, config = self.request.p, self.descriptor, self.shapes.config
        fmt = config.format
        tag = Signal(tag_layout(self.shapes))
        one = Const(int(fmt.encode(1.0)), fmt.width)
        m.d.comb += [request.tag.eq(tag), request.c.eq(one), self.request.valid.eq(velocities.valid | first)]
        with m.If(velocities.valid):
            m.d.comb += [
                velocities.ready.eq(self.request.ready),
                request.a.eq(d.minus_rate),
                request.b.eq(velocities.p.value),
                request.d.eq(velocities.p.weight),
                tag.client.eq(Client.WEIGHT),
                tag.lane.eq(velocities.p.place.lane),
                tag.index.eq(velocities.p.place.address),
            ]
        with m.Else():
            if config.momentum:  # what was never written may stand in a velocity as long as the momentum is 0
                m.d.comb += [
                    request.a.eq(d.momentum),
                    request.b.eq(Mux(d.momentum[:fmt.width - 1].any(), self.velocity, 0)),
                ]
            m.d.comb += [
                request.addend.eq(self.gradient << -fmt.lsb),
                tag.client.eq(Client.VELOCITY),
                tag.lane.eq(read.lane),
                tag.index.eq(read.address),
                tag.weight.eq(self.weight),
            ]
