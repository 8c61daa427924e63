# SPDX-License-Identifier: Apache-2.0
"""The rules of the serial link at the chip's end: what a frame means, which frame is sent next.

See docs/link.md.
"""

from amaranth.hdl import Array, Cat, Const, Module, Mux, Signal
from amaranth.lib import stream
from amaranth.lib.wiring import Component, In, Out

from backspike.hw.layouts import layout_of
from backspike.hw.serial.frames import CONTENT
from backspike.hw.serial.rings import POSITION, RING_BITS
from backspike.spec.serial_frames import HEADER, HELLO, LOST, NAK, POLL

__all__ = ["FrameMaker", "Session"]

_HEADER = layout_of(HEADER)
_HEADER_BYTES = HEADER.width // 8
_RESET_CYCLES = 16
_TICKS = 4  # of the timer, until something is sent again
_ROM_BYTES = 32


class Session(Component):
    """Judges frames.

    What is for one cycle comes in that of ``end``; ``reset``, ``welcome`` and ``lost`` begin in the next one. After
    reset there is no session.

    Members
    -------
    data, valid, end, good : In
        As from :class:`FrameReceiver`.
    expected : In(POSITION), fits : In(1), payload_valid : Out(1), keep : Out(1), drop : Out(1)
        Of the :class:`Inbox`; its data are ``data``.
    reset : Out(1)
        For 16 cycles when a session begins, and one after reset: all that belongs to a session starts anew.
    session : Out(16)
    welcome, lost : Out(1)
        Somebody waits for such an answer; until ``answered``.
    answered : In(1)
    poll, nak : Out(1)
        For one cycle: an answer is wanted; bytes are missing, to be reported once.
    acknowledge : Out(1), ack : Out(POSITION), again : Out(1)
        For one cycle: the other end has everything up to ``ack``; it wants everything from there again.
    damaged : Out(1)
        For one cycle: a frame was damaged.
    """

    data: In(8)
    valid: In(1)
    end: In(1)
    good: In(1)
    expected: In(POSITION)
    fits: In(1)
    payload_valid: Out(1)
    keep: Out(1)
    drop: Out(1)
    reset: Out(1, init=1)
    session: Out(16)
    welcome: Out(1)
    lost: Out(1)
    answered: In(1)
    poll: Out(1)
    nak: Out(1)
    acknowledge: Out(1)
    ack: Out(POSITION)
    again: Out(1)
    damaged: Out(1)

    def elaborate(self, platform):
        m = Module()
        header, count = Signal(_HEADER), Signal(range(_HEADER_BYTES + 1))
        headed = count == _HEADER_BYTES
        with m.If(self.end):
            m.d.sync += count.eq(0)
        with m.Elif(self.valid & ~headed):
            m.d.sync += [header.as_value().eq(Cat(header.as_value()[8:], self.data)), count.eq(count + 1)]
        opened, naked = Signal(), Signal()
        whole, mine, usual, hello = Signal(), Signal(), Signal(), Signal()
        distance = Signal(POSITION)
        m.d.comb += [
            self.payload_valid.eq(self.valid & headed),
            whole.eq(self.end & self.good & headed),
            self.damaged.eq(self.end & ~whole),
            mine.eq(opened & (header.session == self.session)),
            hello.eq(whole & ((header.bits & HELLO) != 0)),
            usual.eq(whole & ~hello & mine),
            distance.eq(header.position - self.expected),
            self.keep.eq(usual & (distance == 0) & self.fits),
            self.drop.eq(self.end & ~self.keep),
            self.poll.eq(usual & ((header.bits & POLL) != 0)),
            self.nak.eq(~naked & ((self.damaged & opened) | (usual & ~self.keep & ~distance[-1]))),
            self.acknowledge.eq(usual),
            self.ack.eq(header.ack),
            self.again.eq(usual & ((header.bits & NAK) != 0)),
        ]
        left = Signal(range(_RESET_CYCLES))
        m.d.sync += self.reset.eq(left.any())
        with m.If(left.any()):
            m.d.sync += left.eq(left - 1)
        with m.If(self.answered):
            m.d.sync += [self.welcome.eq(0), self.lost.eq(0)]
        with m.If(self.keep):
            m.d.sync += naked.eq(0)
        with m.Elif(self.nak):
            m.d.sync += naked.eq(1)
        with m.If(hello):
            m.d.sync += self.welcome.eq(1)
            with m.If(~mine):
                m.d.sync += [
                    opened.eq(1),
                    naked.eq(0),
                    self.session.eq(header.session),
                    left.eq(_RESET_CYCLES - 1),
                    self.reset.eq(1),
                ]
        with m.If(whole & ~hello & ~mine):
            m.d.sync += self.lost.eq(1)
        return m


class FrameMaker(Component):
    """Decides what is sent, and makes the content of frames.

    A frame that is ready to be sent waits for the one before; it has an item every third cycle. Reset ends the frame
    under way; nothing is left to be sent.

    Parameters
    ----------
    welcome_payload : bytes
        Of the answer to a HELLO, at most 26.

    Members
    -------
    enable : In(1)
        Whether a frame may begin.
    session, welcome, lost, poll, nak, acknowledge, ack, again, answered :
        As from :class:`Session`.
    expected : In(POSITION), taken : In(POSITION)
        Of the :class:`Inbox`.
    written : In(POSITION), acked : Out(POSITION), address : Out(RING_BITS), data : In(8)
        Of the :class:`Outbox`.
    tick : In(1)
        One cycle in a while; after four to five of them without an answer the oldest bytes are sent again.
    repeated : Out(1)
        For one cycle: something is sent again.
    o : Out(Stream(CONTENT))
        From registers.
    """

    def __init__(self, welcome_payload):
        if len(welcome_payload) > _ROM_BYTES - _HEADER_BYTES:
            most = _ROM_BYTES - _HEADER_BYTES
            raise ValueError(f"welcome_payload must have at most {most} bytes, not {len(welcome_payload)}")
        self.welcome_payload = bytes(welcome_payload)
        super().__init__(
            {
                "enable": In(1),
                "session": In(16),
                "welcome": In(1),
                "lost": In(1),
                "poll": In(1),
                "nak": In(1),
                "acknowledge": In(1),
                "ack": In(POSITION),
                "again": In(1),
                "answered": Out(1),
                "expected": In(POSITION),
                "taken": In(POSITION),
                "written": In(POSITION),
                "acked": Out(POSITION),
                "address": Out(RING_BITS),
                "data": In(8),
                "tick": In(1),
                "repeated": Out(1),
                "o": Out(stream.Signature(CONTENT)),
            }
        )

    def elaborate(self, platform):
        m = Module()
        self.next = next_ = Signal(POSITION)  # position of the next byte to be sent
        self.single = Signal()  # after a time without an answer: one frame at a time until there is one
        self.go_back = Signal()
        progress = self._acknowledge(m)
        answer, nak = Signal(), Signal()
        sending, index = Signal(), Signal(8)
        welcome, lost, bits, ack = Signal(), Signal(), Signal(8), Signal(POSITION)
        with_data, more = Signal(), Signal()
        drained, ahead = Signal(), Signal(POSITION)
        m.d.comb += [
            self.address.eq(next_[:RING_BITS]),
            drained.eq(self.taken == self.expected),
            ahead.eq(next_ - self.acked),  # negative: what was to be sent again has arrived meanwhile
            more.eq(next_ != self.written),
        ]
        may_send = more & ~(self.single & ahead.any())
        # An answer waits until the ring is empty: then ``taken`` is where the next frame must begin.
        answers = (answer | nak) & drained
        with m.If(~sending):
            m.d.sync += [
                index.eq(0),
                welcome.eq(self.welcome),
                lost.eq(self.lost & ~self.welcome),
                ack.eq(self.taken),
                bits.eq(0),
                with_data.eq(may_send),
            ]
            with m.If(self.go_back | ahead[-1]):
                m.d.sync += [next_.eq(self.acked), self.go_back.eq(0)]
            with m.Elif(self.enable & (self.welcome | self.lost)):
                m.d.comb += self.answered.eq(1)
                m.d.sync += [sending.eq(1), bits.eq((self.welcome * HELLO) | (~self.welcome * LOST))]
            with m.Elif(self.enable & (may_send | answers)):
                m.d.sync += sending.eq(1)
                with m.If(drained):
                    m.d.sync += [answer.eq(0), nak.eq(0), bits.eq(nak * NAK)]
        with m.If(self.poll):
            m.d.sync += answer.eq(1)
        with m.If(self.nak):
            m.d.sync += nak.eq(1)
        self._content(m, sending, index, welcome, lost, bits, ack, with_data & more)
        self._timer(m, progress, sending & with_data, ahead.any(), more)
        return m

    def _acknowledge(self, m):
        """Take in acknowledgements; returns whether one has brought something new."""
        news, progress = Signal(POSITION), Signal()
        m.d.comb += [
            news.eq(self.ack - self.acked),
            progress.eq(self.acknowledge & news.any() & ~news[-1]),
        ]
        with m.If(progress):
            m.d.sync += [self.acked.eq(self.ack), self.single.eq(0)]
        return progress

    def _content(self, m, sending, index, welcome, lost, bits, ack, more):
        """The bytes of the frame: header, then the chip's description, or what waits to be sent."""
        settled = Signal()
        header = Cat(bits, self.session, ack, self.next)  # no byte of the payload is counted while this is being sent
        rom = [0] * _HEADER_BYTES + list(self.welcome_payload)
        rom = Array(Const(byte, 8) for byte in rom + [0] * (_ROM_BYTES - len(rom)))[index[:5]]
        select, described = Signal(3), Signal(8)
        in_header = index < _HEADER_BYTES
        item = Signal(CONTENT)
        m.d.comb += [
            described.eq(Array([*(header.word_select(k, 8) for k in range(_HEADER_BYTES)), rom, rom])[select]),
            select.eq(Mux(in_header, index[:3], _HEADER_BYTES)),
            # The memory's output comes late in a cycle, and so last.
            item.data.eq(Mux(in_header | welcome, described, self.data)),
        ]
        with m.If(welcome):
            m.d.comb += item.end.eq(index == _HEADER_BYTES + len(self.welcome_payload))
        with m.Else():
            m.d.comb += item.end.eq(~in_header & (lost | ~more | index[-1]))
        with m.If(~self.o.valid):
            m.d.sync += [self.o.payload.eq(item), self.o.valid.eq(sending & settled)]
        m.d.sync += settled.eq(~(self.o.valid & self.o.ready))
        with m.If(self.o.valid & self.o.ready):
            m.d.sync += [index.eq(index + 1), self.o.valid.eq(0)]
            with m.If(self.o.payload.end):
                m.d.sync += sending.eq(0)
            with m.Elif(~in_header & ~welcome):
                m.d.sync += self.next.eq(self.next + 1)

    def _timer(self, m, progress, sent, unanswered, more):
        timer = Signal(range(_TICKS + 1))
        late = self.tick & (timer == _TICKS)
        m.d.comb += self.repeated.eq(late | (self.again & unanswered))
        with m.If(progress | sent | ~(unanswered | more) | late):
            m.d.sync += timer.eq(0)
        with m.Elif(self.tick):
            m.d.sync += timer.eq(timer + 1)
        with m.If(late):
            m.d.sync += self.single.eq(1)
        with m.If(self.repeated):
            m.d.sync += self.go_back.eq(1)
