# SPDX-License-Identifier: Apache-2.0
"""The packet protocol and the core's tables, declared once for hardware, software and documentation.

A packet is a header word and up to 15 payload words of 32 bits; the last word is marked (``TLAST`` on the
host link). Field lists are in order from the least significant bit.
"""

from dataclasses import dataclass
from enum import IntEnum

__all__ = [
    "CHUNK_HIGH", "CHUNK_LOW", "COUNTERS", "DESCRIPTOR", "HEADER", "HOST_KINDS", "LINK_COUNTERS", "MAX_PAYLOAD",
    "NEED", "NO_LABEL", "PEER", "TAGS", "TAPE_STRIDE", "Cause", "Fields", "Kind", "Packet", "Region", "header",
    "parse_header", "payload_range",
]


class Fields:
    """A named sequence of unsigned bit fields, least significant first.

    Parameters
    ----------
    fields: name -> width in bits
    """

    def __init__(self, **fields):
        self.fields = fields
        self.width = sum(fields.values())

    def pack(self, **values):
        """The integer with these field values; every field must be given and fit (else ``ValueError``)."""
        if values.keys() != self.fields.keys():
            odd = sorted(values.keys() ^ self.fields.keys())
            raise ValueError(f"fields must be exactly {list(self.fields)}, missing or unknown: {odd}")
        word, offset = 0, 0
        for name, width in self.fields.items():
            value = int(values[name])
            if not 0 <= value < 1 << width:
                raise ValueError(f"{name} must be 0 to {(1 << width) - 1}, not {value!r}")
            word |= value << offset
            offset += width
        return word

    def unpack(self, word):
        """Field values of an integer, as a dict; bits above the fields are ignored."""
        values = {}
        for name, width in self.fields.items():
            values[name] = word & ((1 << width) - 1)
            word >>= width
        return values

    def words(self, **values):
        """The packed fields as a list of 32-bit words, least significant first."""
        packed = self.pack(**values)
        return [packed >> 32 * k & 0xFFFFFFFF for k in range(self.word_count)]

    @property
    def word_count(self):
        return -(-self.width // 32)

    def layout(self):
        """The same fields as an Amaranth ``StructLayout``."""
        from amaranth.lib.data import StructLayout  # noqa: PLC0415 - software that only talks needs no Amaranth

        return StructLayout(dict(self.fields))


class Kind(IntEnum):
    """What a packet means. Code 0 is never valid."""

    SPIKES = 1  # 32 spikes and surrogate masks of one step, producer to consumer
    ERROR = 2  # an unrounded partial sum of dLoss/ds of one neuron and step, consumer to producer
    ERRORS_DONE = 3  # the sender has sent all its errors of one sample
    CREDIT = 4  # the sender has freed one sample slot
    LABEL = 5  # target neuron of a sample, host to a last-layer slice
    WRITE = 6  # configuration or memory words, host to core
    READ = 7  # request for memory words, host to core (or to the host link itself, with host = 1)
    DATA = 8  # reply to READ, or part of it: its words come in order
    UPDATE = 9  # end of a batch: update the weights of one slice; or only clear its gradients (and velocities)
    UPDATED = 10  # reply to UPDATE
    FAULT = 11  # a packet was dropped


HEADER = Fields(kind=4, x=3, y=3, host=1, tag=18, reserved=3)
"""First word of every packet. ``host`` = 1 addresses the host link whatever x and y are; ``reserved`` is 0."""

TAGS = {
    Kind.SPIKES: Fields(slice=4, slot=2, step=4, word=7, train=1),
    Kind.ERROR: Fields(neuron=12, step=4, slot=2),
    Kind.ERRORS_DONE: Fields(slice=4, slot=2),
    Kind.CREDIT: Fields(slice=4, slot=2, from_x=3, from_y=3),
    Kind.LABEL: Fields(slice=4, slot=2, label=12),
    Kind.WRITE: Fields(region=4),
    Kind.READ: Fields(region=4, count=4),
    Kind.DATA: Fields(region=4, from_x=3, from_y=3, link=1),
    Kind.UPDATE: Fields(slice=4, clear=1, velocities=1),
    Kind.UPDATED: Fields(slice=4, from_x=3, from_y=3),
    Kind.FAULT: Fields(cause=4, from_x=3, from_y=3, link=1),
}
"""Meaning of the header's tag for each kind; unused upper bits are 0."""

MAX_PAYLOAD = 15
NO_LABEL = (1 << 12) - 1
"""LABEL of a slice that does not hold the target neuron."""

_PAYLOAD = {
    Kind.SPIKES: (2, 2),  # spikes, masks
    Kind.ERROR: (3, 3),  # 96-bit two's complement in units of the square of the format's lsb, low word first
    Kind.ERRORS_DONE: (0, 0),
    Kind.CREDIT: (0, 0),
    Kind.LABEL: (0, 0),
    Kind.WRITE: (2, 15),  # address, 1 to 14 words for consecutive addresses
    Kind.READ: (1, 1),  # address; the tag has the count
    Kind.DATA: (2, 15),  # address, 1 to 14 words
    Kind.UPDATE: (0, 0),
    Kind.UPDATED: (0, 0),
    Kind.FAULT: (1, 1),  # header of the dropped packet
}


def payload_range(kind):
    """Smallest and largest number of payload words of a kind."""
    return _PAYLOAD[kind]


HOST_KINDS = (Kind.SPIKES, Kind.ERROR, Kind.ERRORS_DONE, Kind.CREDIT, Kind.LABEL, Kind.WRITE, Kind.READ, Kind.UPDATE)
"""Kinds that a core consumes, which the host may send too; link and cores drop all others."""


class Region(IntEnum):
    """Address spaces of a core, one 32-bit word per address."""

    WEIGHT = 0  # address = word * lanes + lane, 16-bit numbers
    GRADIENT = 1  # as WEIGHT
    VELOCITY = 2  # as WEIGHT
    DESCRIPTOR = 3  # address = slice * 16 + word of DESCRIPTOR
    NEED = 4  # address = slice
    CHUNK_LOW = 5  # address = tape word
    CHUNK_HIGH = 6  # address = tape word
    PEER = 7  # address = entry
    TAPE = 8  # address = slot * TAPE_STRIDE + tape word; writes the spikes of all steps (constant inputs), masks 0
    CONTROL = 9  # 0: bit 0 = skipping off; 1: a write clears all counters and the saturation flag
    COUNTER = 10  # read only; address = index in COUNTERS (of a core, or LINK_COUNTERS at the host link)


TAPE_STRIDE = 128
"""Addresses from one slot's tape words to the next slot's in region TAPE."""


class Cause(IntEnum):
    """Why a packet was dropped."""

    KIND = 1  # unknown kind, or one that is not for this receiver
    LENGTH = 2  # number of payload words does not fit the kind (truncated or overlong)
    ADDRESS = 3  # no such core
    FIELD = 4  # a slice, slot, step, word, neuron, region or address that does not exist here
    STATE = 5  # not now: sample slot not free, memory access while engines run, update without end


NEED = Fields(inputs=12, credits=6, markers=6, label=1)
"""Per slice: SPIKES packets per sample, consumers that give credits, consumers that send ERRORS_DONE, loss on chip."""

CHUNK_LOW = Fields(row_base=17, count=6)
"""Per tape word: weight address of its first input's row (in the lane's bank), number of inputs (0 to 32)."""

CHUNK_HIGH = Fields(x=3, y=3, neuron=12)
"""Per tape word: where the errors of its inputs go: core, and that core's number of the first neuron."""

PEER = Fields(x=3, y=3, host=1, slice=4, word=7)
"""A destination of spikes (slice and first tape word there) or a source (slice there)."""

DESCRIPTOR = Fields(
    # Inputs: tape words [tape_base, tape_base + tape_words)
    tape_base=7, tape_words=8,
    # Outputs: ``blocks`` blocks of ``lanes`` neurons from block ``block_base``; the last block has ``last_lanes``
    blocks=13, last_lanes=4, block_base=12,
    # Words of 32 blocks in the delta bitmap
    delta_base=8, delta_words=8,
    # Weight words of the slice in each lane's bank, for the update
    weight_base=17, weight_words=18,
    steps=5,
    # Modes
    soft=1, errors=1, loss=1,
    # Numbers: a spike is u >= threshold, the surrogate mask is mask_low <= u <= mask_high
    threshold=16, mask_low=16, mask_high=16, kappa=16, reset=16, kappa_back=16, amplitude=16, loss_scale=16,
    minus_rate=16, momentum=16,
    # Peer table: destinations of spikes; sources, which get errors, ERRORS_DONE and CREDIT
    targets_base=8, targets=8, sources_base=8, sources=8,
)
"""Run-time description of one layer slice. ``soft``: soft reset; ``errors``: send errors to the sources;
``loss``: rate loss on chip instead of received errors. ``reset`` is rr of the soft reset. 16-bit numbers are in
the chip's storage format, right-aligned."""

COUNTERS = (
    "cycles",
    "fp_busy", "fp_terms", "fp_results", "fp_stalled",
    "bp_busy", "bp_terms", "bp_offered", "bp_results", "bp_stalled",
    "wg_busy", "wg_terms", "wg_offered", "wg_results", "wg_rows",
    "delta_busy", "update_busy", "elementwise",
    "saturated", "dropped",
    "packets_in", "packets_out", "router_flits", "router_stalled",
)
"""Hardware counters of a core, 32 bits each, in the order of their addresses. ``terms`` are useful terms of all lanes;
``bp_offered`` the pairs (output, masked input and step), ``wg_offered`` the pairs (output, spike) of training samples:
the difference to the terms is what zero deltas saved. ``results`` are potentials, errors sent, and gradients
written, ``rows`` the inputs that spiked; ``stalled`` cycles in which a term had to wait."""

LINK_COUNTERS = ("words_in", "words_out", "packets_in", "packets_out", "dropped")
"""Hardware counters of the host link."""


@dataclass(frozen=True)
class Packet:
    """A decoded packet: kind, destination, tag fields, payload words."""

    kind: Kind
    tag: dict
    payload: tuple = ()
    x: int = 0
    y: int = 0
    host: int = 0

    def words(self):
        """The packet as 32-bit words."""
        return [header(self.kind, self.x, self.y, self.host, **self.tag), *self.payload]


def header(kind, x=0, y=0, host=0, **tag):
    """A packet's header word; the tag fields are those of ``TAGS[kind]``."""
    return HEADER.pack(kind=kind, x=x, y=y, host=host, tag=TAGS[kind].pack(**tag), reserved=0)


def parse_header(word):
    """``(kind, header fields, tag fields)``; ``ValueError`` for an unknown kind."""
    fields = HEADER.unpack(word)
    kind = Kind(fields["kind"])
    return kind, fields, TAGS[kind].unpack(fields["tag"])
