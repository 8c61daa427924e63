# SPDX-License-Identifier: Apache-2.0
"""Back-propagation and weight gradient for dense layers: one engine with one search for pairs."""

from amaranth.hdl import Cat, EnableInserter, Module, Mux, Signal
from amaranth.lib import wiring
from amaranth.lib.data import StructLayout
from amaranth.lib.wiring import Out, Signature

from backspike.hw.arith.lanes import ProductLane
from backspike.hw.blocks import lockstep_register
from backspike.hw.engines.dense.pairs import Pairs
from backspike.hw.engines.gradient_sum import GradientSum
from backspike.hw.engines.ports import error_ports, gradient_ports

__all__ = ["DenseLearning"]


class DenseLearning(wiring.Component):
    """For each input and each non-zero delta of the same step: e += W delta if the input's mask is set, and
    G += delta if it spikes.

    It does the jobs with one pixel of the general ``BackwardEngine`` and ``GradientEngine``, both at once: each input
    that is masked or spikes, and each of its deltas, is looked for and read once. All lanes work on one block at a
    time, where at least one of them has a non-zero delta. ``skip_off`` has no effect, and ``gradient.rows`` are spikes.

    Parameters
    ----------
    shapes: Shapes

    Members
    -------
    errors: see :func:`error_ports`; without ``errors.start`` the masks count for nothing
    gradient: see :func:`gradient_ports`; ``errors.start`` comes only together with ``gradient.start``. The slot, the
        descriptor and the memories that both sides read are those of ``errors``
    """

    def __init__(self, shapes):
        self.shapes = shapes
        super().__init__(
            {"errors": Out(Signature(error_ports(shapes))), "gradient": Out(Signature(gradient_ports(shapes)))}
        )

    def elaborate(self, platform):
        m = Module()
        shapes, errors, gradient = self.shapes, self.errors, self.gradient
        m.submodules.pairs = pairs = Pairs(shapes)
        sending = Signal()  # the job has errors
        with m.If(gradient.start):
            m.d.sync += sending.eq(errors.start)
        names = ("slot", "descriptor", "live", "masks", "bitmaps")
        m.d.comb += [getattr(pairs, name).eq(getattr(errors, name)) for name in names]
        m.d.comb += [
            pairs.start.eq(gradient.start),
            pairs.errors.eq(sending),
            pairs.group_words.eq(errors.group),
            pairs.spikes.eq(gradient.tape),
            errors.group_address.eq(pairs.group_address),
            errors.group_enable.eq(1),
            errors.bitmap_address.eq(pairs.bitmap_address),
            errors.bitmap_enable.eq(pairs.bitmap_enable),
            errors.row.eq(pairs.found.masked),
            gradient.rows.eq(pairs.found.spikes),
            errors.busy.eq(pairs.busy & sending),
            gradient.busy.eq(pairs.busy),
        ]
        for side in (errors, gradient):
            m.d.comb += [side.tape_address.eq(pairs.tape_address), side.tape_enable.eq(pairs.tape_enable)]
        self._work(m, pairs)
        return m

    def _work(self, m, pairs):
        """Operands, then products and gradients: a pipeline that stands still while a result waits for the one before
        it, or a gradient for the one that is being written.
        """
        shapes, errors, gradient = self.shapes, self.errors, self.gradient
        run, item, address = Signal(), pairs.items.p, Signal(shapes.weight_address)
        delta, first = Signal(shapes.delta_address()), Signal(shapes.block)
        control = StructLayout(
            {
                "masked": 1,
                "spikes": 1,
                "last": 1,
                "hits": shapes.config.lanes,
                "input": shapes.tape_bit,
                "step": shapes.step,
            }
        )
        now = Signal(control)
        m.d.comb += [
            now.masked.eq(item.use.masked & pairs.items.valid),
            now.spikes.eq(item.use.spikes & pairs.items.valid),
            now.last.eq(now.masked & item.last),
            *(now[name].eq(item[name]) for name in ("hits", "input", "step")),
            first.eq(errors.descriptor.block_base),
            pairs.items.ready.eq(run),
            errors.operand_enable.eq(run),
        ]
        with m.If(run):
            m.d.sync += [
                address.eq(item.row + item.block),
                delta.block.eq(first + item.block),
                delta.step.eq(item.step),
            ]
        stages = [(pairs.items.valid, now)]
        for name in ("asked", "read", *(f"lane_{k}" for k in range(ProductLane.latency))):
            stages.append(lockstep_register(m, run, *stages[-1], name))
        del stages[0]
        read, at_lane, done = stages[1][1], stages[2][1], stages[-1][1]
        waits, writing = self._add(m, run, address, read, at_lane)
        blocked, waiting = self._errors(m, run, pairs.group, read, done)
        terms = sum(at_lane.hits)
        m.d.comb += [
            run.eq(~(blocked | waits)),
            pairs.quiet.eq(~(Cat(full for full, _ in stages).any() | waiting | writing)),
            errors.stalled.eq(blocked),
            gradient.stalled.eq(waits),
            errors.terms.eq(Mux(at_lane.masked & run, terms, 0)),
            gradient.terms.eq(Mux(at_lane.spikes & run, terms, 0)),
        ]
        for k in range(shapes.config.lanes):
            m.d.comb += [errors.weight_addresses[k].eq(address), errors.delta_addresses[k].eq(delta)]

    def _errors(self, m, run, group, read, done):
        """Sums of products; returns whether one has to wait for that before it, and whether any waits to be taken."""
        config, errors, result = self.shapes.config, self.errors, self.errors.results
        lanes = [ProductLane(config.format, self.shapes.block_depth) for _ in range(config.lanes)]
        for k, lane in enumerate(lanes):
            m.submodules[f"product_{k}"] = EnableInserter(run)(lane)
            m.d.comb += [
                lane.valid.eq(read.masked),
                lane.last.eq(read.last),
                lane.nonzero.eq(read.hits[k]),
                lane.a.eq(errors.weights[k]),
                lane.b.eq(errors.deltas[k]),
            ]
        total, target = sum(lane.sum for lane in lanes), result.p.target
        m.d.comb += errors.result.eq(result.valid & result.ready)
        with m.If(result.ready):
            m.d.sync += result.valid.eq(0)
        with m.If(done.last & run):
            m.d.sync += [
                result.valid.eq(total.any()),  # a sum of zero is not sent
                result.p.sum.eq(total),
                target.x.eq(group.x),
                target.y.eq(group.y),
                target.neuron.eq(group.neuron + done.input),
                target.step.eq(done.step),
            ]
        return done.last & result.valid, result.valid

    def _add(self, m, run, asked, read, now):
        """Adds deltas to gradients: read while the delta is shifted (``now``), then added to, then written.

        Returns whether a term has to wait, and whether any gradient is not written.
        """
        shapes, gradient = self.shapes, self.gradient
        address = [asked, *(Signal.like(asked, name=name) for name in ("read_address", "now_address"))]
        place = StructLayout({"address": shapes.weight_address, "step": shapes.step, "lanes": shapes.config.lanes})
        adding, writing = Signal(place), Signal(place)
        at_adding, at_writing = Signal(), Signal()  # what is to be read is being added to, or written
        with m.If(run):
            # The gradients of a step are all different: only those of two steps can be the same.
            m.d.sync += [
                address[1].eq(address[0]),
                address[2].eq(address[1]),
                at_adding.eq(read.spikes & now.spikes & (read.step != now.step)),
                at_writing.eq(read.spikes & adding.lanes.any() & (read.step != adding.step)),
            ]
        with m.Else():
            m.d.sync += [at_adding.eq(0), at_writing.eq(at_adding)]
        m.d.sync += [
            adding.address.eq(address[2]),
            adding.step.eq(now.step),
            adding.lanes.eq(Mux(now.spikes & run, now.hits, 0)),
            writing.eq(adding),
        ]
        m.d.comb += [gradient.read_enables.eq(~0), gradient.write_enables.eq(writing.lanes)]
        for k in range(shapes.config.lanes):
            m.submodules[f"gradient_{k}"] = lane = GradientSum(shapes)
            m.d.comb += [
                lane.move.eq(run),
                lane.delta.eq(self.errors.deltas[k]),
                lane.gradient.eq(gradient.gradients[k]),
                gradient.sums[k].eq(lane.sum),
                gradient.read_addresses[k].eq(address[2]),
                gradient.write_addresses[k].eq(writing.address),
            ]
        return at_adding | at_writing, adding.lanes.any() | writing.lanes.any()
