# SPDX-License-Identifier: Apache-2.0
"""Addresses of a core's memories as the host sees them."""

from amaranth.hdl import Array, Cat, Mux, Signal, Value, signed
from amaranth.utils import exact_log2

from backspike.spec.tables import FAN_IN_STRIDE, TAPE_SLOT_STRIDE, TAPE_STRIDE, Region

__all__ = ["HostAccess"]


class HostAccess:
    """Writes of the host to the tables and memories, and its reads while the core is idle.

    Parameters
    ----------
    m: module of the core
    shapes: Shapes
    memories: Memories
    receiver: Receiver, whose writes these are
    replies: Replies, which fetches words
    """

    def __init__(self, m, shapes, memories, receiver, replies):
        self.m, self.shapes, self.memories = m, shapes, memories
        self.receiver, self.replies = receiver, replies
        self.lane_bits = shapes.config.lanes.bit_length() - 1
        m.d.comb += [
            memories.routes.write.en.eq(self.writes(Region.ROUTE)),
            memories.routes.write.addr.eq(receiver.address),
            memories.routes.write.data.eq(receiver.data),
        ]
        groups, part_bits = memories.fan_in.write, exact_log2(FAN_IN_STRIDE)
        part = receiver.address[:part_bits]
        m.d.comb += [
            groups.en.eq(Mux(self.writes(Region.FAN_IN), 1 << part, 0)),  # an entry's last address has no part
            groups.addr.eq(receiver.address >> part_bits),
            *(word.eq(receiver.data) for word in groups.data),
        ]

    def writes(self, region):
        """The host writes a word of this region now."""
        return self.receiver.write & (self.receiver.region == region)

    def write_bank(self, region, k, port, busy):
        """Let the host write lane k's bank of a region while ``busy`` is 0; the engines' statements come after."""
        receiver, bits = self.receiver, self.lane_bits
        lane = receiver.address[:bits]
        with self.m.If(~busy):
            self.m.d.comb += [
                port.en.eq(self.writes(region) & ((lane == k) if bits else 1)),
                port.addr.eq(receiver.address >> bits),
                port.data.eq(receiver.data),
            ]

    def bank_address(self):
        """Word of a bank that the host reads."""
        return self.replies.fetch_address >> self.lane_bits

    def fetch(self, counters, control):
        """Connect the word that the host reads, given the counters' value and the control word."""
        memories = self.memories
        lane = self.replies.fetch_address[: self.lane_bits] if self.lane_bits else 0
        gradient = Signal(signed(64))
        self.m.d.comb += gradient.eq(Array(_signed(ram.read["gradient"].data) for ram in memories.gradients)[lane])
        fetched = {
            Region.WEIGHT: [ram.read["forward"].data for ram in memories.weights],
            Region.VELOCITY: [ram.read["update"].data for ram in memories.velocities],
        }
        word = Signal(32)
        with self.m.Switch(self.replies.fetch_region):
            for region, banks in fetched.items():
                if banks:
                    with self.m.Case(region):
                        self.m.d.sync += word.eq(Array(banks)[lane])
            with self.m.Case(Region.GRADIENT):
                self.m.d.sync += word.eq(gradient[:32])
            with self.m.Case(Region.GRADIENT_HIGH):
                self.m.d.sync += word.eq(gradient[32:])
            with self.m.Case(Region.CONTROL):
                self.m.d.sync += word.eq(Mux(self.replies.fetch_address == 0, control, 0))
            with self.m.Case(Region.COUNTER):
                self.m.d.sync += word.eq(counters)
        self.m.d.comb += self.replies.word.eq(word)

    def write_tape(self):
        """A packet writes a word of spikes and its masks; the host spikes and no masks, or a descriptor."""
        receiver, by_host, described = self.receiver, self.writes(Region.TAPE), self.writes(Region.DESCRIPTOR)
        spikes, masks = self.memories.spikes.write, self.memories.masks.write
        place, address, base = receiver.tape_address, receiver.address, self.shapes.descriptors
        step, slot = address >> exact_log2(TAPE_STRIDE), address >> exact_log2(TAPE_SLOT_STRIDE)
        written = Cat(address[: len(place.word)], slot[: len(place.slot)], step[: len(place.step)])
        self.m.d.comb += [
            spikes.en.eq(by_host | described | receiver.tape_write),
            spikes.addr.eq(Mux(described, base | address[: exact_log2(base)], Mux(by_host, written, place))),
            spikes.data.eq(Mux(receiver.tape_write, receiver.spikes, receiver.data)),
            masks.en.eq(by_host | receiver.tape_write),
            masks.addr.eq(Mux(by_host, written, place)),
            masks.data.eq(receiver.masks),  # 0 with a word of the host
        ]


def _signed(data):
    """A memory's output, of whatever shape it is declared, as two's complement."""
    return Value.cast(data).as_signed()
