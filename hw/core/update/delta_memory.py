# SPDX-License-Identifier: Apache-2.0
"""The memories of a core as the delta update sees them."""

from amaranth.lib import wiring
from amaranth.lib.data import ArrayLayout, StructLayout
from amaranth.lib.wiring import In, Out

from backspike.hw.core.update.neuron import history_layout
from backspike.hw.ram import ReadPort, WritePort
from backspike.hw.shapes import WORD

__all__ = ["DeltaMemory"]


class DeltaMemory(wiring.Signature):
    """The memories of the delta update.

    Members
    -------
    error_sums : ReadPort
    error_taken : In(1)
        Somebody else has this port in this cycle.
    cleared : WritePort
        Sets an error sum to "none".
    clearing : In(1)
        That can be done in this cycle.
    history : ReadPort
        Spikes and masks of a neuron, all steps.
    old_deltas : ReadPort
        All lanes' deltas at an address.
    deltas, bitmaps : WritePort
        A delta; a word of flags of those that are not zero.
    claims : Out(1)
        The deltas are read by nobody else.
    """

    def __init__(self, shapes):
        steps, lanes = shapes.config.steps, shapes.config.lanes
        history = ArrayLayout(history_layout(shapes), steps)
        lane = {"lane": shapes.lane}
        super().__init__(
            {
                "error_sums": Out(ReadPort(shapes.error_address(), shapes.error_word())),
                "error_taken": In(1),
                "cleared": Out(WritePort(shapes.error_address(), None)),
                "clearing": In(1),
                "history": Out(ReadPort(shapes.history_address(), history)),
                "old_deltas": Out(ReadPort(shapes.delta_address(), ArrayLayout(shapes.number, lanes))),
                "deltas": Out(WritePort(StructLayout({"place": shapes.delta_address(), **lane}), shapes.number)),
                "bitmaps": Out(WritePort(StructLayout({"place": shapes.bitmap_address(), **lane}), WORD)),
                "claims": Out(1),
            }
        )
