# SPDX-License-Identifier: Apache-2.0
"""Flits: what a link of the network on chip carries in one cycle.

A packet is a sequence of flits, the first with the header word; ``last`` marks its end.

Links between routers also carry the parity of a *round*. In a round, each sender that has a packet for a link sends one
over it. Routers keep rounds apart (:class:`~backspike.hw.noc.flow.FlitMerge`), so that a far sender gets as much of a
link as a near one.
"""

from amaranth.lib import stream
from amaranth.lib.data import StructLayout, View

from backspike.hw.layouts import layout_of
from backspike.spec.packets import HEADER, TAGS

__all__ = ["FLIT", "LINK", "FlitStream", "LinkStream", "header_of", "tag_of"]

FLIT = StructLayout({"data": 32, "last": 1})
"""One word of a packet, and whether it is the last one."""

LINK = StructLayout({"data": 32, "last": 1, "round": 1})
"""A flit between routers. ``round`` is the same for all flits of a packet; it changes when a round begins."""

FlitStream = stream.Signature(FLIT)
"""Packets from or to a node: ``valid`` waits for ``ready`` with an unchanged payload and is never withdrawn."""

LinkStream = stream.Signature(LINK)
"""Packets from or to a router, with the rules of ``FlitStream``."""

_HEADER = layout_of(HEADER)
_TAGS = {kind: layout_of(fields) for kind, fields in TAGS.items()}


def header_of(flit):
    """The header fields of a packet's first flit (or of a 32-bit word), as a view."""
    word = flit.data if isinstance(flit, View) else flit
    return View(_HEADER, word)


def tag_of(kind, tag):
    """The fields of a header's ``tag`` for one kind of packet, as a view."""
    layout = _TAGS[kind]
    return View(layout, tag[: layout.size])
