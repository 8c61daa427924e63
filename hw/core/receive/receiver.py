# SPDX-License-Identifier: Apache-2.0
"""Takes packets from the network, checks them, and acts on them at once."""

from amaranth.hdl import Array, Cat, Module, Mux, Signal, signed
from amaranth.lib import stream, wiring
from amaranth.lib.data import StructLayout
from amaranth.lib.wiring import In, Out

from backspike.hw.blocks import or_reduce
from backspike.hw.core.receive.regions import READABLE, WRITABLE, is_one_of, read_tape, region_sizes
from backspike.hw.core.schedule.jobs import SlotEvent
from backspike.hw.noc.flit import FlitStream, header_of, tag_of
from backspike.spec.packets import HOST_KINDS, INPUT_KINDS, MAX_PAYLOAD, Cause, Kind, payload_range
from backspike.spec.tables import Region

__all__ = ["Receiver", "fault_layout"]


_MORE_BIT, _BACK_BIT = 3, 1
"""Of the codes of ``INPUT_KINDS``, those of MORE and BACK have the first, that of BACK has the second."""


def fault_layout():
    """A dropped packet: why, and its header."""
    return StructLayout({"cause": 4, "header": 32})


_CODES = {kind.name: (kind,) for kind in HOST_KINDS if kind not in INPUT_KINDS} | {"INPUTS": INPUT_KINDS}
"""Codes of the kinds that are told apart; of those that bring inputs, bits of the header say which it is."""

_KINDS = StructLayout(dict.fromkeys(_CODES, 1))
_WRONG = StructLayout({"field": 1, "state": 1})


class Receiver(wiring.Component):
    """Consumes one flit each cycle, whatever the rest of the core is doing.

    A flit goes into registers; what it does, it does in the cycle after, while the header is still there. Words and
    requests for the memories come another cycle later.

    Parameters
    ----------
    shapes: Shapes

    Members
    -------
    flits: from the router
    idle: no engine runs, so that memories may be accessed
    reading: a READ is being answered
    event: to the slot table; what it takes of inputs is looked at a cycle before they are given, of errors when they
        begin
    tape_write, tape_address, spikes, masks: write one step of a tape word
    error_address, error_read, error_sum: read port of the error sums, one cycle of latency; only while ``error_read``,
        which is a cycle for each ERROR packet
    error_write, new_error_sum: its write port (same address); error_end: there may be a write, from a register
    write, region, address, data: a word for a table or memory
    read, count: a READ of ``count`` words from ``address`` of ``region``
    update, update_slice, clear, velocities: an UPDATE
    fault: stream of drops to report (one that finds no room is only counted)
    packet, dropped: a packet has been consumed, or dropped
    """

    def __init__(self, shapes):
        self.shapes = shapes
        address = max(region_sizes(shapes.config).values()).bit_length()
        super().__init__(
            {
                "flits": In(FlitStream),
                "idle": In(1),
                "reading": In(1),
                "event": Out(SlotEvent(shapes)),
                "tape_write": Out(1),
                "tape_address": Out(shapes.tape_address()),
                "spikes": Out(32),
                "masks": Out(32),
                "error_address": Out(shapes.error_address()),
                "error_read": Out(1),
                "error_sum": In(shapes.error_word()),
                "error_write": Out(1),
                "error_end": Out(1),
                "new_error_sum": Out(signed(shapes.error_sum)),
                "write": Out(1),
                "region": Out(4),
                "address": Out(address),
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
            }
        )

    def elaborate(self, platform):
        m = Module()
        header = Signal(32)
        inside = Signal()  # payload is to come
        words = Signal(4)  # taken from the packet
        over = Signal()  # more than MAX_PAYLOAD
        fresh, ended = Signal(), Signal()  # a word that fits came in the cycle before, the packet's last flit did
        begins, word = Signal(), Signal()
        span = Signal(4)  # addresses that a READ, or a word of a WRITE, is for
        flit, kind = self.flits, Signal(_KINDS)
        fits = Signal()  # the packet's kind may end here
        known = [code for code in HOST_KINDS if code != Kind.BACK or self.shapes.back]
        m.d.comb += [flit.ready.eq(1), begins.eq(flit.valid & ~inside), word.eq(flit.valid & inside)]
        m.d.sync += [
            fresh.eq(word & (words != MAX_PAYLOAD) & ~over),
            ended.eq(flit.valid & flit.p.last),
            self.error_end.eq(word & flit.p.last & kind.ERROR),
        ]
        with m.If(flit.valid):
            m.d.sync += inside.eq(~flit.p.last)
        with m.If(begins):
            m.d.sync += [header.eq(flit.p.data), words.eq(0), over.eq(0)]
            m.d.sync += [
                kind[name].eq(or_reduce(flit.p.data[:4] == code for code in codes if code in known))
                for name, codes in _CODES.items()
            ]
            asked = tag_of(Kind.READ, header_of(flit.p).tag).count
            m.d.sync += span.eq(Mux(flit.p.data[:4] == Kind.WRITE, 1, asked))
            m.d.sync += fits.eq(or_reduce(flit.p.data[:4] == code for code in HOST_KINDS if not payload_range(code)[0]))
        with m.Elif(word):
            m.d.sync += [words.eq(words + 1), over.eq(over | (words == MAX_PAYLOAD))]
            m.d.sync += fits.eq(_may_end(m, kind, words) & ~over)

        stored = Signal()  # a word of a WRITE is at hand
        m.d.comb += stored.eq(fresh & kind.WRITE & (words != 1))
        last = Signal(32)
        address, exists = self._keep(m, kind, header, begins, flit, word, words, stored, span, last)
        wrong, good = Signal(_WRONG), Signal()
        placed = self._check(m, kind, header, begins, stored, address, exists, wrong, good)
        drop, done = Signal(), Signal()
        m.d.comb += [
            done.eq(ended & fits & good),
            drop.eq(ended & ~done),
        ]
        read = tag_of(Kind.READ, header_of(header).tag)
        m.d.sync += [
            self.write.eq(stored & good),
            self.read.eq(done & kind.READ),
            self.region.eq(read.region),
            self.count.eq(read.count),
            self.address.eq(address),
            self.data.eq(last),
            self.packet.eq(done),
            self.dropped.eq(drop),
        ]
        self._act(m, kind, header, ended & fits & placed)
        with m.If(~self.fault.valid | self.fault.ready):
            m.d.sync += [
                self.fault.valid.eq(drop),
                self.fault.p.header.eq(header),
                self.fault.p.cause.eq(
                    Mux(
                        ~kind.as_value().any(),
                        Cause.KIND,
                        Mux(~fits, Cause.LENGTH, Mux(wrong.field, Cause.FIELD, Cause.STATE)),
                    )
                ),
            ]
        return m

    def _keep(self, m, kind, header, begins, flit, word, words, stored, span, last):
        """Keep the first, second and last word; the first is the address of a READ, or of the word at hand of a WRITE.

        Returns this address, and whether the addresses of the READ or the one of the word exist.
        """
        read = tag_of(Kind.READ, header_of(header).tag)
        first, second = Signal(32), Signal(32)
        address = first[: len(self.address)]
        before = Signal.like(self.new_error_sum)
        sizes, size = region_sizes(self.shapes.config), Signal(len(address))
        m.d.sync += size.eq(Array(sizes.get(region, 0) for region in range(16))[read.region])
        end = Signal(len(address) + 1)  # the address after
        m.d.comb += end.eq(address + span)
        with m.If(word & (words == 0)):
            m.d.sync += first.eq(flit.p.data)
        with m.Elif(stored):
            m.d.sync += address.eq(end)
        with m.If(word & (words == 1)):
            m.d.sync += second.eq(flit.p.data)
        # Of use in the cycle after a word. The third word of an ERROR of two is the sign of the second.
        m.d.sync += last.eq(Mux(kind.ERROR & (words == 1), flit.p.data[31].replicate(32), flit.p.data))
        given, arriving = Signal(), Signal()  # the header of an ERROR is new; its sum stands at the memory's output
        m.d.sync += [given.eq(begins), arriving.eq(self.error_read)]
        m.d.comb += self.error_read.eq(given & kind.ERROR)
        with m.If(arriving & self.error_sum.none):
            m.d.sync += before.eq(0)
        with m.Elif(arriving):
            m.d.sync += before.eq(self.error_sum.sum)
        m.d.comb += [
            self.spikes.eq(first),
            self.masks.eq(second),
            self.new_error_sum.eq(before + Cat(first, second, last).as_signed()),
        ]
        return address, ~first[len(address) :].any() & (end <= size)

    def _check(self, m, kind, header, begins, stored, address, exists, wrong, good):
        """What is wrong with the content of the packet; a WRITE is refused from its first wrong word on.

        Returns whether a packet that is not for the memories is right, and for this core.
        """
        config = self.shapes.config
        tag = header_of(header).tag
        slot, spikes, error = tag_of(Kind.LABEL, tag), tag_of(Kind.SPIKES, tag), tag_of(Kind.ERROR, tag)
        read, update = tag_of(Kind.READ, tag), tag_of(Kind.UPDATE, tag)
        takes = self.event.takes
        here = (slot.slice < config.slices) & (slot.slot < config.slots)
        word, step = read_tape(address)
        writable = is_one_of(read.region, WRITABLE) & (
            (read.region != Region.TAPE) | ((word < config.tape_words) & (step < config.steps))
        )
        readable = is_one_of(read.region, READABLE) & (read.count > 0) & (read.count < MAX_PAYLOAD)
        # Of packets with payload, known a cycle after their header; inputs for other cores are ignored
        placed, accepted, ignored = Signal(), Signal(), Signal()
        m.d.sync += [
            placed.eq(
                Mux(
                    kind.INPUTS,
                    here & (spikes.step < config.steps) & (spikes.word < config.tape_words),
                    (error.neuron < config.neurons) & (error.slot < config.slots) & (error.step < config.steps),
                )
            ),
            ignored.eq(kind.INPUTS & header_of(header).host & ~(takes.shared & (slot.slice < config.slices))),
        ]
        with m.If(kind.INPUTS):
            m.d.sync += accepted.eq(takes.inputs)
        with m.Elif(self.error_read):
            m.d.sync += accepted.eq(takes.error)
        found, refused, missing, unwanted = Signal(_WRONG), Signal(_WRONG), Signal(), Signal()
        m.d.comb += [
            missing.eq(
                ((kind.INPUTS | kind.ERROR) & ~placed & ~ignored)
                | ((kind.ERRORS_DONE | kind.CREDIT | kind.LABEL) & ~here)
                | (kind.UPDATE & (update.slice >= config.slices))
            ),
            unwanted.eq(((kind.INPUTS | kind.ERROR) & ~accepted & ~ignored) | (kind.UPDATE & ~takes.update)),
            found.field.eq(missing | (kind.WRITE & ~(writable & exists)) | (kind.READ & ~(readable & exists))),
            found.state.eq(
                unwanted
                | (kind.ERRORS_DONE & ~takes.marker)
                | (kind.CREDIT & ~takes.credit)
                | (kind.LABEL & ~takes.label)
                | (kind.WRITE & ~(self.idle | (read.region == Region.CONTROL)))
                | (kind.READ & (~(self.idle | (read.region >= Region.CONTROL)) | self.reading))
            ),
            wrong.field.eq(refused.field | (found.field & ~refused.state)),
            wrong.state.eq(refused.state | (found.state & ~found.field & ~refused.field)),
            good.eq(~(found.field | found.state | refused.field | refused.state)),
        ]
        with m.If(begins):
            m.d.sync += refused.eq(0)
        with m.Elif(stored):
            m.d.sync += refused.eq(wrong)
        return ~missing & ~unwanted & ~(kind.INPUTS & ignored)

    def _act(self, m, kind, header, done):
        """What a complete and correct packet does."""
        tag = header_of(header).tag
        event, label = self.event, tag_of(Kind.LABEL, tag)
        spikes, error = tag_of(Kind.SPIKES, tag), tag_of(Kind.ERROR, tag)
        update = tag_of(Kind.UPDATE, tag)
        m.d.comb += [
            event.place.slice.eq(label.slice),
            event.place.slot.eq(label.slot),
            event.place.step.eq(spikes.step),
            event.place.word.eq(spikes.word),
            event.brings.inputs.eq(done & kind.INPUTS),
            event.brings.marker.eq(done & kind.ERRORS_DONE),
            event.brings.credit.eq(done & kind.CREDIT),
            event.brings.label.eq(done & kind.LABEL),
            event.train.eq(spikes.train),
            event.more.eq(header_of(header).kind[_MORE_BIT]),
            *([event.back.eq(header_of(header).kind[_BACK_BIT])] if self.shapes.back else []),
            event.label.eq(label.label),
            self.tape_write.eq(event.brings.inputs),
            self.tape_address.word.eq(spikes.word),
            self.tape_address.slot.eq(spikes.slot),
            self.tape_address.step.eq(spikes.step),
            self.error_address.neuron.eq(error.neuron),
            self.error_address.step.eq(error.step),
            self.error_address.slot.eq(error.slot),
            self.error_write.eq(done & kind.ERROR),
            self.update.eq(done & kind.UPDATE),
            self.update_slice.eq(update.slice),
            self.clear.eq(update.clear),
            self.velocities.eq(update.velocities),
        ]


def _may_end(m, kind, words):
    """Whether a packet of this kind may end with the word after so many."""
    allowed = Signal()
    for name, codes in _CODES.items():
        low, high = payload_range(codes[0])
        with m.If(kind[name] & Array(int(low <= number + 1 <= high) for number in range(16))[words]):
            m.d.comb += allowed.eq(1)
    return allowed
