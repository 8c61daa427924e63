# SPDX-License-Identifier: Apache-2.0
"""The address spaces of a core, and the tables that describe a network to it."""

from enum import IntEnum

from backspike.spec.fields import Fields

__all__ = [
    "DESCRIPTOR",
    "DESCRIPTOR_STRIDE",
    "EXPECTATIONS",
    "EXPECTATIONS_STRIDE",
    "FAN_IN",
    "FAN_IN_STRIDE",
    "ROUTE",
    "TAPE_SLOT_STRIDE",
    "TAPE_STRIDE",
    "Region",
]


class Region(IntEnum):
    """Address spaces of a core, one 32-bit word per address."""

    WEIGHT = 0  # address = word * lanes + lane, 16-bit numbers
    GRADIENT = 1  # read only; as WEIGHT: low 32 bits of the exact sum, two's complement in units of the format's lsb
    GRADIENT_HIGH = 2  # read only; as WEIGHT: the sum's bits from 32 on, its sign extended
    VELOCITY = 3  # as WEIGHT
    DESCRIPTOR = 4  # address = slice * DESCRIPTOR_STRIDE + word of DESCRIPTOR
    EXPECTATION = 5  # address = slice * EXPECTATIONS_STRIDE + word of EXPECTATIONS; a write starts the core anew
    FAN_IN = 6  # address = entry * FAN_IN_STRIDE + word of FAN_IN
    ROUTE = 7  # address = entry
    TAPE = 8  # address = slot * TAPE_SLOT_STRIDE + step * TAPE_STRIDE + tape word; writes spikes
    NOISE = 9  # address = neuron; state of its generator, 16 bits
    CONTROL = 10  # 0: bit 0 = skipping off; 1: a write clears all counters and the saturation flag
    COUNTER = 11  # read only; address = index in COUNTERS (of a core, or LINK_COUNTERS at the host link)


DESCRIPTOR_STRIDE = 16

EXPECTATIONS_STRIDE = 2

FAN_IN_STRIDE = 4

TAPE_STRIDE = 512

TAPE_SLOT_STRIDE = 16 * TAPE_STRIDE
"""Addresses from one step's and from one slot's tape words to the next one's in region TAPE."""

EXPECTATIONS = Fields(inputs=14, credits=6, errors_done=6, label=1, steps=5, tape=9, shared=1)
"""Per slice: packets of spikes per step of a frame, one for each tape word from ``tape`` on, which no other slice has;
consumers that give credits, consumers that send ERRORS_DONE, loss on chip, steps of a frame; ``shared``: it takes
inputs that go to many cores."""

FAN_IN = Fields(tape=9, channels=14, row_base=17, tap_stride=17, row_stride=17, constant=1, x=3, y=3, neuron=14)
"""Inputs of a slice that come from one producer (the host, or one slice of the layer before), or its bias.

Their bits lie in the tape from word ``tape`` on, pixel by pixel (row by row), ``channels`` bits each. Of the kernel's
tap (ky, kx), the weights of channel c to the slice's block b of outputs are at address
``row_base + ky * row_stride + kx * tap_stride + c * blocks + b`` in each lane's bank (modulo the address' width).
``constant`` = 1: these inputs are at no pixel; every output gets all of them (the bias, which gets no errors; inputs
that only get errors, ``DESCRIPTOR.groups``).
Errors of the group's n-th bit go to neuron ``neuron + n`` of core (x, y), or with this number to the host."""

ROUTE = Fields(x=3, y=3, host=1, slice=4, word=9, noise=1)
"""A destination of spikes (slice and first tape word there) or a source (slice there).

``noise``: it gets noise in place of spikes, a bit where the threshold was lowered and the mask is set; 0 in chips
without noise."""

DESCRIPTOR = Fields(
    # Inputs: ``fan_in`` entries of the fan-in table from ``fan_in_base``; those behind them, up to ``groups`` in all,
    # only get errors
    fan_in_base=8,
    fan_in=8,
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
    # The first output's block in each lane's delta memory, and so the core's number of it; its first word in the bitmap
    block_base=14,
    delta_base=10,
    # Weight words of the slice in each lane's bank, for the update
    weight_base=17,
    weight_words=18,
    steps=5,
    # Modes
    replay=1,
    soft=1,
    errors=2,
    loss=2,
    sign=1,
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
    rest=16,
    decay=16,
    # Route table: destinations of spikes; sources, which get errors, ERRORS_DONE and CREDIT
    targets_base=8,
    targets=8,
    sources_base=8,
    sources=8,
    # Operands of gradients; no use in a chip whose operands are spikes. ``tape_words`` words from ``tape`` on: inputs
    # with traces (0: none has), in frames of one step; ``leak``: in units of 1 / 256; ``one``: what a spike counts;
    # ``bias``: what an input at no pixel counts
    tape=9,
    tape_words=10,
    leak=9,
    one=8,
    bias=8,
    # Counts of neurons' own spikes; no use in that chip either. ``sample``: steps of a sample; ``clamp``: see below
    sample=8,
    clamp=1,
    # Noise; no use in a chip without: the threshold in frames for training, by the bit that the neuron's generator has;
    # ``learning``: the groups behind the ``fan_in`` ones get gradients too
    threshold_raised=16,
    threshold_lowered=16,
    learning=1,
)
"""Run-time description of one layer slice.

Output (pixel p, channel n) is neuron ``block_base * lanes + p * channels + n``; its delta is in lane ``n % lanes`` at
block ``block_base + p * blocks + n // lanes``. ``replay``: all inputs of a pixel fit into the list of the feed-forward
engine, which then finds the spikes once for all blocks; otherwise once for each block.
``steps``: of a frame; ``soft``: soft reset; ``errors``: 0 none are sent to the sources, 1 those of the ``fan_in``
groups are, which are then all groups, 2 those of the groups behind them, 3 as 1, but to the host; ``loss``: 0 the
errors are received, 1 they are those of the frame's spike rate, 2 those of each step, 3 those of the sample's spike
rate at its end, on chip.
``clamp``, with the soft reset, in frames for training: the mask is mask_low <= I <= mask_high, where
I = round(kappa u[t-1] + sum + reset (N - s[t-1])) and N is the number of the neuron's spikes before step t in the
sample. In a frame of BACK the mask is 0 < N < ``sample``; with a loss it is set. Counts are modulo 2**operand_bits, and
so is what a target has too few.
``reset`` is rr of the soft reset. Update: V = round(momentum V + G), W = round(decay W + minus_rate V). With ``sign``,
for which the velocities must be there, V = round(momentum V + G + rest V), W = round(decay W + minus_rate c), where
c is the sign of the exact momentum V + G with the old V. 16-bit numbers are in the chip's storage format,
right-aligned."""
