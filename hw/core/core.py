# SPDX-License-Identifier: Apache-2.0
"""A core: the two threads, the three engines, and the memories that they share."""

from amaranth.hdl import Cat, Module, Signal
from amaranth.lib import wiring

from backspike.hw.core.counters import Counters
from backspike.hw.core.interface import CORE_MEMBERS
from backspike.hw.core.memory.memories import Memories
from backspike.hw.core.memory.memory_arbiters import (
    connect_backward_memories,
    connect_forward_memories,
    connect_weight_memories,
)
from backspike.hw.core.receive.host_access import HostAccess
from backspike.hw.core.receive.receiver import Receiver
from backspike.hw.core.schedule.backward_thread import BackwardThread
from backspike.hw.core.schedule.forward_thread import ForwardThread
from backspike.hw.core.schedule.slots import SlotTable
from backspike.hw.core.send.error_sender import ErrorPackets
from backspike.hw.core.send.packet_arbiter import PacketOutput
from backspike.hw.core.send.read_replies import Replies
from backspike.hw.core.send.spike_sender import SpikeSender
from backspike.hw.core.update.delta import DeltaUpdate
from backspike.hw.core.update.elementwise_arbiter import Arithmetic
from backspike.hw.core.update.neuron import NeuronUpdate
from backspike.hw.core.update.weight_update import WeightUpdate
from backspike.hw.engines.back_propagation import BackwardEngine
from backspike.hw.engines.dense.forward import DenseForward
from backspike.hw.engines.dense.learning import DenseLearning
from backspike.hw.engines.feed_forward import ForwardEngine
from backspike.hw.engines.ports import error_result, forward_result
from backspike.hw.engines.weight_gradient import GradientEngine
from backspike.hw.shapes import Shapes
from backspike.spec.config import ChipConfig
from backspike.spec.tables import Region

__all__ = ["Core"]


class Core(wiring.Component):
    """Trains the layer slices that are loaded into it; see docs/design.md for its behaviour.

    Parameters
    ----------
    config: ChipConfig

    Members
    -------
    x, y: In(3), coordinates in the mesh
    rx, tx: flit streams from and to the router; ``rx`` is consumed whatever ``tx`` waits for
    router_flits, router_stalled: In(3), what the router has sent, and what had to wait in it, in a cycle
    activity: Out(3), feed-forward, back-propagation, weight-gradient engine is busy

    After reset the core is without a network; memory contents are undefined.
    """

    def __init__(self, config):
        if not isinstance(config, ChipConfig):
            raise TypeError(f"config must be a ChipConfig, not {config!r}")
        self.config = config
        super().__init__(CORE_MEMBERS)

    def elaborate(self, platform):
        m = Module()
        self.shapes = Shapes(self.config)
        self._add_units(m, self.shapes)
        self._receive(m)
        self._forward(m)
        self._backward(m)
        connect_forward_memories(m, self)
        connect_backward_memories(m, self)
        connect_weight_memories(m, self)
        self._arithmetic(m)
        self._send(m)
        self._count(m)
        return m

    def _add_units(self, m, shapes):
        """Every unit is a submodule of the name that it has as an attribute here."""
        self.memories = Memories(m, shapes)
        neuron = NeuronUpdate(shapes, forward_result(shapes))
        units = {
            "slots": SlotTable(shapes),
            "receiver": Receiver(shapes),
            "replies": Replies(shapes),
            "arithmetic": Arithmetic(shapes),
            "forward": ForwardThread(shapes),
            "engine": DenseForward(shapes) if self.config.dense_only else ForwardEngine(shapes),
            "neuron": neuron,
            "spike_sender": SpikeSender(shapes, neuron.word),
            "backward": BackwardThread(shapes),
            "delta": DeltaUpdate(shapes),
            "error_packets": ErrorPackets(shapes, error_result(shapes)),
            "update": WeightUpdate(shapes),
            "counters": Counters(self.config.lanes),
            "output": PacketOutput(shapes, (3, 2, 0, 3, 1)),
        }
        if self.config.dense_only:
            m.submodules.learning = learning = DenseLearning(shapes)
            self.errors, self.gradient = learning.errors, learning.gradient
        else:
            units |= {"errors": BackwardEngine(shapes), "gradient": GradientEngine(shapes)}
        for name, unit in units.items():
            m.submodules[name] = unit
            setattr(self, name, unit)
        self.host = HostAccess(m, shapes, self.memories, self.receiver, self.replies)
        self.skip_off = Signal()

    def _receive(self, m):
        receiver, slots, replies = self.receiver, self.slots, self.replies
        wiring.connect(m, wiring.flipped(self.rx), receiver.flits)
        wiring.connect(m, receiver.fault, replies.fault)
        m.d.comb += [
            # Between the jobs of a sample whose inputs are there, a core is not idle either.
            receiver.idle.eq(
                ~(
                    self.forward.busy
                    | self.backward.busy
                    | self.spike_sender.busy
                    | slots.ready_forward.any()
                    | slots.ready_backward.any()
                )
            ),
            receiver.reading.eq(replies.reading),
            receiver.accepts.eq(slots.accepts & ~self.backward.erasing),
            slots.event_slice.eq(receiver.event_slice),
            slots.event_slot.eq(receiver.event_slot),
            slots.event_step.eq(receiver.event_step),
            slots.event.eq(receiver.event),
            slots.event_train.eq(receiver.event_train),
            slots.event_label.eq(receiver.event_label),
            slots.need_write.eq(self.host.writes(Region.EXPECTATION)),
            slots.need_slice.eq(receiver.address),
            slots.need.eq(receiver.data),
            replies.x.eq(self.x),
            replies.y.eq(self.y),
            replies.read.eq(receiver.read),
            replies.region.eq(receiver.region),
            replies.address.eq(receiver.address),
            replies.count.eq(receiver.count),
            replies.blocked.eq(~receiver.idle),
        ]
        with m.If(self.host.writes(Region.CONTROL) & (receiver.address == 0)):
            m.d.sync += self.skip_off.eq(receiver.data[0])
        control = Cat(self.skip_off, ~receiver.idle | self.backward.erasing, self.counters.saturated)
        self.host.fetch(self.counters.value, control)
        self.host.write_tape()

    def _forward(self, m):
        forward, engine, neuron, slots = self.forward, self.engine, self.neuron, self.slots
        wiring.connect(m, engine.results, neuron.results)
        wiring.connect(m, neuron.words, self.spike_sender.words)
        m.d.comb += [
            forward.ready.eq(slots.ready_forward),
            forward.slot.eq(slots.forward_slot),
            forward.step.eq(slots.forward_step),
            forward.train.eq(slots.forward_train),
            forward.hold.eq(self.backward.hold),
            slots.forward_slice.eq(forward.slice),
            slots.forward_start.eq(forward.job_start),
            slots.forward_done.eq(forward.job_done),
            engine.start.eq(forward.engine_start),
            engine.slot.eq(forward.job_slot),
            engine.step.eq(forward.job_step),
            engine.descriptor.eq(forward.descriptor),
            engine.skip_off.eq(self.skip_off),
            forward.engine_busy.eq(engine.busy),
            forward.update_busy.eq(neuron.busy),
            neuron.slot.eq(forward.job_slot),
            neuron.train.eq(forward.job_train),
            neuron.descriptor.eq(forward.descriptor),
        ]

    def _backward(self, m):
        backward, slots, delta = self.backward, self.slots, self.delta
        errors, gradient, update = self.errors, self.gradient, self.update
        m.d.comb += [
            backward.x.eq(self.x),
            backward.y.eq(self.y),
            backward.ready.eq(slots.ready_backward),
            backward.slot.eq(slots.backward_slot),
            backward.train.eq(slots.backward_train),
            backward.idle.eq(slots.idle),
            backward.update.eq(self.receiver.update),
            backward.update_slice.eq(self.receiver.update_slice),
            backward.clear.eq(self.receiver.clear),
            backward.velocities.eq(self.receiver.velocities),
            backward.restart.eq(slots.need_write),
            backward.forward_busy.eq(self.forward.busy),
            slots.backward_slice.eq(backward.slice),
            slots.backward_start.eq(backward.job_start),
            slots.backward_done.eq(backward.job_done),
            slots.erase.eq(backward.erase),
            slots.erase_address.eq(backward.erase_address),
            delta.start.eq(backward.delta_start),
            backward.delta_busy.eq(delta.busy),
            delta.label.eq(slots.backward_label),
            errors.start.eq(backward.errors_start),
            backward.errors_busy.eq(errors.busy),
            gradient.start.eq(backward.gradient_start),
            backward.gradient_busy.eq(gradient.busy),
            update.start.eq(backward.weights_start),
            update.clear.eq(backward.weights_clear),
            update.velocities.eq(backward.weights_velocities),
            backward.weights_busy.eq(update.busy),
            self.error_packets.slot.eq(backward.job_slot),
        ]
        for unit in (delta, errors, gradient):
            m.d.comb += unit.slot.eq(backward.job_slot)
        for unit in (delta, errors, gradient, update):
            m.d.comb += unit.descriptor.eq(backward.descriptor)
        for unit in (errors, gradient):
            m.d.comb += [unit.skip_off.eq(self.skip_off), unit.live.eq(delta.live)]

    def _arithmetic(self, m):
        arithmetic = self.arithmetic
        for name in ("neuron", "delta", "update"):
            unit = getattr(self, name)
            wiring.connect(m, unit.request, getattr(arithmetic, name))
            m.d.comb += unit.result.eq(arithmetic.result)

    def _send(self, m):
        wiring.connect(m, self.errors.results, self.error_packets.results)
        sources = (
            self.error_packets.packets,
            self.spike_sender.packets,
            self.backward.packets,
            self.replies.data_packets,
            self.replies.fault_packets,
        )
        for k, source in enumerate(sources):
            wiring.connect(m, source, self.output.packets[k])
        wiring.connect(m, self.output.flits, wiring.flipped(self.tx))

    def _count(self, m):
        counters, receiver, slots = self.counters, self.receiver, self.slots
        counts = {
            "cycles": 1,
            "fp_busy": self.forward.busy,
            "fp_terms": self.engine.terms,
            "fp_results": self.neuron.potential_write,
            "fp_stalled": self.engine.stalled,
            "fp_no_input": slots.no_input & ~self.forward.busy,
            "fp_no_credit": slots.no_credit & ~self.forward.busy,
            "bp_busy": self.errors.busy,
            "bp_terms": self.errors.terms,
            "bp_rows": self.errors.row,
            "bp_results": self.errors.result,
            "bp_stalled": self.errors.stalled,
            "wg_busy": self.gradient.busy,
            "wg_terms": self.gradient.terms,
            "wg_rows": self.gradient.rows,
            "wg_stalled": self.gradient.stalled,
            "no_errors": slots.no_errors & ~self.backward.busy,
            "delta_busy": self.delta.busy,
            "update_busy": self.update.busy,
            "elementwise": self.arithmetic.used,
            "saturated": self.arithmetic.saturated,
            "dropped": receiver.dropped,
            "packets_in": receiver.packet,
            "packets_out": self.output.sent,
            "router_flits": self.router_flits,
            "router_stalled": self.router_stalled,
        }
        m.d.comb += [counters.count[name].eq(value) for name, value in counts.items()]
        m.d.comb += [
            counters.clear.eq(self.host.writes(Region.CONTROL) & (receiver.address == 1)),
            counters.index.eq(self.replies.fetch_address),
            self.replies.late.eq((self.replies.fetch_region == Region.COUNTER) & ~counters.fresh),
            self.activity.eq(Cat(self.forward.busy, self.errors.busy, self.gradient.busy)),
        ]
