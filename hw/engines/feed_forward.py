# SPDX-License-Identifier: Apache-2.0
"""Feed-forward engine: sums of the weights of the inputs that spike."""

from amaranth.hdl import Module, Mux, Signal, signed
from amaranth.lib import wiring
from amaranth.lib.data import ArrayLayout, StructLayout

from backspike.hw.blocks import Queue, delay_line
from backspike.hw.engines.ports import forward_ports, forward_result, spike_lane
from backspike.hw.engines.replay import Replay
from backspike.hw.engines.walks import PLACE, OutputWalk
from backspike.hw.engines.windows import SpikeWindow

__all__ = ["ForwardEngine"]

RESULTS = 4
"""Results that may wait for the neuron update."""

PIXELS = 8
"""Output pixels that the search for spikes may be ahead."""


class ForwardEngine(wiring.Component):
    """For each output pixel and block of outputs of one step: the sum of the weights of the inputs that spike.

    All lanes share the spike; lane k adds the weights of output k of the block. The spikes that a pixel sees are listed
    once, if the list has room for them, and then used for every block.

    Parameters
    ----------
    shapes: Shapes

    Members: see :func:`forward_ports`; the banks are always enabled.
    """

    def __init__(self, shapes):
        self.shapes = shapes
        self._lanes = [spike_lane(shapes) for _ in range(shapes.config.lanes)]
        self.result_layout = forward_result(shapes)
        self.place = self.result_layout["place"].shape
        super().__init__(forward_ports(shapes))

    def elaborate(self, platform):
        m = Module()
        m.submodules.window = window = SpikeWindow(self.shapes)
        block = StructLayout({"place": self.place, "block": self.shapes.block})
        m.submodules.lists = lists = Replay(window.entry, block, self.shapes.config.list_depth)
        wiring.connect(m, window.items, lists.items)
        window.connect_job(m, self)
        walking = self._pixels(m, window, lists)
        waiting = self._reduce(m, lists)
        m.d.comb += self.busy.eq(walking | window.busy | lists.busy | waiting)
        return m

    def _pixels(self, m, window, lists):
        """Ask for the spikes of each pixel, and play them for each of its blocks."""
        d = self.descriptor
        pixel = StructLayout({"step": self.shapes.step, "block": self.shapes.block, "last": 1})
        m.submodules.walk = walk = OutputWalk(self.shapes)
        m.submodules.asked = asked = Queue(pixel, PIXELS)
        seen = walk.pixels.p
        m.d.comb += [
            walk.start.eq(self.start),
            walk.descriptor.eq(d),
            walk.rounds.eq(1),
            walk.live.eq(~0),
            walk.first_step.eq(self.step),
            walk.steps.eq(1),
            walk.times.eq(Mux(d.replay, 1, d.blocks)),
            walk.pixels.ready.eq(window.requests.ready & asked.i.ready),
            window.requests.valid.eq(walk.pixels.valid & asked.i.ready),
            asked.i.valid.eq(walk.pixels.valid & window.requests.ready),
            *(window.requests.p[name].eq(seen[name]) for name in ("step", *PLACE)),
            window.requests.p.group.eq(0),
            window.groups.eq(d.fan_in),
            asked.i.p.step.eq(seen.step),
            asked.i.p.block.eq(seen.time),
            asked.i.p.last.eq(seen.last),
        ]
        replayed, last = Signal(self.shapes.block), Signal(self.shapes.block, name="last")
        command, now = lists.commands.p, asked.o.p
        last_block = Signal()
        m.d.sync += last.eq(d.blocks - 1)
        m.d.comb += [
            command.payload.block.eq(Mux(d.replay, replayed, now.block)),
            last_block.eq(command.payload.block == last),
            command.payload.place.step.eq(now.step),
            command.payload.place.block_last.eq(last_block),
            command.payload.place.last.eq(last_block & now.last),
            command.final.eq(last_block | ~d.replay),
            lists.commands.valid.eq(asked.o.valid),
            asked.o.ready.eq(lists.commands.ready & command.final),
        ]
        with m.If(lists.commands.valid & lists.commands.ready):
            m.d.sync += replayed.eq(Mux(command.final, 0, replayed + 1))
        return walk.busy | asked.o.valid

    def _reduce(self, m, lists):
        """Fetch the weight of each spike and accumulate; returns whether results are still under way."""
        lanes, d = self.shapes.config.lanes, self.descriptor
        item = lists.out.p
        m.submodules.places = places = Queue(self.place, RESULTS)
        m.submodules.sums = sums = Queue(ArrayLayout(signed(self._lanes[0].sum_width), lanes), RESULTS)

        issued = Signal(StructLayout({"valid": 1, "last": 1, "nonzero": 1}))
        go, nonzero = Signal(), Signal()
        address = Signal(self.shapes.weight_address)
        m.d.comb += [
            self.stalled.eq(lists.out.valid & ~lists.out.ready),
            lists.out.ready.eq(places.i.ready | ~item.last),
            go.eq(lists.out.valid & lists.out.ready),
            nonzero.eq(~item.none & item.entry.spike),
            places.i.valid.eq(lists.out.valid & item.last),
            places.i.p.eq(item.payload.place),
            self.weight_address.eq(address),
            self.weight_enable.eq(1),
            self.terms.eq(Mux(go & nonzero, Mux(item.payload.place.block_last, d.last_lanes, lanes), 0)),
        ]
        m.d.sync += [
            issued.valid.eq(go),
            issued.last.eq(item.last),
            issued.nonzero.eq(nonzero),
            address.eq(item.entry.address + item.payload.block),
        ]
        at_lane = delay_line(m, issued, 1, "weight_read")
        for k, lane in enumerate(self._lanes):
            m.submodules[f"lane_{k}"] = lane
            m.d.comb += [
                lane.valid.eq(at_lane.valid),
                lane.last.eq(at_lane.last),
                lane.nonzero.eq(at_lane.nonzero),
                lane.operand.eq(self.weights[k]),
                sums.i.p[k].eq(lane.sum),
            ]
            if k == 0:
                m.d.comb += sums.i.valid.eq(lane.done)
        # A place is queued when the last term is issued, so the queue of places bounds the sums under way.
        m.d.comb += [
            self.results.valid.eq(sums.o.valid),
            self.results.p.place.eq(places.o.p),
            self.results.p.sums.eq(sums.o.p),
            sums.o.ready.eq(self.results.ready),
            places.o.ready.eq(self.results.ready & sums.o.valid),
        ]
        return places.o.valid
