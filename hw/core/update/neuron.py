# SPDX-License-Identifier: Apache-2.0
"""Neuron update: leak, reset, fire test and surrogate mask of each output, and its spikes as words."""

from amaranth.hdl import Const, Module, Mux, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.data import ArrayLayout, StructLayout
from amaranth.lib.wiring import In, Out

from backspike.hw.arith.numbers import not_below, of_count
from backspike.hw.core.schedule.jobs import job_layout
from backspike.hw.core.update.elementwise_arbiter import Client, request_layout, result_latency, result_layout
from backspike.hw.core.update.noise import Noise, NoiseMemory
from backspike.hw.ram import ReadPort, WritePort
from backspike.hw.shapes import WORD

__all__ = ["NeuronMemory", "NeuronUpdate", "history_layout", "potential_layout"]


def history_layout(shapes):
    """What the backward pass needs to know of a neuron and step; the count is of its spikes before the step."""
    return StructLayout({"spike": 1, "mask": 1, "count": shapes.count})


def potential_layout(shapes):
    """A neuron's membrane potential, whether it has just spiked, and how many times before that."""
    return StructLayout({"spike": 1, "value": shapes.number, "count": shapes.count})


class NeuronMemory(wiring.Signature):
    """The memories of the neuron update: potentials, the history of spikes and masks by step, and ``noise``."""

    def __init__(self, shapes):
        potential, steps = potential_layout(shapes), shapes.config.steps
        history = ArrayLayout(history_layout(shapes), steps)
        super().__init__(
            {
                "potentials": Out(ReadPort(shapes.neuron, potential)),
                "new_potentials": Out(WritePort(shapes.neuron, potential)),
                "history": Out(WritePort(shapes.history_address(), history, parts=steps)),
                **({"noise": Out(NoiseMemory(shapes))} if shapes.noise else {}),
            }
        )


class NeuronUpdate(wiring.Component):
    """u[t] = round(kappa r[t-1] + sum), s[t] = u >= threshold, m[t] = mask_low <= u <= mask_high.

    Takes the sums of the feed-forward engine, lane by lane, and numbers the neurons of a step in this order. A neuron
    takes two cycles, and a third where it is reset softly: its sum, its leaked potential, the reset. A step waits until
    the step before is written back, a word of 32 neurons until the word before is taken. A sample starts from r = 0, a
    frame that goes on with one from what the last step of the frame before has left.

    A chip that counts spikes keeps N[t-1], those of the neuron in the sample before step t-1, beside r[t-1]; and with
    ``clamp`` of the descriptor, in frames for training, m[t] = mask_low <= I <= mask_high instead, with
    I = round(kappa u[t-1] + sum + reset N[t-1]), for the soft reset. This takes three cycles more.

    A chip with noise has two more thresholds for frames for training: ``threshold_lowered`` where the bit of the
    neuron's generator is 1, else ``threshold_raised``.

    In a frame in which ternary spikes go back, neurons stay as they are. Their spikes are 0, and their masks say which
    errors are asked for: m = 0 < N < ``sample``, and all of a layer with a loss. There is no noise.

    Parameters
    ----------
    shapes: Shapes
    result: shape of the engine's results: {place: {step, block_last, last}, sums}. ``block_last``: last block of a
        pixel, with ``last_lanes`` outputs; ``last``: the step ends with this block

    Members
    -------
    results: stream from the feed-forward engine
    job, descriptor: of the job; its step is in the results
    memory: potentials, read and written; the bits of each step in the history
    request, result: to and from the elementwise unit
    words: stream of {targets_base, targets, slot, train, more, back, step, word, spikes, masks}, and in chips with
        noise {noise}: where the mask is set and the threshold lowered
    busy: something is inside, apart from words that wait to be sent
    """

    def __init__(self, shapes, result):
        self.shapes = shapes
        self.word = StructLayout(
            {
                "targets_base": shapes.route,
                "targets": 8,
                "slot": shapes.slot,
                "train": 1,
                "more": 1,
                "back": shapes.back,
                "step": shapes.step,
                "word": max(1, shapes.neuron - 5),
                "spikes": WORD,
                "masks": WORD,
                **({"noise": WORD} if shapes.noise else {}),
            }
        )
        super().__init__(
            {
                "results": In(stream.Signature(result)),
                "job": In(job_layout(shapes)),
                "descriptor": In(shapes.descriptor),
                "memory": Out(NeuronMemory(shapes)),
                "request": Out(stream.Signature(request_layout(shapes))),
                "result": In(result_layout(shapes)),
                "words": Out(stream.Signature(self.word)),
                "busy": Out(1),
            }
        )

    def elaborate(self, platform):
        m = Module()
        waiting = Signal()  # a word is complete but for results under way, or waits to be sent
        flushing = self._ask(m, waiting)
        taken = Signal()
        m.d.comb += taken.eq(self.words.valid & self.words.ready)
        m.d.sync += waiting.eq((waiting & ~taken) | flushing)
        self._finish(m, taken)
        return m

    def _ask(self, m, waiting):
        """Read each neuron's potential and ask for the update; returns whether it is the last of a word."""
        shapes, d = self.shapes, self.descriptor
        lanes, fmt = shapes.config.lanes, shapes.config.format
        potentials = self.memory.potentials
        request, tag, place = self.request.p, self.request.p.tag, self.results.p.place
        lane = Signal(shapes.lane)
        local = Signal(shapes.neuron)  # number of the neuron in its step
        leaking, resetting = Signal(), Signal()  # the sum is given, the potential too
        clamping, asked = Signal(), Signal()  # the terms are those of I; I has been asked for
        last_lane, last, done = Signal(), Signal(), Signal()
        under_way = Signal(range(result_latency(shapes) + 1))  # cycles until the last result has come
        first, spiked, repeat, ended = Signal(), Signal(), Signal(), Signal()
        moves = ~self.job.back if shapes.back else Const(1)
        count = Signal(shapes.number)  # of spikes, a cycle after the memory's output
        product = (resetting | (leaking & ~first & (d.soft | ~spiked))) & moves
        minus_one = Const(int(fmt.encode(-1.0)), fmt.width)
        m.d.comb += [
            last_lane.eq(lane + 1 == Mux(place.block_last, d.last_lanes, lanes) if lanes > 1 else 1),
            last.eq(place.last & last_lane),
            potentials.address.eq(d.block_base * lanes + local),
            potentials.enable.eq(1),
            first.eq((place.step == 0) & ~self.job.more),
            spiked.eq(potentials.data.spike & ~first),
            clamping.eq(d.clamp & self.job.train & ~asked if shapes.count else 0),
            repeat.eq((spiked & d.soft) | clamping),
            tag.client.eq(Mux(clamping, Client.CLAMP, Client.NEURON)),
            tag.index.eq(potentials.address),
            tag.step.eq(place.step),
            tag.word.eq(local[5:]),
            tag.flush.eq(local[:5].all() | last),
            tag.count.eq(Mux(first, 0, potentials.data.count + potentials.data.spike)),
            request.a.eq(Mux(resetting, Mux(clamping, count, minus_one), d.kappa)),
            request.b.eq(Mux(resetting, d.reset, potentials.data.value)),
            request.addend.eq(self.results.p.sums[lane] << -fmt.lsb),
            request.add.eq(~leaking & ~resetting),
            request.product.eq(product & ~first if shapes.count else product),
            request.last.eq(resetting | (leaking & ~repeat)),
            # A neuron's step needs the one before it.
            self.request.valid.eq(
                leaking | resetting | (self.results.valid & ~waiting & ~(~local.any() & under_way.any()))
            ),
            ended.eq(self.request.valid & self.request.ready & request.last),
            done.eq(ended & ~clamping),
            self.results.ready.eq(done & last_lane),
            self.busy.eq(self.results.valid | under_way.any()),
        ]
        with m.If(self.request.valid & self.request.ready):
            m.d.sync += [leaking.eq(request.add), resetting.eq(leaking & repeat)]
        if shapes.count:
            m.d.sync += count.eq(of_count(potentials.data.count, fmt))
            with m.If(ended):
                m.d.sync += asked.eq(clamping)
        if shapes.noise:
            m.submodules.noise = noise = Noise(shapes)
            wiring.connect(m, noise.memory, wiring.flipped(self.memory.noise))
            m.d.comb += [
                noise.neuron.eq(potentials.address),
                noise.taken.eq(done & self.job.train & moves),
                tag.noise.eq(noise.bit & self.job.train & moves),
            ]
        with m.If(done):
            m.d.sync += [
                lane.eq(Mux(last_lane, 0, lane + 1)),
                local.eq(Mux(last, 0, local + 1)),
                under_way.eq(result_latency(shapes)),
            ]
        with m.Elif(under_way.any()):
            m.d.sync += under_way.eq(under_way - 1)
        return done & tag.flush

    def _finish(self, m, taken):
        """Fire test; write back, and collect the bits of 32 neurons."""
        shapes, d, tag = self.shapes, self.descriptor, self.result.tag
        fmt = shapes.config.format
        number = slice(0, fmt.width)
        potentials, history = self.memory.new_potentials, self.memory.history
        bits, finished = Signal(history_layout(shapes)), Signal()
        value, threshold = self.result.value, d.threshold
        mask, moves = Signal(), Const(1)
        if shapes.noise:
            moved = Mux(tag.noise, d.threshold_lowered, d.threshold_raised)
            threshold = Mux(self.job.train, moved, threshold)
        inside, clamped = Signal(), Signal()  # within the mask's bounds; whether I is
        if shapes.count:
            with m.If(self.result.valid & (tag.client == Client.CLAMP)):
                m.d.sync += clamped.eq(inside)
        m.d.comb += mask.eq(Mux(d.clamp & self.job.train, clamped, inside) if shapes.count else inside)
        if shapes.back:
            moves = ~self.job.back
            with m.If(self.job.back):
                m.d.comb += mask.eq((tag.count.any() & (tag.count != d.sample)) | d.loss.any())
        m.d.comb += [
            finished.eq(self.result.valid & (tag.client == Client.NEURON)),
            bits.spike.eq(not_below(value, threshold[number], fmt) & moves),
            inside.eq(not_below(value, d.mask_low[number], fmt) & not_below(d.mask_high[number], value, fmt)),
            bits.mask.eq(mask),
            bits.count.eq(tag.count),
            potentials.enable.eq(finished & moves),
            potentials.address.eq(tag.index),
            potentials.data.spike.eq(bits.spike),
            potentials.data.value.eq(value),
            potentials.data.count.eq(tag.count),
            history.enable.eq(Mux(finished, 1 << tag.step, 0)),
            history.address.neuron.eq(tag.index),
            history.address.slot.eq(self.job.slot),
            *(history.data[t].eq(bits) for t in range(shapes.config.steps)),
        ]
        # The bits go in from registers, a cycle later. The place of the next neuron is one bit, which is the enable of
        # its flip-flops: no shifter.
        place = Signal(WORD, init=1)
        word, arrived, new, flushed = Signal(self.word), Signal(), Signal.like(bits), Signal()
        collected = {"spikes": new.spike, "masks": new.mask}
        if shapes.noise:
            collected["noise"] = Signal(name="new_noise")
            m.d.sync += collected["noise"].eq(tag.noise & bits.mask)
        m.d.comb += self.words.p.eq(word)
        m.d.sync += [arrived.eq(finished), new.eq(bits), flushed.eq(finished & tag.flush)]
        with m.If(taken):
            m.d.sync += [place.eq(1), *(word[name].eq(0) for name in collected)]
        with m.Elif(arrived):
            m.d.sync += place.eq(place.rotate_left(1))
            for k in range(WORD):
                with m.If(place[k]):
                    m.d.sync += [word[name][k].eq(bit) for name, bit in collected.items()]
        with m.If(taken):
            m.d.sync += self.words.valid.eq(0)
        with m.If(flushed):
            m.d.sync += self.words.valid.eq(1)
        with m.If(finished & tag.flush):
            m.d.sync += [
                word.targets_base.eq(d.targets_base),
                word.targets.eq(d.targets),
                word.slot.eq(self.job.slot),
                word.train.eq(self.job.train),
                word.more.eq(self.job.more),
                word.back.eq(self.job.back),
                word.step.eq(tag.step),
                word.word.eq(tag.word),
            ]
