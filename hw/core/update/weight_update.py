# SPDX-License-Identifier: Apache-2.0
"""Weight update at the end of a batch: velocity, weight, cleared gradient."""

from amaranth.hdl import Array, Cat, Const, Module, Mux, Signal, signed
from amaranth.lib import stream, wiring
from amaranth.lib.data import ArrayLayout, StructLayout
from amaranth.lib.wiring import In, Out

from backspike.hw.arith.elementwise import SIGN
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
    """V, W and G = 0 for all weight words of a slice; or only G = 0, or V = G = 0.

        V = round(mu V + G)                W = round(decay W - eta V)
        V = round(beta V + G + rest V)     W = round(decay W - eta c)     with the descriptor's sign

    c is the sign of the exact beta V + G with the old V; mu and beta are the descriptor's ``momentum``. Where that is 0
    the old V counts as 0, but for rest V. In a core without velocities it is 0.

    Four cycles a weight, with sign five, in two operations: mu V, G; or beta V, G, rest V; and for the weight whose
    velocity came out of the unit, -eta V or -eta c, then decay W. The order is fixed, so the elementwise unit must take
    every request at once: nothing else may use it while ``busy``. It gives the sign without the last term, too.

    Parameters
    ----------
    shapes: Shapes

    Members
    -------
    start: pulse; clear (change no weight), velocities (clear them too) and descriptor are stable while ``busy``
    memory: the banks
    velocity_request, weight_request, result: to and from the elementwise unit; never both requests at once
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
                "velocity_request": Out(stream.Signature(request_layout(shapes))),
                "weight_request": Out(stream.Signature(request_layout(shapes, addend=False))),
                "result": In(result_layout(shapes)),
            }
        )

    def elaborate(self, platform):
        m = Module()
        d, config, place, memory = self.descriptor, self.shapes.config, self.place, self.memory
        latency = result_latency(self.shapes)
        phase = Signal(2)
        more = Signal()  # phase 1 once more, for the rest of the velocity
        walk = Signal(place)  # the next gradient and velocity to be read
        read = Signal(place)  # what stands at the memories' outputs
        left = Signal(self.shapes.weight_address + 1)
        given = Signal()  # a gradient and a velocity stand at the memories' outputs up to phase 2, a weight in phase 3
        new = {"valid": 1, "place": place, "value": self.shapes.number, "sign": SIGN}
        moved = Signal(StructLayout(new))  # a new velocity, and the sign that may count instead
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
        again = self._requests(m, phase, more, given, moved, read)
        m.d.sync += [phase.eq(phase + ~again), more.eq(again)]
        with m.If(left.any()):
            m.d.sync += tail.eq(2 * latency + 15)
        with m.Elif(tail.any()):
            m.d.sync += tail.eq(tail - 1)
        with m.If(back):
            m.d.sync += [given.eq(moved.valid), read.eq(moved.place)]
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
                # Without velocities G is the last term.
                moved.sign.eq(self.result.sign_before if config.momentum else self.result.sign),
            ]
        with m.Elif(back):
            m.d.sync += moved.valid.eq(0)
        with m.If(self.start):
            m.d.sync += [
                phase.eq(2),
                more.eq(0),
                walk.lane.eq(0),
                walk.address.eq(d.weight_base),
                left.eq(d.weight_words),
                tail.eq(2 * latency + 15),
            ]
        return m

    def _unit_step(self, sign):
        """A sign as -1.0, 0.0 or 1.0."""
        fmt = self.shapes.config.format
        one = int(fmt.encode(1.0))
        return Cat(*(sign.nonzero if one >> k & 1 else Const(0, 1) for k in range(fmt.width - 1)), sign.negative)

    def _requests(self, m, phase, more, given, moved, read):
        """Of a velocity in phases 0 and 1, of a weight whose velocity came since the last phase 2 in phases 2 and 3.

        Returns whether phase 1 comes again.
        """
        d, config = self.descriptor, self.shapes.config
        fmt, banks = config.format, self.memory.banks.data
        again = Signal()
        if config.momentum:
            m.d.comb += again.eq((phase == 1) & d.sign & ~more)
        weight, gradient, velocity = (
            Array(getattr(banks, name))[read.lane] for name in ("weights", "gradients", "velocities")
        )
        for request, client in ((self.velocity_request.p, Client.VELOCITY), (self.weight_request.p, Client.WEIGHT)):
            m.d.comb += [
                request.tag.client.eq(client),
                request.tag.lane.eq(read.lane if config.lanes > 1 else 0),  # what is always 0 is no hardware
                request.tag.index.eq(read.address),
                request.last.eq(phase[0] & ~again),
            ]
        moves, changes = self.velocity_request, self.weight_request
        m.d.comb += [
            moves.valid.eq(~phase[1] & given & ~self.clear),
            moves.p.addend.eq(gradient << -fmt.lsb),
            moves.p.add.eq(phase[0] & ~more),
            changes.valid.eq(phase[1] & Mux(phase[0], given, moved.valid)),
            changes.p.product.eq(1),
            changes.p.a.eq(Mux(phase[0], d.decay, d.minus_rate)),
            # Who is chosen by a mask of its own needs no wider choice.
            changes.p.b.eq(
                weight & phase[0].replicate(fmt.width)
                | moved.value & (~phase[0] & ~d.sign).replicate(fmt.width)
                | self._unit_step(moved.sign) & (~phase[0] & d.sign).replicate(fmt.width)
            ),
        ]
        if config.momentum:  # what was never written may stand in a velocity as long as the momentum is 0
            m.d.comb += [
                moves.p.a.eq(Mux(more, d.rest, d.momentum)),
                moves.p.b.eq(velocity),
                moves.p.product.eq(more | (~phase[0] & d.momentum[: fmt.width - 1].any())),
            ]
        return again
