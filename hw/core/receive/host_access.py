# SPDX-License-Identifier: Apache-2.0
"""Addresses of a core's memories as the host sees them."""

from amaranth.hdl import Array, Cat, Module, Mux, Signal, signed
from amaranth.lib import wiring
from amaranth.lib.data import StructLayout
from amaranth.lib.wiring import In, Out
from amaranth.utils import exact_log2

from backspike.hw.core.update.noise import NoiseMemory
from backspike.hw.core.update.weight_update import banks_layout
from backspike.hw.ram import ReadPort, WritePort
from backspike.hw.shapes import WORD
from backspike.spec.tables import FAN_IN_STRIDE, TAPE_SLOT_STRIDE, TAPE_STRIDE, Region

__all__ = ["HostAccess", "HostMemory"]


class HostMemory(wiring.Signature):
    """What packets write, and what the host reads.

    Members
    -------
    banks : ReadPort
        Of ``banks_layout``; while ``claims``.
    claims : Out(1)
    weights, velocities : WritePort
        A word of one lane's bank.
    fan_in : WritePort
        A word of an entry.
    routes : WritePort
    spikes : WritePort
        Of the tape; the descriptors lie behind the spikes.
    noise : NoiseMemory
        Only in chips with noise; it is read while ``claims``.
    """

    def __init__(self, shapes):
        place = StructLayout({"lane": shapes.lane, "address": shapes.weight_address})
        super().__init__(
            {
                "banks": Out(ReadPort(shapes.weight_address, banks_layout(shapes))),
                "claims": Out(1),
                "weights": Out(WritePort(place, shapes.number)),
                "velocities": Out(WritePort(place, shapes.number)),
                "fan_in": Out(WritePort(shapes.fan_in, shapes.fan_in_words, parts=shapes.fan_in_words.length)),
                "routes": Out(WritePort(shapes.route, shapes.route_entry)),
                "spikes": Out(WritePort(shapes.spike_address, WORD)),
                **({"noise": Out(NoiseMemory(shapes))} if shapes.noise else {}),
            }
        )


class HostAccess(wiring.Component):
    """Writes of packets to the tables and memories, and the host's reads while the core is idle.

    Parameters
    ----------
    shapes : Shapes
    receiver, replies : wiring.Component
        For the shapes of their ports, which those of the same names here take.

    Members
    -------
    write, region, address, data : In
        A word of a WRITE.
    tape_write, tape_address, spikes : In
        A word of a SPIKES packet.
    reading : In(1)
        The host reads a memory of the engines, which do not run.
    fetch_region, fetch_address : In
    counter, control : In
        Value of the counter, and the control word, that are read.
    word : Out(32)
        Two cycles after its address.
    writes_need, writes_control : Out(1)
        The word of the WRITE is for this region.
    memory : Out(HostMemory)
    """

    def __init__(self, shapes, receiver, replies):
        self.shapes = shapes
        self.lane_bits = exact_log2(shapes.config.lanes)
        super().__init__(
            {
                "write": In(1),
                "region": In(4),
                "address": In(receiver.address.shape()),
                "data": In(32),
                "tape_write": In(1),
                "tape_address": In(shapes.tape_address()),
                "spikes": In(WORD),
                "reading": In(1),
                "fetch_region": In(4),
                "fetch_address": In(replies.fetch_address.shape()),
                "counter": In(32),
                "control": In(3),
                "word": Out(32),
                "writes_need": Out(1),
                "writes_control": Out(1),
                "memory": Out(HostMemory(shapes)),
            }
        )

    def elaborate(self, platform):
        m = Module()
        m.d.comb += [
            self.writes_need.eq(self._writes(Region.EXPECTATION)),
            self.writes_control.eq(self._writes(Region.CONTROL)),
        ]
        self._write_banks(m)
        self._write_tables(m)
        self._write_tape(m)
        if self.shapes.noise:
            self._write_noise(m)
        self._fetch(m)
        return m

    def _writes(self, region):
        return self.write & (self.region == region)

    def _write_banks(self, m):
        for region, port in ((Region.WEIGHT, self.memory.weights), (Region.VELOCITY, self.memory.velocities)):
            m.d.comb += [
                port.enable.eq(self._writes(region)),
                port.address.lane.eq(self.address[: self.lane_bits]),
                port.address.address.eq(self.address >> self.lane_bits),
                port.data.eq(self.data),
            ]

    def _write_tables(self, m):
        routes, fan_in, part_bits = self.memory.routes, self.memory.fan_in, exact_log2(FAN_IN_STRIDE)
        m.d.comb += [
            routes.enable.eq(self._writes(Region.ROUTE)),
            routes.address.eq(self.address),
            routes.data.as_value().eq(self.data),
            # An entry's last address has no part.
            fan_in.enable.eq(Mux(self._writes(Region.FAN_IN), 1 << self.address[:part_bits], 0)),
            fan_in.address.eq(self.address >> part_bits),
            *(word.eq(self.data) for word in fan_in.data),
        ]

    def _write_tape(self, m):
        """A packet writes a word of spikes; so does the host, or a word of a descriptor."""
        by_host, described = self._writes(Region.TAPE), self._writes(Region.DESCRIPTOR)
        spikes, place, address = self.memory.spikes, self.tape_address, self.address
        step, slot = address >> exact_log2(TAPE_STRIDE), address >> exact_log2(TAPE_SLOT_STRIDE)
        base = self.shapes.descriptors
        written = Cat(address[: len(place.word)], slot[: len(place.slot)], step[: len(place.step)])
        m.d.comb += [
            spikes.enable.eq(by_host | described | self.tape_write),
            spikes.address.eq(Mux(described, base | address[: exact_log2(base)], Mux(by_host, written, place))),
            spikes.data.eq(Mux(self.tape_write, self.spikes, self.data)),
        ]

    def _write_noise(self, m):
        port = self.memory.noise.new_states
        m.d.comb += [
            port.enable.eq(self._writes(Region.NOISE)),
            port.address.eq(self.address),
            port.data.eq(self.data),
        ]

    def _fetch(self, m):
        banks = self.memory.banks
        lane = self.fetch_address[: self.lane_bits] if self.lane_bits else 0
        gradient = Signal(signed(64))
        m.d.comb += [
            self.memory.claims.eq(self.reading),
            banks.enable.eq(1),
            banks.address.eq(self.fetch_address >> self.lane_bits),
            gradient.eq(Array(banks.data.gradients)[lane]),
        ]
        with m.Switch(self.fetch_region):
            with m.Case(Region.WEIGHT):
                m.d.sync += self.word.eq(Array(banks.data.weights)[lane])
            if self.shapes.config.momentum:
                with m.Case(Region.VELOCITY):
                    m.d.sync += self.word.eq(Array(banks.data.velocities)[lane])
            if self.shapes.noise:
                states = self.memory.noise.states
                m.d.comb += [states.enable.eq(1), states.address.eq(self.fetch_address)]
                with m.Case(Region.NOISE):
                    m.d.sync += self.word.eq(states.data)
            with m.Case(Region.GRADIENT):
                m.d.sync += self.word.eq(gradient[:32])
            with m.Case(Region.GRADIENT_HIGH):
                m.d.sync += self.word.eq(gradient[32:])
            with m.Case(Region.CONTROL):
                m.d.sync += self.word.eq(Mux(self.fetch_address == 0, self.control, 0))
            with m.Case(Region.COUNTER):
                m.d.sync += self.word.eq(self.counter)
