# SPDX-License-Identifier: Apache-2.0
"""Frames on a line of bytes: delimiters, escapes, checksum. See docs/link.md."""

from amaranth.hdl import Cat, Module, Mux, ResetInserter, Signal
from amaranth.lib import stream
from amaranth.lib.crc import catalog
from amaranth.lib.data import StructLayout
from amaranth.lib.wiring import Component, In, Out

from backspike.hw.serial.uart import RECEIVED
from backspike.spec.serial_frames import ESCAPE, FLAG, TOGGLE

__all__ = ["CONTENT", "FrameReceiver", "FrameSender"]

CONTENT = StructLayout({"data": 8, "end": 1})
"""A byte of a frame, or its end (which carries no byte)."""

_CRC = catalog.CRC32_ISO_HDLC(data_width=1)
_CRC_BYTES = 4


def _checksum(m, restart, take, data, give=0):
    """A CRC-32 that takes a byte in eight cycles, one bit in each: a third of the logic of one that takes it at once.

    ``restart``, ``take`` and ``give`` are pulses: begin anew; take ``data``; eight cycles later ``byte`` shall be the
    next byte of the checksum. Returns the ``Processor``, ``byte``, and whether it is at work.
    """
    m.submodules.crc = ResetInserter(restart)(crc := _CRC.create())
    byte, left, giving = Signal(8), Signal(4), Signal()
    bit = crc.crc[0]  # of the register's end, inverted; what equals that end moves the register on and changes no bit
    m.d.comb += [crc.data.eq(Mux(giving, ~bit, byte[0])), crc.valid.eq(left.any())]
    with m.If(take):
        m.d.sync += byte.eq(data)
    with m.Elif(left.any()):
        m.d.sync += [byte.eq(Cat(byte[1:], bit)), left.eq(left - 1)]
    with m.If(take | give):
        m.d.sync += [left.eq(8), giving.eq(give)]
    return crc, byte, left.any()


class FrameReceiver(Component):
    """Finds frames in received bytes, and checks them.

    Whatever came before, the frame after the next delimiter is found. A byte comes in the cycle of the fourth byte
    behind it, the end in the cycle after the delimiter. Reset forgets what has come.

    Members
    -------
    i : In(RECEIVED)
        At least ten cycles between two bytes.
    data : Out(8), valid : Out(1)
        Bytes of a frame without delimiters, escapes and checksum, each for one cycle; whether they can be trusted is
        known at the end.
    end : Out(1), good : Out(1)
        For one cycle after the end of a frame that had any bytes; ``good``: its checksum was right.
    """

    i: In(RECEIVED)
    data: Out(8)
    valid: Out(1)
    end: Out(1)
    good: Out(1)

    def elaborate(self, platform):
        m = Module()
        flag, escape, taken = Signal(), Signal(), Signal()
        escaped, bad, empty = Signal(), Signal(), Signal(init=1)
        m.d.comb += [
            flag.eq(self.i.valid & (self.i.data == FLAG)),
            escape.eq(self.i.data == ESCAPE),
            taken.eq(self.i.valid & ~flag & ~escape),
        ]
        content = Signal(8)
        m.d.comb += content.eq(self.i.data ^ Mux(escaped, TOGGLE, 0))
        crc, _, _ = _checksum(m, flag, taken, content)
        late = Signal(8 * _CRC_BYTES)  # the last bytes, which may turn out to be the checksum
        held = Signal(_CRC_BYTES)
        m.d.comb += [self.data.eq(late[:8]), self.valid.eq(taken & held[0])]
        with m.If(taken):
            m.d.sync += [late.eq(Cat(late[8:], content)), held.eq(Cat(held[1:], 1)), escaped.eq(0), empty.eq(0)]
        with m.If(self.i.valid & escape):
            m.d.sync += [escaped.eq(1), empty.eq(0)]
            with m.If(escaped):
                m.d.sync += bad.eq(1)
        with m.If(self.i.valid & self.i.broken):
            m.d.sync += [bad.eq(1), empty.eq(0)]
        m.d.sync += [
            self.end.eq(flag & ~empty),
            self.good.eq(crc.match_detected & held[0] & ~bad & ~escaped & ~self.i.broken),
        ]
        with m.If(flag):
            m.d.sync += [held.eq(0), escaped.eq(0), bad.eq(self.i.broken), empty.eq(1)]
        return m


class FrameSender(Component):
    """Puts delimiters, escapes and the checksum around the bytes of a frame.

    A byte is offered in the cycle in which it is there, but not sooner than nine cycles after the one before: the
    checksum takes a bit each cycle. Reset is between two frames.

    Members
    -------
    i : In(Stream(CONTENT))
        The bytes of a frame, then its end.
    o : Out(Stream(8))
        Bytes for the line; at least ten cycles between two.
    """

    i: In(stream.Signature(CONTENT))
    o: Out(stream.Signature(8))

    def elaborate(self, platform):
        m = Module()
        escaped, begin, give = Signal(), Signal(), Signal()
        byte, special, plain, taken = Signal(8), Signal(), Signal(), Signal()
        place = Signal(range(_CRC_BYTES))
        _, checksum, busy = _checksum(m, begin, taken, self.i.payload.data, give)
        m.d.comb += [
            special.eq((byte == FLAG) | (byte == ESCAPE)),
            plain.eq(~special | escaped),
            self.o.payload.eq(Mux(special, Mux(escaped, byte ^ TOGGLE, ESCAPE), byte)),
        ]
        with m.FSM():
            with m.State("IDLE"):
                m.d.comb += [self.o.payload.eq(FLAG), self.o.valid.eq(self.i.valid), begin.eq(1)]
                with m.If(self.i.valid & self.o.ready):
                    m.next = "CONTENT"
            with m.State("CONTENT"):
                m.d.comb += [
                    byte.eq(self.i.payload.data),
                    self.o.valid.eq(self.i.valid & ~self.i.payload.end & ~busy),
                    taken.eq(self.o.valid & self.o.ready & plain),
                    self.i.ready.eq(taken | (self.i.payload.end & ~busy)),
                ]
                with m.If(self.i.valid & self.i.payload.end & ~busy):
                    m.d.comb += give.eq(1)
                    m.next = "CHECKSUM"
            with m.State("CHECKSUM"):
                m.d.comb += [byte.eq(checksum), self.o.valid.eq(~busy)]
                with m.If(self.o.valid & self.o.ready & plain):
                    m.d.comb += give.eq(1)
                    m.d.sync += place.eq(place + 1)
                    with m.If(place == _CRC_BYTES - 1):
                        m.next = "END"
            with m.State("END"):
                m.d.comb += [self.o.payload.eq(FLAG), self.o.valid.eq(1)]
                with m.If(self.o.ready):
                    m.next = "IDLE"
        with m.If(self.o.valid & self.o.ready):
            m.d.sync += escaped.eq(~plain)
        return m
