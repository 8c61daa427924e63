# SPDX-License-Identifier: Apache-2.0
"""The host's end of the serial link, without any input or output of its own: bytes and times go in, bytes come out.

link = Link()
while True:
    write(link.output(now))         # frames that are due
    link.receive(read(), now)       # whatever has come, also nothing
    while link.packets: use(link.packets.popleft())
"""

import secrets
import struct
from collections import deque
from collections.abc import Sequence

from backspike.spec.checks import check_integer, check_number
from backspike.spec.config import ChipConfig
from backspike.spec.packets import MAX_PAYLOAD
from backspike.spec.serial_frames import HELLO, LOST, MODULUS, NAK, POLL, Frame, FrameReader, unpack_welcome

__all__ = ["Link", "LinkError"]

_SESSIONS = 1 << 16
_MOST_WORDS = MAX_PAYLOAD + 1


class LinkError(RuntimeError):
    """The chip cannot be talked to, or no longer knows this session; what it held is lost."""


class Link:
    """One session with a chip. Packets arrive whole, once, and in order, whatever the line does to bytes.

    Parameters
    ----------
    timeout : float
        Seconds without an answer until something is sent again; of the order of the line's delay.
    frame : int
        Payload bytes of a frame, at most; 1 to 1024.
    session : int or None
        Number of the session before it, 1 to 65535; ``None``: random.

    Attributes
    ----------
    packets : deque of list of int
        Received packets, each as words of 32 bits.
    config : ChipConfig or None
        The chip; ``None`` until it has answered.
    progress : int
        Grows whenever the chip has answered for the first time, taken or sent something.
    damaged : int
        Damaged frames that came.
    resent : int
        How often something was sent again.

    Raises
    ------
    TypeError
        A parameter is of the wrong kind.
    ValueError
        A parameter is out of range.
    """

    def __init__(self, *, timeout: float = 0.1, frame: int = 256, session: int | None = None) -> None:
        self._timeout = check_number("timeout", timeout, 0, open_low=True)
        self._frame = check_integer("frame", frame, 1, 1024)
        if session is None:
            session = 1 + secrets.randbelow(_SESSIONS - 1)
        self._session = check_integer("session", session, 1, _SESSIONS - 1)
        self._known = False  # which session the chip has
        self._reader = FrameReader()
        self._window = 0
        self._bytes = bytearray()  # sent or to be sent, from position _acked on
        self._acked = self._next = self._highest = 0  # positions in what is sent
        self._expected = 0  # position in what is received
        self._stream = bytearray()  # received, not yet a whole packet
        self._single = False  # after a timeout: one frame at a time until the chip answers
        self._answer = self._nak = self._nak_sent = False
        self._due = float("-inf")
        self.packets: deque[list[int]] = deque()
        self.config: ChipConfig | None = None
        self.progress = self.damaged = self.resent = 0

    @property
    def idle(self) -> bool:
        """Whether the chip has taken everything that was sent."""
        return self.config is not None and not self._bytes

    @property
    def pending(self) -> int:
        """Bytes that the chip has not taken yet."""
        return len(self._bytes)

    @property
    def due(self) -> float:
        """Time at which ``output`` has something to send again, if nothing comes before."""
        return self._due

    def send(self, words: Sequence[int]) -> None:
        """Queue one packet, header first; ``ValueError`` where it has no word, or more than 16."""
        if not 1 <= len(words) <= _MOST_WORDS:
            raise ValueError(f"packet must have 1 to {_MOST_WORDS} words, not {len(words)}")
        self._bytes += struct.pack(f"<B{len(words)}I", len(words) - 1, *words)

    def restart(self) -> None:
        """The line was cut and is there again: send again at once what may have been lost."""
        self._reader = FrameReader()
        self._due = float("-inf")

    def output(self, now: float) -> bytes:
        """The bytes that are to be sent at this time in seconds, perhaps none."""
        overdue = now >= self._due
        if self.config is None:
            if not overdue:
                return b""
            self._due = now + self._timeout
            return self._encode(HELLO | POLL, 0)
        if overdue and self._highest > self._acked:
            self._next, self._single = self._acked, True
            self.resent += 1
        data = self._data()
        if data or overdue:
            self._due = now + self._timeout
        if not data and (overdue or self._answer or self._nak):
            data = self._encode(POLL if overdue else 0, self._next)
        return data

    def _data(self) -> bytes:
        """Frames of all bytes that may be sent now."""
        end = self._acked + min(len(self._bytes), self._window)
        frames = []
        while self._next < end and not (self._single and self._next > self._acked):
            start = self._next - self._acked
            payload = bytes(self._bytes[start : min(start + self._frame, end - self._acked)])
            frames.append(self._encode(POLL, self._next, payload))
            self._next += len(payload)
            self._highest = max(self._highest, self._next)
        return b"".join(frames)

    def _encode(self, bits: int, position: int, payload: bytes = b"") -> bytes:
        if self._nak:
            bits |= NAK
        self._answer = self._nak = False
        return Frame(bits, self._session, self._expected, position, payload).encode()

    def receive(self, data: bytes, now: float) -> None:
        """Take bytes that have come at this time in seconds.

        Raises
        ------
        LinkError
            The chip has another session, or another protocol.
        """
        for frame in self._reader.read(data):
            if frame is None:
                self.damaged += 1
                self._complain()
            elif frame.bits & LOST:
                if self.config is not None:
                    raise LinkError("the chip was restarted, or another program has opened it: what it held is lost")
            elif frame.session == self._session:
                self._take(frame, now)

    def _complain(self) -> None:
        """Have the chip send again, once until something comes in order; after that its own timer sees to it."""
        if self.config is not None and not self._nak_sent:
            self._nak = self._nak_sent = True

    def _take(self, frame: Frame, now: float) -> None:
        if frame.bits & HELLO:
            self._welcome(frame)
            return
        if self.config is None:
            return
        news = (frame.ack - self._acked) % MODULUS
        if 0 < news <= self._highest - self._acked:
            del self._bytes[:news]
            self._acked += news
            self._next = max(self._next, self._acked)
            self._single = False
            self.progress += 1
            self._due = now + self._timeout
        if frame.bits & NAK and self._next > self._acked:
            self._next = self._acked
            self.resent += 1
        distance = (frame.position - self._expected) % MODULUS
        if distance == 0:
            self._append(frame.payload)
        elif distance < MODULUS // 2:
            self._complain()
        else:
            self._answer = True

    def _welcome(self, frame: Frame) -> None:
        if self.config is not None:
            return
        try:
            config, self._window = unpack_welcome(frame.payload)
        except ValueError as error:
            raise LinkError(f"the chip's answer cannot be used: {error}") from None
        self.progress += 1
        if self._known:
            self.config = config
        else:  # the chip's session has this number, perhaps since long ago; it cannot have the next one
            self._known, self._session = True, self._session % (_SESSIONS - 1) + 1
            self._due = float("-inf")

    def _append(self, payload: bytes) -> None:
        if not payload:
            return
        self._expected = (self._expected + len(payload)) % MODULUS
        self._answer, self._nak, self._nak_sent = True, False, False
        self.progress += 1
        stream = self._stream
        stream += payload
        start = 0
        while start < len(stream):
            if stream[start] >= _MOST_WORDS:
                raise LinkError(f"a packet of the chip must have 1 to {_MOST_WORDS} words, not {stream[start] + 1}")
            end = start + 1 + 4 * (stream[start] + 1)
            if end > len(stream):
                break
            self.packets.append(list(struct.unpack_from(f"<{stream[start] + 1}I", stream, start + 1)))
            start = end
        del stream[:start]
