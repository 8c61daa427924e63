# SPDX-License-Identifier: Apache-2.0
"""The rules for packets that the host sends into the chip."""

from amaranth.hdl import Module, Mux, Shape, Signal
from amaranth.lib.data import StructLayout
from amaranth.lib.wiring import Component, In, Out

from backspike.hw.noc.flit import header_of, tag_of
from backspike.spec.config import ChipConfig
from backspike.spec.counters import LINK_COUNTERS
from backspike.spec.packets import HOST_KINDS, INPUT_KINDS, MAX_PAYLOAD, TAGS, Cause, Kind, payload_range
from backspike.spec.tables import Region

__all__ = ["PacketCheck"]


class PacketCheck(Component):
    """Judges one packet by its header and length.

    The first cause that applies, in the order of their codes, is given: ``KIND`` for a kind that the host may not send,
    ``LENGTH`` for too few or too many payload words, ``ADDRESS`` for a core that is not there, ``FIELD`` for unused
    tag bits that are not 0, ``STATE`` while an earlier request to the host link is unanswered. A packet
    with ``host`` = 1 goes to many cores if it brings inputs, up to one that must be there; others go to the host link,
    and must be a READ of counters that exist, else they have the wrong ``ADDRESS``.

    Parameters
    ----------
    config : ChipConfig
        For the size of the mesh.

    Members
    -------
    header, begins : In(32), In(1)
        Header of the packet that is judged from the next cycle on.
    payload_words : In(range(MAX_PAYLOAD + 2))
        ``MAX_PAYLOAD + 1`` stands for any larger number.
    last_word : In(32)
        The last word of the packet.
    busy : In(1)
        The host link has not yet answered an earlier READ.
    cause : Out(Cause)
        0 for a packet that may pass.
    to_link : Out(1)
        It is not for cores.

    ``cause`` and ``to_link`` are combinational functions of what is known of the header, in registers, and of the other
    inputs.

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
                "header": In(32),
                "begins": In(1),
                "payload_words": In(range(MAX_PAYLOAD + 2)),
                "last_word": In(32),
                "busy": In(1),
                "cause": Out(4),
                "to_link": Out(1),
            }
        )

    def elaborate(self, platform):
        m = Module()
        header = header_of(self.header)
        read = tag_of(Kind.READ, header.tag)
        words = Shape.cast(range(MAX_PAYLOAD + 1))
        known = StructLayout(
            {
                "wrong_kind": 1,
                "shortest": words,
                "longest": words,
                "wrong_field": 1,
                "elsewhere": 1,
                "to_link": 1,
                "no_read": 1,
                "count": read.count.shape(),
            }
        )
        now, kept = Signal(known), Signal(known)
        m.d.comb += [
            now.wrong_kind.eq(1),
            now.elsewhere.eq((header.x >= self.config.columns) | (header.y >= self.config.rows)),
            now.to_link.eq(header.host),
            now.no_read.eq((header.kind != Kind.READ) | (read.region != Region.COUNTER) | (read.count == 0)),
            now.count.eq(read.count),
        ]
        with m.Switch(header.kind):
            for kind in HOST_KINDS:
                shortest, longest = payload_range(kind)
                with m.Case(kind):
                    m.d.comb += [
                        now.wrong_kind.eq(0),
                        now.shortest.eq(shortest),
                        now.longest.eq(longest),
                        now.wrong_field.eq(header.tag[TAGS[kind].width :].any()),
                    ]
                    if kind in INPUT_KINDS:
                        m.d.comb += now.to_link.eq(0)
        with m.If(self.begins):
            m.d.sync += kept.eq(now)
        end = self.last_word[:3] + kept.count
        no_counters = kept.no_read | self.last_word[3:].any() | (end > len(LINK_COUNTERS))
        causes = (
            (kept.wrong_kind, Cause.KIND),
            ((self.payload_words < kept.shortest) | (self.payload_words > kept.longest), Cause.LENGTH),
            (Mux(kept.to_link, no_counters, kept.elsewhere), Cause.ADDRESS),
            (kept.wrong_field, Cause.FIELD),
            (kept.to_link & self.busy, Cause.STATE),
        )
        m.d.comb += self.to_link.eq(kept.to_link)
        for condition, cause in reversed(causes):
            with m.If(condition):
                m.d.comb += self.cause.eq(cause)
        return m
