# SPDX-License-Identifier: Apache-2.0
"""Weight update at the end of a batch: velocity, weight, cleared gradient."""

from amaranth.hdl import Const, Module, Mux, Signal, signed
from amaranth.lib import stream, wiring
from amaranth.lib.data import StructLayout
from amaranth.lib.wiring import In, Out

from backspike.hw.core.update.elementwise_arbiter import Client, request_layout, result_latency, result_layout

__all__ = ["WeightUpdate"]


class WeightUpdate(wiring.Component):
    """V = round(mu V + G), W = round(W - eta V), G = 0 for all weight words of a slice; or only G = 0, or V = G = 0.

    Four cycles a weight, two operations of two terms each: mu V, then G; and for the weight whose velocity came out of
    the unit, -eta V, then W. The order is fixed, so the elementwise unit must take every request at once: nothing else
    may use it while ``busy``. The old V counts as 0 where mu is 0, and in a core without velocities.

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
        super().__init__(
            {
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
            }
        )

    def elaborate(self, platform):
        m = Module()
        d, config, place = self.descriptor, self.shapes.config, self.place
        latency = result_latency(self.shapes)
        phase = Signal(2)
        walk = Signal(place)  # the next gradient and velocity to be read
        read = Signal(place)  # what stands at the memories' outputs
        left = Signal(self.shapes.weight_address + 1)
        given = Signal()  # a gradient and a velocity stand at the memories' outputs from phase 0 to 2
        moved = Signal(StructLayout({"valid": 1, "place": place, "value": self.shapes.number}))  # a new velocity
        tail = Signal(range(2 * latency + 16))  # cycles until everything is written
        tag, value = self.result.tag, self.result.value
        velocity, weight = Signal(), Signal()  # which of them came out of the unit
        begin, back = phase == 3, phase == 2
        last_lane = walk.lane == config.lanes - 1 if config.lanes > 1 else 1
        m.d.comb += [
            velocity.eq(self.result.valid & (tag.client == Client.VELOCITY)),
            weight.eq(self.result.valid & (tag.client == Client.WEIGHT)),
            self.busy.eq(tail.any()),
            # The old weight is read where the velocity has just been found.
            self.address.eq(Mux(back, moved.place.address, walk.address)),
            self.enable.eq(begin | back),
            self.lane.eq(read.lane),
            self.gradient_clear.eq(given & (phase == 1)),
            self.gradient_place.eq(read),
            self.velocity_write.eq(Mux(self.clear, self.gradient_clear & self.velocities, velocity)),
            self.velocity_place.eq(read),
            self.weight_write.eq(weight),
            self.weight_place.lane.eq(tag.lane),
            self.weight_place.address.eq(tag.index),
            self.weight_value.eq(value),
        ]
        with m.If(~self.clear):
            m.d.comb += [
                self.velocity_place.lane.eq(tag.lane),
                self.velocity_place.address.eq(tag.index),
                self.velocity_value.eq(value),
            ]
        self._request(m, phase, given, moved, read)
        m.d.sync += phase.eq(phase + 1)
        with m.If(left.any()):
            m.d.sync += tail.eq(2 * latency + 15)
        with m.Elif(tail.any()):
            m.d.sync += tail.eq(tail - 1)
        with m.If(back):
            m.d.sync += [given.eq(0), read.eq(moved.place)]
        with m.If(begin):
            m.d.sync += [given.eq(left.any()), read.eq(walk), walk.lane.eq(walk.lane + 1)]
            with m.If(last_lane):
                m.d.sync += [walk.lane.eq(0), walk.address.eq(walk.address + 1)]
                with m.If(left.any()):
                    m.d.sync += left.eq(left - 1)
        with m.If(velocity):
            m.d.sync += [
                moved.valid.eq(1),
                moved.place.lane.eq(tag.lane),
                moved.place.address.eq(tag.index),
                moved.value.eq(value),
            ]
        with m.Elif(begin):
            m.d.sync += moved.valid.eq(0)
        with m.If(self.start):
            m.d.sync += [
                phase.eq(2),
                walk.lane.eq(0),
                walk.address.eq(d.weight_base),
                left.eq(d.weight_words),
                tail.eq(2 * latency + 15),
            ]
        return m

    def _request(self, m, phase, given, moved, read):
        """A velocity in phases 0 and 1, a weight whose velocity came since the last phase 3 in phases 2 and 3."""
        request, tag, d, config = self.request.p, self.request.p.tag, self.descriptor, self.shapes.config
        fmt = config.format
        m.d.comb += [
            request.last.eq(phase[0]),
            request.addend.eq(self.gradient << -fmt.lsb),
            tag.lane.eq(read.lane if config.lanes > 1 else 0),  # what is always 0 is no hardware
            tag.index.eq(read.address),
        ]
        with m.If(phase[1]):
            m.d.comb += [
                self.request.valid.eq(moved.valid),
                tag.client.eq(Client.WEIGHT),
                request.product.eq(1),
                request.a.eq(Mux(phase[0], Const(int(fmt.encode(1.0)), fmt.width), d.minus_rate)),
                request.b.eq(Mux(phase[0], self.weight, moved.value)),
            ]
        with m.Else():
            m.d.comb += [
                self.request.valid.eq(given & ~self.clear),
                tag.client.eq(Client.VELOCITY),
                request.add.eq(phase[0]),
            ]
            if config.momentum:  # what was never written may stand in a velocity as long as the momentum is 0
                m.d.comb += [
                    request.a.eq(d.momentum),
                    request.b.eq(self.velocity),
                    request.product.eq(~phase[0] & d.momentum[: fmt.width - 1].any()),
                ]
