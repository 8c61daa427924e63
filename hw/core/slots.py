# SPDX-License-Identifier: Apache-2.0
"""State of the samples in flight: what has arrived, and which job may start."""

from enum import IntEnum

from amaranth.hdl import Array, Cat, Module, Mux, Signal
from amaranth.lib import memory, wiring
from amaranth.lib.data import StructLayout
from amaranth.lib.wiring import In, Out

from backspike.host.protocol import NEED
from backspike.hw.blocks import any_of

__all__ = ["EVENT", "SlotTable", "Stage"]

EVENT = StructLayout({"inputs": 1, "marker": 1, "credit": 1, "label": 1})
"""What a packet for a slot brings."""


class Stage(IntEnum):
    """Where the sample of a slot is."""

    FILLING = 0  # inputs arrive, and the feed-forward thread takes step after step
    BACKWARD = 1  # it waits for the backward thread
    LEARNING = 2  # the backward thread has taken its label or errors


class SlotTable(wiring.Component):
    """Counts arrivals for each slice, slot and step, and offers the jobs that are ready.

    A feed-forward job is one step of a sample; it is ready when the inputs of this step have come, so that a layer
    begins while the one before it is still at work on later steps. Each slice uses its slots in turn, in both threads,
    so that samples stay in order. A slice is *restarted* when its NEED entry is written.

    Parameters
    ----------
    shapes: Shapes

    Members
    -------
    event_slice, event_slot, event_step: the slot, and for inputs the step, that a packet is for
    accepts: this slot takes inputs of this step now
    event: {inputs, marker, credit, label}: a packet for the slot came; at most one of the flags is set, and ``inputs``
        never in two cycles in a row
    event_train, event_label: content of the packet
    need_write, need_slice, need: a NEED entry is written
    ready_forward, forward_slot, forward_step, forward_train: by slice: a step of a sample may start, which slot and
        step it is, and whether the sample is for training
    forward_start, forward_done, forward_slice: from the feed-forward thread
    ready_backward, backward_slot, backward_train, backward_label: by slice, as above
    backward_start, backward_done, backward_slice: from the backward thread: it has begun with the label or errors of
        the slot; the slot is free again
    erase, erase_address: the parent clears the error sums, one each cycle; the counts of arrivals of all slices are
        cleared with them, and no inputs are taken meanwhile
    idle: by slice: no sample has gone beyond its inputs
    no_input, no_credit, no_errors: what a thread waits for if it has no job: there is a slice with inputs to come, and
        none that may start, or could but for credits; a slice that waits for credits, and none that may start; a slice
        that waits for errors or a label, and none whose backward job may start. A cycle late. While the feed-forward
        thread has a job, nothing is ready for it and it waits for nothing
    """

    def __init__(self, shapes):
        self.shapes = shapes
        slices = shapes.config.slices
        super().__init__({
            "event_slice": In(shapes.slice),
            "event_slot": In(shapes.slot),
            "event_step": In(shapes.step),
            "event": In(EVENT),
            "event_train": In(1),
            "event_label": In(14),
            "accepts": Out(1),
            "need_write": In(1),
            "need_slice": In(shapes.slice),
            "need": In(NEED.layout()),
            "ready_forward": Out(slices),
            "forward_slot": Out(shapes.slot),
            "forward_step": Out(shapes.step),
            "forward_train": Out(1),
            "forward_start": In(1),
            "forward_done": In(1),
            "forward_slice": In(shapes.slice),
            "ready_backward": Out(slices),
            "backward_slot": Out(shapes.slot),
            "backward_train": Out(1),
            "backward_label": Out(14),
            "backward_start": In(1),
            "backward_done": In(1),
            "backward_slice": In(shapes.slice),
            "erase": In(1),
            "erase_address": In(shapes.error_address()),
            "idle": Out(slices),
            "no_input": Out(1),
            "no_credit": Out(1),
            "no_errors": Out(1),
        })

    def elaborate(self, platform):
        m = Module()
        config = self.shapes.config
        accepts, forward, backward = [], [], []
        waits = {name: Signal(config.slices) for name in ("input", "credit", "errors")}
        needs = [Signal(NEED.layout(), name=f"need_{n}") for n in range(config.slices)]
        counted = self._count(m, needs)
        running = Signal()  # the feed-forward thread has a job
        with m.If(self.forward_start | self.forward_done):
            m.d.sync += running.eq(self.forward_start)
        for n, need in enumerate(needs):
            restart = Signal(name=f"restart_{n}")
            m.d.comb += restart.eq(self.need_write & (self.need_slice == n))
            with m.If(restart):
                m.d.sync += need.eq(self.need)
            now = {thread: Signal(self.shapes.slot, name=f"{thread}_slot_{n}") for thread in ("forward", "backward")}
            done = self.forward_done & (self.forward_slice == n)
            step, last_step = self._steps(m, n, need, done, restart)
            slots = [self._slot(m, n, k, need, restart, now, step, last_step, counted) for k in range(config.slots)]
            self._turn(m, now["forward"], done & last_step, restart)
            self._turn(m, now["backward"], self.backward_done & (self.backward_slice == n), restart)
            accepts.append(Array(slot["accepts"] for slot in slots)[self.event_slot])
            forward.append((now["forward"], step, Array(slot["train"] for slot in slots)[now["forward"]]))
            backward.append((now["backward"], Array(slot["train"] for slot in slots)[now["backward"]],
                             Array(slot["label"] for slot in slots)[now["backward"]]))
            m.d.comb += [
                self.ready_forward[n].eq(Array(slot["ready_forward"] for slot in slots)[now["forward"]] & ~running),
                self.ready_backward[n].eq(Array(slot["ready_backward"] for slot in slots)[now["backward"]]),
                self.idle[n].eq(~any_of(slot["beyond"] for slot in slots) & (step == 0)
                                & ~(running & (self.forward_slice == n))),
                waits["input"][n].eq(Array(slot["needs_input"] for slot in slots)[now["forward"]]),
                waits["credit"][n].eq(Array(slot["needs_credit"] for slot in slots)[now["forward"]]),
                waits["errors"][n].eq(Array(slot["needs_errors"] for slot in slots)[now["backward"]]),
            ]
        m.d.sync += [
            self.no_input.eq(waits["input"].any() & ~waits["credit"].any() & ~self.ready_forward.any() & ~running),
            self.no_credit.eq(waits["credit"].any() & ~self.ready_forward.any() & ~running),
            self.no_errors.eq(waits["errors"].any() & ~self.ready_backward.any()),
        ]
        m.d.comb += [
            self.accepts.eq(Array(accepts)[self.event_slice] & ~self.erase
                            & (self.event_step < Array(needs)[self.event_slice].steps)),
            self.forward_slot.eq(Array(slot for slot, _, _ in forward)[self.forward_slice]),
            self.forward_step.eq(Array(step for _, step, _ in forward)[self.forward_slice]),
            self.forward_train.eq(Array(train for _, _, train in forward)[self.forward_slice]),
            self.backward_slot.eq(Array(slot for slot, _, _ in backward)[self.backward_slice]),
            self.backward_train.eq(Array(train for _, train, _ in backward)[self.backward_slice]),
            self.backward_label.eq(Array(label for _, _, label in backward)[self.backward_slice]),
        ]
        return m

    def _count(self, m, needs):
        """Count the inputs of each step in a memory, from 0 to the number needed and back to 0.

        Returns the slice, slot and step whose last input came in the cycle before, and whether there is one.
        """
        shapes = self.shapes
        place = StructLayout({"slot": shapes.slot, "step": shapes.step, "slice": shapes.slice})
        m.submodules.arrivals = arrivals = memory.Memory(shape=14, depth=1 << place.size, init=[])
        read, write = arrivals.read_port(), arrivals.write_port()
        now, before, coming = Signal(place), Signal(place), Signal()
        complete = Signal()
        total = Signal(14)
        erased = self.erase_address
        m.d.comb += [
            now.slot.eq(self.event_slot), now.step.eq(self.event_step), now.slice.eq(self.event_slice),
            read.addr.eq(now),
            total.eq(read.data + 1),
            complete.eq(coming & (total == Array(needs)[before.slice].inputs)),
            write.addr.eq(before),
            write.data.eq(Mux(complete, 0, total)),
            write.en.eq(coming),
        ]
        with m.If(self.erase):
            m.d.comb += [
                write.addr.eq(Cat(erased.slot, erased.step, erased.neuron[:len(now.slice)])), write.data.eq(0),
                write.en.eq(1),
            ]
        m.d.sync += [before.eq(now), coming.eq(self.event.inputs)]
        return before, complete

    def _steps(self, m, n, need, done, restart):
        """The step that slice n does next, and whether it is the last of its sample."""
        step, last = Signal(self.shapes.step, name=f"step_{n}"), Signal(name=f"last_step_{n}")
        m.d.comb += last.eq(step + 1 == need.steps)
        with m.If(restart):
            m.d.sync += step.eq(0)
        with m.Elif(done):
            m.d.sync += step.eq(Mux(last, 0, step + 1))
        return step, last

    def _turn(self, m, slot, done, restart):
        with m.If(restart):
            m.d.sync += slot.eq(0)
        with m.Elif(done):
            m.d.sync += slot.eq(Mux(slot == self.shapes.config.slots - 1, 0, slot + 1))

    def _slot(self, m, n, k, need, restart, now, step, last_step, counted):
        """Registers of slot k of slice n."""
        name = f"{n}_{k}"
        stage = Signal(Stage, name=f"stage_{name}")
        complete = Signal(self.shapes.config.steps, name=f"complete_{name}")  # steps whose inputs have all come
        owed = Signal(6, name=f"owed_{name}")  # credits that consumers have still to give
        markers = Signal(6, name=f"markers_{name}")
        labelled = Signal(name=f"labelled_{name}")
        label = Signal(14, name=f"label_{name}")
        train = Signal(name=f"train_{name}")
        event = self.event
        here = Signal(name=f"here_{name}")
        forward, backward = Signal(name=f"forward_{name}"), Signal(name=f"backward_{name}")
        m.d.comb += [
            here.eq((self.event_slice == n) & (self.event_slot == k)),
            forward.eq((self.forward_slice == n) & (now["forward"] == k)),
            backward.eq((self.backward_slice == n) & (now["backward"] == k)),
        ]
        place, last_input = counted
        with m.If(last_input & (place.slice == n) & (place.slot == k)):
            m.d.sync += complete.bit_select(place.step, 1).eq(1)
        with m.If(here):
            with m.If(event.inputs):
                m.d.sync += train.eq(self.event_train)
            m.d.sync += [markers.eq(markers + event.marker), owed.eq(owed - (event.credit & owed.any()))]
            with m.If(event.label):
                m.d.sync += [labelled.eq(1), label.eq(self.event_label)]
        with m.If(self.forward_start & forward & (step == 0)):
            m.d.sync += owed.eq(need.credits)
        with m.If(self.forward_done & forward & last_step):
            m.d.sync += stage.eq(Stage.BACKWARD)
        with m.If(self.backward_done & backward):
            m.d.sync += [stage.eq(Stage.FILLING), complete.eq(0)]
        # The label of the slot's next sample may come before the slot is free, so it must not be cleared then.
        with m.If(self.backward_start & backward & train):
            m.d.sync += [stage.eq(Stage.LEARNING), markers.eq(0), labelled.eq(0)]
        with m.If(restart):
            m.d.sync += [stage.eq(Stage.FILLING), complete.eq(0), owed.eq(0), markers.eq(0), labelled.eq(0)]
        filling = stage == Stage.FILLING
        waiting = filling & need.inputs.any()
        startable = waiting & complete.bit_select(step, 1)
        held = (step == 0) & owed.any()
        known = ~train | Mux(need.label, labelled, markers == need.markers)
        return {
            "accepts": waiting & ~complete.bit_select(self.event_step, 1),
            "needs_input": waiting & ~complete.bit_select(step, 1),
            "ready_forward": startable & ~held,
            "needs_credit": startable & held,
            "ready_backward": (stage == Stage.BACKWARD) & known,
            "needs_errors": (stage == Stage.BACKWARD) & ~known,
            "beyond": ~filling,
            "train": train,
            "label": label,
        }
