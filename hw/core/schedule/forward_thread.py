# SPDX-License-Identifier: Apache-2.0
"""Feed-forward thread: picks samples that are ready, and runs the feed-forward engine and the neuron update on them."""

from amaranth.hdl import Module, Mux, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from backspike.hw.core.schedule.descriptors import DescriptorLoader

__all__ = ["ForwardThread"]


class ForwardThread(wiring.Component):
    """Polls the slices in turn, one each cycle.

    Parameters
    ----------
    shapes: Shapes

    Members
    -------
    ready: by slice: a step of a sample may start
    hold: start nothing (a weight update runs or is about to, or the host reads the memories)
    slot, step, train: of the sample that is offered for ``slice``
    slice: polled or in work
    descriptor_address, descriptor_data: descriptor table, one cycle of latency; loading: it is being read, and the
        engine is not at work
    descriptor, job_slot, job_step, job_train: of the job in work, which is one step of a sample
    job_start: to the slot table; engine_start: to the engine, when the description is loaded
    engine_busy, update_busy: from the engine and the neuron update
    job_done: to the slot table
    busy: a job is in work
    """

    def __init__(self, shapes):
        self.shapes = shapes
        super().__init__(
            {
                "ready": In(shapes.config.slices),
                "hold": In(1),
                "slot": In(shapes.slot),
                "step": In(shapes.step),
                "train": In(1),
                "slice": Out(shapes.slice),
                "descriptor_address": Out(shapes.slice + 4),
                "descriptor_data": In(32),
                "loading": Out(1),
                "descriptor": Out(shapes.descriptor),
                "job_slot": Out(shapes.slot),
                "job_step": Out(shapes.step),
                "job_train": Out(1),
                "job_start": Out(1),
                "engine_start": Out(1),
                "engine_busy": In(1),
                "update_busy": In(1),
                "job_done": Out(1),
                "busy": Out(1),
            }
        )

    def elaborate(self, platform):
        m = Module()
        m.submodules.loader = loader = DescriptorLoader(self.shapes)
        m.d.comb += [
            loader.slice.eq(self.slice),
            loader.start.eq(self.job_start),
            loader.data.eq(self.descriptor_data),
            self.descriptor_address.eq(loader.address),
            self.loading.eq(loader.busy),
            self.descriptor.eq(loader.descriptor),
        ]
        next_slice = Mux(self.slice == self.shapes.config.slices - 1, 0, self.slice + 1)
        settling = Signal(3)  # cycles in which a result may be between the engine and the neuron update
        with m.FSM():
            with m.State("POLL"):
                with m.If(self.ready.bit_select(self.slice, 1) & ~self.hold):
                    m.d.comb += self.job_start.eq(1)
                    m.d.sync += [
                        self.job_slot.eq(self.slot),
                        self.job_step.eq(self.step),
                        self.job_train.eq(self.train),
                        self.busy.eq(1),
                    ]
                    m.next = "LOAD"
                with m.Else():
                    m.d.sync += self.slice.eq(next_slice)
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
                    m.d.comb += self.job_done.eq(1)
                    m.d.sync += [self.busy.eq(0), self.slice.eq(next_slice)]
                    m.next = "POLL"
        return m
