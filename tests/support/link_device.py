# SPDX-License-Identifier: Apache-2.0
"""The chip's end of the serial link as docs/link.md describes it, for tests of the host's end: an echo."""

import struct

from backspike.spec.serial_frames import HELLO, LOST, MODULUS, NAK, POLL, Frame, FrameReader, pack_welcome

WINDOW_BITS = 11
_CHUNK = 122


class LinkDevice:
    """``receive(data)`` takes bytes, ``output(late)`` returns bytes; ``late``: the timer has run out.

    ``stalled``: the chip takes nothing. ``sessions``: how often the chip was reset.
    """

    def __init__(self, config):
        self.config, self.sessions, self.session, self.stalled = config, 0, None, False
        self.reader = FrameReader()
        self.answers = []
        self.begin(None)

    def begin(self, session):
        self.session = session
        self.waiting, self.stream = bytearray(), bytearray()  # received: not taken by the chip, not a whole packet
        self.expected = self.taken = 0
        self.out, self.acked, self.next = bytearray(), 0, 0
        self.answer = self.nak = self.naked = self.single = False

    def receive(self, data):
        for frame in self.reader.read(data):
            if frame is None:
                self.complain()
            elif frame.bits & HELLO:
                if frame.session != self.session:
                    self.begin(frame.session)
                    self.sessions += 1
                self.answers.append(
                    Frame(HELLO, self.session, self.taken % MODULUS, 0, pack_welcome(self.config, WINDOW_BITS))
                )
            elif frame.session != self.session:
                self.answers.append(Frame(LOST, self.session or 0, 0, 0))
            else:
                self.take(frame)

    def complain(self):
        if self.session is not None and not self.naked:
            self.nak = self.naked = True

    def take(self, frame):
        news = (frame.ack - self.acked) % MODULUS
        if 0 < news <= len(self.out):
            del self.out[:news]
            self.acked += news
            self.next = max(self.next, self.acked)
            self.single = False
        if frame.bits & NAK:
            self.next = self.acked
        distance = (frame.position - self.expected) % MODULUS
        if distance == 0 and len(self.waiting) + len(frame.payload) <= 1 << WINDOW_BITS:
            self.expected += len(frame.payload)
            self.waiting += frame.payload
            self.naked = False
        elif distance < MODULUS // 2:
            self.complain()
        if frame.bits & POLL:
            self.answer = True

    def work(self):
        """The chip takes what has come, and sends whole packets back."""
        if self.stalled:
            return
        self.taken += len(self.waiting)
        self.stream += self.waiting
        self.waiting.clear()
        room = (1 << WINDOW_BITS) - 65
        while self.stream and len(self.stream) >= 5 + 4 * self.stream[0] and len(self.out) < room:
            end = 5 + 4 * self.stream[0]
            packet = list(struct.unpack_from(f"<{end // 4}I", self.stream, 1))
            del self.stream[:end]
            for words in self.packets(packet):
                self.out += struct.pack(f"<B{len(words)}I", len(words) - 1, *words)

    def packets(self, packet):
        """Packets that the chip sends when it has received one."""
        return [packet]

    def output(self, late=False):
        self.work()
        frames, self.answers = self.answers, []
        end = self.acked + len(self.out)
        if late and self.acked < end:
            self.next, self.single = self.acked, True
        drained = self.taken == self.expected
        while self.session is not None:
            more = self.next < end and not (self.single and self.next > self.acked)
            if not more and not (drained and (self.answer or self.nak)):
                break
            bits = NAK if drained and self.nak else 0
            if drained:
                self.answer = self.nak = False
            start = self.next - self.acked
            payload = bytes(self.out[start : start + _CHUNK]) if more else b""
            frames.append(Frame(bits, self.session, self.taken, self.next, payload))
            self.next += len(payload)
        return b"".join(frame.encode() for frame in frames)
