# SPDX-License-Identifier: Apache-2.0
"""Cuts that fill one core after the other, layer by layer, up to a limit of work: few slices, short ways."""

from collections.abc import Sequence

import numpy as np

from backspike.golden.layers import Layer
from backspike.host.compiler.capacity import words_of
from backspike.host.compiler.geometry import flat, pixels
from backspike.host.compiler.partition import Partition
from backspike.spec.config import ChipConfig

__all__ = ["Room", "greedy_fill", "tape_and_groups"]


class Room:
    """What is left of one core's memories while it is filled.

    Parameters
    ----------
    config : ChipConfig
        What an empty core has.
    """

    def __init__(self, config: ChipConfig) -> None:
        self.rows = config.weights // config.lanes
        self.blocks = config.neurons // config.lanes
        self.tape, self.groups, self.slices, self.routes = (
            config.tape_words,
            config.fan_in,
            config.slices,
            config.routes,
        )

    def most(self, layer: Layer, tape: int, groups: int, routes: int) -> int:
        """Blocks of one new slice of a layer that fit, if it has this many tape words, groups and routes; 0 or more."""
        if self.slices < 1 or self.tape < tape or self.groups < groups or self.routes < routes:
            return 0
        return min(self.rows // layer.shape[0], self.blocks // pixels(layer))

    def take(self, layer: Layer, blocks: int, tape: int, groups: int, routes: int) -> None:
        """Take the room of one slice with this many blocks of lanes."""
        self.rows -= blocks * layer.shape[0]
        self.blocks -= blocks * pixels(layer)
        self.tape -= tape
        self.groups -= groups
        self.slices -= 1
        self.routes -= routes


def tape_and_groups(layer: Layer, before: Layer | None, channels: Sequence[int], config: ChipConfig) -> tuple[int, int]:
    """``(tape words, groups)`` of a slice, bias included.

    Parameters
    ----------
    layer : Layer
        Of the slice.
    before : Layer or None
        The producers' layer; ``None`` for the host.
    channels : sequence of int
        Channels of each producer.
    config : ChipConfig
        The chip.
    """
    outputs = [layer.inputs] if before is None else [pixels(before) * count for count in channels]
    groups = sum(-(-count // config.list_depth) for count in outputs) if flat(layer) else len(outputs)
    return sum(words_of(count) for count in outputs) + layer.bias, groups + layer.bias


def _tables(partition: Partition, limit: float) -> list[np.ndarray]:
    """Load parts of one slice of each layer by its units, [units + 1, 4], in a cut of about this limit."""
    layers = partition.network.layers
    count = np.ones(len(layers))
    whole = [
        _single(partition, number, np.array([partition.counts[number]]), count).max() for number in range(len(layers))
    ]
    count = np.clip(np.ceil(np.array(whole) / limit), 1, partition.counts)
    return [_single(partition, number, np.arange(partition.counts[number] + 1), count) for number in range(len(layers))]


def _single(partition: Partition, number: int, units: np.ndarray, count: np.ndarray) -> np.ndarray:
    """Load parts of a slice with ``units`` [n] of a layer, where the other layers have ``count`` slices: [n, 4]."""
    shape = (len(units), len(count), 1)
    own, slices = np.zeros(shape), np.zeros(shape)
    slices[:] = count[:, None]
    slices[:, number] = 1
    own[:, number, 0] = units
    cost, channels = partition.cost, own * partition.unit[number]
    forward, backward, gradients, deltas = cost.engines(own, channels, slices)
    parts = (forward, np.maximum(backward, gradients) + deltas, *cost.ports(channels, slices))
    return np.stack([part[:, number, 0] for part in parts], axis=-1)


def greedy_fill(partition: Partition, cores: int, limit: float) -> np.ndarray | int:
    """Fill one core after the other.

    Parameters
    ----------
    partition : Partition
        Network and chip.
    cores : int
        Cores that may be used.
    limit : float
        Cycles per sample up to which a core is filled.

    Returns
    -------
    array of int64 [layers, cores] or int
        The cut in units, or the number of the first layer without room.
    """
    config, layers = partition.config, partition.network.layers
    tables = _tables(partition, limit) if limit < float("inf") else None
    result = np.zeros((len(layers), cores), dtype=np.int64)
    core, room, left = 0, Room(config), np.full(4, limit)
    channels: list[int] = []
    before = None
    for number, layer in enumerate(layers):
        todo = partition.counts[number]
        own: list[int] = []
        tape, groups = tape_and_groups(layer, before, channels, config)
        routes = (len(channels) or 1) + 1
        while todo:
            units = min(todo, partition.most[number], room.most(layer, tape, groups, routes))
            if tables is not None and units:
                units = int((tables[number][1 : units + 1] <= left).all(axis=-1).sum())
            if not units:
                core += 1
                if core == cores:
                    return number
                room, left = Room(config), np.full(4, limit)
                continue
            room.take(layer, units, tape, groups, routes)
            if tables is not None:
                left = left - tables[number][units]
            result[number, core] += units
            todo -= units
            own.append(min(units * partition.unit[number], layer.out_channels - sum(own)))
        channels, before = own, layer
    return result
