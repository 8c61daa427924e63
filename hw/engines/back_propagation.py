# SPDX-License-Identifier: Apache-2.0
"""Lanes of the back-propagation engine, e += W delta, and what becomes of their sums."""

from amaranth.hdl import Cat, EnableInserter, Module, Signal, signed
from amaranth.lib import stream, wiring
from amaranth.lib.data import ArrayLayout, StructLayout
from amaranth.lib.wiring import In, Out

from backspike.hw.arith.lanes import ProductLane
from backspike.hw.blocks import Queue, lockstep_register
from backspike.hw.engines.ports import error_result

__all__ = ["ErrorLanes", "ErrorSums"]

INPUTS_APART = 8
"""Inputs that a lane may be ahead of the slowest."""

RESULTS = 32
"""Results that may wait for the network: inputs that meet few deltas come in bursts."""


def input_place(shapes):
    """Which input a sum belongs to: its number in the group, and the step."""
    return StructLayout({"input": shapes.tape_bit, "step": shapes.step})


def partial_sum(shapes):
    """What some lanes find for an input."""
    return StructLayout({"place": input_place(shapes), "sum": signed(shapes.error_sum)})


class ErrorLanes(wiring.Component):
    """Adds up the products of the deltas and weights of one input, in lanes that work in lock step.

    Parameters
    ----------
    shapes: Shapes
    lanes: how many

    Members
    -------
    hold: from the parent: nothing may move
    valid, last, hits, place: terms that move on with ``move``: the lanes for which it counts, and the input whose last
        it is
    weights, deltas: its factors
    sums: stream of {place, sum}
    move: terms move on
    waits: a sum has not been taken, so that nothing moves
    terms: useful terms in this cycle
    busy: something is inside

    A term each cycle. A sum comes the latency of a ``ProductLane`` after its last term.
    """

    def __init__(self, shapes, lanes):
        self.shapes, self.lanes = shapes, lanes
        super().__init__(
            {
                "hold": In(1),
                "valid": In(1),
                "last": In(1),
                "hits": In(lanes),
                "place": In(input_place(shapes)),
                "weights": In(ArrayLayout(shapes.number, lanes)),
                "deltas": In(ArrayLayout(shapes.number, lanes)),
                "sums": Out(stream.Signature(partial_sum(shapes))),
                "move": Out(1),
                "waits": Out(1),
                "terms": Out(range(lanes + 1)),
                "busy": Out(1),
            }
        )

    def elaborate(self, platform):
        m = Module()
        config, move = self.shapes.config, self.move
        now = Signal(StructLayout({"last": 1, "place": input_place(self.shapes)}))
        m.d.comb += [now.last.eq(self.valid & self.last), now.place.eq(self.place)]
        stages = [(self.valid, now)]
        for k in range(ProductLane.latency):
            stages.append(lockstep_register(m, move, *stages[-1], f"lane_{k}"))
        done = stages.pop()[1]
        lanes = [ProductLane(config.format, self.shapes.block_depth) for _ in range(self.lanes)]
        for k, lane in enumerate(lanes):
            m.submodules[f"lane_{k}"] = EnableInserter(move)(lane)
            m.d.comb += [
                lane.valid.eq(self.valid),
                lane.last.eq(self.last),
                lane.nonzero.eq(self.hits[k]),
                lane.a.eq(self.weights[k]),
                lane.b.eq(self.deltas[k]),
            ]
        m.d.comb += [
            self.waits.eq(done.last & ~self.sums.ready),
            move.eq(~(self.hold | self.waits)),
            self.sums.valid.eq(done.last & ~self.hold),
            self.sums.p.place.eq(done.place),
            self.sums.p.sum.eq(sum(lane.sum for lane in lanes)),
            self.terms.eq(sum(hit & self.valid & move for hit in self.hits)),
            self.busy.eq(Cat(full for full, _ in stages[1:]).any() | done.last),
        ]
        return m


class ErrorSums(wiring.Component):
    """Adds the parts of an input's error sum, and passes on those that are not zero.

    Parameters
    ----------
    shapes: Shapes
    parts: how many; several may be some inputs apart

    Members
    -------
    parts: streams of {place, sum}, in the same order of inputs
    group: of the inputs
    results: stream of :func:`error_result`
    adding: a part is inside; busy: anything is

    A result every other cycle.
    """

    def __init__(self, shapes, parts):
        self.shapes = shapes
        super().__init__(
            {
                "parts": In(stream.Signature(partial_sum(shapes))).array(parts),
                "group": In(shapes.fan_in_entry),
                "results": Out(stream.Signature(error_result(shapes))),
                "adding": Out(1),
                "busy": Out(1),
            }
        )

    def elaborate(self, platform):
        m = Module()
        shapes, group, parts = self.shapes, self.group, self.parts
        if len(parts) > 1:
            queues = [Queue(partial_sum(shapes), INPUTS_APART) for _ in parts]
            for k, queue in enumerate(queues):
                m.submodules[f"part_{k}"] = queue
                wiring.connect(m, wiring.flipped(self.parts[k]), queue.i)
            parts = [queue.o for queue in queues]
        out = stream.Signature(error_result(shapes)).create(path=("result",))
        if shapes.config.dense_only:
            results = out
        else:
            m.submodules.waiting = waiting = Queue(error_result(shapes), RESULTS)
            wiring.connect(m, out, waiting.i)
            results = waiting.o
        complete, total, place = Signal(), Signal(signed(shapes.error_sum)), parts[0].p.place
        m.d.comb += [
            complete.eq(Cat(part.valid for part in parts).all() & ~out.valid),
            *(part.ready.eq(~out.valid if len(parts) == 1 else complete) for part in parts),
            total.eq(sum(part.p.sum for part in parts)),
            self.adding.eq(Cat(part.valid for part in parts).any()),
            self.busy.eq(self.adding | out.valid | self.results.valid),
        ]
        wiring.connect(m, results, wiring.flipped(self.results))
        with m.If(out.ready):
            m.d.sync += out.valid.eq(0)
        with m.If(complete):
            m.d.sync += [
                out.valid.eq(total.any()),
                out.p.sum.eq(total),
                out.p.target.x.eq(group.x),
                out.p.target.y.eq(group.y),
                out.p.target.neuron.eq(group.neuron + place.input),
                out.p.target.step.eq(place.step),
            ]
        return m
