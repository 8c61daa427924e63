# SPDX-License-Identifier: Apache-2.0
"""What receiver, slot table and threads say to each other about frames."""

from amaranth.lib import wiring
from amaranth.lib.data import StructLayout
from amaranth.lib.wiring import In, Out

__all__ = ["EVENT", "TAKES", "JobOffer", "SlotEvent", "event_place", "job_layout"]

EVENT = StructLayout({"inputs": 1, "marker": 1, "credit": 1, "label": 1})
"""What a packet for a slot brings."""

TAKES = StructLayout({"inputs": 1, "shared": 1, "marker": 1, "credit": 1, "label": 1, "update": 1, "error": 1})
"""What would be taken now; a packet that brings something else is dropped. ``shared``: also inputs for many cores."""


def event_place(shapes):
    """The slot, and for inputs the step and tape word, that a packet is for."""
    return StructLayout({"slice": shapes.slice, "slot": shapes.slot, "step": shapes.step, "word": shapes.tape_word})


def job_layout(shapes):
    """A step of a frame in the feed-forward thread, a frame in the backward thread.

    ``more``: the frame goes on with the sample of the frame before; ``back``: ternary spikes go back in it. A backward
    job has no step.
    """
    return StructLayout({"slot": shapes.slot, "step": shapes.step, "train": 1, "more": 1, "back": shapes.back})


class SlotEvent(wiring.Signature):
    """A packet for a slot, as the receiver gives it.

    Members
    -------
    place : Out(event_place)
        Must stand for a cycle before ``takes`` says whether inputs are taken.
    brings : Out(EVENT)
        At most one of the flags is set, and ``inputs`` never in two cycles in a row and only if they are taken. Others
        have no effect where they are not taken.
    train, more, back : Out(1)
        Whether the frame is for training, goes on with the sample of the frame before, and ternary spikes go back in
        it, where the chip has them; these count with the inputs of step 0.
    label : Out(14)
        Number of the target neuron.
    takes : In(TAKES)
        What the slot table takes: inputs and errors for the place of the cycle before, others for this one.
    """

    def __init__(self, shapes):
        super().__init__(
            {
                "place": Out(event_place(shapes)),
                "brings": Out(EVENT),
                "train": Out(1),
                "more": Out(1),
                **({"back": Out(1)} if shapes.back else {}),
                "label": Out(14),
                "takes": In(TAKES),
            }
        )


class JobOffer(wiring.Signature):
    """What the slot table offers to a thread.

    Members
    -------
    ready : Out(slices)
        By slice: a job may start.
    slice : In(slice)
        The slice that the thread polls or works on.
    job : Out(job_layout)
        What is offered for this slice.
    start : In(1)
        The thread has begun with the job of ``slice``; the backward thread, with the label or errors of a frame that
        is for training.
    done : In(1)
        It has finished it.
    """

    def __init__(self, shapes):
        super().__init__(
            {
                "ready": Out(shapes.config.slices),
                "slice": In(shapes.slice),
                "job": Out(job_layout(shapes)),
                "start": In(1),
                "done": In(1),
            }
        )
