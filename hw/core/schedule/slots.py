# SPDX-License-Identifier: Apache-2.0
"""State of the samples in flight: what has arrived, and which job may start."""

from amaranth.hdl import Array, Cat, Module, Mux, Signal
from amaranth.lib import wiring
from amaranth.lib.data import StructLayout
from amaranth.lib.wiring import In, Out

from backspike.hw.core.schedule.slot_counts import SlotCounts, slot_flags

__all__ = ["EVENT", "TAKES", "SlotTable"]

EVENT = StructLayout({"inputs": 1, "marker": 1, "credit": 1, "label": 1})
"""What a packet for a slot brings."""

TAKES = StructLayout({"inputs": 1, "marker": 1, "credit": 1, "label": 1, "update": 1, "error": 1})
"""What would be taken now; a packet that brings something else is dropped."""


class SlotTable(wiring.Component):
    """Counts arrivals for each slice, slot and step, and offers the jobs that are ready.

    A feed-forward job is one step of a sample; it is ready when the inputs of this step have come, so that a layer
    begins while the one before it is still at work on later steps. Each slice uses its slots in turn, in both threads,
    so that samples stay in order. A write to an EXPECTATIONS entry *restarts* the table: all slots of all slices are
    free and expect their first samples in slot 0. A slice whose inputs or steps this chip has no bits for takes
    nothing.

    What is counted and what is read at one place only is in memories: inputs of each step, credits and markers of each
    slot, labels. A slot has flags: whether each number is reached, and where its sample is.

    Parameters
    ----------
    shapes: Shapes

    Members
    -------
    event_slice, event_slot, event_step, event_word: the slot, and for inputs the step and tape word, that a packet is
        for; they must stand for a cycle before ``takes`` says whether inputs are taken
    arrived: lap of this tape word, a cycle late
    takes: {inputs, marker, credit, label, update, error}: a packet of this kind for this place would be taken now
    event: {inputs, marker, credit, label}: a packet for the slot came; at most one of the flags is set, and ``inputs``
        never in two cycles in a row and only if they are taken. Others have no effect where they are not taken
    event_train, event_label: content of the packet; ``train`` counts with the inputs of step 0
    lap: to be kept with the tape word that inputs bring
    need_write, need_slice, need_tape, need: a word of an EXPECTATIONS entry is written: its second one, ``tape``, or
        the first
    updates: by slice: an UPDATE waits
    closed: nothing is taken, but for updates
    ready_forward, forward_slot, forward_step, forward_train: by slice: a step of a sample may start, which slot and
        step it is, and whether the sample is for training
    forward_start, forward_done, forward_slice: from the feed-forward thread
    ready_backward, backward_slot, backward_train: by slice, as above; backward_label: of the sample that
        ``backward_start`` began with, from the cycle after on
    backward_start, backward_done, backward_slice: from the backward thread: it has begun with the label or errors of
        the slot, whose sample is for training; the slot is free again
    erase, erase_address: the parent clears the error sums, one each cycle; the counts of inputs, credits and markers of
        all slices are cleared with them; ``closed`` meanwhile
    idle: by slice: no sample has begun, or could but for credits
    no_input, no_credit, no_errors: what a thread waits for if it has no job: there is a slice with inputs to come, and
        none that may start, or could but for credits; a slice that waits for credits, and none that may start; a slice
        that waits for errors or a label, and none whose backward job may start. A cycle late. While the feed-forward
        thread has a job, nothing is ready for it and it waits for nothing
    """

    def __init__(self, shapes):
        self.shapes = shapes
        slices = shapes.config.slices
        super().__init__(
            {
                "event_slice": In(shapes.slice),
                "event_slot": In(shapes.slot),
                "event_step": In(shapes.step),
                "event_word": In(shapes.tape_word),
                "arrived": In(1),
                "takes": Out(TAKES),
                "event": In(EVENT),
                "event_train": In(1),
                "event_label": In(14),
                "lap": Out(1),
                "need_write": In(1),
                "need_slice": In(shapes.slice),
                "need_tape": In(1),
                "need": In(32),
                "updates": In(slices),
                "closed": In(1),
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
                "erase_address": In(shapes.erase_address()),
                "idle": Out(slices),
                "no_input": Out(1),
                "no_credit": Out(1),
                "no_errors": Out(1),
            }
        )

    def elaborate(self, platform):
        m = Module()
        config = self.shapes.config
        running = Signal()  # the feed-forward thread has a job
        with m.If(self.forward_start | self.forward_done):
            m.d.sync += running.eq(self.forward_start)
        flags = slot_flags(config)
        slots = [[Signal(flags, name=f"slot_{n}_{k}") for k in range(config.slots)] for n in range(config.slices)]
        waits = {name: Signal(config.slices) for name in ("input", "credit", "errors")}
        counts = SlotCounts(m, self, slots)
        forward, backward = zip(
            *(self._slice(m, n, slots[n], counts, running, waits) for n in range(config.slices)), strict=True
        )
        m.d.sync += [
            self.no_input.eq(waits["input"].any() & ~waits["credit"].any() & ~self.ready_forward.any() & ~running),
            self.no_credit.eq(waits["credit"].any() & ~self.ready_forward.any() & ~running),
            self.no_errors.eq(waits["errors"].any() & ~self.ready_backward.any()),
        ]
        m.d.comb += [
            self.forward_slot.eq(Array(slot for slot, _, _ in forward)[self.forward_slice]),
            self.forward_step.eq(Array(step for _, step, _ in forward)[self.forward_slice]),
            self.forward_train.eq(Array(train for _, _, train in forward)[self.forward_slice]),
            self.backward_slot.eq(Array(slot for slot, _ in backward)[self.backward_slice]),
            self.backward_train.eq(Array(train for _, train in backward)[self.backward_slice]),
        ]
        return m

    def _slice(self, m, n, slots, counts, running, waits):
        """Slots and step of slice n that are next; returns what each of the two threads is offered."""
        shapes, need, restart = self.shapes, counts.needs[n], self.need_write
        now = {thread: Signal(shapes.slot, name=f"{thread}_slot_{n}") for thread in ("forward", "backward")}
        forward_done = self.forward_done & (self.forward_slice == n)
        step, last_step = self._steps(m, n, need, forward_done, restart)
        first = step == 0
        for k, slot in enumerate(slots):
            self._slot(m, n, k, slot, need, now, first, last_step, counts)
        self._turn(m, now["forward"], forward_done & last_step, restart)
        self._turn(m, now["backward"], self.backward_done & (self.backward_slice == n), restart)
        this, that = (Signal(slots[0].shape(), name=f"{thread}_flags_{n}") for thread in now)
        filling, complete, held, waiting, known = (
            Signal(name=f"{name}_{n}") for name in ("filling", "complete", "held", "waiting", "known")
        )
        m.d.comb += [
            this.eq(Array(slots)[now["forward"]]),
            that.eq(Array(slots)[now["backward"]]),
            filling.eq(need.active & ~this.beyond),
            complete.eq(this.complete.bit_select(step, 1)),
            held.eq(first & ~this.paid),
            waiting.eq(that.beyond & ~that.taken),
            known.eq(~that.train | that.known | need.alone),
            self.ready_forward[n].eq(filling & complete & ~held & ~running),
            self.ready_backward[n].eq(waiting & known),
            self.idle[n].eq(
                ~Cat(slot.beyond for slot in slots).any()
                & first
                & ~(filling & complete)
                & ~(running & (self.forward_slice == n))
            ),
            waits["input"][n].eq(filling & ~complete),
            waits["credit"][n].eq(filling & complete & held),
            waits["errors"][n].eq(waiting & ~known),
        ]
        return (now["forward"], step, this.train), (now["backward"], that.train)

    def _steps(self, m, n, need, done, restart):
        """The step that slice n does next, and whether it is the last of its sample."""
        step, last = Signal(self.shapes.step, name=f"step_{n}"), Signal(name=f"last_step_{n}")
        m.d.comb += last.eq(step == need.last_step)
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

    def _slot(self, m, n, k, slot, need, now, first, last_step, counts):
        """Flags of slot k of slice n."""
        here, forward, backward = (Signal(name=f"{name}_{n}_{k}") for name in ("here", "forward", "backward"))
        m.d.comb += [
            here.eq((self.event_slice == n) & (self.event_slot == k)),
            forward.eq((self.forward_slice == n) & (now["forward"] == k)),
            backward.eq((self.backward_slice == n) & (now["backward"] == k)),
        ]
        place = counts.place
        with m.If(counts.last_input & (place.slice == n) & (place.slot == k)):
            m.d.sync += slot.complete.bit_select(place.step, 1).eq(1)
        with m.If(here & self.event.inputs & (self.event_step == 0)):
            m.d.sync += slot.train.eq(self.event_train)
        with m.If(here & counts.last_credit):
            m.d.sync += slot.paid.eq(1)
        with m.If(here & counts.last_answer):
            m.d.sync += slot.known.eq(1)
        with m.If(self.forward_start & forward & first):
            m.d.sync += slot.paid.eq(need.free)
        with m.If(self.forward_done & forward & last_step):
            m.d.sync += slot.beyond.eq(1)
        # The label of the slot's next sample may come before the slot is free, so it must not be cleared then.
        with m.If(self.backward_start & backward):
            m.d.sync += [slot.taken.eq(1), slot.known.eq(0)]
        with m.If(self.backward_done & backward):
            m.d.sync += [slot.beyond.eq(0), slot.taken.eq(0), slot.complete.eq(0), slot.lap.eq(~slot.lap)]
        with m.If(self.need_write):
            m.d.sync += [slot.beyond.eq(0), slot.taken.eq(0), slot.complete.eq(0), slot.paid.eq(1), slot.known.eq(0)]
            m.d.sync += slot.lap.eq(1)  # erased words have lap 0
