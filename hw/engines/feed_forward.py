# SPDX-License-Identifier: Apache-2.0
"""Feed-forward engine: sums of the weights of the inputs that spike."""

from amaranth.hdl import Module
from amaranth.lib import wiring

from backspike.hw.engines.dense_spikes import DenseSpikes
from backspike.hw.engines.pixel_spikes import PixelSpikes
from backspike.hw.engines.ports import forward_ports
from backspike.hw.engines.weight_sum import WeightSum

__all__ = ["ForwardEngine"]


class ForwardEngine(wiring.Component):
    """For each output pixel and block of outputs of one step: the sum of the weights of the inputs that spike.

    All lanes share the spike; lane k adds the weights of output k of the block.

    Parameters
    ----------
    shapes: Shapes; with ``dense_only`` the engine has no walk over pixels, and does only jobs with one

    Members: see :func:`forward_ports`.
    """

    def __init__(self, shapes):
        self.shapes = shapes
        super().__init__(forward_ports(shapes))

    def elaborate(self, platform):
        m = Module()
        shapes = self.shapes
        m.submodules.search = search = DenseSpikes(shapes) if shapes.config.dense_only else PixelSpikes(shapes)
        m.submodules.sums = sums = WeightSum(shapes)
        for source, port in ((search.fan_in, "fan_in"), (search.tape, "tape"), (sums.weights, "weights")):
            wiring.connect(m, source, wiring.flipped(getattr(self.memory, port)))
        wiring.connect(m, search.spikes, sums.spikes)
        wiring.connect(m, sums.results, wiring.flipped(self.results))
        job = ("start", "slot", "step", "descriptor", "skip_off")
        m.d.comb += [
            *(getattr(search, name).eq(getattr(self, name)) for name in job),
            sums.step.eq(self.step),
            sums.last_lanes.eq(self.descriptor.last_lanes),
            self.terms.eq(sums.terms),
            self.stalled.eq(sums.stalled),
            self.busy.eq(search.busy | sums.busy),
        ]
        return m
