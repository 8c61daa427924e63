# SPDX-License-Identifier: Apache-2.0
"""Parts of layers on cores, and the groups of inputs that they have from each other."""

from dataclasses import dataclass, field
from enum import Enum
from typing import Final

import numpy as np

from backspike.host.compiler.capacity import words_of
from backspike.host.compiler.geometry import Core

__all__ = ["HOST", "Group", "Host", "Slice"]


class Host(Enum):
    """Stands for the host where else a slice stands."""

    HOST = "host"


HOST: Final = Host.HOST
"""Origin of a group that the host sends; the bias has origin ``None``."""


@dataclass(frozen=True)
class Group:
    """Inputs of a slice that come from one producer, or a part of them, or its bias: an entry of ``tables.FAN_IN``.

    Parameters
    ----------
    origin : Slice, HOST or None
        The producer; ``None`` for the bias.
    tape, words : int
        First tape word, and how many.
    channels : int
        Inputs at each pixel.
    row_base, tap_stride, row_stride : int
        Where the weights are, see ``tables.FAN_IN``.
    neuron : int
        The origin core's number of the first input.
    """

    origin: "Slice | Host | None"
    tape: int
    words: int
    channels: int
    row_base: int
    tap_stride: int = 0
    row_stride: int = 0
    neuron: int = 0


@dataclass(frozen=True, eq=False)
class Slice:
    """Output channels ``first`` to ``first + channels - 1`` of a layer on core (x, y), and their place in its memories.

    Parameters
    ----------
    layer, x, y, first, channels : int
        As in ``Piece``.
    index : int
        Number of the slice in the core.
    pixels, lanes : int
        Output pixels of the layer, lanes of the chip.
    rows : int
        Weight rows, the bias among them.
    replay, block_base, weight_base, delta_base, fan_in_base, sources_base, targets_base
        As in ``tables.DESCRIPTOR``.
    tape_base : int
        First tape word.
    groups : tuple of Group
        Where inputs come from, the bias last.
    feedback : tuple of Group
        Of a slice of the last layer, with feedback: the neurons of hidden layers, to which it sends errors.
    learned : bool
        Whether the weights of the feedback learn, from noise of these neurons. They are updated as those of a slice of
        their own, whose number in the core is the next one.
    order : array of int64 [outputs]
        The golden model's numbers of its outputs.
    sources : tuple of Slice or HOST
        The producing slices, with feedback all those of hidden layers; ``(HOST,)`` for the first layer.
    targets : list of (Slice or HOST, int, bool)
        Consuming slice, ``HOST`` for the last layer; first tape word there; whether it gets noise instead of spikes.
    """

    layer: int
    x: int
    y: int
    index: int
    first: int
    channels: int
    pixels: int
    rows: int
    lanes: int
    replay: bool
    block_base: int
    weight_base: int
    tape_base: int
    delta_base: int
    fan_in_base: int
    groups: tuple[Group, ...] = field(repr=False)
    order: np.ndarray = field(repr=False)
    sources: "tuple[Slice | Host, ...]" = field(repr=False)
    feedback: tuple[Group, ...] = field(repr=False, default=())
    learned: bool = False
    targets: "list[tuple[Slice | Host, int, bool]]" = field(repr=False, default_factory=list)
    sources_base: int = 0
    targets_base: int = 0

    @property
    def core(self) -> Core:
        """The core."""
        return self.x, self.y

    @property
    def outputs(self) -> int:
        """Neurons: channels at all pixels."""
        return self.pixels * self.channels

    @property
    def blocks(self) -> int:
        """Blocks of lanes at each pixel."""
        return -(-self.channels // self.lanes)

    @property
    def last_lanes(self) -> int:
        """Channels in the last block, 1 to ``lanes``."""
        return self.channels - (self.blocks - 1) * self.lanes

    @property
    def words(self) -> int:
        """Words of 32 of its outputs, per step."""
        return words_of(self.outputs)

    @property
    def weight_words(self) -> int:
        """Words of weights in each lane's bank, which learn."""
        return self.rows * self.blocks

    @property
    def feedback_base(self) -> int:
        """First word of the feedback in each lane's bank, behind the weights."""
        return self.weight_base + self.weight_words

    @property
    def feedback_words(self) -> int:
        """Words of the feedback in each lane's bank: a row for each neuron that gets errors."""
        return sum(group.channels for group in self.feedback) * self.blocks

    @property
    def indices(self) -> range:
        """Its numbers in the core: its own, and that for the update of a feedback that learns."""
        return range(self.index, self.index + 1 + self.learned)

    @property
    def consumers(self) -> "list[Slice]":
        """The slices among the targets, each once."""
        return list(dict.fromkeys(target for target, _, _ in self.targets if isinstance(target, Slice)))

    @property
    def delta_words(self) -> int:
        """Words of the delta bitmap."""
        return -(-self.pixels * self.blocks // 32)

    @property
    def neuron_base(self) -> int:
        """The core's number of the first output."""
        return self.block_base * self.lanes

    @property
    def input_words(self) -> int:
        """Tape words from which it learns, per step, but for that of the bias: the first ones."""
        return sum(group.words for group in self.groups if group.origin is not None)

    @property
    def external_words(self) -> int:
        """Tape words that producers send, per step: of its inputs, then of neurons that only get errors."""
        return self.tape_words - sum(group.words for group in self.groups if group.origin is None)

    @property
    def tape_words(self) -> int:
        """Tape words of all groups, per step; some may be of two groups."""
        groups = (*self.groups, *self.feedback)
        return max(group.tape + group.words for group in groups) - self.tape_base
