# SPDX-License-Identifier: Apache-2.0
"""Backward thread: what happens to a sample after its forward pass, and the weight update."""

from amaranth.hdl import Const, Module, Mux, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from backspike.hw.core.schedule.descriptors import DescriptorLoader
from backspike.hw.core.schedule.jobs import JobOffer
from backspike.hw.core.send.credit_sender import Notifier
from backspike.hw.core.send.packet_arbiter import packet_header
from backspike.spec.packets import Kind

__all__ = ["BackwardThread"]


class BackwardThread(wiring.Component):
    """Delta update, and operand update beside it, then the back-propagation and weight-gradient engines side by side,
    then the credits.

    Polls the slices in turn. After reset, and when the slots are restarted, it clears the error sums of the core, and
    forgets updates that wait. An update waits until no sample of its slice has begun or could; then no other job starts
    before it.

    Parameters
    ----------
    shapes: Shapes

    Members
    -------
    x, y: coordinates of the core
    offer: from the slot table: by slice, a sample may start
    idle: by slice: no sample is in work
    update, update_slice, clear, velocities: an UPDATE packet came, for a slice without one that waits
    updates: by slice: an UPDATE waits; soon: one will be in work
    restart: the slots are restarted
    reading: the host reads the memories, so that no job may start
    forward_busy: the feed-forward thread has a job; hold: it must not start one
    slot: of the sample in work
    descriptor_address, descriptor_data, descriptor: table and loaded description; loading: the table is being read, and
        the engines are not at work
    delta_start, delta_busy, errors_start, errors_busy, gradient_start, gradient_busy: the delta update and the engines
    operands_start, operands_busy: the operand update, for every frame; in chips with operands of several bits
    weights_start, weights_clear, weights_velocities, weights_busy: the weight update
    route_address, route: route table, one cycle of latency
    packets: ERRORS_DONE, CREDIT and UPDATED
    erase, erase_address: clears the error sums and the laps of the tape; erasing: that is to be done, or in work
    busy: a job is in work
    """

    def __init__(self, shapes):
        self.shapes = shapes
        slices = shapes.config.slices
        flags = (
            "delta_start",
            "errors_start",
            "gradient_start",
            "weights_start",
            "weights_clear",
            "weights_velocities",
            "erase",
            "erasing",
            "busy",
            "hold",
            "soon",
            *(("operands_start",) if shapes.traced else ()),
        )
        inputs = (
            "delta_busy",
            "errors_busy",
            "gradient_busy",
            "weights_busy",
            "forward_busy",
            "update",
            "clear",
            "velocities",
            "restart",
            "reading",
            *(("operands_busy",) if shapes.traced else ()),
        )
        super().__init__(
            {
                **{name: Out(1) for name in flags},
                **{name: In(1) for name in inputs},
                "x": In(3),
                "y": In(3),
                "offer": In(JobOffer(shapes)),
                "idle": In(slices),
                "update_slice": In(shapes.slice),
                "updates": Out(slices),
                "slot": Out(shapes.slot),
                "descriptor_address": Out(shapes.slice + 4),
                "descriptor_data": In(32),
                "loading": Out(1),
                "descriptor": Out(shapes.descriptor),
                "route_address": Out(shapes.route),
                "route": In(shapes.route_entry),
                "packets": Out(stream.Signature(shapes.packet)),
                "erase_address": Out(shapes.erase_address()),
            }
        )

    def elaborate(self, platform):
        m = Module()
        m.submodules.loader = loader = DescriptorLoader(self.shapes)
        m.submodules.notifier = notifier = Notifier(self.shapes)
        updating = Signal()
        self._connect(m, loader, notifier)
        updates = self._updates(m, updating)
        erase_wanted = Signal(init=1)
        m.d.comb += self.erasing.eq(erase_wanted | self.erase | self.restart)
        with m.If(self.restart):
            m.d.sync += erase_wanted.eq(1)
        with m.FSM():
            self._poll(m, loader, updates, updating, erase_wanted)
            with m.State("ERASE"):
                m.d.comb += self.erase.eq(1)
                m.d.sync += self.erase_address.as_value().eq(self.erase_address.as_value() + 1)
                with m.If(self.erase_address.as_value().all()):
                    m.next = "POLL"
                with m.If(self.restart):  # one pass does for all slices that are restarted one after the other
                    m.d.sync += [self.erase_address.as_value().eq(0), erase_wanted.eq(0)]
                    m.next = "ERASE"
            self._train(m, loader, notifier, updating)
            with m.State("UPDATE"), m.If(~self._started(m, self.weights_start) & ~self.weights_busy):
                m.next = "UPDATED"
            with m.State("UPDATED"):
                m.d.comb += [
                    self.packets.valid.eq(1),
                    self.packets.p.header.eq(
                        packet_header(Kind.UPDATED, host=1, slice=self.offer.slice, from_x=self.x, from_y=self.y)
                    ),
                ]
                with m.If(self.packets.ready):
                    m.d.sync += [updating.eq(0), self.busy.eq(0)]
                    m.next = "POLL"
        return m

    def _connect(self, m, loader, notifier):
        m.d.comb += [
            loader.slice.eq(self.offer.slice),
            loader.data.eq(self.descriptor_data),
            self.descriptor_address.eq(loader.address),
            self.loading.eq(loader.busy),
            self.descriptor.eq(loader.descriptor),
            notifier.x.eq(self.x),
            notifier.y.eq(self.y),
            notifier.slot.eq(self.slot),
            notifier.sources_base.eq(self.descriptor.sources_base),
            notifier.sources.eq(self.descriptor.sources),
            notifier.routes.data.eq(self.route),
            self.route_address.eq(notifier.routes.address),
            self.packets.valid.eq(notifier.packets.valid),
            self.packets.p.eq(notifier.packets.p),
            notifier.packets.ready.eq(self.packets.ready),
        ]

    def _updates(self, m, updating):
        """Remember the UPDATE packets; returns by slice: it can begin, it only clears, velocities too."""
        slices = self.shapes.config.slices
        free, clearing, velocities = Signal(slices), Signal(slices), Signal(slices)
        m.d.comb += [free.eq(self.updates & self.idle), self.soon.eq(free.any())]
        m.d.comb += self.hold.eq(updating | self.reading)
        with m.If(self.restart):
            m.d.sync += self.updates.eq(0)
        with m.If(self.update):
            m.d.sync += [
                self.updates.bit_select(self.update_slice, 1).eq(1),
                clearing.bit_select(self.update_slice, 1).eq(self.clear),
                velocities.bit_select(self.update_slice, 1).eq(self.velocities),
            ]
        return free, clearing, velocities

    def _next_slice(self):
        return Mux(self.offer.slice == self.shapes.config.slices - 1, 0, self.offer.slice + 1)

    def _poll(self, m, loader, updates, updating, erase_wanted):
        """Look for work: first the erasing, then an update of this slice, then a sample of it."""
        free, clearing, velocities = (flags.bit_select(self.offer.slice, 1) for flags in updates)
        with m.State("POLL"):
            with m.If(erase_wanted):
                m.d.sync += erase_wanted.eq(0)
                m.next = "ERASE"
            with m.Elif(self.reading):
                m.next = "POLL"
            with m.Elif(free):
                m.d.comb += self.hold.eq(1)
                with m.If(~self.forward_busy):
                    m.d.comb += loader.start.eq(1)
                    m.d.sync += [
                        updating.eq(1),
                        self.busy.eq(1),
                        self.updates.bit_select(self.offer.slice, 1).eq(0),
                        self.weights_clear.eq(clearing),
                        self.weights_velocities.eq(velocities),
                    ]
                    m.next = "LOAD"
            with m.Elif(self.offer.ready.bit_select(self.offer.slice, 1)):
                m.d.comb += loader.start.eq(1)
                m.d.sync += [self.slot.eq(self.offer.job.slot), self.busy.eq(1)]
                m.next = "LOAD"
            with m.Else():
                m.d.sync += self.offer.slice.eq(self._next_slice())

    def _train(self, m, loader, notifier, updating):
        """From the loaded description to the credits."""
        d = self.descriptor
        credit = Signal()  # what the notifier sends
        tracing = Const(0)  # the operand update is at work
        m.d.comb += notifier.credit.eq(credit)
        if self.shapes.traced:
            tracing = self._started(m, self.operands_start) | self.operands_busy
            with m.State("OPERANDS"), m.If(~tracing):
                m.next = "NOTIFY"
        with m.State("LOAD"), m.If(loader.done):
            if self.shapes.traced:
                m.d.comb += self.operands_start.eq(~updating)
            with m.If(updating):
                m.d.comb += self.weights_start.eq(1)
                m.next = "UPDATE"
            with m.Elif(self.offer.job.train):
                m.d.comb += [self.delta_start.eq(1), self.offer.start.eq(1)]
                m.next = "DELTA"
            with m.Else():
                m.d.sync += credit.eq(1)
                m.next = "OPERANDS" if self.shapes.traced else "NOTIFY"
        with m.State("DELTA"), m.If(~self._started(m, self.delta_start) & ~self.delta_busy & ~tracing):
            m.d.comb += [self.errors_start.eq(d.errors.any()), self.gradient_start.eq(1)]
            m.next = "ERRORS"
        with m.State("ERRORS"), m.If(~self._started(m, self.gradient_start) & ~self.errors_busy):
            m.d.sync += credit.eq(0)
            m.next = "GRADIENT"
            with m.If(d.errors.any()):
                m.next = "NOTIFY"
        with m.State("GRADIENT"), m.If(~self.gradient_busy):
            m.d.sync += credit.eq(1)
            m.next = "NOTIFY"
        with m.State("NOTIFY"):
            m.d.comb += notifier.active.eq(1)
            with m.If(notifier.done & ~credit):
                m.next = "GRADIENT"
            with m.Elif(notifier.done):
                m.d.comb += self.offer.done.eq(1)
                m.d.sync += [self.busy.eq(0), self.offer.slice.eq(self._next_slice())]
                m.next = "POLL"

    def _started(self, m, start):
        """Whether ``start`` was given in the cycle before, so that the unit cannot be busy yet."""
        before = Signal(name=f"{start.name}_before")
        m.d.sync += before.eq(start)
        return before
