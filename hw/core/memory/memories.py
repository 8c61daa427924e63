# SPDX-License-Identifier: Apache-2.0
"""The memories of a core, and who has which port of them."""

from amaranth.hdl import Cat, Module, signed
from amaranth.lib import wiring
from amaranth.lib.data import ArrayLayout
from amaranth.lib.wiring import In, Out

from backspike.hw.core.memory.arbiters import PortArbiter
from backspike.hw.core.receive.host_access import HostMemory
from backspike.hw.core.update.delta_memory import DeltaMemory
from backspike.hw.core.update.neuron import NeuronMemory, history_layout, potential_layout
from backspike.hw.core.update.operands import OperandMemory
from backspike.hw.core.update.ternary import TernaryMemory
from backspike.hw.core.update.weight_update import WeightMemory
from backspike.hw.engines.memory import ForwardMemory, LearningMemory
from backspike.hw.ram import Ram, ReadPort, WritePort
from backspike.hw.shapes import WORD

__all__ = ["Memories", "ReceiverMemory"]


class ReceiverMemory(wiring.Signature):
    """Error sums and masks as the receiver sees them; it goes before the delta update, for reading and for writing.

    Members
    -------
    sums : ReadPort
        The receiver has the port while ``enable``.
    new_sums : WritePort
    ends : Out(1)
        There may be a write in this cycle; from a register.
    masks : WritePort
        Masks of a tape word.
    laps : WritePort
        The lap of the slot in which a tape word came: see ``SlotCounts``.
    arrived : ReadPort
        The lap of a tape word; not while it is written.
    """

    def __init__(self, shapes):
        sums = shapes.error_sum
        super().__init__(
            {
                "sums": Out(ReadPort(shapes.error_address(), shapes.error_word())),
                "new_sums": Out(WritePort(shapes.error_address(), signed(sums))),
                "ends": Out(1),
                "masks": Out(WritePort(shapes.tape_address(), WORD)),
                "laps": Out(WritePort(shapes.tape_address(), 1)),
                "arrived": Out(ReadPort(shapes.tape_address(), 1)),
            }
        )


class Memories(wiring.Component):
    """All memories of a core, each with its arbiters.

    Weights, gradients, velocities, deltas and bitmaps have a bank for each lane.

    Parameters
    ----------
    shapes : Shapes

    Members
    -------
    host, receiver, neuron, delta, update, forward, learning : In
        The memories as these units see them.
    operands, ternary : In
        So do the operand update, in chips with operands of several bits, and the ternary update, where there is one.
    erase : In(WritePort)
        Sets an error sum to "none", and the lap of a tape word to 0.
    forward_descriptors, backward_descriptors : In(ReadPort)
        Descriptions of slices, which lie behind the spikes. An engine starts after its description has been read.
    targets, sources : In(ReadPort)
        Table of destinations and sources of packets.

    Latency: one cycle from an address to its word. Reset: no memory has needed contents.
    """

    def __init__(self, shapes):
        self.shapes = shapes
        descriptors = ReadPort(shapes.slice + 4, WORD)
        routes = ReadPort(shapes.route, shapes.route_entry)
        super().__init__(
            {
                "host": In(HostMemory(shapes)),
                "receiver": In(ReceiverMemory(shapes)),
                "erase": In(WritePort(shapes.erase_address(), None)),
                "neuron": In(NeuronMemory(shapes)),
                "delta": In(DeltaMemory(shapes)),
                "update": In(WeightMemory(shapes)),
                **({"operands": In(OperandMemory(shapes))} if shapes.traced else {}),
                **({"ternary": In(TernaryMemory(shapes))} if shapes.back else {}),
                "forward": In(ForwardMemory(shapes)),
                "learning": In(LearningMemory(shapes)),
                "forward_descriptors": In(descriptors),
                "backward_descriptors": In(descriptors),
                "targets": In(routes),
                "sources": In(routes),
            }
        )

    def elaborate(self, platform):
        m = Module()
        self._add_tables(m)
        self._add_tape(m)
        self._add_neurons(m)
        self._add_error_sums(m)
        if self.shapes.traced:
            self._add_operands(m)
        if self.shapes.noise:
            self._add_noise(m)
        if self.shapes.back:
            self._add_charges(m)
        for k in range(self.shapes.config.lanes):
            self._add_deltas(m, k)
            self._add_weights(m, k)
        return m

    def _add_tables(self, m):
        shapes, config = self.shapes, self.shapes.config
        m.submodules.fan_in = fan_in = Ram(
            shapes.fan_in, shapes.fan_in_words, config.fan_in, ("forward", "learning"), parts=shapes.fan_in_words.length
        )
        m.submodules.routes = routes = Ram(shapes.route, shapes.route_entry, config.routes, ("targets", "sources"))
        _join(m, self.host.fan_in, fan_in.write)
        _join(m, self.forward.fan_in, fan_in.forward)
        _join(m, self.learning.fan_in, fan_in.learning)
        _join(m, self.host.routes, routes.write)
        _join(m, self.targets, routes.targets)
        _join(m, self.sources, routes.sources)

    def _add_tape(self, m):
        """Spikes and masks; a description is read before its engine starts, so it lies behind the spikes."""
        shapes = self.shapes
        depth = shapes.descriptors + shapes.tables
        m.submodules.spikes = spikes = Ram(shapes.spike_address, WORD, depth, ("forward", "learning"))
        self._write_spikes(m, spikes.write)
        m.submodules.masks = masks = Ram(shapes.tape_address(), WORD, 1 << shapes.tape_address().size, ("learning",))
        _join(m, self.receiver.masks, masks.write)
        self._add_laps(m)
        tape = self.learning.tape
        for name, engine, word, descriptors, others in (
            ("forward", self.forward.tape, self.forward.tape.data, self.forward_descriptors, ()),
            ("learning", tape, tape.data.spikes, self.backward_descriptors, ("operands",) if shapes.traced else ()),
        ):
            m.submodules[f"spikes_{name}"] = arbiter = PortArbiter(
                ReadPort(shapes.spike_address, WORD), ("descriptors", *others, "engine")
            )
            if others:
                m.d.comb += [
                    arbiter.operands_claims.eq(self.operands.claims),
                    arbiter.operands.enable.eq(self.operands.tape.enable),
                    arbiter.operands.address.eq(self.operands.tape.address),
                    self.operands.tape.data.eq(arbiter.operands.data),
                ]
            wiring.connect(m, arbiter.port, getattr(spikes, name))
            m.d.comb += [
                arbiter.descriptors_claims.eq(descriptors.enable),
                arbiter.descriptors.enable.eq(1),
                arbiter.descriptors.address.eq(shapes.descriptors | descriptors.address),
                descriptors.data.eq(arbiter.descriptors.data),
                arbiter.engine.enable.eq(engine.enable),
                arbiter.engine.address.eq(engine.address),
                word.eq(arbiter.engine.data),
            ]
        m.d.comb += [
            masks.learning.address.eq(tape.address),
            masks.learning.enable.eq(tape.enable),
            tape.data.masks.eq(masks.learning.data),
        ]

    def _write_spikes(self, m, port):
        """Packets write spikes; so does the operand update, when it may."""
        if not self.shapes.traced:
            _join(m, self.host.spikes, port)
            return
        address = self.shapes.spike_address
        m.submodules.spikes_write = arbiter = PortArbiter(WritePort(address, WORD), ("host", "operands"))
        _join(m, self.host.spikes, arbiter.host)
        wiring.connect(m, arbiter.port, port)
        flags, taken = self.operands.new_tape, self.host.spikes.enable
        m.d.comb += [
            self.operands.tape_taken.eq(taken),
            arbiter.host_claims.eq(taken),
            arbiter.operands.enable.eq(flags.enable),
            arbiter.operands.address.eq(flags.address),
            arbiter.operands.data.eq(flags.data),
        ]

    def _add_operands(self, m):
        """Operands of the inputs, one for each bit of the tape."""
        shapes, update = self.shapes, self.operands
        address, bits = shapes.tape_bit, shapes.config.operand_bits
        m.submodules.operands = operands = Ram(address, bits, 1 << address, ("any",), style="block")
        m.submodules.operands_read = reads = PortArbiter(ReadPort(address, bits), ("update", "engine"))
        wiring.connect(m, reads.port, operands.any)
        _join(m, update.new_operands, operands.write)
        _join(m, update.operands, reads.update)
        _join(m, self.learning.presynaptic, reads.engine)
        m.d.comb += reads.update_claims.eq(update.claims)

    def _add_laps(self, m):
        shapes, receiver, place = self.shapes, self.receiver, self.erase.address
        address = shapes.tape_address()
        m.submodules.laps = laps = Ram(address, 1, 1 << address.size, ("receiver",))
        m.submodules.laps_write = writes = PortArbiter(WritePort(address, 1), ("erase", "receiver"))
        _join(m, receiver.arrived, laps.receiver)
        _join(m, receiver.laps, writes.receiver)
        wiring.connect(m, writes.port, laps.write)
        m.d.comb += [
            writes.erase_claims.eq(self.erase.enable),
            writes.erase.enable.eq(1),
            writes.erase.address.word.eq(place.neuron[: shapes.tape_word]),
            writes.erase.address.slot.eq(place.slot),
            writes.erase.address.step.eq(place.step),
            writes.erase.data.eq(0),
        ]

    def _add_neurons(self, m):
        shapes, config = self.shapes, self.shapes.config
        m.submodules.potentials = potentials = Ram(
            shapes.neuron, potential_layout(shapes), config.neurons, ("neuron",), style="block"
        )
        m.submodules.history = history = Ram(
            shapes.history_address(),
            ArrayLayout(history_layout(shapes), config.steps),
            1 << shapes.history_address().size,
            ("delta",),
            parts=config.steps,
            style="block",
        )
        _join(m, self.neuron.potentials, potentials.neuron)
        _join(m, self.neuron.new_potentials, potentials.write)
        _join(m, self.neuron.history, history.write)
        _join(m, self.delta.history, history.delta)

    def _add_noise(self, m):
        """States of the generators: for the host while it reads or writes them, for the neuron update while it runs."""
        shapes, host, neuron = self.shapes, self.host, self.neuron.noise
        address, bits = shapes.neuron, shapes.noise
        m.submodules.noise = states = Ram(address, bits, shapes.config.neurons, ("any",), style="block")
        m.submodules.noise_read = reads = PortArbiter(ReadPort(address, bits), ("host", "neuron"))
        m.submodules.noise_write = writes = PortArbiter(WritePort(address, bits), ("host", "neuron"))
        wiring.connect(m, reads.port, states.any)
        wiring.connect(m, writes.port, states.write)
        _join(m, host.noise.states, reads.host)
        _join(m, host.noise.new_states, writes.host)
        _join(m, neuron.states, reads.neuron)
        _join(m, neuron.new_states, writes.neuron)
        m.d.comb += [reads.host_claims.eq(host.claims), writes.host_claims.eq(host.noise.new_states.enable)]

    def _add_charges(self, m):
        shapes = self.shapes
        m.submodules.charges = charges = Ram(shapes.neuron, shapes.number, shapes.config.neurons, ("ternary",))
        _join(m, self.ternary.charges, charges.ternary)
        _join(m, self.ternary.new_charges, charges.write)

    def _add_error_sums(self, m):
        shapes, receiver, delta = self.shapes, self.receiver, self.delta
        address, word = shapes.error_address(), shapes.error_word()
        m.submodules.error_sums = sums = Ram(address, word, 1 << address.size, ("any",))
        m.submodules.error_sums_read = reads = PortArbiter(ReadPort(address, word), ("receiver", "delta"))
        m.submodules.error_sums_write = writes = PortArbiter(WritePort(address, None), ("receiver", "erase", "delta"))
        wiring.connect(m, reads.port, sums.any)
        _join(m, receiver.sums, reads.receiver)
        _join(m, delta.error_sums, reads.delta)
        _join(m, delta.cleared, writes.delta)
        m.d.comb += [
            reads.receiver_claims.eq(receiver.sums.enable),
            delta.error_taken.eq(receiver.sums.enable),
            delta.clearing.eq(~receiver.ends),
            writes.receiver_claims.eq(receiver.new_sums.enable),
            writes.receiver.enable.eq(receiver.new_sums.enable),
            writes.receiver.address.eq(receiver.new_sums.address),
            writes.erase_claims.eq(self.erase.enable),
            writes.erase.enable.eq(1),
            writes.erase.address.step.eq(self.erase.address.step),
            writes.erase.address.neuron.eq(self.erase.address.neuron[: shapes.neuron]),
            writes.erase.address.slot.eq(self.erase.address.slot),
            sums.write.enable.eq(writes.port.enable),
            sums.write.address.eq(writes.port.address),
            sums.write.data.sum.eq(receiver.new_sums.data),
            sums.write.data.none.eq(~receiver.new_sums.enable),
        ]

    def _add_deltas(self, m, k):
        """The delta update has the banks of lane k to itself while it runs; then the engines read them."""
        shapes, delta, operands = self.shapes, self.delta, getattr(self.learning, f"operands_{k}")
        address, bits = shapes.delta_address(), shapes.bitmap_address()
        m.submodules[f"deltas_{k}"] = deltas = Ram(address, shapes.number, 1 << address.size, ("any",))
        m.submodules[f"bitmaps_{k}"] = bitmaps = Ram(bits, WORD, 1 << bits.size, ("learning",))
        m.submodules[f"deltas_{k}_read"] = reads = PortArbiter(ReadPort(address, shapes.number), ("delta", "engine"))
        wiring.connect(m, reads.port, deltas.any)
        self._write_lane(m, delta.deltas, k, deltas.write)
        self._write_lane(m, delta.bitmaps, k, bitmaps.write)
        m.d.comb += [
            reads.delta_claims.eq(delta.claims),
            reads.delta.enable.eq(delta.old_deltas.enable),
            reads.delta.address.eq(delta.old_deltas.address),
            delta.old_deltas.data[k].eq(reads.delta.data),
            reads.engine.enable.eq(operands.enable),
            reads.engine.address.eq(operands.address.delta),
            operands.data.delta.eq(reads.engine.data),
            bitmaps.learning.enable.eq(self.learning.bitmaps.enable),
            bitmaps.learning.address.eq(self.learning.bitmaps.address),
            self.learning.bitmaps.data[k].eq(bitmaps.learning.data),
        ]

    def _add_weights(self, m, k):
        """Weights, gradients and velocities of lane k: for the host while it reads, for the update while it runs."""
        shapes, config = self.shapes, self.shapes.config
        address, number = shapes.weight_address, shapes.number
        operands = getattr(self.learning, f"operands_{k}")
        depth = shapes.weight_depth
        m.submodules[f"weights_{k}"] = weights = Ram(address, number, depth, ("forward", "learning"), shared="learning")
        self._read_banks(m, k, "weights", weights.forward, self.forward.weights, self.forward.weights.data[k])
        m.d.comb += [
            weights.learning.enable.eq(operands.enable),
            weights.learning.address.eq(operands.address.weight),
            operands.data.weight.eq(weights.learning.data),
        ]
        self._write_bank(m, k, "weights", weights.write)
        self._add_gradients(m, k)
        if config.momentum:
            m.submodules[f"velocities_{k}"] = velocities = Ram(address, number, depth, ("any",))
            self._read_banks(m, k, "velocities", velocities.any)
            self._write_bank(m, k, "velocities", velocities.write)

    def _add_gradients(self, m, k):
        """Low and high parts in memories of their own; host and update see their sum."""
        shapes = self.shapes
        words = []
        for part, bits in (("gradients", shapes.gradient_low), ("highs", shapes.gradient_high)):
            m.submodules[f"{part}_{k}"] = ram = Ram(shapes.weight_address, bits, shapes.weight_depth, ("any",))
            sums = getattr(self.learning, f"{part}_{k}")
            self._read_bank(m, f"{part}_{k}", ram.any, sums, sums.data)
            self._write_gradients(m, part, k, ram.write)
            words.append(ram.any.data)
        low, high = words
        whole = Cat(low, (high - low[-1])[: shapes.gradient_high])
        for owner in (self.host, self.update):
            m.d.comb += owner.banks.data.gradients[k].eq(whole.as_signed())

    def _read_banks(self, m, k, name, port, engine=None, word=None):
        """Host, update and, where it reads this bank, an engine share a read port; the two former get its words."""
        self._read_bank(m, f"{name}_{k}", port, engine, word)
        for owner in (self.host, self.update):
            m.d.comb += getattr(owner.banks.data, name)[k].eq(port.data)

    def _read_bank(self, m, name, port, engine, word):
        """Host, update and, where it reads this bank, an engine, which gets the word, share a read port."""
        owners = ("host", "update", *(() if engine is None else ("engine",)))
        m.submodules[f"{name}_read"] = arbiter = PortArbiter(port.signature.flip(), owners)
        wiring.connect(m, arbiter.port, port)
        for owner in ("host", "update"):
            banks, own = getattr(self, owner).banks, getattr(arbiter, owner)
            m.d.comb += [own.enable.eq(banks.enable), own.address.eq(banks.address)]
        m.d.comb += arbiter.host_claims.eq(self.host.claims)
        if engine is not None:
            m.d.comb += [
                arbiter.update_claims.eq(self.update.claims),
                arbiter.engine.enable.eq(engine.enable),
                arbiter.engine.address.eq(engine.address),
                word.eq(arbiter.engine.data),
            ]

    def _write_gradients(self, m, part, k, port):
        """The engine's sums are 0 while the update runs, which only clears gradients."""
        address, sums = self.shapes.weight_address, getattr(self.learning, f"new_{part}_{k}")
        m.submodules[f"{part}_{k}_write"] = arbiter = PortArbiter(WritePort(address, None), ("update", "engine"))
        self._write_lane(m, self.update.gradients, k, arbiter.update)
        m.d.comb += [
            arbiter.update_claims.eq(self.update.claims),
            arbiter.engine.enable.eq(sums.enable),
            arbiter.engine.address.eq(sums.address),
            port.enable.eq(arbiter.port.enable),
            port.address.eq(arbiter.port.address),
            port.data.eq(sums.data),
        ]

    def _write_bank(self, m, k, name, port):
        m.submodules[f"{name}_{k}_write"] = arbiter = PortArbiter(port.signature.flip(), ("update", "host"))
        wiring.connect(m, arbiter.port, port)
        m.d.comb += arbiter.update_claims.eq(self.update.claims)
        for owner in ("update", "host"):
            self._write_lane(m, getattr(getattr(self, owner), name), k, getattr(arbiter, owner))

    def _write_lane(self, m, source, k, port):
        """Pass on what is written if it is for lane k; an address has the lane, and the place in its bank."""
        here = source.address.lane == k if self.shapes.config.lanes > 1 else 1
        place = source.address["place" if "place" in source.address.shape().members else "address"]
        m.d.comb += [port.enable.eq(source.enable & here), port.address.eq(place)]
        if "data" in source.signature.members:
            m.d.comb += port.data.eq(source.data)


def _join(m, source, target):
    """Connect a port of the component itself with one of a unit inside."""
    wiring.connect(m, wiring.flipped(source), target)
