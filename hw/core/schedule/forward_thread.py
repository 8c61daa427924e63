# SPDX-License-Identifier: Apache-2.0
"""Feed-forward thread: picks frames that are ready, and runs the feed-forward engine and the neuron update on them."""

from amaranth.hdl import Module, Mux, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from backspike.hw.core.schedule.descriptors import DescriptorLoader
from backspike.hw.core.schedule.jobs import JobOffer, job_layout

__all__ = ["ForwardThread"]


class ForwardThread(wiring.Component):
    """Polls the slices in turn, one each cycle.

    Parameters
    ----------
    shapes: Shapes

    Members
    -------
    offer : In(JobOffer)
        From the slot table.
    hold : In(1)
        Start nothing: a weight update runs or is about to, or the host reads the memories.
    descriptor_address, descriptor_data : Out, In
        Descriptor table, one cycle of latency.
    loading : Out(1)
        It is being read, and the engine is not at work.
    job : Out(job_layout)
        The job in work, which is one step of a frame.
    descriptor : Out(descriptor)
        Of its slice.
    engine_start : Out(1)
        To the engine, when the description is loaded.
    engine_busy, update_busy : In(1)
        From the engine and the neuron update.
    busy : Out(1)
        A job is in work.
    """

    def __init__(self, shapes):
        self.shapes = shapes
        super().__init__(
            {
                "offer": In(JobOffer(shapes)),
                "hold": In(1),
                "descriptor_address": Out(shapes.slice + 4),
                "descriptor_data": In(32),
                "loading": Out(1),
                "job": Out(job_layout(shapes)),
                "descriptor": Out(shapes.descriptor),
                "engine_start": Out(1),
                "engine_busy": In(1),
                "update_busy": In(1),
                "busy": Out(1),
            }
        )

    def elaborate(self, platform):
        m = Module()
        m.submodules.loader = loader = DescriptorLoader(self.shapes)
        offer = self.offer
        m.d.comb += [
            loader.slice.eq(offer.slice),
            loader.start.eq(offer.start),
            loader.data.eq(self.descriptor_data),
            self.descriptor_address.eq(loader.address),
            self.loading.eq(loader.busy),
            self.descriptor.eq(loader.descriptor),
        ]
        next_slice = Mux(offer.slice == self.shapes.config.slices - 1, 0, offer.slice + 1)
        settling = Signal(3)  # cycles in which a result may be between the engine and the neuron update
        with m.FSM():
            with m.State("POLL"):
                with m.If(offer.ready.bit_select(offer.slice, 1) & ~self.hold):
                    m.d.comb += offer.start.eq(1)
                    m.d.sync += [self.job.eq(offer.job), self.busy.eq(1)]
                    m.next = "LOAD"
                with m.Else():
                    m.d.sync += offer.slice.eq(next_slice)
            with m.State("LOAD"), m.If(loader.done):
                m.d.comb += self.engine_start.eq(1)
                m.d.sync += settling.eq(7)
                m.next = "RUN"
            with m.State("RUN"):
                with m.If(self.engine_busy | self.update_busy):
                    m.d.sync += settling.eq(2)
                with m.Elif(settling.any()):
                    m.d.sync += settling.eq(settling - 1)
                with m.Else():
                    m.d.comb += offer.done.eq(1)
                    m.d.sync += [self.busy.eq(0), offer.slice.eq(next_slice)]
                    m.next = "POLL"
        return m
