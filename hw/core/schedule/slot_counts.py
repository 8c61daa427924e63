# SPDX-License-Identifier: Apache-2.0
"""What slices need and what has come for them, counted in memories."""

from amaranth.hdl import Array, Cat, Mux, Signal
from amaranth.lib import memory
from amaranth.lib.data import StructLayout

from backspike.spec.tables import EXPECTATIONS

__all__ = ["SlotCounts", "slot_flags"]


def slot_flags(config):
    """What is known of the frame in a slot."""
    return StructLayout(
        {
            "complete": config.steps,  # by step: its inputs have all come
            "lap": 1,  # of the frame, 0 and 1 in turn: what its tape words get when they come
            "train": 1,
            "more": 1,  # it goes on with the sample of the frame before
            "back": int(config.ternary),  # ternary spikes go back in it
            "credited": 1,  # no consumer owes a credit
            "errors_ready": 1,  # the label or all markers have come
            "forward_done": 1,  # it waits for the backward thread, or is in work there; before, inputs arrive
            "target_taken": 1,  # the backward thread has taken its label or errors
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
    last_input, place: the last input of the step at ``place`` (slice, slot, step) came in the cycle before
    last_credit: the packet is the last credit that its slot needs
    last_answer: the packet is the label or the last marker that its slot needs
    """

    def __init__(self, m, table, slots):
        self.table, self.shapes = table, table.shapes
        self.needs = self._read_needs(m)
        self.place, self.last_input = self._count_inputs(m)
        self.last_credit, self.last_answer = self._count_answers(m, slots)
        self._keep_labels(m)

    def _read_needs(self, m):
        """What each slice needs, as its EXPECTATIONS entry says."""
        shapes, table = self.shapes, self.table
        behind = "tape", "shared"  # in the second word
        written = StructLayout({name: width for name, width in EXPECTATIONS.fields.items() if name not in behind})(
            table.need
        )
        inputs = shapes.config.tape_words.bit_length()  # each packet of a step brings another word of the tape
        layout = StructLayout(
            {
                "inputs": inputs,
                "last_step": shapes.step,
                "credits": 6,
                "errors_done": 6,
                "label": 1,
                "tape": shapes.tape_word,  # first word
                "shared": 1,  # it takes inputs that go to many cores
                "active": 1,  # it takes inputs
                "needs_no_credit": 1,
                "needs_no_errors": 1,  # no markers and no label
            }
        )
        new, last_step = Signal(layout), Signal(5)
        m.d.comb += [
            last_step.eq(written.steps - 1),
            *(new[name].eq(written[name]) for name in ("inputs", "credits", "errors_done", "label")),
            new.last_step.eq(last_step),
            new.active.eq(new.inputs.any() & ~written.inputs[inputs:].any() & ~last_step[shapes.step :].any()),
            new.needs_no_credit.eq(written.credits == 0),
            new.needs_no_errors.eq((written.errors_done == 0) & ~written.label),
        ]
        needs = [Signal(layout, name=f"need_{n}") for n in range(shapes.config.slices)]
        for n, need in enumerate(needs):
            with m.If(table.need_write & (table.need_slice == n)):
                with m.If(table.need_tape):
                    m.d.sync += [need.tape.eq(table.need), need.shared.eq(table.need[EXPECTATIONS.fields["tape"]])]
                with m.Else():
                    m.d.sync += [need[name].eq(new[name]) for name, _ in layout if name not in behind]
        return needs

    def _count_inputs(self, m):
        """Count the inputs of each step in a memory: the next one's number, from 1 to the number needed and back to 1.

        Returns the slice, slot and step whose last input came in the cycle before, and whether there is one.
        """
        shapes, table, needs = self.shapes, self.table, self.needs
        number = needs[0].inputs.shape()
        place = StructLayout({"slot": shapes.slot, "step": shapes.step_address, "slice": shapes.slice})
        m.submodules.arrivals = arrivals = memory.Memory(shape=number, depth=1 << place.size, init=[])
        read, write = arrivals.read_port(), arrivals.write_port()
        now, before, coming = Signal(place), Signal(place), Signal()
        complete = Signal()
        erased, at = table.erase_address, table.event.place
        m.d.comb += [
            now.slot.eq(at.slot),
            now.step.eq(at.step),
            now.slice.eq(at.slice),
            read.addr.eq(now),
            complete.eq(coming & (read.data == Array(needs)[before.slice].inputs)),
            write.addr.eq(before),
            write.data.eq(Mux(complete | table.erase, 1, read.data + 1)),
            write.en.eq(coming | table.erase),
        ]
        with m.If(table.erase):
            m.d.comb += write.addr.eq(Cat(erased.slot, erased.step, erased.neuron[: shapes.slice]))
        m.d.sync += [before.eq(now), coming.eq(table.event.brings.inputs)]
        return before, complete

    def _count_answers(self, m, slots):
        """Say what is taken; credits and markers of each slot are counted in a memory as inputs are.

        A step's inputs are as many tape words as the slice needs, each once: a word that came in this lap of the slot
        has its lap. Returns whether it is the last credit that its slot needs, and whether it is the label or last
        marker.
        """
        shapes, table, needs = self.shapes, self.table, self.needs
        event, erased, takes = table.event.brings, table.erase_address, table.event.takes
        at = table.event.place
        slot, need = Signal(slots[0][0].shape()), Signal(needs[0].shape())
        place = StructLayout({"slot": shapes.slot, "slice": shapes.slice, "credit": 1})
        m.submodules.answers = answers = memory.Memory(shape=6, depth=1 << place.size, init=[])
        read, write = answers.read_port(domain="comb"), answers.write_port()
        last, open_, updating, number = Signal(), Signal(), Signal(), Signal(shapes.tape_word)
        m.d.comb += [
            slot.eq(Array(Array(slots[n])[at.slot] for n in range(len(slots)))[at.slice]),
            need.eq(Array(needs)[at.slice]),
            open_.eq(need.active & ~table.closed),
            updating.eq(table.updates.bit_select(at.slice, 1)),
            number.eq(at.word - need.tape),
            takes.inputs.eq(
                open_
                & (at.step <= need.last_step)
                & (number < need.inputs)
                & (table.arrived != slot.lap)
                & ~slot.forward_done
                & ~slot.complete.bit_select(at.step, 1)
                & ~(updating & (at.step == 0))  # so that no frame begins that the update would wait for
            ),
            takes.shared.eq(need.shared),
            takes.marker.eq(open_ & ~slot.errors_ready & ~need.label & ~need.needs_no_errors),
            takes.label.eq(open_ & ~slot.errors_ready & need.label),
            takes.credit.eq(open_ & ~slot.credited),
            takes.update.eq(~updating),
            takes.error.eq(~table.closed),
            table.lap.eq(slot.lap),
            read.addr.eq(Cat(at.slot, at.slice, event.credit)),
            last.eq(read.data == Mux(event.credit, need.credits, need.errors_done)),
            write.addr.eq(Mux(table.erase, Cat(erased.slot, erased.neuron[: shapes.slice + 1]), read.addr)),
            write.data.eq(Mux(last | table.erase, 1, read.data + 1)),
            write.en.eq(table.erase | (event.credit & takes.credit) | (event.marker & takes.marker)),
        ]
        credit, marker = event.credit & takes.credit & last, event.marker & takes.marker & last
        return credit, marker | (event.label & takes.label)

    def _keep_labels(self, m):
        shapes, table = self.shapes, self.table
        event, backward = table.event, table.backward
        m.submodules.labels = labels = memory.Memory(shape=14, depth=1 << shapes.slot + shapes.slice, init=[])
        read, write = labels.read_port(domain="comb"), labels.write_port()
        m.d.comb += [
            write.addr.eq(Cat(event.place.slot, event.place.slice)),
            write.data.eq(event.label),
            write.en.eq(event.brings.label & event.takes.label),
            read.addr.eq(Cat(backward.job.slot, backward.slice)),
        ]
        # Once the frame has begun, the label of the slot's next one may come.
        with m.If(backward.start):
            m.d.sync += table.backward_label.eq(read.data)
