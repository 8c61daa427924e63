# SPDX-License-Identifier: Apache-2.0
"""Noise: a bit for each neuron and step of frames for training, from generators that the host has seeded."""

from amaranth.hdl import Module, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from backspike.hw.ram import ReadPort, WritePort

__all__ = ["Noise", "NoiseMemory", "following"]

_SHIFTS = 7, -9, 8
"""Of the xorshift, as in ``golden.feedback.advance``; to the left, those below 0 to the right."""


def following(state):
    """The state after one of 16 bits."""
    for shift in _SHIFTS:
        state = (state ^ (state << shift if shift > 0 else state >> -shift))[: len(state)]
    return state


class NoiseMemory(wiring.Signature):
    """The states of the generators, by neuron."""

    def __init__(self, shapes):
        super().__init__(
            {
                "states": Out(ReadPort(shapes.neuron, shapes.noise)),
                "new_states": Out(WritePort(shapes.neuron, shapes.noise)),
            }
        )


class Noise(wiring.Component):
    """The low bit of a neuron's generator, which then goes on.

    Parameters
    ----------
    shapes: Shapes

    Members
    -------
    neuron: whose noise it is; it stays for two cycles at least, until ``taken``
    bit: of the neuron of the cycle before
    taken: the bit is taken: the generator goes on. It may be asked again two cycles later
    memory: states of the generators
    """

    def __init__(self, shapes):
        self.shapes = shapes
        super().__init__(
            {
                "neuron": In(shapes.neuron),
                "bit": Out(1),
                "taken": In(1),
                "memory": Out(NoiseMemory(shapes)),
            }
        )

    def elaborate(self, platform):
        m = Module()
        states, new = self.memory.states, self.memory.new_states
        m.d.comb += [
            states.address.eq(self.neuron),
            states.enable.eq(1),
            self.bit.eq(states.data[0]),
        ]
        # A cycle later: the memory's output comes late in the cycle.
        before = Signal(self.shapes.noise)
        m.d.sync += [before.eq(states.data), new.address.eq(self.neuron), new.enable.eq(self.taken)]
        m.d.comb += new.data.eq(following(before))
        return m
