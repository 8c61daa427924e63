# SPDX-License-Identifier: Apache-2.0
"""Ports and results of the engines.

Members of every engine
-----------------------
start: pulse that begins a job; slot, descriptor, skip_off stay stable until ``busy`` falls
memory: ForwardMemory or LearningMemory
busy: a job is in work, or its last result has not been taken
"""

from amaranth.hdl import signed
from amaranth.lib import stream
from amaranth.lib.data import ArrayLayout, StructLayout
from amaranth.lib.wiring import In, Out

from backspike.hw.arith.lanes import SpikeLane
from backspike.hw.engines.memory import ForwardMemory, LearningMemory
from backspike.hw.ram import ReadPort
from backspike.hw.shapes import WORD

__all__ = [
    "error_result",
    "forward_ports",
    "forward_result",
    "learning_ports",
    "spike_lane",
    "spike_ports",
    "spike_term",
]


def spike_lane(shapes):
    """A lane of a feed-forward engine."""
    return SpikeLane(shapes.config.format, WORD * shapes.config.tape_words)


def forward_result(shapes):
    """The sums of a block of outputs; ``place``: the last block of a pixel, of the step."""
    width = SpikeLane.sum_width_of(shapes.config.format, WORD * shapes.config.tape_words)
    return StructLayout(
        {
            "place": StructLayout({"step": shapes.step, "block_last": 1, "last": 1}),
            "sums": ArrayLayout(signed(width), shapes.config.lanes),
        }
    )


def error_result(shapes):
    """A part of an input's error; ``target``: who owns the input."""
    return StructLayout(
        {
            "target": StructLayout({"x": 3, "y": 3, "neuron": 14, "step": shapes.step}),
            "sum": signed(shapes.error_sum),
        }
    )


def forward_ports(shapes):
    """Members of a feed-forward engine.

    step: of the job, stable as the slot
    results: stream of :func:`forward_result`, in order of pixels, then blocks
    terms: for the counters: useful terms of all lanes in this cycle
    stalled: for the counters: a term has to wait for the neuron update
    """
    return _job(shapes) | {
        "step": In(shapes.step),
        "memory": Out(ForwardMemory(shapes)),
        "results": Out(stream.Signature(forward_result(shapes))),
        "terms": Out(range(shapes.config.lanes + 1)),
        "stalled": Out(1),
    }


def spike_term(shapes):
    """What a search for spikes gives to a ``WeightSum``: a spike, or nothing, and what it ends."""
    return StructLayout(
        {
            "base": shapes.weight_address,
            "offset": shapes.weight_address,
            "nonzero": 1,
            "last": 1,
            "block_last": 1,
            "step_last": 1,
        }
    )


def spike_ports(shapes):
    """Members of a search for spikes.

    start: pulse; slot, step, descriptor and skip_off stay stable until ``busy`` falls
    fan_in, tape: ReadPort of the table, and of words of spikes
    spikes: stream of :func:`spike_term`, at least one for each block of each output pixel
    busy: spikes are still to come
    """
    return {
        "start": In(1),
        "slot": In(shapes.slot),
        "step": In(shapes.step),
        "descriptor": In(shapes.descriptor),
        "skip_off": In(1),
        "fan_in": Out(ReadPort(shapes.fan_in, shapes.fan_in_words)),
        "tape": Out(ReadPort(shapes.tape_address(), WORD)),
        "spikes": Out(stream.Signature(spike_term(shapes))),
        "busy": Out(1),
    }


def learning_ports(shapes):
    """Members of the engines of back-propagation and of the weight gradient. When ``busy`` falls, all gradients are
    written.

    errors: with ``start``: the job has errors to send; else the masks count for nothing
    active_steps: by step: whether any delta of the slice is not zero
    results: stream of :func:`error_result`
    clear: new gradients are 0 in the cycle after, for the weight update, which writes them
    bp_busy: as ``busy``, in a job with errors
    bp_terms, wg_terms: for the counters: useful terms of all lanes in this cycle
    wg_carries: for the counters: terms that reach the high part of a gradient in this cycle
    bp_row, wg_row: for the counters: an input has been found that is masked, that spikes
    bp_result: for the counters: a result has been taken
    bp_stalled, wg_stalled: for the counters: a term has to wait for the network, for a gradient that is being written
    """
    lanes = shapes.config.lanes
    return _job(shapes) | {
        "errors": In(1),
        "active_steps": In(shapes.config.steps),
        "memory": Out(LearningMemory(shapes)),
        "results": Out(stream.Signature(error_result(shapes))),
        "clear": In(1),
        "bp_busy": Out(1),
        **{name: Out(range(lanes + 1)) for name in ("bp_terms", "wg_terms", "wg_carries")},
        **{name: Out(1) for name in ("bp_row", "bp_result", "bp_stalled", "wg_row", "wg_stalled")},
    }


def _job(shapes):
    return {
        "start": In(1),
        "slot": In(shapes.slot),
        "descriptor": In(shapes.descriptor),
        "skip_off": In(1),
        "busy": Out(1),
    }
