# SPDX-License-Identifier: Apache-2.0
"""Flits: what a link of the network on chip carries in one cycle.

A packet is a sequence of flits, the first with the header word; ``last`` marks its end.
"""

from amaranth.lib import stream
from amaranth.lib.data import StructLayout, View

from backspike.hw.layouts import layout_of
from backspike.spec.packets import HEADER, TAGS

__all__ = ["FLIT", "FlitStream", "header_of", "tag_of"]

FLIT = StructLayout({"data": 32, "last": 1})
"""One word of a packet, and whether it is the last one."""

FlitStream = stream.Signature(FLIT)
"""A link: ``valid`` waits for ``ready`` with an unchanged payload and is never withdrawn."""

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
