# SPDX-License-Identifier: Apache-2.0
"""The packets, declared once for hardware, software and documentation.

A packet is a header word and up to 15 payload words of 32 bits; the last word is marked (``TLAST`` on the
host link). Field lists are in order from the least significant bit.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import IntEnum
from typing import Final, Literal, TypeAlias

from backspike.spec.fields import Fields

__all__ = [
    "HEADER",
    "HOST_KINDS",
    "INPUT_KINDS",
    "LINK",
    "MAX_PAYLOAD",
    "NO_LABEL",
    "TAGS",
    "Cause",
    "Kind",
    "Packet",
    "Place",
    "header",
    "parse_header",
    "payload_range",
]


class Kind(IntEnum):
    """What a packet means. Code 0 is never valid."""

    SPIKES = 1  # 32 spikes and surrogate masks of one step, producer to consumer; of a frame that begins a sample
    ERROR = 2  # an unrounded partial sum of dLoss/ds of one neuron and step, consumer to producer
    ERRORS_DONE = 3  # the sender has sent all its errors of one frame
    CREDIT = 4  # the sender has freed one slot
    LABEL = 5  # target neuron of a frame, host to a last-layer slice
    WRITE = 6  # configuration or memory words, host to core
    READ = 7  # request for memory words, host to core (or to the host link itself, with host = 1)
    DATA = 8  # reply to READ, or part of it: its words come in order
    UPDATE = 9  # end of a batch: update the weights of one slice; or only clear its gradients (and velocities)
    UPDATED = 10  # reply to UPDATE
    FAULT = 11  # a packet was dropped
    MORE = 12  # as SPIKES, of a frame that goes on with the sample of the frame before
    BACK = 14  # as MORE, of a frame in which ternary spikes go back; in chips with units for that


HEADER = Fields(kind=4, x=3, y=3, host=1, tag=21)
"""First word of every packet. ``host`` = 1 addresses the host link whatever x and y are; from the host, inputs with
``host`` = 1 go to many cores: to all up to column x and row y, or in a chain to all up to core (x, y)."""

TAGS = {
    Kind.SPIKES: Fields(slice=4, slot=3, step=4, word=9, train=1),
    Kind.ERROR: Fields(neuron=14, step=4, slot=3),
    Kind.ERRORS_DONE: Fields(slice=4, slot=3),
    Kind.CREDIT: Fields(slice=4, slot=3, from_x=3, from_y=3),
    Kind.LABEL: Fields(slice=4, slot=3, label=14),
    Kind.WRITE: Fields(region=4),
    Kind.READ: Fields(region=4, count=4),
    Kind.DATA: Fields(region=4, from_x=3, from_y=3, link=1),
    Kind.UPDATE: Fields(slice=4, clear=1, velocities=1),
    Kind.UPDATED: Fields(slice=4, from_x=3, from_y=3),
    Kind.FAULT: Fields(cause=4, from_x=3, from_y=3, link=1),
    Kind.MORE: Fields(slice=4, slot=3, step=4, word=9, train=1),
    Kind.BACK: Fields(slice=4, slot=3, step=4, word=9, train=1),
}
"""Meaning of the header's tag for each kind; unused upper bits are 0."""

MAX_PAYLOAD = 15

NO_LABEL = (1 << 14) - 1
"""LABEL of a slice that does not hold the target neuron."""

_PAYLOAD = {
    Kind.SPIKES: (2, 2),  # spikes, masks
    Kind.ERROR: (2, 3),  # 64- or 96-bit two's complement in units of the square of the format's lsb, low word first
    Kind.ERRORS_DONE: (0, 0),
    Kind.CREDIT: (0, 0),
    Kind.LABEL: (0, 0),
    Kind.WRITE: (2, 15),  # address, 1 to 14 words for consecutive addresses
    Kind.READ: (1, 1),  # address; the tag has the count
    Kind.DATA: (2, 15),  # address, 1 to 14 words
    Kind.UPDATE: (0, 0),
    Kind.UPDATED: (0, 0),
    Kind.FAULT: (1, 1),  # header of the dropped packet
    Kind.MORE: (2, 2),  # spikes, masks
    Kind.BACK: (2, 2),  # spikes, masks
}


def payload_range(kind: Kind) -> tuple[int, int]:
    """Smallest and largest number of payload words of a kind."""
    return _PAYLOAD[kind]


INPUT_KINDS = (Kind.SPIKES, Kind.MORE, Kind.BACK)
"""Kinds that bring inputs. They differ in what a frame starts from, and what it does."""

HOST_KINDS = (
    *(Kind.SPIKES, Kind.ERROR, Kind.ERRORS_DONE, Kind.CREDIT, Kind.LABEL),
    *(Kind.WRITE, Kind.READ, Kind.UPDATE, Kind.MORE, Kind.BACK),
)
"""Kinds that a core consumes, which the host may send too; link and cores drop all others."""


LINK: Final = "link"
"""Stands for the host link where else a core's coordinates stand."""

Place: TypeAlias = tuple[int, int] | Literal["link"]
"""A core's column and row, or ``LINK``."""


class Cause(IntEnum):
    """Why a packet was dropped."""

    KIND = 1  # unknown kind, or one that is not for this receiver
    LENGTH = 2  # number of payload words does not fit the kind (truncated or overlong)
    ADDRESS = 3  # no such core
    FIELD = 4  # a slice, slot, step, word, neuron, region or address that does not exist here
    STATE = 5  # not now: nobody waits for it, or the core works on what it would read or change


@dataclass(frozen=True)
class Packet:
    """A decoded packet.

    Parameters
    ----------
    kind : Kind
        What it means.
    tag : mapping of str to int
        Fields of ``TAGS[kind]`` by name.
    payload : tuple of int
        Words of 32 bits, as many as ``payload_range`` allows.
    x, y : int
        Core to which it goes.
    host : int
        1 if it goes to the host link, whatever x and y are; of inputs from the host: if they go to many cores.
    """

    kind: Kind
    tag: Mapping[str, int]
    payload: tuple[int, ...] = ()
    x: int = 0
    y: int = 0
    host: int = 0

    def words(self) -> list[int]:
        """The packet as words of 32 bits, header first."""
        return [header(self.kind, self.x, self.y, self.host, **self.tag), *self.payload]


def header(kind: Kind, x: int = 0, y: int = 0, host: int = 0, **tag: int) -> int:
    """A packet's header word.

    Parameters
    ----------
    kind : Kind
        What the packet means.
    x, y, host : int
        Where it goes, as in ``Packet``.
    **tag : int
        All fields of ``TAGS[kind]``.

    Raises
    ------
    ValueError
        A field is missing, unknown, or its value does not fit.
    """
    return HEADER.pack(kind=kind, x=x, y=y, host=host, tag=TAGS[kind].pack(**tag))


def parse_header(word: int) -> tuple[Kind, dict[str, int], dict[str, int]]:
    """Kind, fields of ``HEADER`` and fields of the tag of a header word; ``ValueError`` for an unknown kind."""
    fields = HEADER.unpack(word)
    kind = Kind(fields["kind"])
    return kind, fields, TAGS[kind].unpack(fields["tag"])
