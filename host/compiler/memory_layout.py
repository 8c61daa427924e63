# SPDX-License-Identifier: Apache-2.0
"""Where everything of a placed network lies in the cores' memories: slices, groups of inputs, weight rows, routes."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from enum import Enum
from itertools import pairwise
from typing import Final

import numpy as np

from backspike.golden.layers import Layer
from backspike.golden.network import Network
from backspike.host.compiler.capacity import check_cut, check_memories, words_of
from backspike.host.compiler.geometry import Core, flat, input_rows, output_order, pixels, window
from backspike.host.compiler.partition import Piece
from backspike.spec.config import ChipConfig
from backspike.spec.tables import FAN_IN

__all__ = ["HOST", "Group", "Host", "Slice", "lay_out", "row_order"]


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
    order : array of int64 [outputs]
        The golden model's numbers of its outputs.
    sources : tuple of Slice or HOST
        The producing slices; ``(HOST,)`` for the first layer.
    targets : list of (Slice or HOST, int)
        Consuming slice, ``HOST`` for the last layer, and first tape word there.
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
    targets: "list[tuple[Slice | Host, int]]" = field(repr=False, default_factory=list)
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
        """Words of weights in each lane's bank."""
        return self.rows * self.blocks

    @property
    def delta_words(self) -> int:
        """Words of the delta bitmap."""
        return -(-self.pixels * self.blocks // 32)

    @property
    def neuron_base(self) -> int:
        """The core's number of the first output."""
        return self.block_base * self.lanes

    @property
    def external_words(self) -> int:
        """Tape words that producers send, per step."""
        return sum(group.words for group in self.groups if group.origin is not None)

    @property
    def tape_words(self) -> int:
        """Tape words of all groups, per step."""
        return sum(group.words for group in self.groups)


_START = {"index": 0, "block": 0, "weight": 0, "tape": 0, "delta": 0, "group": 0}


def lay_out(network: Network, config: ChipConfig, pieces: Sequence[Piece]) -> list[list[Slice]]:
    """Slices by layer, in order of their channels, of the placement ``pieces``.

    Raises
    ------
    ValueError
        The pieces are not a cut of the network on this mesh.
    CapacityError
        A core's memories, or a field of a packet or a table, cannot hold the result.
    """
    check_cut(network, config, pieces)
    used: dict[Core, dict[str, int]] = {}
    layers: list[list[Slice]] = []
    for number, layer in enumerate(network.layers):
        own = []
        for piece in sorted((p for p in pieces if p.layer == number), key=lambda p: p.first):
            room = used.setdefault((piece.x, piece.y), dict(_START))
            own.append(_slice(layer, config, piece, room, layers[-1] if layers else []))
        layers.append(own)
    _connect(layers)
    check_memories(config, layers)
    return layers


def _groups(
    layer: Layer, config: ChipConfig, blocks: int, room: dict[str, int], producers: Sequence[Slice]
) -> Iterator[Group]:
    """The groups of a slice with this many blocks, from where its core's memories are free."""
    tape, row = room["tape"], room["weight"]
    plain, field_end = flat(layer), 1 << FAN_IN.fields["row_stride"]
    origins: Sequence[Slice | Host] = producers or [HOST]
    for origin in origins:
        if isinstance(origin, Host):
            channels, neuron = layer.in_channels, None
        else:
            channels, neuron = origin.outputs if plain else origin.channels, origin.neuron_base
        most = config.list_depth if plain else channels  # a piece ends at a word's end, as the depth is a power of two
        for start in range(0, channels, most):
            count = min(most, channels - start)
            tap = count * blocks
            words = words_of(count * layer.in_height * layer.in_width)
            yield Group(
                origin,
                tape,
                words,
                count,
                row,
                tap % field_end,
                0 if layer.kernel == 1 else layer.kernel * tap % field_end,
                0 if neuron is None else neuron + start,
            )
            tape, row = tape + words, row + layer.kernel**2 * tap
    if layer.bias:
        yield Group(None, tape, 1, 1, row)


def _slice(layer: Layer, config: ChipConfig, piece: Piece, room: dict[str, int], producers: Sequence[Slice]) -> Slice:
    blocks, count = -(-piece.channels // config.lanes), pixels(layer)
    groups = tuple(_groups(layer, config, blocks, room, producers))
    inputs = sum(group.channels * (window(layer) if group.origin is not None else 1) for group in groups)
    result = Slice(
        layer=piece.layer,
        x=piece.x,
        y=piece.y,
        index=room["index"],
        first=piece.first,
        channels=piece.channels,
        pixels=count,
        rows=layer.shape[0],
        lanes=config.lanes,
        replay=inputs <= config.list_depth,
        block_base=room["block"],
        weight_base=room["weight"],
        tape_base=room["tape"],
        delta_base=room["delta"],
        fan_in_base=room["group"],
        groups=groups,
        order=output_order(layer, piece.first, piece.channels),
        sources=tuple(producers) or (HOST,),
    )
    room["index"] += 1
    room["block"] += count * blocks
    room["weight"] += result.weight_words
    room["tape"] += result.tape_words
    room["delta"] += result.delta_words
    room["group"] += len(groups)
    return result


def row_order(network: Network, layers: Sequence[Sequence[Slice]], number: int) -> np.ndarray:
    """Golden weight rows of a layer in the order in which all its slices keep them, [rows]."""
    layer = network.layers[number]
    before = network.layers[number - 1] if number else None
    producers = [(part.first, part.channels) for part in layers[number - 1]] if number else [(0, layer.in_channels)]
    rows = [input_rows(layer, before, first, channels) for first, channels in producers]
    return np.concatenate([*rows, np.arange(layer.shape[0] - bool(layer.bias), layer.shape[0])])


def _connect(layers: Sequence[Sequence[Slice]]) -> None:
    """Fill targets, and give every slice its range of its core's route table."""
    for producers, consumers in pairwise(layers):
        offset = 0
        for producer in producers:
            producer.targets.extend((consumer, consumer.tape_base + offset) for consumer in consumers)
            offset += producer.words
    offset = 0
    for last in layers[-1]:
        last.targets.append((HOST, offset))
        offset += last.words
    entries: dict[Core, int] = {}
    for part in (s for slices in layers for s in slices):
        base = entries.get(part.core, 0)
        object.__setattr__(part, "targets_base", base)
        object.__setattr__(part, "sources_base", base + len(part.targets))
        entries[part.core] = base + len(part.targets) + len(part.sources)
