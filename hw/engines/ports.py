# SPDX-License-Identifier: Apache-2.0
"""Ports and results of the engines.

Members of every engine
-----------------------
start: pulse that begins a job; slot, descriptor, skip_off stay stable until ``busy`` falls
busy: a job is in work, or its last result has not been taken
group_address, group_enable, group: fan-in table, one cycle of latency
tape_address, tape_enable: of a tape word, one cycle of latency
"""

from amaranth.hdl import signed
from amaranth.lib import stream
from amaranth.lib.data import ArrayLayout, StructLayout
from amaranth.lib.wiring import In, Out

from backspike.hw.arith.lanes import SpikeLane
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
    tape: spikes of the tape word
    weight_address, weights: one word of each lane's bank, one cycle of latency; the banks hold their output while
        weight_enable is 0
    results: stream of :func:`forward_result`, in order of pixels, then blocks
    terms: for the counters: useful terms of all lanes in this cycle
    stalled: for the counters: a term has to wait for the neuron update
    """
    return _job(shapes) | {
        "step": In(shapes.step),
        "tape": In(WORD),
        "weight_address": Out(shapes.weight_address),
        "weight_enable": Out(1),
        "weights": In(ArrayLayout(shapes.number, shapes.config.lanes)),
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
    group_address, group_enable, group: fan-in table, one cycle of latency
    tape_address, tape_enable, tape: spikes of a tape word, one cycle of latency
    spikes: stream of :func:`spike_term`, at least one for each block of each output pixel
    busy: spikes are still to come
    """
    return {
        "start": In(1),
        "slot": In(shapes.slot),
        "step": In(shapes.step),
        "descriptor": In(shapes.descriptor),
        "skip_off": In(1),
        "group_address": Out(shapes.fan_in),
        "group_enable": Out(1),
        "group": In(shapes.fan_in_words),
        "tape_address": Out(shapes.tape_address()),
        "tape_enable": Out(1),
        "tape": In(WORD),
        "spikes": Out(stream.Signature(spike_term(shapes))),
        "busy": Out(1),
    }


def learning_ports(shapes):
    """Members of the engines of back-propagation and of the weight gradient. When ``busy`` falls, all gradients are
    written.

    errors: with ``start``: the job has errors to send; else the masks count for nothing
    live: by step: whether any delta of the slice is not zero
    masks, spikes: the inputs' bits of the tape word
    bitmap_address, bitmap_enable, bitmaps: all lanes' bitmaps of non-zero deltas, one cycle of latency
    operand_addresses, delta_addresses, operand_enables, weights, deltas: each lane's bank of weights and delta memory,
        one cycle of latency; they hold their output while the lane's enable is 0
    results: stream of :func:`error_result`
    read_addresses, gradients: each lane's gradient bank, one cycle of latency
    write_addresses, write_enables, sums: write port of each lane's gradient bank
    clear: sums are 0 in the cycle after, for the weight update, which writes them
    bp_busy: as ``busy``, in a job with errors
    bp_terms, wg_terms: for the counters: useful terms of all lanes in this cycle
    bp_row, wg_row: for the counters: an input has been found that is masked, that spikes
    bp_result: for the counters: a result has been taken
    bp_stalled, wg_stalled: for the counters: a term has to wait for the network, for a gradient that is being written
    """
    lanes = shapes.config.lanes
    return _job(shapes) | {
        "errors": In(1),
        "live": In(shapes.config.steps),
        "masks": In(WORD),
        "spikes": In(WORD),
        "bitmap_address": Out(shapes.bitmap_address()),
        "bitmap_enable": Out(1),
        "bitmaps": In(ArrayLayout(WORD, lanes)),
        "operand_addresses": Out(ArrayLayout(shapes.weight_address, lanes)),
        "delta_addresses": Out(ArrayLayout(shapes.delta_address(), lanes)),
        "operand_enables": Out(lanes),
        "weights": In(ArrayLayout(shapes.number, lanes)),
        "deltas": In(ArrayLayout(shapes.number, lanes)),
        "results": Out(stream.Signature(error_result(shapes))),
        "read_addresses": Out(ArrayLayout(shapes.weight_address, lanes)),
        "gradients": In(ArrayLayout(shapes.gradient_sum, lanes)),
        "write_addresses": Out(ArrayLayout(shapes.weight_address, lanes)),
        "write_enables": Out(lanes),
        "sums": Out(ArrayLayout(shapes.gradient_sum, lanes)),
        "clear": In(1),
        "bp_busy": Out(1),
        **{name: Out(range(lanes + 1)) for name in ("bp_terms", "wg_terms")},
        **{name: Out(1) for name in ("bp_row", "bp_result", "bp_stalled", "wg_row", "wg_stalled")},
    }


def _job(shapes):
    return {
        "start": In(1),
        "slot": In(shapes.slot),
        "descriptor": In(shapes.descriptor),
        "skip_off": In(1),
        "busy": Out(1),
        "group_address": Out(shapes.fan_in),
        "group_enable": Out(1),
        "group": In(shapes.fan_in_words),
        "tape_address": Out(shapes.tape_address()),
        "tape_enable": Out(1),
    }
