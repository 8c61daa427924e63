# SPDX-License-Identifier: Apache-2.0
"""The rules for packets that the host sends into the chip."""

from amaranth.hdl import Module, Mux, Signal
from amaranth.lib.wiring import Component, In, Out

from backspike.host.protocol import HOST_KINDS, LINK_COUNTERS, MAX_PAYLOAD, TAGS, Cause, Kind, Region, payload_range
from backspike.hw.config import ChipConfig
from backspike.hw.noc.flit import header_of, tag_of

__all__ = ["PacketCheck"]


class PacketCheck(Component):
    """Judges one packet by its header and length.

    The first cause that applies, in the order of their codes, is given: ``KIND`` for a kind that the host may not send,
    ``LENGTH`` for too few or too many payload words, ``ADDRESS`` for a core that is not there, ``FIELD`` for unused
    tag bits that are not 0, ``STATE`` while an earlier request to the host link is unanswered. A packet
    to the host link (``host`` = 1) must be a READ of counters that exist, else it has the wrong ``ADDRESS``.

    Parameters
    ----------
    config : ChipConfig
        For the size of the mesh.

    Members
    -------
    header : In(32)
    payload_words : In(range(MAX_PAYLOAD + 2))
        ``MAX_PAYLOAD + 1`` stands for any larger number.
    last_word : In(32)
        The last word of the packet.
    busy : In(1)
        The host link has not yet answered an earlier READ.
    cause : Out(Cause)
        0 for a packet that may pass.

    Combinational.

    Raises
    ------
    TypeError: ``config`` is not a ``ChipConfig``
    """

    def __init__(self, config):
        if not isinstance(config, ChipConfig):
            raise TypeError(f"config must be a ChipConfig, not {config!r}")
        self.config = config
        super().__init__({
            "header": In(32),
            "payload_words": In(range(MAX_PAYLOAD + 2)),
            "last_word": In(32),
            "busy": In(1),
            "cause": Out(4),
        })

    def elaborate(self, platform):
        m = Module()
        header = header_of(self.header)
        wrong_kind, wrong_length, wrong_field = Signal(init=1), Signal(), Signal()
        with m.Switch(header.kind):
            for kind in HOST_KINDS:
                shortest, longest = payload_range(kind)
                too_short = self.payload_words < shortest if shortest else 0
                with m.Case(kind):
                    m.d.comb += [
                        wrong_kind.eq(0),
                        wrong_length.eq(too_short | (self.payload_words > longest)),
                        wrong_field.eq(header.tag[TAGS[kind].width :].any()),
                    ]
        elsewhere = (header.x >= self.config.columns) | (header.y >= self.config.rows)
        causes = (
            (wrong_kind, Cause.KIND),
            (wrong_length, Cause.LENGTH),
            (Mux(header.host, self._no_counters(header), elsewhere), Cause.ADDRESS),
            (wrong_field, Cause.FIELD),
            (header.host & self.busy, Cause.STATE),
        )
        for condition, cause in reversed(causes):
            with m.If(condition):
                m.d.comb += self.cause.eq(cause)
        return m

    def _no_counters(self, header):
        """Whether a packet to the host link is anything but a READ of its counters."""
        tag = tag_of(Kind.READ, header.tag)
        end = self.last_word[:3] + tag.count
        return (
            (header.kind != Kind.READ)
            | (tag.region != Region.COUNTER)
            | (tag.count == 0)
            | self.last_word[3:].any()
            | (end > len(LINK_COUNTERS))
        )
