# SPDX-License-Identifier: Apache-2.0
"""Random packets of the host, good and bad, and the rules by which the host link must judge them."""

from backspike.spec.config import ChipConfig
from backspike.spec.counters import LINK_COUNTERS
from backspike.spec.packets import HEADER, HOST_KINDS, INPUT_KINDS, MAX_PAYLOAD, TAGS, Cause, Kind, payload_range
from backspike.spec.tables import Region

__all__ = ["CONFIG", "bad_packet", "cause_of", "good_packet", "random_words"]

CONFIG = ChipConfig(columns=5, rows=3)
"""The chip that the packets are for."""

_LONGEST = 70  # words of packets that are too long
_TAG_BITS = HEADER.fields["tag"]


def cause_of(words):
    """Why the host link must drop a packet, or None. Requests to the link itself count as good."""
    fields = HEADER.unpack(words[0])
    payload = words[1:]
    if fields["kind"] not in set(HOST_KINDS):
        return Cause.KIND
    kind = Kind(fields["kind"])
    shortest, longest = payload_range(kind)
    if not shortest <= len(payload) <= longest:
        return Cause.LENGTH
    if fields["host"] and kind not in INPUT_KINDS:
        tag = TAGS[Kind.READ].unpack(fields["tag"])
        readable = kind == Kind.READ and tag["region"] == Region.COUNTER and tag["count"]
        if not readable or payload[0] + tag["count"] > len(LINK_COUNTERS):
            return Cause.ADDRESS
    elif fields["x"] >= CONFIG.columns or fields["y"] >= CONFIG.rows:
        return Cause.ADDRESS
    if fields["tag"] >> TAGS[kind].width:
        return Cause.FIELD
    return None


def good_packet(random, kind=None, length=None, config=CONFIG, *, many=True):
    """Words of a packet to some core that the link must pass on; any tag that fits, any payload.

    With ``many``, inputs may be for many cores.
    """
    kind = random.choice(HOST_KINDS) if kind is None else kind
    length = random.randint(*payload_range(kind)) if length is None else length
    host = random.randrange(2) if many and kind in INPUT_KINDS else 0
    fields = {"x": random.randrange(config.columns), "y": random.randrange(config.rows), "host": host}
    word = HEADER.pack(kind=kind, tag=random.getrandbits(TAGS[kind].width), **fields)
    return [word, *(random.getrandbits(32) for _ in range(length))]


def bad_packet(random, cause=None):
    """Words of a packet that is wrong for one cause (not ``STATE``), and perhaps for others of higher code."""
    cause = random.choice((Cause.KIND, Cause.LENGTH, Cause.ADDRESS, Cause.FIELD)) if cause is None else cause
    while True:
        words = _spoil(random, cause, good_packet(random))
        if cause_of(words) == cause:
            return words


def _spoil(random, cause, words):
    fields = HEADER.unpack(words[0])
    kind = Kind(fields["kind"])
    if cause == Cause.KIND:
        fields["kind"] = random.choice([code for code in range(16) if code not in set(HOST_KINDS)])
    elif cause == Cause.LENGTH:
        length = random.choice((0, 1, random.randint(0, MAX_PAYLOAD + 2), random.randint(0, _LONGEST)))
        words = [words[0], *(random.getrandbits(32) for _ in range(length))]
    elif cause == Cause.ADDRESS:
        change = random.choice(
            ({"host": 1}, {"x": random.randint(CONFIG.columns, 7)}, {"y": random.randint(CONFIG.rows, 7)})
        )
        fields.update(change)
    elif cause == Cause.FIELD:
        fields["tag"] |= random.getrandbits(_TAG_BITS - TAGS[kind].width) << TAGS[kind].width
    return [HEADER.pack(**fields), *words[1:]]


def random_words(random):
    """A packet of nothing but random bits, but never a request to the link itself."""
    while True:
        words = [random.getrandbits(32) for _ in range(random.choice((1, 2, 3, random.randint(1, _LONGEST))))]
        if not HEADER.unpack(words[0])["host"] or cause_of(words):
            return words
