# SPDX-License-Identifier: Apache-2.0
"""What slices need and what has come for them, counted in memories."""

from amaranth.hdl import Array, Cat, Mux, Signal
from amaranth.lib import memory
from amaranth.lib.data import StructLayout

__all__ = ["SlotCounts", "slot_flags"]


def slot_flags(config):
    """What is known of the sample in a slot."""
    return StructLayout(
        {
            "complete": config.steps,  # by step: its inputs have all come
            "train": 1,
            "paid": 1,  # no consumer owes a credit
            "known": 1,  # the label or all markers have come
            "beyond": 1,  # it waits for the backward thread, or is in work there; before, inputs arrive
            "taken": 1,  # the backward thread has taken its label or errors
        }
    )


class SlotCounts:
    """The part of the slot table that counts inputs, credits and markers, and keeps needs and labels.

    Parameters
    ----------
    m: module of the slot table
    table: SlotTable, whose ports these are
    slots: by slice and slot: its flags

    Attributes
    ----------
    needs: by slice: what it needs
    restarts: by slice: it is restarted now
    last_input, place: the last input of the step at ``place`` (slice, slot, step) came in the cycle before
    last_credit: the packet is the last credit that its slot needs
    last_answer: the packet is the label or the last marker that its slot needs
    """

    def __init__(self, m, table, slots):
        self.table, self.shapes = table, table.shapes
        self.needs, self.restarts = self._read_needs(m)
        self.place, self.last_input = self._count_inputs(m)
        self.last_credit, self.last_answer = self._count_answers(m, slots)
        self._keep_labels(m)

    def _read_needs(self, m):
        """What each slice needs, as its EXPECTATIONS entry says, and by slice: it is restarted now."""
        shapes, table = self.shapes, self.table
        written = table.need
        inputs = shapes.config.tape_words.bit_length()  # each packet of a step brings another word of the tape
        layout = StructLayout(
            {
                "inputs": inputs,
                "last_step": shapes.step,
                "credits": 6,
                "errors_done": 6,
                "label": 1,
                "active": 1,  # it takes inputs
                "free": 1,  # it needs no credits
                "alone": 1,  # it needs no markers and no label
            }
        )
        new, last_step = Signal(layout), Signal(5)
        m.d.comb += [
            last_step.eq(written.steps - 1),
            *(new[name].eq(written[name]) for name in ("inputs", "credits", "errors_done", "label")),
            new.last_step.eq(last_step),
            new.active.eq(new.inputs.any() & ~written.inputs[inputs:].any() & ~last_step[shapes.step :].any()),
            new.free.eq(written.credits == 0),
            new.alone.eq((written.errors_done == 0) & ~written.label),
        ]
        needs = [Signal(layout, name=f"need_{n}") for n in range(shapes.config.slices)]
        restarts = [table.need_write & (table.need_slice == n) for n in range(shapes.config.slices)]
        for need, restart in zip(needs, restarts, strict=True):
            with m.If(restart):
                m.d.sync += need.eq(new)
        return needs, restarts

    def _count_inputs(self, m):
        """Count the inputs of each step in a memory: the next one's number, from 1 to the number needed and back to 1.

        Returns the slice, slot and step whose last input came in the cycle before, and whether there is one.
        """
        shapes, table, needs = self.shapes, self.table, self.needs
        number = needs[0].inputs.shape()
        place = StructLayout({"slot": shapes.slot, "step": shapes.step, "slice": shapes.slice})
        m.submodules.arrivals = arrivals = memory.Memory(shape=number, depth=1 << place.size, init=[])
        read, write = arrivals.read_port(), arrivals.write_port()
        now, before, coming = Signal(place), Signal(place), Signal()
        complete = Signal()
        erased = table.erase_address
        m.d.comb += [
            now.slot.eq(table.event_slot),
            now.step.eq(table.event_step),
            now.slice.eq(table.event_slice),
            read.addr.eq(now),
            complete.eq(coming & (read.data == Array(needs)[before.slice].inputs)),
            write.addr.eq(before),
            write.data.eq(Mux(complete | table.erase, 1, read.data + 1)),
            write.en.eq(coming | table.erase),
        ]
        with m.If(table.erase):
            m.d.comb += write.addr.eq(Cat(erased.slot, erased.step, erased.neuron[: shapes.slice]))
        m.d.sync += [before.eq(now), coming.eq(table.event.inputs)]
        return before, complete

    def _count_answers(self, m, slots):
        """Accept inputs or not; credits and markers of each slot are counted in a memory as inputs are.

        Returns whether it is the last credit that its slot needs, and whether it is the label or last marker.
        """
        shapes, table, needs = self.shapes, self.table, self.needs
        event, erased = table.event, table.erase_address
        slot, need = Signal(slots[0][0].shape()), Signal(needs[0].shape())
        place = StructLayout({"slot": shapes.slot, "slice": shapes.slice, "credit": 1})
        m.submodules.answers = answers = memory.Memory(shape=6, depth=1 << place.size, init=[])
        read, write = answers.read_port(domain="comb"), answers.write_port()
        last = Signal()
        m.d.comb += [
            slot.eq(Array(Array(slots[n])[table.event_slot] for n in range(len(slots)))[table.event_slice]),
            need.eq(Array(needs)[table.event_slice]),
            table.accepts.eq(
                need.active
                & ~table.erase
                & (table.event_step <= need.last_step)
                & ~slot.beyond
                & ~slot.complete.bit_select(table.event_step, 1)
            ),
            read.addr.eq(Cat(table.event_slot, table.event_slice, event.credit)),
            last.eq(read.data == Mux(event.credit, need.credits, need.errors_done)),
            write.addr.eq(Mux(table.erase, Cat(erased.slot, erased.neuron[: shapes.slice], erased.step[0]), read.addr)),
            write.data.eq(Mux(last | table.erase, 1, read.data + 1)),
            # Credits that nobody waits for, which a restart may leave under way, count for nothing.
            write.en.eq(table.erase | (event.credit & ~slot.paid) | (event.marker & ~slot.known)),
        ]
        return event.credit & last, Mux(need.label, event.label, event.marker & last)

    def _keep_labels(self, m):
        shapes, table = self.shapes, self.table
        m.submodules.labels = labels = memory.Memory(shape=14, depth=1 << shapes.slot + shapes.slice, init=[])
        read, write = labels.read_port(domain="comb"), labels.write_port()
        m.d.comb += [
            write.addr.eq(Cat(table.event_slot, table.event_slice)),
            write.data.eq(table.event_label),
            write.en.eq(table.event.label),
            read.addr.eq(Cat(table.backward_slot, table.backward_slice)),
            table.backward_label.eq(read.data),
        ]
