# SPDX-License-Identifier: Apache-2.0
"""State of the frames in flight: what has arrived, and which job may start."""

from amaranth.hdl import Array, Cat, Module, Mux, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from backspike.hw.core.schedule.jobs import JobOffer, SlotEvent, job_layout
from backspike.hw.core.schedule.slot_counts import SlotCounts, slot_flags

__all__ = ["SlotTable"]


class SlotTable(wiring.Component):
    """Counts arrivals for each slice, slot and step, and offers the jobs that are ready.

    A feed-forward job is one step of a frame; it is ready when the inputs of this step have come, so that a layer
    begins while the one before it is still at work on later steps. Each slice uses its slots in turn, in both threads,
    so that frames stay in order. A write to an EXPECTATIONS entry *restarts* the table: all slots of all slices are
    free and expect their first frames in slot 0. A slice whose inputs or steps this chip has no bits for takes
    nothing.

    What is counted and what is read at one place only is in memories: inputs of each step, credits and markers of each
    slot, labels. A slot has flags: whether each number is reached, and where its frame is.

    Parameters
    ----------
    shapes: Shapes

    Members
    -------
    event : In(SlotEvent)
        From the receiver.
    arrived : In(1)
        Lap of this tape word, a cycle late.
    lap : Out(1)
        To be kept with the tape word that inputs bring.
    need_write, need_slice, need_tape, need : In
        A word of an EXPECTATIONS entry is written: its second one, ``tape``, or the first.
    updates : In(slices)
        By slice: an UPDATE waits.
    closed : In(1)
        Nothing is taken, but for updates.
    forward, backward : Out(JobOffer)
        To the threads. While the feed-forward thread has a job, nothing is ready for it and it waits for nothing. When
        the backward thread is done, the slot is free again.
    backward_label : Out(14)
        Of the frame that the backward thread began with last, from the cycle after on.
    erase, erase_address : In
        The parent clears the error sums, one each cycle; the counts of inputs, credits and markers of all slices are
        cleared with them; ``closed`` meanwhile.
    idle : Out(slices)
        By slice: no frame has begun, or could but for credits.
    no_input, no_credit, no_errors : Out(1)
        What a thread waits for if it has no job: there is a slice with inputs to come, and none that may start, or
        could but for credits; a slice that waits for credits, and none that may start; a slice that waits for errors or
        a label, and none whose backward job may start. A cycle late.
    """

    def __init__(self, shapes):
        self.shapes = shapes
        slices = shapes.config.slices
        super().__init__(
            {
                "event": In(SlotEvent(shapes)),
                "arrived": In(1),
                "lap": Out(1),
                "need_write": In(1),
                "need_slice": In(shapes.slice),
                "need_tape": In(1),
                "need": In(32),
                "updates": In(slices),
                "closed": In(1),
                "forward": Out(JobOffer(shapes)),
                "backward": Out(JobOffer(shapes)),
                "backward_label": Out(14),
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
        with m.If(self.forward.start | self.forward.done):
            m.d.sync += running.eq(self.forward.start)
        flags = slot_flags(config)
        slots = [[Signal(flags, name=f"slot_{n}_{k}") for k in range(config.slots)] for n in range(config.slices)]
        waits = {name: Signal(config.slices) for name in ("input", "credit", "errors")}
        counts = SlotCounts(m, self, slots)
        forward, backward = zip(
            *(self._slice(m, n, slots[n], counts, running, waits) for n in range(config.slices)), strict=True
        )
        m.d.sync += [
            self.no_input.eq(waits["input"].any() & ~waits["credit"].any() & ~self.forward.ready.any() & ~running),
            self.no_credit.eq(waits["credit"].any() & ~self.forward.ready.any() & ~running),
            self.no_errors.eq(waits["errors"].any() & ~self.backward.ready.any()),
        ]
        m.d.comb += [
            self.forward.job.eq(Array(forward)[self.forward.slice]),
            self.backward.job.eq(Array(backward)[self.backward.slice]),
        ]
        return m

    def _slice(self, m, n, slots, counts, running, waits):
        """Slots and step of slice n that are next; returns what each of the two threads is offered."""
        need, restart = counts.needs[n], self.need_write
        forward, backward = (
            Signal(job_layout(self.shapes), name=f"{thread}_job_{n}") for thread in ("forward", "backward")
        )
        step_done = self.forward.done & (self.forward.slice == n)
        last_step = self._steps(m, n, forward.step, need, step_done, restart)
        first = forward.step == 0
        for k, slot in enumerate(slots):
            self._slot(m, n, k, slot, need, (forward.slot, backward.slot), first, last_step, counts)
        self._turn(m, forward.slot, step_done & last_step, restart)
        self._turn(m, backward.slot, self.backward.done & (self.backward.slice == n), restart)
        this, that = (Signal(slots[0].shape(), name=f"{thread}_flags_{n}") for thread in ("forward", "backward"))
        filling, complete, blocked_on_credit, waiting, errors_ready = (
            Signal(name=f"{name}_{n}")
            for name in ("filling", "complete", "blocked_on_credit", "waiting", "errors_ready")
        )
        m.d.comb += [
            this.eq(Array(slots)[forward.slot]),
            that.eq(Array(slots)[backward.slot]),
            forward.train.eq(this.train),
            forward.more.eq(this.more),
            forward.back.eq(this.back),
            backward.train.eq(that.train),
            backward.more.eq(that.more),
            backward.back.eq(that.back),
            filling.eq(need.active & ~this.forward_done),
            complete.eq(this.complete.bit_select(forward.step, 1)),
            blocked_on_credit.eq(first & ~this.credited),
            waiting.eq(that.forward_done & ~that.target_taken),
            errors_ready.eq(~that.train | that.errors_ready | need.needs_no_errors),
            self.forward.ready[n].eq(filling & complete & ~blocked_on_credit & ~running),
            self.backward.ready[n].eq(waiting & errors_ready),
            self.idle[n].eq(
                ~Cat(slot.forward_done for slot in slots).any()
                & first
                & ~(filling & complete)
                & ~(running & (self.forward.slice == n))
            ),
            waits["input"][n].eq(filling & ~complete),
            waits["credit"][n].eq(filling & complete & blocked_on_credit),
            waits["errors"][n].eq(waiting & ~errors_ready),
        ]
        return forward, backward

    def _steps(self, m, n, step, need, done, restart):
        """The step that slice n does next; returns whether it is the last of its frame."""
        last = Signal(name=f"last_step_{n}")
        m.d.comb += last.eq(step == need.last_step)
        with m.If(restart):
            m.d.sync += step.eq(0)
        with m.Elif(done):
            m.d.sync += step.eq(Mux(last, 0, step + 1))
        return last

    def _turn(self, m, slot, done, restart):
        with m.If(restart):
            m.d.sync += slot.eq(0)
        with m.Elif(done):
            m.d.sync += slot.eq(Mux(slot == self.shapes.config.slots - 1, 0, slot + 1))

    def _slot(self, m, n, k, slot, need, turns, first, last_step, counts):
        """Flags of slot k of slice n; ``turns``: the slots that are next in the two threads."""
        here, forward, backward = (Signal(name=f"{name}_{n}_{k}") for name in ("here", "forward", "backward"))
        event = self.event
        m.d.comb += [
            here.eq((event.place.slice == n) & (event.place.slot == k)),
            forward.eq((self.forward.slice == n) & (turns[0] == k)),
            backward.eq((self.backward.slice == n) & (turns[1] == k)),
        ]
        place = counts.place
        with m.If(counts.last_input & (place.slice == n) & (place.slot == k)):
            m.d.sync += slot.complete.bit_select(place.step, 1).eq(1)
        with m.If(here & event.brings.inputs & (event.place.step == 0)):
            m.d.sync += [slot.train.eq(event.train), slot.more.eq(event.more)]
            if self.shapes.back:
                m.d.sync += slot.back.eq(event.back)
        with m.If(here & counts.last_credit):
            m.d.sync += slot.credited.eq(1)
        with m.If(here & counts.last_answer):
            m.d.sync += slot.errors_ready.eq(1)
        with m.If(self.forward.start & forward & first):
            m.d.sync += slot.credited.eq(need.needs_no_credit)
        with m.If(self.forward.done & forward & last_step):
            m.d.sync += slot.forward_done.eq(1)
        # The label of the slot's next frame may come before the slot is free, so it must not be cleared then.
        with m.If(self.backward.start & backward):
            m.d.sync += [slot.target_taken.eq(1), slot.errors_ready.eq(0)]
        with m.If(self.backward.done & backward):
            m.d.sync += [slot.forward_done.eq(0), slot.target_taken.eq(0), slot.complete.eq(0), slot.lap.eq(~slot.lap)]
        with m.If(self.need_write):
            m.d.sync += [slot.forward_done.eq(0), slot.target_taken.eq(0), slot.complete.eq(0)]
            m.d.sync += [slot.credited.eq(1), slot.errors_ready.eq(0)]
            m.d.sync += slot.lap.eq(1)  # erased words have lap 0
