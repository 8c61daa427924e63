# SPDX-License-Identifier: Apache-2.0
"""Neuron update: leak, reset, fire test and surrogate mask of each output, and its spikes as words."""

from amaranth.hdl import Const, Module, Mux, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.data import ArrayLayout, StructLayout
from amaranth.lib.wiring import In, Out

from backspike.hw.arith.numbers import order_key
from backspike.hw.blocks import Queue
from backspike.hw.core.arithmetic import Client, request_layout, result_layout, tag_layout
from backspike.hw.shapes import WORD

__all__ = ["OWN_BITS", "NeuronUpdate"]

OWN_BITS = StructLayout({"spike": 1, "mask": 1})
"""What the backward pass needs to know of a neuron and step."""

WORDS = 4
"""Words of spikes that may wait to be sent."""


class NeuronUpdate(wiring.Component):
    """u[t] = round(kappa r[t-1] + sum), s[t] = u >= threshold, m[t] = mask_low <= u <= mask_high.

    Takes the sums of the feed-forward engine, one neuron a cycle, lane by lane, and numbers the neurons of a step in
    this order. A neuron's step waits until the step before is written back.

    Parameters
    ----------
    shapes: Shapes
    result: shape of the engine's results: {place: {step, block_last, last}, sums}. ``block_last``: last block of a
        pixel, with ``last_lanes`` outputs; ``last``: the step ends with this block

    Members
    -------
    results: stream from the feed-forward engine
    slot, train, descriptor: of the job
    potential_address, potential: potential memory {spike, value}, one cycle of latency
    potential_write, potential_write_address, potential_value: its write port
    own_write, own_address, own_bits: write enable of each step, address and bits of the core's own spikes and masks
    request, result: to and from the elementwise unit
    words: stream of {targets_base, targets, slot, train, step, word, spikes, masks}
    busy: something is inside, apart from words that wait to be sent
    """

    def __init__(self, shapes, result):
        self.shapes = shapes
        steps = shapes.config.steps
        self.potential_layout = StructLayout({"spike": 1, "value": shapes.number})
        self.word = StructLayout({
            "targets_base": 8, "targets": 8, "slot": 3, "train": 1, "step": 4, "word": 9, "spikes": WORD,
            "masks": WORD})
        super().__init__({
            "results": In(stream.Signature(result)),
            "slot": In(shapes.slot),
            "train": In(1),
            "descriptor": In(shapes.descriptor),
            "potential_address": Out(shapes.neuron),
            "potential": In(self.potential_layout),
            "potential_write": Out(1),
            "potential_write_address": Out(shapes.neuron),
            "potential_value": Out(self.potential_layout),
            "own_write": Out(steps),
            "own_address": Out(shapes.own_address()),
            "own_bits": Out(ArrayLayout(OWN_BITS, steps)),
            "request": Out(stream.Signature(request_layout(shapes))),
            "result": In(result_layout(shapes)),
            "words": Out(stream.Signature(self.word)),
            "busy": Out(1),
        })

    def elaborate(self, platform):
        m = Module()
        m.submodules.queue = queue = Queue(self.word, WORDS)
        wiring.connect(m, queue.o, wiring.flipped(self.words))
        under_way = Signal(range(64))
        flushes = Signal(range(WORDS + 1))  # words under way or waiting
        finished = Signal()
        begun = self._begin(m, under_way, flushes)
        m.d.comb += finished.eq(self.result.valid & (self.result.tag.client == Client.NEURON))
        m.d.sync += [
            under_way.eq(under_way + begun["any"] - finished),
            flushes.eq(flushes + begun["flush"] - (queue.o.valid & queue.o.ready)),
        ]
        m.d.comb += self.busy.eq(self.results.valid | under_way.any())
        self._finish(m, finished, queue)
        return m

    def _begin(self, m, under_way, flushes):
        """Read each neuron's potential and ask for the update."""
        lanes, d = self.shapes.config.lanes, self.descriptor
        place = self.results.p.place
        lane = Signal(self.shapes.lane)
        step = Signal(self.shapes.step)  # of the neurons under way
        local = Signal(14)  # number of the neuron in its step
        neuron = Signal(14)
        last_lane, last, flush, go = Signal(), Signal(), Signal(), Signal()
        m.d.comb += [
            neuron.eq(d.neuron_base + local),
            last_lane.eq(lane + 1 == Mux(place.block_last, d.last_lanes, lanes)),
            last.eq(place.last & last_lane),
            flush.eq(local[:5].all() | last),
            go.eq(self.results.valid & ((step == place.step) | ~under_way.any()) & (flushes != WORDS)),
            self.results.ready.eq(go & last_lane),
            self.potential_address.eq(neuron),
        ]
        request = self.request.p
        total = Signal.like(self.results.p.sums[0])
        first = Signal()
        tag = Signal(tag_layout(self.shapes))
        with m.If(go):
            m.d.sync += [
                lane.eq(Mux(last_lane, 0, lane + 1)), local.eq(Mux(last, 0, local + 1)), step.eq(place.step)]
        m.d.sync += [
            self.request.valid.eq(go),
            total.eq(self.results.p.sums[lane]),
            first.eq(place.step == 0),
            tag.client.eq(Client.NEURON),
            tag.index.eq(neuron),
            tag.step.eq(place.step),
            tag.local.eq(local),
            tag.flush.eq(flush),
        ]
        fmt = self.shapes.config.format
        spiked = self.potential.spike & ~first
        m.d.comb += [
            request.a.eq(d.kappa),
            request.b.eq(Mux(first | (spiked & ~d.soft), 0, self.potential.value)),
            request.c.eq(Mux(spiked & d.soft, d.reset, 0)),
            request.d.eq(Const(int(fmt.encode(-1.0)), fmt.width)),
            request.addend.eq(total << -fmt.lsb),
            request.tag.eq(tag),
        ]
        return {"any": go, "flush": go & flush}

    def _finish(self, m, finished, queue):
        """Fire test; write back, and collect the bits of 32 neurons."""
        shapes, d, tag = self.shapes, self.descriptor, self.result.tag
        fmt = shapes.config.format
        key = order_key(self.result.value, fmt)
        bits = Signal(OWN_BITS)
        position = tag.local[:5]
        spikes, masks = Signal(WORD), Signal(WORD)
        new_spikes, new_masks = Signal(WORD), Signal(WORD)
        number = slice(0, fmt.width)
        m.d.comb += [
            bits.spike.eq(key >= order_key(d.threshold[number], fmt)),
            bits.mask.eq((key >= order_key(d.mask_low[number], fmt)) & (key <= order_key(d.mask_high[number], fmt))),
            self.potential_write.eq(finished),
            self.potential_write_address.eq(tag.index),
            self.potential_value.spike.eq(bits.spike),
            self.potential_value.value.eq(self.result.value),
            self.own_write.eq(Mux(finished, 1 << tag.step, 0)),
            self.own_address.neuron.eq(tag.index),
            self.own_address.slot.eq(self.slot),
            *(self.own_bits[t].eq(bits) for t in range(shapes.config.steps)),
            new_spikes.eq(Mux(position == 0, 0, spikes) | (bits.spike << position)),
            new_masks.eq(Mux(position == 0, 0, masks) | (bits.mask << position)),
            queue.i.valid.eq(finished & tag.flush),
            queue.i.p.targets_base.eq(d.targets_base),
            queue.i.p.targets.eq(d.targets),
            queue.i.p.slot.eq(self.slot),
            queue.i.p.train.eq(self.train),
            queue.i.p.step.eq(tag.step),
            queue.i.p.word.eq(tag.local[5:]),
            queue.i.p.spikes.eq(new_spikes),
            queue.i.p.masks.eq(new_masks),
        ]
        with m.If(finished):
            m.d.sync += [spikes.eq(new_spikes), masks.eq(new_masks)]
