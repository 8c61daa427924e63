# SPDX-License-Identifier: Apache-2.0
"""A core: the two threads, the three engines, and the memories that they share."""

from amaranth.hdl import Array, Cat, Module, Mux, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from backspike.host.protocol import Region
from backspike.hw.config import ChipConfig
from backspike.hw.core.arithmetic import Arithmetic
from backspike.hw.core.backward import BackwardThread
from backspike.hw.core.counters import Counters
from backspike.hw.core.delta import DeltaUpdate
from backspike.hw.core.error_packets import ErrorPackets
from backspike.hw.core.forward import ForwardThread
from backspike.hw.core.host_access import HostAccess
from backspike.hw.core.memories import Memories
from backspike.hw.core.neuron import NeuronUpdate
from backspike.hw.core.packets import PacketOutput
from backspike.hw.core.receiver import Receiver
from backspike.hw.core.replies import Replies
from backspike.hw.core.slots import SlotTable
from backspike.hw.core.spike_sender import SpikeSender
from backspike.hw.core.weight_update import WeightUpdate
from backspike.hw.engines.back_propagation import BackwardEngine
from backspike.hw.engines.feed_forward import ForwardEngine
from backspike.hw.engines.weight_gradient import GradientEngine
from backspike.hw.noc.flit import FlitStream
from backspike.hw.shapes import Shapes

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
    router_flits, router_stalled: In(32), counters of the router
    clear_counters: Out(1), pulse that clears them
    activity: Out(3), feed-forward, back-propagation, weight-gradient engine is busy

    After reset the core is without a network; memory contents are undefined.
    """

    def __init__(self, config):
        if not isinstance(config, ChipConfig):
            raise TypeError(f"config must be a ChipConfig, not {config!r}")
        self.config = config
        super().__init__({
            "x": In(3),
            "y": In(3),
            "rx": In(FlitStream),
            "tx": Out(FlitStream),
            "router_flits": In(32),
            "router_stalled": In(32),
            "clear_counters": Out(1),
            "activity": Out(3),
        })

    def elaborate(self, platform):
        m = Module()
        shapes = Shapes(self.config)
        self._add_units(m, shapes)
        self._receive(m)
        self._forward(m)
        self._backward(m)
        self._forward_memories(m)
        self._backward_memories(m)
        self._weight_memories(m)
        self._arithmetic(m)
        self._send(m)
        self._count(m)
        return m

    def _add_units(self, m, shapes):
        """Every unit is a submodule of the name that it has as an attribute here."""
        self.memories = Memories(m, shapes)
        engine, errors = ForwardEngine(shapes), BackwardEngine(shapes)
        neuron = NeuronUpdate(shapes, engine.result_layout)
        units = {
            "slots": SlotTable(shapes),
            "receiver": Receiver(shapes),
            "replies": Replies(shapes),
            "arithmetic": Arithmetic(shapes),
            "forward": ForwardThread(shapes),
            "engine": engine,
            "neuron": neuron,
            "spike_sender": SpikeSender(shapes, neuron.word),
            "backward": BackwardThread(shapes),
            "delta": DeltaUpdate(shapes),
            "errors": errors,
            "error_packets": ErrorPackets(shapes, errors.result_layout),
            "gradient": GradientEngine(shapes),
            "update": WeightUpdate(shapes),
            "counters": Counters(),
            "output": PacketOutput(shapes, 5),
        }
        for name, unit in units.items():
            m.submodules[name] = unit
            setattr(self, name, unit)
        self.host = HostAccess(m, self.config, self.memories, self.receiver, self.replies)
        self.skip_off = Signal()

    def _receive(self, m):
        receiver, slots, replies = self.receiver, self.slots, self.replies
        wiring.connect(m, wiring.flipped(self.rx), receiver.flits)
        wiring.connect(m, receiver.fault, replies.fault)
        m.d.comb += [
            receiver.idle.eq(~(self.forward.busy | self.backward.busy | self.spike_sender.busy)),
            receiver.reading.eq(replies.reading),
            receiver.accepts.eq(slots.accepts),
            slots.event_slice.eq(receiver.event_slice),
            slots.event_slot.eq(receiver.event_slot),
            slots.event.eq(receiver.event),
            slots.event_train.eq(receiver.event_train),
            slots.event_label.eq(receiver.event_label),
            slots.need_write.eq(self.host.writes(Region.NEED)),
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
            forward.train.eq(slots.forward_train),
            forward.hold.eq(self.backward.hold),
            slots.forward_slice.eq(forward.slice),
            slots.forward_start.eq(forward.job_start),
            slots.forward_done.eq(forward.job_done),
            engine.start.eq(forward.engine_start),
            engine.slot.eq(forward.job_slot),
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
            m.d.comb += unit.skip_off.eq(self.skip_off)

    def _forward_memories(self, m):
        """What the feed-forward thread reads and writes, apart from the weights; the peer and descriptor tables."""
        mem, neuron = self.memories, self.neuron
        for unit, port in ((self.engine, "forward"), (self.gradient, "gradient")):
            tape, chunk = mem.spikes.read[port], mem.chunk_low.read[port]
            self._tape_reader(m, unit, (tape, unit.tape), (chunk, unit.chunk))
        potential = mem.potentials.read["forward"]
        for unit, port in ((self.spike_sender, "targets"), (self.backward, "sources")):
            m.d.comb += [mem.peers.read[port].addr.eq(unit.peer_address), unit.peer.eq(mem.peers.read[port].data)]
        for unit, port in ((self.forward, "forward"), (self.backward, "backward")):
            read = mem.descriptors.read[port]
            m.d.comb += [read.addr.eq(unit.descriptor_address), unit.descriptor_data.eq(read.data)]
        m.d.comb += [
            potential.addr.eq(neuron.potential_address),
            neuron.potential.eq(potential.data),
            mem.potentials.write.en.eq(neuron.potential_write),
            mem.potentials.write.addr.eq(neuron.potential_write_address),
            mem.potentials.write.data.eq(neuron.potential_value),
            mem.own.write.en.eq(neuron.own_write),
            mem.own.write.addr.eq(neuron.own_address),
            mem.own.write.data.eq(neuron.own_bits),
        ]

    def _tape_reader(self, m, unit, *ports):
        """Connect an engine to the memories that it reads at its tape address; the chunk tables have no slots."""
        for port, data in ports:
            m.d.comb += [port.addr.eq(unit.tape_address), port.en.eq(unit.tape_enable), data.eq(port.data)]

    def _backward_memories(self, m):
        """Masks, error sums, own bits, deltas and their bitmaps."""
        mem, delta, errors = self.memories, self.delta, self.errors
        receiver, backward = self.receiver, self.backward
        self._tape_reader(m, errors, (mem.masks.read["errors"], errors.masks),
                          (mem.chunk_low.read["errors"], errors.low), (mem.chunk_high.read["errors"], errors.high))
        sums, own = mem.error_sums, mem.own.read["delta"]
        m.d.comb += [
            sums.read["receiver"].addr.eq(receiver.error_address),
            receiver.error_sum.eq(sums.read["receiver"].data),
            sums.read["delta"].addr.eq(delta.error_address),
            sums.read["delta"].en.eq(delta.error_enable),
            delta.error_sum.eq(sums.read["delta"].data),
            delta.cleared.eq(~receiver.error_write),
            sums.write.en.eq(receiver.error_write | delta.clear | backward.erase),
            own.addr.eq(delta.own_address),
            own.en.eq(delta.error_enable),
            delta.own.eq(own.data),
        ]
        with m.If(receiver.error_write):
            m.d.comb += [sums.write.addr.eq(receiver.error_address), sums.write.data.eq(receiver.new_error_sum)]
        with m.Else():
            m.d.comb += sums.write.addr.eq(Mux(backward.erase, backward.erase_address, delta.clear_address))
        for k in range(self.config.lanes):
            self._delta_bank(m, k)
        lanes = range(self.config.lanes)
        m.d.comb += [
            delta.error.eq(Array(mem.deltas[k].read["errors"].data for k in lanes)[delta.delta_lane]),
            delta.next_delta.eq(Array(mem.deltas[k].read["gradient"].data for k in lanes)[delta.delta_lane]),
        ]

    def _delta_bank(self, m, k):
        """The delta update has the banks of lane k to itself while it runs; then the two engines read them."""
        delta, deltas, bitmaps = self.delta, self.memories.deltas[k], self.memories.bitmaps[k]
        here = delta.write_lane == k
        m.d.comb += [
            deltas.write.en.eq(delta.write & here),
            deltas.write.addr.eq(delta.write_address),
            deltas.write.data.eq(delta.value),
            bitmaps.write.en.eq(Mux(delta.bitmap_write & here, 1 << delta.write_address.step, 0)),
            bitmaps.write.addr.eq(delta.bitmap_word),
            *(part.eq(delta.bitmap) for part in bitmaps.write.data),
        ]
        for unit, port, address in ((self.errors, "errors", delta.delta_address),
                                    (self.gradient, "gradient", delta.next_address)):
            read, bits = deltas.read[port], bitmaps.read[port]
            m.d.comb += [
                read.addr.eq(Mux(delta.busy, address, unit.delta_addresses[k])),
                read.en.eq(~delta.busy | delta.error_enable),
                unit.deltas[k].eq(read.data),
                bits.addr.eq(unit.delta_words[k]),
                bits.en.eq(unit.delta_enables[k]),
                unit.bitmaps[k].eq(bits.data),
            ]

    def _weight_memories(self, m):
        """Weights, gradients and velocities: engines, weight update, and the host while the core is idle."""
        mem, update, host = self.memories, self.update, self.host
        lanes = range(self.config.lanes)
        replying = self.replies.reading & self.receiver.idle  # counters may be read while engines run
        for k in lanes:
            weights, gradients = mem.weights[k], mem.gradients[k]
            forward, errors, gradient = (
                weights.read["forward"], weights.read["errors"], gradients.read["gradient"])
            m.d.comb += [
                forward.addr.eq(Mux(replying, host.bank_address(), Mux(
                    update.busy, update.address, self.engine.weight_address))),
                forward.en.eq(~update.busy | update.enable),
                self.engine.weights[k].eq(forward.data),
                errors.addr.eq(self.errors.weight_addresses[k]),
                self.errors.weights[k].eq(errors.data),
                gradient.addr.eq(Mux(replying, host.bank_address(), Mux(
                    update.busy, update.address, self.gradient.read_addresses[k]))),
                gradient.en.eq(~update.busy | update.enable),
                self.gradient.gradients[k].eq(gradient.data),
            ]
            host.write_bank(Region.WEIGHT, k, weights.write, update.busy)
            host.write_bank(Region.GRADIENT, k, gradients.write, update.busy | self.gradient.busy)
            with m.If(update.busy):
                self._update_write(m, k, weights.write, update.weight_write, update.weight_place, update.weight_value)
                self._update_write(m, k, gradients.write, update.gradient_clear, update.gradient_place, 0)
            with m.Elif(self.gradient.busy):
                m.d.comb += [
                    gradients.write.en.eq(self.gradient.write_enables[k]),
                    gradients.write.addr.eq(self.gradient.write_addresses[k]),
                    gradients.write.data.eq(self.gradient.rounded[k]),
                ]
        for k, ram in enumerate(mem.velocities):
            read = ram.read["update"]
            m.d.comb += [read.addr.eq(Mux(replying, host.bank_address(), update.address)),
                         read.en.eq(~update.busy | update.enable)]
            host.write_bank(Region.VELOCITY, k, ram.write, update.busy)
            with m.If(update.busy):
                self._update_write(
                    m, k, ram.write, update.velocity_write, update.velocity_place, update.velocity_value)
        m.d.comb += [
            update.weight.eq(Array(mem.weights[k].read["forward"].data for k in lanes)[update.lane]),
            update.gradient.eq(Array(mem.gradients[k].read["gradient"].data for k in lanes)[update.lane]),
        ]
        if mem.velocities:
            m.d.comb += update.velocity.eq(Array(mem.velocities[k].read["update"].data for k in lanes)[update.lane])

    def _update_write(self, m, k, port, write, place, value):
        m.d.comb += [
            port.en.eq(write & (place.lane == k)), port.addr.eq(place.address), port.data.eq(value)]

    def _arithmetic(self, m):
        """The elementwise unit's free cycles go to the delta update or the weight update, which never run together."""
        arithmetic, delta, update, neuron = self.arithmetic, self.delta, self.update, self.neuron
        wiring.connect(m, neuron.request, arithmetic.forward)
        m.d.comb += [
            arithmetic.backward.valid.eq(delta.request.valid | update.request.valid),
            arithmetic.backward.p.eq(Mux(update.busy, update.request.p, delta.request.p)),
            delta.request.ready.eq(arithmetic.backward.ready),
            update.request.ready.eq(arithmetic.backward.ready),
        ]
        for unit in (delta, update, neuron):
            m.d.comb += unit.result.eq(arithmetic.result)

    def _send(self, m):
        wiring.connect(m, self.errors.results, self.error_packets.results)
        sources = (self.error_packets.packets, self.spike_sender.packets, self.backward.packets,
                   self.replies.data_packets, self.replies.fault_packets)
        for k, source in enumerate(sources):
            wiring.connect(m, source, self.output.packets[k])
        wiring.connect(m, self.output.flits, wiring.flipped(self.tx))

    def _count(self, m):
        counters, receiver = self.counters, self.receiver
        counts = {
            "cycles": 1,
            "fp_busy": self.forward.busy,
            "fp_terms": self.engine.terms,
            "fp_results": self.neuron.request.valid,
            "fp_stalled": self.engine.stalled,
            "bp_busy": self.errors.busy,
            "bp_terms": self.errors.terms,
            "bp_offered": self.errors.offered,
            "bp_results": self.errors.result,
            "bp_stalled": self.errors.stalled,
            "wg_busy": self.gradient.busy,
            "wg_terms": self.gradient.terms,
            "wg_offered": self.gradient.offered,
            "wg_results": self.gradient.results,
            "wg_rows": self.gradient.row,
            "delta_busy": self.delta.busy,
            "update_busy": self.update.busy,
            "elementwise": self.arithmetic.used,
            "saturated": self.arithmetic.saturated | self.gradient.saturated,
            "dropped": receiver.dropped,
            "packets_in": receiver.packet,
            "packets_out": self.output.sent,
        }
        m.d.comb += [counters.count[name].eq(value) for name, value in counts.items()]
        m.d.comb += [
            counters.router_flits.eq(self.router_flits),
            counters.router_stalled.eq(self.router_stalled),
            counters.clear.eq(self.host.writes(Region.CONTROL) & (receiver.address == 1)),
            counters.index.eq(self.replies.fetch_address),
            self.clear_counters.eq(counters.clear),
            self.activity.eq(Cat(self.forward.busy, self.errors.busy, self.gradient.busy)),
        ]
