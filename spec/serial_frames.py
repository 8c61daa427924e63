# SPDX-License-Identifier: Apache-2.0
"""Frames of the serial link, and the words with which a chip describes itself. See docs/link.md.

Between two delimiters a frame is: header, payload, CRC-32 (that of Ethernet and ``zlib``) of both, all little-endian,
with delimiters and escapes inside it escaped.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from zlib import crc32

from backspike.spec.config import ChipConfig
from backspike.spec.fields import Fields

__all__ = [
    "CHIP",
    "CHIP_WORDS",
    "ESCAPE",
    "FLAG",
    "HEADER",
    "HELLO",
    "LOST",
    "MODULUS",
    "NAK",
    "POLL",
    "TOGGLE",
    "VERSION",
    "WELCOME_FIELDS",
    "Frame",
    "FrameReader",
    "pack_chip",
    "pack_welcome",
    "unpack_chip",
    "unpack_welcome",
]

FLAG, ESCAPE, TOGGLE = 0x7E, 0x7D, 0x20
"""Delimiter; escape, after which comes a byte with the bit ``TOGGLE`` inverted."""

HELLO, NAK, POLL, LOST = 1, 2, 4, 8
"""Bits of a frame's first byte: begins a session, or answers that; bytes before this frame's have been lost, send again
from ``ack`` on; wants an answer; (from the chip) this is not my session."""

VERSION = 1
"""Of the protocol. A chip of another version is refused."""

MODULUS = 1 << 12
"""Of positions: twice the largest window, so that those behind differ from those ahead."""

HEADER = Fields(bits=8, session=16, ack=12, position=12)
_HEADER_BYTES = HEADER.width // 8
_CRC_BYTES = 4
_LONGEST = 4096  # bytes of a frame; more are garbage without a delimiter


@dataclass(frozen=True)
class Frame:
    """One frame.

    Parameters
    ----------
    bits : int
        Of ``HELLO``, ``NAK``, ``POLL``, ``LOST``.
    session : int
        Number of the session, 1 to 65535.
    ack : int
        Position, modulo ``MODULUS``, of the byte that the sender expects next.
    position : int
        Position, modulo ``MODULUS``, of the payload's first byte in all that the sender sends.
    payload : bytes
        Bytes of packets.
    """

    bits: int
    session: int
    ack: int
    position: int
    payload: bytes = b""

    def encode(self) -> bytes:
        """The frame's bytes as they go over the line, with a delimiter at both ends."""
        header = HEADER.pack(
            bits=self.bits, session=self.session, ack=self.ack % MODULUS, position=self.position % MODULUS
        )
        content = header.to_bytes(_HEADER_BYTES, "little") + self.payload
        content += crc32(content).to_bytes(_CRC_BYTES, "little")
        for special in (ESCAPE, FLAG):
            content = content.replace(bytes([special]), bytes([ESCAPE, special ^ TOGGLE]))
        return bytes([FLAG]) + content + bytes([FLAG])

    @classmethod
    def decode(cls, content: bytes) -> "Frame | None":
        """The frame of what was between two delimiters; ``None`` where it has been damaged."""
        parts = content.split(bytes([ESCAPE]))
        if any(not part for part in parts[1:]):
            return None
        content = parts[0] + b"".join(bytes([part[0] ^ TOGGLE]) + part[1:] for part in parts[1:])
        if len(content) < _HEADER_BYTES + _CRC_BYTES:
            return None
        if crc32(content[:-_CRC_BYTES]) != int.from_bytes(content[-_CRC_BYTES:], "little"):
            return None
        header = HEADER.unpack(int.from_bytes(content[:_HEADER_BYTES], "little"))
        return cls(**header, payload=content[_HEADER_BYTES:-_CRC_BYTES])


class FrameReader:
    """Finds the frames in a stream of bytes. After any garbage it finds the next whole frame."""

    def __init__(self) -> None:
        self._rest = b""

    def read(self, data: bytes) -> list[Frame | None]:
        """The frames that the next bytes of the stream complete, ``None`` for each damaged one."""
        *contents, self._rest = (self._rest + data).split(bytes([FLAG]))
        if len(self._rest) > _LONGEST:
            self._rest = bytes([ESCAPE])  # damaged, whatever follows before the delimiter
        return [Frame.decode(content) for content in contents if content]


CHIP = Fields(
    columns=4,
    rows=4,
    lanes=4,
    slots=4,
    steps=5,
    slices=5,
    weights=18,
    neurons=15,
    tape_words=10,
    fan_in=9,
    routes=9,
    list_depth=13,
    batch_terms=24,
    operand_bits=4,
    noise=1,
    momentum=1,
    dense_only=1,
    chain=1,
    exponent=3,
    mantissa=4,
    ternary=1,
)
"""All that is fixed in a chip: the fields of ``ChipConfig``, and those of its format."""

CHIP_WORDS = CHIP.word_count


def pack_chip(config: ChipConfig) -> list[int]:
    """A ``ChipConfig`` as a list of ``CHIP_WORDS`` words of 32 bits."""
    values = config.to_dict()
    fmt = values.pop("format")
    return CHIP.words(**values, **fmt)


def unpack_chip(words: Sequence[int]) -> ChipConfig:
    """The inverse of ``pack_chip``; ``ValueError`` where the words describe no possible chip."""
    if len(words) != CHIP_WORDS:
        raise ValueError(f"a chip's description must have {CHIP_WORDS} words, not {len(words)}")
    bits = sum(word << 32 * k for k, word in enumerate(words))
    if bits >> CHIP.width:
        raise ValueError(f"a chip's description must have {CHIP.width} bits, not {bits:#x}")
    values: dict[str, Any] = dict(CHIP.unpack(bits))
    for name in ("noise", "momentum", "dense_only", "chain", "ternary"):
        values[name] = bool(values[name])
    fmt = {name: values.pop(name) for name in ("exponent", "mantissa")}
    return ChipConfig.from_dict({**values, "format": fmt})


WELCOME_FIELDS = Fields(version=8, window=8, unused=16)
"""First word of the answer to ``HELLO``: version of the protocol, log2 of the bytes that the chip can take in."""


def pack_welcome(config: ChipConfig, window_bits: int) -> bytes:
    """The payload of the answer to ``HELLO``.

    Parameters
    ----------
    config : ChipConfig
        The chip.
    window_bits : int
        log2 of the bytes that the chip can take in.
    """
    words = WELCOME_FIELDS.words(version=VERSION, window=window_bits, unused=0) + pack_chip(config)
    return b"".join(word.to_bytes(4, "little") for word in words)


def unpack_welcome(payload: bytes) -> tuple[ChipConfig, int]:
    """The inverse of ``pack_welcome``.

    Returns
    -------
    (ChipConfig, int)
        The chip, and the bytes that it can take in.

    Raises
    ------
    ValueError
        The version is another one, or no chip can be as described.
    """
    words = [int.from_bytes(payload[k : k + 4], "little") for k in range(0, len(payload), 4)]
    version = words[0] & 0xFF if words else None
    if version != VERSION:
        raise ValueError(f"version of the chip's link must be {VERSION}, not {version}")
    window = 1 << WELCOME_FIELDS.unpack(words[0])["window"]
    if window > MODULUS // 2:
        raise ValueError(f"window of the chip must be at most {MODULUS // 2} bytes, not {window}")
    return unpack_chip(words[1:]), window
