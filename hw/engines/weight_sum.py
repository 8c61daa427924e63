# SPDX-License-Identifier: Apache-2.0
"""The sums of the feed-forward engine: a weight from each lane's bank for each spike."""

from amaranth.hdl import Cat, EnableInserter, Module, Mux, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.data import ArrayLayout, StructLayout
from amaranth.lib.wiring import In, Out

from backspike.hw.arith.lanes import SpikeLane
from backspike.hw.blocks import lockstep_register
from backspike.hw.engines.ports import forward_result, spike_lane, spike_term
from backspike.hw.ram import ReadPort

__all__ = ["WeightSum"]


class WeightSum(wiring.Component):
    """Address, weight, sum: a pipeline that stands still while a result waits for the one before.

    Parameters
    ----------
    shapes: Shapes

    Members
    -------
    step, last_lanes: of the job
    spikes: stream of {base, offset, nonzero, last, block_last, step_last}: sum of two addresses of a weight; whether it
        counts; it is the last of its sum; the sum is that of a pixel's last block, and of the last pixel
    weights: ReadPort of all lanes' banks at one address
    results: stream of :func:`forward_result`
    terms: useful terms of all lanes in this cycle
    stalled: a result has to wait
    busy: something is inside

    A term each cycle. A result comes 3 cycles and the latency of a ``SpikeLane`` after its last term.
    """

    def __init__(self, shapes):
        self.shapes = shapes
        lanes = shapes.config.lanes
        super().__init__(
            {
                "step": In(shapes.step),
                "last_lanes": In(shapes.descriptor["last_lanes"].shape),
                "spikes": In(stream.Signature(spike_term(shapes))),
                "weights": Out(ReadPort(shapes.weight_address, ArrayLayout(shapes.number, lanes))),
                "results": Out(stream.Signature(forward_result(shapes))),
                "terms": Out(range(lanes + 1)),
                "stalled": Out(1),
                "busy": Out(1),
            }
        )

    def elaborate(self, platform):
        m = Module()
        run, ends, lanes = Signal(), Signal(), self.shapes.config.lanes
        given, result, ending = self.spikes.p, self.results.p, ("block_last", "step_last")
        now = Signal(StructLayout({"nonzero": 1, "last": 1, **dict.fromkeys(ending, 1)}))
        m.d.comb += [
            *(now[name].eq(given[name]) for name in ("nonzero", "last", *ending)),
            self.spikes.ready.eq(run),
            self.stalled.eq(~run),
            self.weights.enable.eq(run),
        ]
        with m.If(run):
            m.d.sync += self.weights.address.eq(given.base + given.offset)
        pipeline = [(self.spikes.valid, now)]
        for name in ("asked", "read", *(f"lane_{k}" for k in range(SpikeLane.latency))):
            pipeline.append(lockstep_register(m, run, *pipeline[-1], name))
        del pipeline[0]
        (full, asking), (at_lane_full, at_lane), (done_full, done) = pipeline[0], pipeline[1], pipeline[-1]
        m.d.comb += [
            self.terms.eq(Mux(full & asking.nonzero & run, Mux(asking.block_last, self.last_lanes, lanes), 0)),
            result.place.step.eq(self.step),
            ends.eq(done_full & done.last),
            run.eq(~(ends & self.results.valid)),
            self.busy.eq(Cat(full for full, _ in pipeline).any() | self.results.valid),
        ]
        with m.If(self.results.ready):
            m.d.sync += self.results.valid.eq(0)
        with m.If(ends & run):
            m.d.sync += [
                self.results.valid.eq(1),
                result.place.block_last.eq(done.block_last),
                result.place.last.eq(done.block_last & done.step_last),
            ]
        for k in range(lanes):
            lane = spike_lane(self.shapes)
            m.submodules[f"lane_{k}"] = EnableInserter(run)(lane)
            m.d.comb += [
                lane.valid.eq(at_lane_full),
                lane.last.eq(at_lane.last),
                lane.nonzero.eq(at_lane.nonzero),
                lane.operand.eq(self.weights.data[k]),
            ]
            with m.If(ends & run):
                m.d.sync += result.sums[k].eq(lane.sum)
        return m
