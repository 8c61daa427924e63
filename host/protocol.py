# SPDX-License-Identifier: Apache-2.0
"""The packet protocol and the core's tables, declared once for hardware, software and documentation.

A packet is a header word and up to 15 payload words of 32 bits; the last word is marked (``TLAST`` on the
host link). Field lists are in order from the least significant bit.
"""

from dataclasses import dataclass
from enum import IntEnum

__all__ = [
    "COUNTERS",
    "DESCRIPTOR",
    "DESCRIPTOR_STRIDE",
    "GROUP",
    "GROUP_STRIDE",
    "HEADER",
    "HOST_KINDS",
    "LINK_COUNTERS",
    "MAX_PAYLOAD",
    "NEED",
    "NO_LABEL",
    "PEER",
    "TAGS",
    "TAPE_SLOT_STRIDE",
    "TAPE_STRIDE",
    "Cause",
    "Fields",
    "Kind",
    "Packet",
    "Region",
    "header",
    "parse_header",
    "payload_range",
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

    def offset(self, name):
        """Bits below a field."""
        return sum(list(self.fields.values())[: list(self.fields).index(name)])

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


HEADER = Fields(kind=4, x=3, y=3, host=1, tag=21)
"""First word of every packet. ``host`` = 1 addresses the host link whatever x and y are."""

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
}


def payload_range(kind):
    """Smallest and largest number of payload words of a kind."""
    return _PAYLOAD[kind]


HOST_KINDS = (Kind.SPIKES, Kind.ERROR, Kind.ERRORS_DONE, Kind.CREDIT, Kind.LABEL, Kind.WRITE, Kind.READ, Kind.UPDATE)
"""Kinds that a core consumes, which the host may send too; link and cores drop all others."""


class Region(IntEnum):
    """Address spaces of a core, one 32-bit word per address."""

    WEIGHT = 0  # address = word * lanes + lane, 16-bit numbers
    GRADIENT = 1  # read only; as WEIGHT: low 32 bits of the exact sum, two's complement in units of the format's lsb
    GRADIENT_HIGH = 2  # read only; as WEIGHT: the sum's bits from 32 on, its sign extended
    VELOCITY = 3  # as WEIGHT
    DESCRIPTOR = 4  # address = slice * DESCRIPTOR_STRIDE + word of DESCRIPTOR
    NEED = 5  # address = slice
    GROUP = 6  # address = entry * GROUP_STRIDE + word of GROUP
    PEER = 7  # address = entry
    TAPE = 8  # address = slot * TAPE_SLOT_STRIDE + step * TAPE_STRIDE + tape word; writes spikes, masks 0
    CONTROL = 9  # 0: bit 0 = skipping off; 1: a write clears all counters and the saturation flag
    COUNTER = 10  # read only; address = index in COUNTERS (of a core, or LINK_COUNTERS at the host link)


DESCRIPTOR_STRIDE = 16
GROUP_STRIDE = 4
TAPE_STRIDE = 512
TAPE_SLOT_STRIDE = 16 * TAPE_STRIDE
"""Addresses from one step's and from one slot's tape words to the next one's in region TAPE."""


class Cause(IntEnum):
    """Why a packet was dropped."""

    KIND = 1  # unknown kind, or one that is not for this receiver
    LENGTH = 2  # number of payload words does not fit the kind (truncated or overlong)
    ADDRESS = 3  # no such core
    FIELD = 4  # a slice, slot, step, word, neuron, region or address that does not exist here
    STATE = 5  # not now: sample slot not free, memory access while engines run, update without end


NEED = Fields(inputs=14, credits=6, markers=6, label=1, steps=5)
"""Per slice: SPIKES packets per step of a sample, consumers that give credits, consumers that send ERRORS_DONE, loss on
chip, steps."""

GROUP = Fields(tape=9, channels=14, row_base=17, tap_stride=17, row_stride=17, constant=1, x=3, y=3, neuron=14)
"""Inputs of a slice that come from one producer (the host, or one slice of the layer before), or its bias.

Their bits lie in the tape from word ``tape`` on, pixel by pixel (row by row), ``channels`` bits each. Of the kernel's
tap (ky, kx), the weights of channel c to the slice's block b of outputs are at address
``row_base + ky * row_stride + kx * tap_stride + c * blocks + b`` in each lane's bank (modulo the address' width).
``constant`` = 1: these inputs are at no pixel; every output gets all of them (the bias; no errors go back).
Errors of the group's n-th bit go to neuron ``neuron + n`` of core (x, y)."""

PEER = Fields(x=3, y=3, host=1, slice=4, word=9)
"""A destination of spikes (slice and first tape word there) or a source (slice there)."""

DESCRIPTOR = Fields(
    # Inputs: ``groups`` entries of the group table from ``groups_base``
    groups_base=8,
    groups=8,
    # Shapes in pixels; a dense slice is one output pixel that sees one input pixel
    in_width=7,
    in_height=7,
    out_width=7,
    out_height=7,
    # An output pixel (y, x) sees kernel x kernel pooled input pixels from (y, x) * stride - padding;
    # a pooled input pixel is pool x pool input pixels
    kernel=4,
    stride=3,
    padding=3,
    pool=5,
    # Outputs: at each pixel ``blocks`` blocks of ``lanes`` channels, the last block with ``last_lanes``
    blocks=13,
    last_lanes=4,
    # The core's number of the first output; its block in each lane's delta memory; its first word in the delta bitmap
    neuron_base=14,
    block_base=14,
    delta_base=10,
    # Weight words of the slice in each lane's bank, for the update
    weight_base=17,
    weight_words=18,
    steps=5,
    # Modes
    replay=1,
    soft=1,
    errors=1,
    loss=1,
    # Numbers: a spike is u >= threshold, the surrogate mask is mask_low <= u <= mask_high
    threshold=16,
    mask_low=16,
    mask_high=16,
    kappa=16,
    reset=16,
    kappa_back=16,
    amplitude=16,
    loss_scale=16,
    minus_rate=16,
    momentum=16,
    # Peer table: destinations of spikes; sources, which get errors, ERRORS_DONE and CREDIT
    targets_base=8,
    targets=8,
    sources_base=8,
    sources=8,
)
"""Run-time description of one layer slice.

Output (pixel p, channel n) is neuron ``neuron_base + p * channels + n``; its delta is in lane ``n % lanes`` at block
``block_base + p * blocks + n // lanes``. ``replay``: all inputs of a pixel fit into the list of the feed-forward
engine, which then finds the spikes once for all blocks; otherwise once for each block.
``soft``: soft reset; ``errors``: send errors to the sources; ``loss``: rate loss on chip instead of received errors.
``reset`` is rr of the soft reset. 16-bit numbers are in the chip's storage format, right-aligned."""

COUNTERS = (
    "cycles",
    "fp_busy",
    "fp_terms",
    "fp_results",
    "fp_stalled",
    "bp_busy",
    "bp_terms",
    "bp_rows",
    "bp_results",
    "bp_stalled",
    "wg_busy",
    "wg_terms",
    "wg_rows",
    "wg_stalled",
    "delta_busy",
    "update_busy",
    "elementwise",
    "fp_no_input",
    "fp_no_credit",
    "no_errors",
    "saturated",
    "dropped",
    "packets_in",
    "packets_out",
    "router_flits",
    "router_stalled",
)
"""Hardware counters of a core, 32 bits each, in the order of their addresses.

``busy`` are cycles with a job, ``terms`` useful terms of all lanes, ``results`` potentials and errors sent, ``rows``
inputs that were worked on because they are masked (BP) and because they spike (WG; a constant one at each pixel),
``stalled`` cycles in which a term was ready and had to wait: for the neuron update (FP), for the network (BP), for a gradient that
is being written (WG). Cycles without a job: the feed-forward thread waits for inputs (``fp_no_input``) or, with inputs,
for a free slot at a consumer (``fp_no_credit``), the backward thread for errors or a label (``no_errors``)."""

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
    return HEADER.pack(kind=kind, x=x, y=y, host=host, tag=TAGS[kind].pack(**tag))


def parse_header(word):
    """``(kind, header fields, tag fields)``; ``ValueError`` for an unknown kind."""
    fields = HEADER.unpack(word)
    kind = Kind(fields["kind"])
    return kind, fields, TAGS[kind].unpack(fields["tag"])
