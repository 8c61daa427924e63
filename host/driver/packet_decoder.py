# SPDX-License-Identifier: Apache-2.0
"""From received words to packets, with every check that a packet alone allows."""

from collections.abc import Iterable
from dataclasses import dataclass

from backspike.spec.packets import HEADER, TAGS, Cause, Packet, parse_header, payload_range

__all__ = ["Fault", "parse_packet"]


def parse_packet(words: Iterable[int]) -> Packet:
    """The packet of a whole packet's words, header first.

    Raises
    ------
    ValueError
        A word has more than 32 bits, the kind is unknown, bits outside the tag's fields are set, or the kind does not
        have so many payload words.
    """
    words = [int(word) for word in words]
    if not words:
        raise ValueError("words must hold at least a header, not []")
    for word in words:
        if not 0 <= word < 1 << 32:
            raise ValueError(f"words must be 32-bit unsigned integers, not {word!r}")
    try:
        kind, fields, tag = parse_header(words[0])
    except ValueError:
        raise ValueError(f"header must name a known kind, not {words[0]:#010x}") from None
    if fields["tag"] >> TAGS[kind].width or words[0] >> HEADER.width:
        raise ValueError(f"header of {kind.name} must have no unused bits set, not {words[0]:#010x}")
    low, high = payload_range(kind)
    if not low <= len(words) - 1 <= high:
        expected = str(low) if low == high else f"{low} to {high}"
        raise ValueError(f"{kind.name} must have {expected} payload words, not {len(words) - 1}")
    return Packet(kind, tag, tuple(words[1:]), fields["x"], fields["y"], fields["host"])


@dataclass(frozen=True)
class Fault:
    """A packet that the chip dropped.

    Parameters
    ----------
    cause : int
        Why, a ``Cause`` or a number that has no name.
    core : (int, int) or None
        Where; ``None`` for the host link.
    header : int
        The packet's header word.
    """

    cause: int
    core: tuple[int, int] | None
    header: int

    @classmethod
    def of(cls, packet: Packet) -> "Fault":
        """The fault that a ``FAULT`` packet reports."""
        tag = packet.tag
        return cls(tag["cause"], None if tag["link"] else (tag["from_x"], tag["from_y"]), packet.payload[0])

    def __str__(self) -> str:
        try:
            kind, _, tag = parse_header(self.header)
            text = f"{kind.name} packet with {', '.join(f'{name}={value}' for name, value in tag.items())}"
        except ValueError:
            text = f"packet with header {self.header:#010x}"
        cause = Cause(self.cause).name if self.cause in set(Cause) else str(self.cause)
        return f"{'the host link' if self.core is None else f'core {self.core}'} dropped a {text}: cause {cause}"
