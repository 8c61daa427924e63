# SPDX-License-Identifier: Apache-2.0
"""Weight update of a batch: V = round(mu V + G), W = round(W - eta V), G = 0; or only G = 0, or V = G = 0."""

from backspike.host.protocol import DESCRIPTOR, Kind
from backspike.hw.sequential.assembler import ZERO, Label
from backspike.hw.sequential.instructions import WORD_BITS
from backspike.hw.sequential.memory_map import SUM_WORDS
from backspike.hw.sequential.program.base import Registers as R

__all__ = ["add_update"]


def add_update(p, label):
    """The job at ``label``: SLICE and AT_SLICE are given; it ends at ``main``."""
    at, end, gradient, momentum, rate, one, a, b, *_ = R.LOCAL
    p.place(label)
    p.store_slice(ZERO, R.AT_SLICE, "pending")
    with p.busy("update_busy", 0):
        p.memory_field(at, DESCRIPTOR, "weight_base", R.DESCRIPTOR)
        p.memory_field(end, DESCRIPTOR, "weight_words", R.DESCRIPTOR)
        p.add(end, end, at)
        p.memory_field(momentum, DESCRIPTOR, "momentum", R.DESCRIPTOR)
        p.memory_field(rate, DESCRIPTOR, "minus_rate", R.DESCRIPTOR)
        p.move(one, p.number(1.0))
        with p.while_(at, "!=", end):
            p.multiply(gradient, at, p.map.gradient_words)
            change, cleared = Label("change the weight"), Label("weight is done")
            p.load_slice(a, R.AT_SLICE, "clear")
            p.branch_if(a, "==", 0, change)
            if p.config.momentum:
                p.load_slice(a, R.AT_SLICE, "velocities")
                with p.when(a, "!=", 0):
                    p.store(ZERO, at, p.map.velocities)
            p.jump(cleared)
            p.place(change)
            _velocity(p, at, gradient, momentum, a, b)
            p.clear()
            p.load(b, at, p.map.weights)
            p.term(rate, a)
            p.term(one, b)
            p.rounded(b)
            p.store(b, at, p.map.weights)
            p.place(cleared)
            for k in range(p.map.gradient_words):
                p.store(ZERO, gradient, p.map.gradients + k)
            p.add(at, at, 1)
    low, high, scratch = R.LOCAL[:3]
    p.header(low, high, Kind.UPDATED, host=1, slice=R.SLICE, sender=True, scratch=scratch)
    p.begin_packet(low, high)
    p.end_packet()
    p.jump(p.main)


def _velocity(p, at, gradient, momentum, velocity, part):
    """velocity = round(mu V + G), which is stored if there is a memory for it."""
    fmt, words = p.config.format, p.map.gradient_words
    p.clear()
    if p.config.momentum:
        # What was never written may stand in a velocity as long as the momentum is 0.
        p.both(part, momentum, (1 << fmt.width - 1) - 1)
        with p.when(part, "!=", 0):
            p.load(part, at, p.map.velocities)
            p.term(momentum, part)
    # A gradient is in units of the smallest number, the lane's sum in units of its square.
    place, shift = divmod(-fmt.lsb, WORD_BITS)
    for k in range(words):
        p.load(part, gradient, p.map.gradients + k)
        p.left(velocity, part, shift)
        p.word(velocity, place + k)
        if shift and place + k + 1 < SUM_WORDS:
            p.high(velocity)
            p.word(velocity, place + k + 1)
    negative = -(1 << WORD_BITS * (place + words) + shift) % (1 << WORD_BITS * SUM_WORDS)
    p.right(part, part, WORD_BITS - 1)
    with p.when(part, "!=", 0):  # until here its words counted as unsigned
        for k in range(SUM_WORDS):
            if value := negative >> WORD_BITS * k & 0xFFFF:
                p.move(velocity, value)
                p.word(velocity, k)
    p.rounded(velocity)
    if p.config.momentum:
        p.store(velocity, at, p.map.velocities)
