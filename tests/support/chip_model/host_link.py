# SPDX-License-Identifier: Apache-2.0
"""The host link: what it lets into the chip, and what it answers itself."""

from backspike.spec.config import ChipConfig
from backspike.spec.counters import LINK_COUNTERS
from backspike.spec.packets import HEADER, HOST_KINDS, INPUT_KINDS, TAGS, Cause, Kind, Packet, payload_range
from backspike.spec.tables import Region

__all__ = ["link_cause", "link_fault", "link_reply"]


def link_cause(config: ChipConfig, words: list[int], busy: bool = False) -> Cause | None:
    """Why the link drops a packet of the host, or None. ``busy``: an earlier READ of its counters is unanswered."""
    fields, length = HEADER.unpack(words[0]), len(words) - 1
    if fields["kind"] not in HOST_KINDS:
        return Cause.KIND
    kind = Kind(fields["kind"])
    low, high = payload_range(kind)
    if not low <= length <= high:
        return Cause.LENGTH
    to_link = fields["host"] and kind not in INPUT_KINDS
    if to_link:
        tag = TAGS[kind].unpack(fields["tag"])
        counters = kind == Kind.READ and tag["region"] == Region.COUNTER and tag["count"] > 0
        if not counters or words[1] + tag["count"] > len(LINK_COUNTERS):
            return Cause.ADDRESS
    elif fields["x"] >= config.columns or fields["y"] >= config.rows:
        return Cause.ADDRESS
    if fields["tag"] >> TAGS[kind].width:
        return Cause.FIELD
    return Cause.STATE if to_link and busy else None


def link_fault(words: list[int], cause: Cause) -> Packet:
    """What the link sends for a packet that it drops."""
    return Packet(Kind.FAULT, {"cause": cause, "from_x": 0, "from_y": 0, "link": 1}, (words[0],), host=1)


def link_reply(words: list[int], counters: dict[str, int]) -> Packet:
    """The answer to a READ of the link's counters."""
    count = TAGS[Kind.READ].unpack(HEADER.unpack(words[0])["tag"])["count"]
    values = list(counters.values())[words[1] : words[1] + count]
    tag = {"region": Region.COUNTER, "from_x": 0, "from_y": 0, "link": 1}
    return Packet(Kind.DATA, tag, (words[1], *values), host=1)
