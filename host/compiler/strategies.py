# SPDX-License-Identifier: Apache-2.0
"""Strategies: which core computes which channels of which layer, as a list of ``Piece``."""

import random
from collections.abc import Sequence

from backspike.host.compiler.capacity import CapacityError, most_channels
from backspike.host.compiler.capacity_advice import capacity_advice
from backspike.host.compiler.geometry import Core
from backspike.host.compiler.greedy_fill import Room, slice_needs
from backspike.host.compiler.local_search import best_cut
from backspike.host.compiler.partition import Partition, Piece

__all__ = ["balanced", "path", "shuffled"]


def path(columns: int, rows: int, *, chain: bool = False) -> list[Core]:
    """All cores (x, y), each one hop from the one before, row by row from (0, 0), in a mesh or a chain."""
    return [(x if chain or y % 2 == 0 else columns - 1 - x, y) for y in range(rows) for x in range(columns)]


def balanced(partition: Partition, cores: Sequence[Core]) -> list[Piece]:
    """The placement whose busiest core has the least estimated load; ``CapacityError`` where none fits."""
    cut = best_cut(partition, len(cores))
    if isinstance(cut, int):
        raise CapacityError(capacity_advice(partition, len(cores), cut))
    return partition.pieces(cut, cores)


def shuffled(partition: Partition, cores: Sequence[Core], seed: int) -> list[Piece]:
    """A random placement: other cuts, other cores, other orders than ``balanced``; the same for the same seed.

    ``CapacityError`` where ``balanced`` finds none.
    """
    draw = random.Random(seed)
    cores = list(cores)
    draw.shuffle(cores)
    base = balanced(partition, cores)
    for _ in range(20):
        order = list(cores)
        draw.shuffle(order)
        pieces = _random(partition, order, draw)
        if pieces:
            return pieces
    return base


def _random(partition: Partition, cores: Sequence[Core], draw: random.Random) -> list[Piece] | None:
    """One try of ``shuffled``: cut every layer at random, put every piece on a random core with room, or ``None``."""
    network, config = partition.network, partition.config
    rooms = {core: Room(config) for core in cores}
    pieces: list[Piece] = []
    channels: list[list[int]] = []
    for number, layer in enumerate(network.layers):
        most, outputs = most_channels(network, config, number), layer.out_channels
        own: list[Piece] = []
        limit = max(1, min(outputs, 2 * len(cores), config.routes // 2 - 1, config.slices))
        cuts = sorted(draw.sample(range(1, outputs), min(draw.randint(1, limit), outputs) - 1))
        needs = slice_needs(partition, number, channels)
        for first, end in zip([0, *cuts], [*cuts, outputs], strict=True):
            at, order = first, list(cores)
            draw.shuffle(order)
            for core in order:
                while at < end and (blocks := rooms[core].most(needs)):
                    count = min(end - at, blocks * config.lanes, most)
                    rooms[core].take(needs, -(-count // config.lanes))
                    own.append(Piece(number, *core, at, count))
                    at += count
            if at < end:
                return None
        pieces += own
        channels.append([piece.channels for piece in own])
    return pieces
