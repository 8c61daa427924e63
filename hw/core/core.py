# SPDX-License-Identifier: Apache-2.0
"""A core: the two threads, the three engines, and the memories that they share."""

from amaranth.hdl import Cat, Module, Signal
from amaranth.lib import wiring

from backspike.hw.core.counters import Counters
from backspike.hw.core.interface import CORE_MEMBERS
from backspike.hw.core.memory.memories import Memories
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
from backspike.hw.core.update.operands import OperandUpdate
from backspike.hw.core.update.ternary import TernaryUpdate
from backspike.hw.core.update.weight_update import WeightUpdate
from backspike.hw.engines.feed_forward import ForwardEngine
from backspike.hw.engines.learning import LearningEngine
from backspike.hw.engines.ports import error_result, forward_result
from backspike.hw.shapes import Shapes
from backspike.spec.config import ChipConfig
from backspike.spec.tables import EXPECTATIONS_STRIDE, Region

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
        self._memories(m)
        self._arithmetic(m)
        self._send(m)
        self._count(m)
        return m

    def _add_units(self, m, shapes):
        """Every unit is a submodule of the name that it has as an attribute here."""
        neuron = NeuronUpdate(shapes, forward_result(shapes))
        receiver, replies = Receiver(shapes), Replies(shapes)
        units = {
            "slots": SlotTable(shapes),
            "receiver": receiver,
            "replies": replies,
            "host": HostAccess(shapes, receiver, replies),
            "memories": Memories(shapes),
            "arithmetic": Arithmetic(shapes),
            "forward": ForwardThread(shapes),
            "engine": ForwardEngine(shapes),
            "neuron": neuron,
            "spike_sender": SpikeSender(shapes, neuron.word),
            "backward": BackwardThread(shapes),
            "delta": DeltaUpdate(shapes),
            "learning": LearningEngine(shapes),
            "error_packets": ErrorPackets(shapes, error_result(shapes)),
            "update": WeightUpdate(shapes),
            **({"operands": OperandUpdate(shapes)} if shapes.traced else {}),
            **({"ternary": TernaryUpdate(shapes)} if shapes.back else {}),
            "counters": Counters(self.config.lanes),
            "output": PacketOutput(shapes, (3, 2, 0, 3, 1)),
        }
        for name, unit in units.items():
            m.submodules[name] = unit
            setattr(self, name, unit)
        self.skip_off = Signal()

    def _receive(self, m):
        receiver, slots, replies = self.receiver, self.slots, self.replies
        wiring.connect(m, wiring.flipped(self.rx), receiver.flits)
        wiring.connect(m, receiver.fault, replies.fault)
        wiring.connect(m, receiver.event, slots.event)
        m.d.comb += [
            # Between the jobs of a sample whose inputs are there, a core is not idle either.
            receiver.idle.eq(
                ~(
                    self.forward.busy
                    | self.backward.busy
                    | self.spike_sender.busy
                    | slots.forward.ready.any()
                    | slots.backward.ready.any()
                    | self.backward.soon
                    | replies.holding
                )
            ),
            receiver.reading.eq(replies.reading),
            slots.need_write.eq(self.host.writes_need),
            slots.need_tape.eq(receiver.address[0]),
            slots.need_slice.eq(receiver.address // EXPECTATIONS_STRIDE),
            slots.need.eq(receiver.data),
            slots.closed.eq(self.backward.erasing),
            slots.updates.eq(self.backward.updates),
            replies.x.eq(self.x),
            replies.y.eq(self.y),
            replies.read.eq(receiver.read),
            replies.region.eq(receiver.region),
            replies.address.eq(receiver.address),
            replies.count.eq(receiver.count),
        ]
        for name in ("write", "region", "address", "data", "tape_write", "tape_address", "spikes"):
            m.d.comb += getattr(self.host, name).eq(getattr(receiver, name))
        m.d.comb += [
            self.host.reading.eq(replies.holding),
            self.host.fetch_region.eq(replies.fetch_region),
            self.host.fetch_address.eq(replies.fetch_address),
            self.host.counter.eq(self.counters.value),
            self.host.control.eq(Cat(self.skip_off, ~receiver.idle | self.backward.erasing, self.counters.saturated)),
            replies.word.eq(self.host.word),
        ]
        with m.If(self.host.writes_control & (receiver.address == 0)):
            m.d.sync += self.skip_off.eq(receiver.data[0])

    def _memories(self, m):
        memories, receiver, backward = self.memories, self.receiver, self.backward
        more = (*(("operands",) if self.shapes.traced else ()), *(("ternary",) if self.shapes.back else ()))
        for name in ("host", "neuron", "delta", "update", *more):
            wiring.connect(m, getattr(self, name).memory, getattr(memories, name))
        wiring.connect(m, self.engine.memory, memories.forward)
        wiring.connect(m, self.learning.memory, memories.learning)
        wiring.connect(m, self.spike_sender.routes, memories.targets)
        sums, new, masks, laps = (getattr(memories.receiver, name) for name in ("sums", "new_sums", "masks", "laps"))
        m.d.comb += [
            memories.sources.enable.eq(1),
            memories.sources.address.eq(backward.route_address),
            backward.route.eq(memories.sources.data),
            memories.erase.enable.eq(backward.erase),
            memories.erase.address.eq(backward.erase_address),
            sums.enable.eq(receiver.error_read),
            sums.address.eq(receiver.error_address),
            receiver.error_sum.eq(sums.data),
            new.enable.eq(receiver.error_write),
            new.address.eq(receiver.error_address),
            new.data.eq(receiver.new_error_sum),
            memories.receiver.ends.eq(receiver.error_end),
            masks.enable.eq(receiver.tape_write),
            masks.address.eq(receiver.tape_address),
            masks.data.eq(receiver.masks),
            laps.enable.eq(receiver.tape_write),
            laps.address.eq(receiver.tape_address),
            laps.data.eq(self.slots.lap),
            memories.receiver.arrived.enable.eq(1),
            memories.receiver.arrived.address.eq(receiver.tape_address),
            self.slots.arrived.eq(memories.receiver.arrived.data),
        ]
        for thread, port in ((self.forward, memories.forward_descriptors), (backward, memories.backward_descriptors)):
            m.d.comb += [
                port.enable.eq(thread.loading),
                port.address.eq(thread.descriptor_address),
                thread.descriptor_data.eq(port.data),
            ]

    def _forward(self, m):
        forward, engine, neuron = self.forward, self.engine, self.neuron
        wiring.connect(m, self.slots.forward, forward.offer)
        wiring.connect(m, engine.results, neuron.results)
        wiring.connect(m, neuron.words, self.spike_sender.words)
        m.d.comb += [
            forward.hold.eq(self.backward.hold),
            engine.start.eq(forward.engine_start),
            engine.slot.eq(forward.job.slot),
            engine.step.eq(forward.job.step),
            engine.descriptor.eq(forward.descriptor),
            engine.skip_off.eq(self.skip_off),
            forward.engine_busy.eq(engine.busy),
            forward.update_busy.eq(neuron.busy),
            neuron.job.eq(forward.job),
            neuron.descriptor.eq(forward.descriptor),
        ]

    def _backward(self, m):
        backward, slots, delta = self.backward, self.slots, self.delta
        learning, update = self.learning, self.update
        wiring.connect(m, slots.backward, backward.offer)
        m.d.comb += [
            backward.x.eq(self.x),
            backward.y.eq(self.y),
            backward.idle.eq(slots.idle),
            backward.update.eq(self.receiver.update),
            backward.update_slice.eq(self.receiver.update_slice),
            backward.clear.eq(self.receiver.clear),
            backward.velocities.eq(self.receiver.velocities),
            backward.restart.eq(slots.need_write),
            backward.reading.eq(self.replies.holding),
            backward.forward_busy.eq(self.forward.busy),
            slots.erase.eq(backward.erase),
            slots.erase_address.eq(backward.erase_address),
            delta.start.eq(backward.delta_start),
            backward.delta_busy.eq(delta.busy | (self.ternary.busy if self.shapes.back else 0)),
            delta.label.eq(slots.backward_label),
            learning.start.eq(backward.gradient_start),
            learning.errors.eq(backward.errors_start),
            learning.skip_off.eq(self.skip_off),
            learning.active_steps.eq(delta.active_steps),
            learning.clear.eq(update.busy),
            backward.errors_busy.eq(learning.bp_busy),
            backward.gradient_busy.eq(learning.busy),
            update.start.eq(backward.weights_start),
            update.clear.eq(backward.weights_clear),
            update.velocities.eq(backward.weights_velocities),
            backward.weights_busy.eq(update.busy),
            self.error_packets.slot.eq(backward.slot),
            self.error_packets.to_host.eq(backward.descriptor.errors.all()),
        ]
        if self.shapes.traced:
            operands = self.operands
            m.d.comb += [
                operands.start.eq(backward.operands_start),
                operands.slot.eq(backward.slot),
                operands.more.eq(slots.backward.job.more),
                operands.descriptor.eq(backward.descriptor),
                backward.operands_busy.eq(operands.busy),
            ]
        if self.shapes.back:
            m.d.comb += [
                delta.back.eq(slots.backward.job.back),
                self.ternary.back.eq(slots.backward.job.back),
                self.ternary.train.eq(slots.backward.job.train),
                self.ternary.slice.eq(backward.offer.slice),
                self.ternary.done.eq(backward.offer.done),
            ]
        for unit in (delta, learning):
            m.d.comb += unit.slot.eq(backward.slot)
        for unit in (delta, learning, update):
            m.d.comb += unit.descriptor.eq(backward.descriptor)

    def _arithmetic(self, m):
        arithmetic = self.arithmetic
        wiring.connect(m, self.neuron.request, arithmetic.neuron)
        self._answer_delta(m)
        wiring.connect(m, self.update.velocity_request, arithmetic.velocity)
        wiring.connect(m, self.update.weight_request, arithmetic.weight)
        for unit in (self.neuron, self.update):
            m.d.comb += unit.result.eq(arithmetic.result)

    def _answer_delta(self, m):
        """The delta update's way to the elementwise unit; in chips with ternary spikes these are made on it."""
        delta, arithmetic = self.delta, self.arithmetic
        if not self.shapes.back:
            wiring.connect(m, delta.request, arithmetic.delta)
            m.d.comb += delta.result.eq(arithmetic.result)
            return
        wiring.connect(m, delta.request, self.ternary.given)
        wiring.connect(m, self.ternary.request, arithmetic.delta)
        m.d.comb += [self.ternary.result.eq(arithmetic.result), delta.result.eq(self.ternary.found)]

    def _send(self, m):
        wiring.connect(m, self.learning.results, self.error_packets.results)
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
            "fp_results": self.neuron.memory.new_potentials.enable,
            "fp_stalled": self.engine.stalled,
            "fp_no_input": slots.no_input & ~self.forward.busy,
            "fp_no_credit": slots.no_credit & ~self.forward.busy,
            "bp_busy": self.learning.bp_busy,
            "bp_terms": self.learning.bp_terms,
            "bp_rows": self.learning.bp_row,
            "bp_results": self.learning.bp_result,
            "bp_stalled": self.learning.bp_stalled,
            "wg_busy": self.learning.busy,
            "wg_terms": self.learning.wg_terms,
            "wg_rows": self.learning.wg_row,
            "wg_stalled": self.learning.wg_stalled,
            "wg_carries": self.learning.wg_carries,
            "no_errors": slots.no_errors & ~self.backward.busy,
            "delta_busy": self.delta.busy,
            "update_busy": self.update.busy,
            "elementwise": self.arithmetic.used,
            "saturated": self.arithmetic.saturated | (self.operands.saturated if self.shapes.traced else 0),
            "dropped": receiver.dropped,
            "packets_in": receiver.packet,
            "packets_out": self.output.sent,
            "router_flits": self.router_flits,
            "router_stalled": self.router_stalled,
        }
        m.d.comb += [counters.count[name].eq(value) for name, value in counts.items()]
        m.d.comb += [
            counters.clear.eq(self.host.writes_control & (receiver.address == 1)),
            counters.index.eq(self.replies.fetch_address),
            self.replies.late.eq((self.replies.fetch_region == Region.COUNTER) & ~counters.fresh),
            self.activity.eq(Cat(self.forward.busy, self.learning.bp_busy, self.learning.busy)),
        ]
