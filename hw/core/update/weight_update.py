# SPDX-License-Identifier: Apache-2.0
"""Weight update at the end of a batch: velocity, weight, cleared gradient."""

from amaranth.hdl import Array, Const, Module, Mux, Signal, signed
from amaranth.lib import stream, wiring
from amaranth.lib.data import ArrayLayout, StructLayout
from amaranth.lib.wiring import In, Out

from backspike.hw.core.update.elementwise_arbiter import Client, request_layout, result_latency, result_layout
from backspike.hw.ram import ReadPort, WritePort

__all__ = ["WeightMemory", "WeightUpdate", "banks_layout"]


def banks_layout(shapes):
    """What stands at one address in the banks of all lanes; gradients are exact sums in units of the format's lsb."""
    lanes = shapes.config.lanes
    return StructLayout(
        {
            "weights": ArrayLayout(shapes.number, lanes),
            "gradients": ArrayLayout(signed(shapes.gradient_sum), lanes),
            "velocities": ArrayLayout(shapes.number, lanes),
        }
    )


class WeightMemory(wiring.Signature):
    """The banks of weights, gradients and velocities of all lanes, which the weight update has to itself.

    Members
    -------
    banks : ReadPort
        Of :func:`banks_layout`.
    weights, velocities, gradients : WritePort
        One word of one lane's bank; a gradient can only be set to 0.
    claims : Out(1)
    """

    def __init__(self, shapes):
        place = StructLayout({"lane": shapes.lane, "address": shapes.weight_address})
        super().__init__(
            {
                "banks": Out(ReadPort(shapes.weight_address, banks_layout(shapes))),
                "weights": Out(WritePort(place, shapes.number)),
                "velocities": Out(WritePort(place, shapes.number)),
                "gradients": Out(WritePort(place, None)),
                "claims": Out(1),
            }
        )


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
    memory: the banks
    request, result: to and from the elementwise unit
    """

    def __init__(self, shapes):
        self.shapes = shapes
        self.place = StructLayout({"lane": shapes.lane, "address": shapes.weight_address})
        super().__init__(
            {
                "start": In(1),
                "clear": In(1),
                "velocities": In(1),
                "busy": Out(1),
                "descriptor": In(shapes.descriptor),
                "memory": Out(WeightMemory(shapes)),
                "request": Out(stream.Signature(request_layout(shapes))),
                "result": In(result_layout(shapes)),
            }
        )

    def elaborate(self, platform):
        m = Module()
        d, config, place, memory = self.descriptor, self.shapes.config, self.place, self.memory
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
            memory.claims.eq(self.busy),
            memory.banks.address.eq(Mux(back, moved.place.address, walk.address)),
            memory.banks.enable.eq(begin | back),
            memory.gradients.enable.eq(given & (phase == 1)),
            memory.gradients.address.eq(read),
            memory.velocities.enable.eq(Mux(self.clear, memory.gradients.enable & self.velocities, velocity)),
            memory.velocities.address.eq(read),
            memory.weights.enable.eq(weight),
            memory.weights.address.lane.eq(tag.lane),
            memory.weights.address.address.eq(tag.index),
            memory.weights.data.eq(value),
        ]
        with m.If(~self.clear):
            m.d.comb += [
                memory.velocities.address.lane.eq(tag.lane),
                memory.velocities.address.address.eq(tag.index),
                memory.velocities.data.eq(value),
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
        fmt, banks = config.format, self.memory.banks.data
        weight, gradient, velocity = (
            Array(getattr(banks, name))[read.lane] for name in ("weights", "gradients", "velocities")
        )
        m.d.comb += [
            request.last.eq(phase[0]),
            request.addend.eq(gradient << -fmt.lsb),
            tag.lane.eq(read.lane if config.lanes > 1 else 0),  # what is always 0 is no hardware
            tag.index.eq(read.address),
        ]
        with m.If(phase[1]):
            m.d.comb += [
                self.request.valid.eq(moved.valid),
                tag.client.eq(Client.WEIGHT),
                request.product.eq(1),
                request.a.eq(Mux(phase[0], Const(int(fmt.encode(1.0)), fmt.width), d.minus_rate)),
                request.b.eq(Mux(phase[0], weight, moved.value)),
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
                    request.b.eq(velocity),
                    request.product.eq(~phase[0] & d.momentum[: fmt.width - 1].any()),
                ]
