# SPDX-License-Identifier: Apache-2.0
"""Ports and results of the engines: those for all layers and those for dense layers only have the same.

Members of every engine
-----------------------
start: pulse that begins a job; slot, descriptor, skip_off stay stable until ``busy`` falls
busy: a job is in work, or its last result has not been taken
group_address, group_enable, group: fan-in table, one cycle of latency
tape_address, tape_enable: of a tape word, one cycle of latency
terms: for the counters: useful terms of all lanes in this cycle
stalled: for the counters: a term was ready but had to wait
"""

from amaranth.hdl import signed
from amaranth.lib import stream
from amaranth.lib.data import ArrayLayout, StructLayout
from amaranth.lib.wiring import In, Out

from backspike.hw.arith.lanes import SpikeLane
from backspike.hw.shapes import WORD

__all__ = ["error_ports", "error_result", "forward_ports", "forward_result", "gradient_ports", "spike_lane"]


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
    stalled: for the neuron update
    """
    return _job(shapes) | {
        "step": In(shapes.step),
        "tape": In(WORD),
        "weight_address": Out(shapes.weight_address),
        "weight_enable": Out(1),
        "weights": In(ArrayLayout(shapes.number, shapes.config.lanes)),
        "results": Out(stream.Signature(forward_result(shapes))),
    }


def error_ports(shapes):
    """Members of a back-propagation engine.

    live, bitmap_address, bitmap_enable, bitmaps, delta_addresses, deltas: as in :func:`gradient_ports`
    masks: masks of the tape word
    weight_addresses, weights: each lane's bank, one cycle of latency; it and the lane's deltas hold their output while
        operand_enable is 0
    results: stream of :func:`error_result`
    row, result: for the counters: a masked input goes to the lanes, a result has been taken
    stalled: for the network
    """
    lanes = shapes.config.lanes
    return (
        _job(shapes)
        | _deltas(shapes)
        | {
            "masks": In(WORD),
            "weight_addresses": Out(ArrayLayout(shapes.weight_address, lanes)),
            "operand_enable": Out(1),
            "weights": In(ArrayLayout(shapes.number, lanes)),
            "results": Out(stream.Signature(error_result(shapes))),
            "row": Out(1),
            "result": Out(1),
        }
    )


def gradient_ports(shapes):
    """Members of a weight-gradient engine. When ``busy`` falls, all gradients are written.

    live: by step: whether any delta of the slice is not zero
    bitmap_address, bitmap_enable, bitmaps: all lanes' bitmaps of non-zero deltas, one cycle of latency
    delta_addresses, delta_enables, deltas: each lane's delta memory, one cycle of latency
    tape: spikes of the tape word
    read_addresses, read_enables, gradients: each lane's gradient bank, one cycle of latency
    write_addresses, write_enables, sums: write port of each lane's gradient bank
    rows: for the counters: what the lanes are done with
    stalled: for a gradient that is being written
    """
    lanes = shapes.config.lanes
    return (
        _job(shapes)
        | _deltas(shapes)
        | {
            "tape": In(WORD),
            "delta_enables": Out(lanes),
            "read_addresses": Out(ArrayLayout(shapes.weight_address, lanes)),
            "read_enables": Out(lanes),
            "gradients": In(ArrayLayout(shapes.gradient_sum, lanes)),
            "write_addresses": Out(ArrayLayout(shapes.weight_address, lanes)),
            "write_enables": Out(lanes),
            "sums": Out(ArrayLayout(shapes.gradient_sum, lanes)),
            "rows": Out(range(lanes + 1)),
        }
    )


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
        "terms": Out(range(shapes.config.lanes + 1)),
        "stalled": Out(1),
    }


def _deltas(shapes):
    lanes = shapes.config.lanes
    return {
        "live": In(shapes.config.steps),
        "bitmap_address": Out(shapes.bitmap_address()),
        "bitmap_enable": Out(1),
        "bitmaps": In(ArrayLayout(WORD, lanes)),
        "delta_addresses": Out(ArrayLayout(shapes.delta_address(), lanes)),
        "deltas": In(ArrayLayout(shapes.number, lanes)),
    }
