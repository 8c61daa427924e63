# SPDX-License-Identifier: Apache-2.0
"""Where packets of the host enter: taken in whole, checked, and then passed on, dropped or answered."""

from amaranth.hdl import Cat, Module, Mux, Signal
from amaranth.lib import stream
from amaranth.lib.data import ArrayLayout, StructLayout
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import Component, In, Out

from backspike.hw.blocks import pipe_register
from backspike.hw.noc.flit import FlitStream, header_of, tag_of
from backspike.hw.noc.packet_check import PacketCheck
from backspike.spec.config import ChipConfig
from backspike.spec.counters import LINK_COUNTERS
from backspike.spec.packets import MAX_PAYLOAD, Kind

__all__ = ["DROP", "LINK_READ", "PacketGate"]

DROP = StructLayout({"valid": 1, "cause": 4, "header": 32})
"""Whether a packet was dropped, why, and its header."""

LINK_READ = StructLayout({"address": range(len(LINK_COUNTERS)), "count": range(len(LINK_COUNTERS) + 1)})
"""A request for counters of the host link: address of the first, number of words."""

_WORDS = MAX_PAYLOAD + 1


class PacketGate(Component):
    """Stores each packet until its end, and then passes it on if :class:`PacketCheck` has nothing against it.

    Parameters
    ----------
    config : ChipConfig
        For the size of the mesh.

    Members
    -------
    i : In(FlitStream)
        Packets of the host, of any length; what is too long to be stored is swallowed.
    o : Out(FlitStream)
        Well-formed packets to cores.
    odd : Out(1)
        Whether the packet at ``o`` is the second, fourth, ... of them.
    read : Out(Stream(LINK_READ))
        Well-formed packets to the host link.
    drop : Out(DROP)
        ``valid`` for one cycle for each dropped packet.

    Two packets are held, so that one goes out while the next comes in: both sides run at one word per cycle. Latency
    is the length of the packet and a cycle. ``i.ready`` and ``o`` depend on registers only. Empty after reset.

    Raises
    ------
    TypeError: ``config`` is not a ``ChipConfig``
    """

    def __init__(self, config):
        if not isinstance(config, ChipConfig):
            raise TypeError(f"config must be a ChipConfig, not {config!r}")
        self.config = config
        super().__init__(
            {
                "i": In(FlitStream),
                "o": Out(FlitStream),
                "odd": Out(1),
                "read": Out(stream.Signature(LINK_READ)),
                "drop": Out(DROP),
            }
        )

    def elaborate(self, platform):
        m = Module()
        m.submodules.words = words = Memory(shape=32, depth=2 * _WORDS, init=[])
        write = words.write_port()
        lengths = Signal(ArrayLayout(range(_WORDS), 2))
        filled, emptied = Signal(2), Signal(2)  # packets stored and passed on, modulo 4; the low bit is the place
        self._take_in(m, write, lengths, filled, emptied)
        self._pass_on(m, words.read_port(transparent_for=[write]), lengths, filled, emptied)
        return m

    def _take_in(self, m, write, lengths, filled, emptied):
        m.submodules.check = check = PacketCheck(self.config)
        count, first, inside = Signal(range(_WORDS + 1)), Signal(32), Signal()
        # What is known of the header is worked out while it goes into this register.
        room = (filled ^ emptied) != 2
        full, flit, free = pipe_register(m, self.i.valid, self.i.payload, room, "flit")
        taken = full & room
        m.d.comb += [
            self.i.ready.eq(free),
            write.addr.eq(Cat(count[:4], filled[0])),
            write.data.eq(flit.data),
            write.en.eq(taken),  # a packet that is too long wraps around, and is dropped
            check.header.eq(self.i.payload.data),
            check.begins.eq(self.i.valid & free & ~inside),
            check.payload_words.eq(count),
            check.last_word.eq(flit.data),
            check.busy.eq(self.read.valid),
        ]
        with m.If(self.i.valid & free):
            m.d.sync += inside.eq(~self.i.payload.last)
        with m.If(check.begins):
            m.d.sync += first.eq(check.header)
        m.d.sync += [
            self.drop.valid.eq(taken & flit.last & (check.cause != 0)),
            self.drop.cause.eq(check.cause),
            self.drop.header.eq(first),
        ]
        with m.If(self.read.ready):
            m.d.sync += self.read.valid.eq(0)
        with m.If(taken):
            m.d.sync += count.eq(Mux(count == _WORDS, count, count + 1))
            with m.If(flit.last):
                m.d.sync += count.eq(0)
                self._accept(m, check, header_of(first), count, lengths, filled)

    def _accept(self, m, check, header, count, lengths, filled):
        with m.If((check.cause == 0) & check.to_link):
            m.d.sync += [
                self.read.valid.eq(1),
                self.read.payload.address.eq(check.last_word),
                self.read.payload.count.eq(tag_of(Kind.READ, header.tag).count),
            ]
        with m.Elif(check.cause == 0):
            m.d.sync += [lengths[filled[0]].eq(count), filled.eq(filled + 1)]

    def _pass_on(self, m, read, lengths, filled, emptied):
        sent, last, moves = Signal(range(_WORDS)), Signal(), Signal()
        next_sent, next_emptied = Signal.like(sent), Signal.like(emptied)
        m.d.comb += [
            moves.eq(self.o.valid & self.o.ready),
            next_sent.eq(Mux(moves, Mux(last, 0, sent + 1), sent)),
            next_emptied.eq(emptied + (moves & last)),
            read.addr.eq(Cat(next_sent, next_emptied[0])),
            self.o.valid.eq(filled != emptied),
            self.odd.eq(emptied[0]),
            self.o.payload.data.eq(read.data),
            last.eq(sent == lengths[emptied[0]]),
            self.o.payload.last.eq(last),
        ]
        m.d.sync += [sent.eq(next_sent), emptied.eq(next_emptied)]
