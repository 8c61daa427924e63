# SPDX-License-Identifier: Apache-2.0
"""The memories that the engines read and write, as they see them."""

from amaranth.lib import wiring
from amaranth.lib.data import ArrayLayout, StructLayout
from amaranth.lib.wiring import Out

from backspike.hw.ram import ReadPort, WritePort
from backspike.hw.shapes import WORD

__all__ = ["ForwardMemory", "LearningMemory"]


class ForwardMemory(wiring.Signature):
    """Of the feed-forward engine.

    Members
    -------
    fan_in : ReadPort
        Table of groups of inputs.
    tape : ReadPort
        Words of input spikes.
    weights : ReadPort
        The banks of all lanes at one address.
    """

    def __init__(self, shapes):
        super().__init__(
            {
                "fan_in": Out(ReadPort(shapes.fan_in, shapes.fan_in_words)),
                "tape": Out(ReadPort(shapes.tape_address(), WORD)),
                "weights": Out(ReadPort(shapes.weight_address, ArrayLayout(shapes.number, shapes.config.lanes))),
            }
        )


class LearningMemory(wiring.Signature):
    """Of the engines of back-propagation and of the weight gradient.

    Members
    -------
    fan_in : ReadPort
        Table of groups of inputs.
    tape : ReadPort
        Words of masks and of spikes of the inputs, as ``USE`` in the search for pairs has them.
    bitmaps : ReadPort
        Flags of deltas that are not zero, of all lanes.
    operands_<lane> : ReadPort
        A weight and a delta.
    presynaptic : ReadPort
        Operands of the inputs, by bit of the tape; only where they are more than spikes.
    gradients_<lane> : ReadPort
    new_gradients_<lane> : WritePort
        Of the low parts of gradients.
    highs_<lane> : ReadPort
    new_highs_<lane> : WritePort
        Of the high parts.
    """

    def __init__(self, shapes):
        lanes, weight = range(shapes.config.lanes), shapes.weight_address
        parts = {"gradients": shapes.gradient_low, "highs": shapes.gradient_high}
        address = StructLayout({"weight": shapes.weight_address, "delta": shapes.delta_address()})
        operands = StructLayout({"weight": shapes.number, "delta": shapes.number})
        presynaptic = ReadPort(shapes.tape_bit, shapes.config.operand_bits)
        super().__init__(
            {
                "fan_in": Out(ReadPort(shapes.fan_in, shapes.fan_in_words)),
                "tape": Out(ReadPort(shapes.tape_address(), StructLayout({"masks": WORD, "spikes": WORD}))),
                "bitmaps": Out(ReadPort(shapes.bitmap_address(), ArrayLayout(WORD, shapes.config.lanes))),
                **({"presynaptic": Out(presynaptic)} if shapes.traced else {}),
                **{f"operands_{k}": Out(ReadPort(address, operands)) for k in lanes},
                **{f"{part}_{k}": Out(ReadPort(weight, bits)) for part, bits in parts.items() for k in lanes},
                **{f"new_{part}_{k}": Out(WritePort(weight, bits)) for part, bits in parts.items() for k in lanes},
            }
        )
