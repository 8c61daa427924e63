# SPDX-License-Identifier: Apache-2.0
"""Takes packets from the network, checks them, and acts on them at once."""

from amaranth.hdl import Array, Cat, Module, Mux, Signal, signed
from amaranth.lib import stream, wiring
from amaranth.lib.data import StructLayout
from amaranth.lib.wiring import In, Out
from amaranth.utils import exact_log2

from backspike.host.protocol import (
    HOST_KINDS,
    MAX_PAYLOAD,
    TAPE_SLOT_STRIDE,
    TAPE_STRIDE,
    Cause,
    Kind,
    Region,
    payload_range,
)
from backspike.hw.core.slots import EVENT
from backspike.hw.noc.flit import FlitStream, header_of, tag_of

__all__ = ["Receiver", "fault_layout"]

def fault_layout():
    """A dropped packet: why, and its header."""
    return StructLayout({"cause": 4, "header": 32})


class Receiver(wiring.Component):
    """Consumes one flit each cycle (two for a packet of one flit), whatever the rest of the core is doing.

    Parameters
    ----------
    shapes: Shapes

    Members
    -------
    flits: from the router
    idle: no engine runs, so that memories may be accessed
    reading: a READ is being answered
    limit: number of addresses of ``region``
    event_slice, event_slot, event_step, event, event_train, event_label: to the slot table
    accepts: the slot table takes inputs for this slice, slot and step
    tape_write, tape_address, spikes, masks: write one step of a tape word
    error_read, error_address, error_sum: read port of the error sums, one cycle of latency
    error_write, new_error_sum: its write port (same address)
    write, region, address, data: a word for a table or memory
    read, count: a READ of ``count`` words from ``address`` of ``region``
    update, update_slice, clear, velocities: an UPDATE
    fault: stream of drops to report (one that finds no room is only counted)
    packet, dropped: a packet has been consumed, or dropped
    """

    def __init__(self, shapes):
        self.shapes = shapes
        super().__init__({
            "flits": In(FlitStream),
            "idle": In(1),
            "reading": In(1),
            "limit": In(18),
            "accepts": In(1),
            "event_slice": Out(shapes.slice),
            "event_slot": Out(shapes.slot),
            "event_step": Out(shapes.step),
            "event": Out(EVENT),
            "event_train": Out(1),
            "event_label": Out(14),
            "tape_write": Out(1),
            "tape_address": Out(shapes.tape_address()),
            "spikes": Out(32),
            "masks": Out(32),
            "error_address": Out(shapes.error_address()),
            "error_sum": In(signed(shapes.error_sum)),
            "error_write": Out(1),
            "new_error_sum": Out(signed(shapes.error_sum)),
            "write": Out(1),
            "region": Out(4),
            "address": Out(32),
            "data": Out(32),
            "read": Out(1),
            "count": Out(4),
            "update": Out(1),
            "update_slice": Out(shapes.slice),
            "clear": Out(1),
            "velocities": Out(1),
            "fault": Out(stream.Signature(fault_layout())),
            "packet": Out(1),
            "dropped": Out(1),
        })

    def elaborate(self, platform):
        m = Module()
        header = Signal(32)
        inside = Signal()  # the header has been taken
        alone = Signal()  # it was also the last flit
        draining = Signal()  # the rest of a packet is ignored
        position = Signal(4)
        done = Signal()  # a whole packet that fits its kind ends in this cycle
        cause = Signal(4)
        kind = header[:4]
        flit = self.flits
        m.d.comb += flit.ready.eq(~alone)
        low, high = self._lengths(m, kind)
        length = Mux(alone, 0, position + 1)
        ends = alone | (inside & flit.valid & flit.p.last)
        word = inside & flit.valid & ~draining & ~alone
        m.d.comb += done.eq(ends & ~draining & (length >= low) & (length <= high))
        with m.If(ends):
            m.d.sync += [inside.eq(0), alone.eq(0), draining.eq(0)]
        with m.Elif(word & (position + 1 == MAX_PAYLOAD)):
            m.d.sync += draining.eq(1)
        with m.If(~inside & flit.valid & ~alone):
            m.d.sync += [header.eq(flit.p.data), position.eq(0), inside.eq(1), alone.eq(flit.p.last)]
        with m.Elif(word):
            m.d.sync += position.eq(position + 1)

        first, second = Signal(32), Signal(32)
        with m.If(word):
            m.d.sync += second.eq(flit.p.data)
            with m.If(position == 0):
                m.d.sync += first.eq(flit.p.data)
        wrong, wrong_now = Signal(4), Signal(4)
        refused = Signal(4)  # what was wrong with an earlier word of a WRITE; no word after it is written
        self._check(m, kind, header, flit, wrong_now)
        m.d.comb += wrong.eq(Mux(refused.any(), refused, wrong_now))
        with m.If(~inside):
            m.d.sync += refused.eq(0)
        with m.Elif(word & (position != 0) & (kind == Kind.WRITE)):
            m.d.sync += refused.eq(wrong)
        with m.If(ends):
            m.d.comb += cause.eq(Mux(done, wrong, Cause.LENGTH))
            with m.If(~is_one_of(kind, HOST_KINDS)):
                m.d.comb += cause.eq(Cause.KIND)
        total = Signal(signed(96))  # of an ERROR, whose last word is arriving
        m.d.comb += total.eq(Mux(
            position == 1, Cat(first, flit.p.data).as_signed(), Cat(first, second, flit.p.data).as_signed()))
        self._act(m, kind, header, done & (wrong == 0), first, total, flit)
        self._write(m, kind, header, word & (position != 0) & (wrong == 0), first, position, flit)
        self._report(m, ends, cause, header)
        return m

    def _lengths(self, m, kind):
        """Smallest and largest payload of the kind, as expressions."""
        ranges = [payload_range(Kind(k)) if k in HOST_KINDS else (1, 0) for k in range(16)]
        return Array(low for low, _ in ranges)[kind], Array(high for _, high in ranges)[kind]

    def _check(self, m, kind, header, flit, wrong):
        """What is wrong with the content of the packet (0: nothing)."""
        config = self.shapes.config
        tag = header_of(header).tag

        def need(condition, cause):
            with m.If(~condition):
                m.d.comb += wrong.eq(cause)

        with m.Switch(kind):
            with m.Case(Kind.SPIKES):
                fields = tag_of(Kind.SPIKES, tag)
                need(self.accepts, Cause.STATE)
                need((fields.slice < config.slices) & (fields.slot < config.slots) & (fields.step < config.steps)
                     & (fields.word < config.tape_words), Cause.FIELD)
            with m.Case(Kind.ERROR):
                fields = tag_of(Kind.ERROR, tag)
                need((fields.neuron < config.neurons) & (fields.slot < config.slots) & (fields.step < config.steps),
                     Cause.FIELD)
            with m.Case(Kind.ERRORS_DONE, Kind.CREDIT, Kind.LABEL):
                fields = tag_of(Kind.LABEL, tag)
                need((fields.slice < config.slices) & (fields.slot < config.slots), Cause.FIELD)
            with m.Case(Kind.WRITE):
                fields = tag_of(Kind.WRITE, tag)
                need(self.idle | (fields.region == Region.CONTROL), Cause.STATE)
                need(is_one_of(fields.region, WRITABLE) & (self.address < self.limit), Cause.FIELD)
                word = self.address[:exact_log2(TAPE_STRIDE)]
                step = self.address[exact_log2(TAPE_STRIDE):exact_log2(TAPE_SLOT_STRIDE)]
                need((fields.region != Region.TAPE) | ((word < config.tape_words) & (step < config.steps)), Cause.FIELD)
            with m.Case(Kind.READ):
                fields = tag_of(Kind.READ, tag)
                need((self.idle | (fields.region >= Region.CONTROL)) & ~self.reading, Cause.STATE)
                need(is_one_of(fields.region, READABLE) & (fields.count > 0) & (fields.count < MAX_PAYLOAD)
                     & (self.address + fields.count <= self.limit), Cause.FIELD)
            with m.Case(Kind.UPDATE):
                need(tag_of(Kind.UPDATE, tag).slice < config.slices, Cause.FIELD)

    def _act(self, m, kind, header, done, first, total, flit):
        """What a complete and correct packet does."""
        tag = header_of(header).tag
        event, label = self.event, tag_of(Kind.LABEL, tag)
        spikes, error, read = tag_of(Kind.SPIKES, tag), tag_of(Kind.ERROR, tag), tag_of(Kind.READ, tag)
        update = tag_of(Kind.UPDATE, tag)
        m.d.comb += [
            self.event_slice.eq(label.slice),
            self.event_slot.eq(label.slot),
            self.event_step.eq(spikes.step),
            event.inputs.eq(done & (kind == Kind.SPIKES)),
            event.marker.eq(done & (kind == Kind.ERRORS_DONE)),
            event.credit.eq(done & (kind == Kind.CREDIT)),
            event.label.eq(done & (kind == Kind.LABEL)),
            self.event_train.eq(spikes.train),
            self.event_label.eq(label.label),
            self.tape_write.eq(event.inputs),
            self.tape_address.word.eq(spikes.word),
            self.tape_address.slot.eq(spikes.slot),
            self.tape_address.step.eq(spikes.step),
            self.spikes.eq(first),
            self.masks.eq(flit.p.data),
            self.error_address.neuron.eq(error.neuron),
            self.error_address.step.eq(error.step),
            self.error_address.slot.eq(error.slot),
            self.error_write.eq(done & (kind == Kind.ERROR)),
            self.new_error_sum.eq(self.error_sum + total),
            self.read.eq(done & (kind == Kind.READ)),
            self.count.eq(read.count),
            self.update.eq(done & (kind == Kind.UPDATE)),
            self.update_slice.eq(update.slice),
            self.clear.eq(update.clear),
            self.velocities.eq(update.velocities),
        ]

    def _write(self, m, kind, header, word, first, position, flit):
        """Words of a WRITE go to consecutive addresses as they come; the address of a READ is its only word."""
        m.d.comb += [
            self.region.eq(tag_of(Kind.WRITE, header_of(header).tag).region),
            self.address.eq(Mux(kind == Kind.READ, flit.p.data, first + position - 1)),
            self.data.eq(flit.p.data),
            self.write.eq(word & (kind == Kind.WRITE)),
        ]

    def _report(self, m, ends, cause, header):
        drop = Signal()
        m.d.comb += [drop.eq(ends & (cause != 0)), self.packet.eq(ends & ~drop), self.dropped.eq(drop)]
        with m.If(~self.fault.valid | self.fault.ready):
            m.d.sync += [self.fault.valid.eq(drop), self.fault.p.cause.eq(cause), self.fault.p.header.eq(header)]


READABLE = (Region.WEIGHT, Region.GRADIENT, Region.GRADIENT_HIGH, Region.VELOCITY, Region.CONTROL, Region.COUNTER)
WRITABLE = tuple(set(Region) - {Region.GRADIENT, Region.GRADIENT_HIGH, Region.COUNTER})


def is_one_of(code, codes):
    """Whether a 4-bit code is one of these."""
    return Array(int(number in codes) for number in range(16))[code]
