# SPDX-License-Identifier: Apache-2.0
"""Who reads and writes which memory of a core, and when."""

from amaranth.hdl import Array, Cat, Mux

from backspike.spec.tables import Region

__all__ = ["connect_backward_memories", "connect_forward_memories", "connect_weight_memories"]


def connect_forward_memories(m, core):
    """What the feed-forward thread reads and writes, apart from the weights; spikes and tables, also of others."""
    mem, neuron = core.memories, core.neuron
    engines = {"forward": core.engine, "errors": core.errors, "gradient": core.gradient}
    for port, thread in (("forward", core.forward), ("gradient", core.backward)):
        unit, tape = engines[port], mem.spikes.read[port]
        m.d.comb += [
            tape.addr.eq(Mux(thread.loading, core.shapes.descriptors | thread.descriptor_address, unit.tape_address)),
            tape.en.eq(unit.tape_enable | thread.loading),
            unit.tape.eq(tape.data),
            thread.descriptor_data.eq(tape.data),
        ]
    for port, group in mem.groups.read.items():
        unit = engines[port]
        m.d.comb += [group.addr.eq(unit.group_address), group.en.eq(unit.group_enable), unit.group.eq(group.data)]
    potential = mem.potentials.read["forward"]
    for unit, port in ((core.spike_sender, "targets"), (core.backward, "sources")):
        m.d.comb += [mem.peers.read[port].addr.eq(unit.peer_address), unit.peer.eq(mem.peers.read[port].data)]
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


def connect_backward_memories(m, core):
    """Masks, error sums, own bits, deltas and their bitmaps."""
    mem, delta, errors = core.memories, core.delta, core.errors
    receiver, backward = core.receiver, core.backward
    word, place = receiver.tape_address.as_value(), backward.erase_address
    erased = Cat(place.step, place.neuron[: core.shapes.neuron], place.slot)
    masks = mem.masks.read["errors"]
    sums, own = mem.error_sums, mem.own.read["delta"]
    arrived = mem.laps.read["arrived"]
    m.d.comb += [
        mem.masks.write.en.eq(receiver.tape_write),
        mem.masks.write.addr.eq(word),
        mem.masks.write.data.eq(receiver.masks),
        mem.laps.write.en.eq(receiver.tape_write | backward.erase),
        mem.laps.write.addr.eq(
            Mux(backward.erase, Cat(place.neuron[: core.shapes.tape_word], place.slot, place.step), word)
        ),
        mem.laps.write.data.eq(core.slots.lap & ~backward.erase),
        arrived.addr.eq(word),
        core.slots.arrived.eq(arrived.data),
    ]
    m.d.comb += [
        masks.addr.eq(errors.tape_address),
        masks.en.eq(errors.tape_enable),
        errors.masks.eq(masks.data),
        sums.read["any"].addr.eq(Mux(receiver.error_read, receiver.error_address, delta.error_address)),
        receiver.error_sum.eq(sums.read["any"].data),
        delta.error_sum.eq(sums.read["any"].data),
        delta.error_taken.eq(receiver.error_read),
        delta.cleared.eq(~receiver.error_end),
        sums.write.en.eq(receiver.error_write | delta.clear | backward.erase),
        sums.write.data.sum.eq(receiver.new_error_sum),
        sums.write.data.none.eq(~receiver.error_write),
        own.addr.eq(delta.own_address),
        own.en.eq(delta.error_enable),
        delta.own.eq(own.data),
    ]
    with m.If(receiver.error_write):
        m.d.comb += sums.write.addr.eq(receiver.error_address)
    with m.Else():
        m.d.comb += sums.write.addr.eq(Mux(backward.erase, erased, delta.clear_address))
    for k in range(core.config.lanes):
        _delta_bank(m, core, k)
    lanes = range(core.config.lanes)
    m.d.comb += delta.stored.eq(Array(mem.deltas[k].read["errors"].data for k in lanes)[delta.delta_lane])


def _delta_bank(m, core, k):
    """The delta update has the banks of lane k to itself while it runs; then the engines read them."""
    delta, deltas, bitmaps = core.delta, core.memories.deltas[k], core.memories.bitmaps[k]
    here = delta.write_lane == k
    m.d.comb += [
        deltas.write.en.eq(delta.write & here),
        deltas.write.addr.eq(delta.write_address),
        deltas.write.data.eq(delta.value),
        bitmaps.write.en.eq(delta.bitmap_write & here),
        bitmaps.write.addr.eq(Cat(delta.bitmap_word, delta.write_address.step)),
        bitmaps.write.data.eq(delta.bitmap),
    ]
    read, others = deltas.read["errors"], deltas.read.get("gradient")
    m.d.comb += [
        read.addr.eq(Mux(delta.busy, delta.delta_address, core.errors.delta_addresses[k])),
        read.en.eq(delta.busy | core.errors.operand_enable),
    ]
    if others:
        m.d.comb += [others.addr.eq(core.gradient.delta_addresses[k]), others.en.eq(core.gradient.delta_enables[k])]
    for port, bits in bitmaps.read.items():
        unit = getattr(core, port)  # of the same name
        m.d.comb += [
            unit.deltas[k].eq(deltas.read[port].data),
            bits.addr.eq(unit.bitmap_address),
            bits.en.eq(unit.bitmap_enable),
            unit.bitmaps[k].eq(bits.data),
        ]


def connect_weight_memories(m, core):
    """Weights, gradients and velocities: engines, weight update, and the host while the core is idle."""
    mem, update, host = core.memories, core.update, core.host
    lanes = range(core.config.lanes)
    replying = core.replies.holding
    for k in lanes:
        weights, gradients = mem.weights[k], mem.gradients[k]
        forward, errors, gradient = (weights.read["forward"], weights.read["errors"], gradients.read["gradient"])
        m.d.comb += [
            forward.addr.eq(
                Mux(replying, host.bank_address(), Mux(update.busy, update.address, core.engine.weight_address))
            ),
            forward.en.eq(Mux(update.busy, update.enable, core.engine.weight_enable | replying)),
            core.engine.weights[k].eq(forward.data),
            errors.addr.eq(core.errors.weight_addresses[k]),
            errors.en.eq(core.errors.operand_enable),
            core.errors.weights[k].eq(errors.data),
            gradient.addr.eq(
                Mux(replying, host.bank_address(), Mux(update.busy, update.address, core.gradient.read_addresses[k]))
            ),
            gradient.en.eq(Mux(update.busy, update.enable, core.gradient.read_enables[k])),
            core.gradient.gradients[k].eq(gradient.data),
        ]
        host.write_bank(Region.WEIGHT, k, weights.write, update.busy)
        with m.If(update.busy):
            _update_write(m, k, weights.write, update.weight_write, update.weight_place, update.weight_value)
            _update_write(m, k, gradients.write, update.gradient_clear, update.gradient_place, 0)
        with m.Else():
            m.d.comb += [
                gradients.write.en.eq(core.gradient.write_enables[k]),
                gradients.write.addr.eq(core.gradient.write_addresses[k]),
                gradients.write.data.eq(core.gradient.sums[k]),
            ]
    for k, ram in enumerate(mem.velocities):
        read = ram.read["update"]
        m.d.comb += [
            read.addr.eq(Mux(replying, host.bank_address(), update.address)),
            read.en.eq(~update.busy | update.enable),
        ]
        host.write_bank(Region.VELOCITY, k, ram.write, update.busy)
        with m.If(update.busy):
            _update_write(m, k, ram.write, update.velocity_write, update.velocity_place, update.velocity_value)
    m.d.comb += [
        update.weight.eq(Array(mem.weights[k].read["forward"].data for k in lanes)[update.lane]),
        update.gradient.eq(Array(mem.gradients[k].read["gradient"].data for k in lanes)[update.lane]),
    ]
    if mem.velocities:
        m.d.comb += update.velocity.eq(Array(mem.velocities[k].read["update"].data for k in lanes)[update.lane])


def _update_write(m, k, port, write, place, value):
    m.d.comb += [port.en.eq(write & (place.lane == k)), port.addr.eq(place.address), port.data.eq(value)]
