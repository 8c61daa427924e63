# SPDX-License-Identifier: Apache-2.0
"""Cuts that fill one core after the other, layer by layer, up to a limit of work: few slices, short ways."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from backspike.host.compiler.capacity import words_of
from backspike.host.compiler.geometry import FEEDBACK_GROUP, flat, pixels
from backspike.host.compiler.partition import Partition
from backspike.spec.config import ChipConfig

__all__ = ["Needs", "Room", "greedy_fill", "slice_needs"]


@dataclass(frozen=True, kw_only=True)
class Needs:
    """What a slice needs.

    Parameters
    ----------
    rows, pixels : int
        Weights and neurons of each of its blocks, in each lane.
    tape, groups, routes, slices : int
        Tape words, entries of the fan-in table, routes and numbers of slices, however many blocks it has.
    """

    rows: int
    pixels: int
    tape: int
    groups: int
    routes: int
    slices: int


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

    def most(self, needs: Needs) -> int:
        """Blocks of one new slice that fit; 0 or more."""
        if any(getattr(self, name) < getattr(needs, name) for name in ("tape", "groups", "routes", "slices")):
            return 0
        return min(self.rows // needs.rows, self.blocks // needs.pixels)

    def take(self, needs: Needs, blocks: int) -> None:
        """Take the room of one slice with this many blocks of lanes."""
        self.rows -= blocks * needs.rows
        self.blocks -= blocks * needs.pixels
        self.tape -= needs.tape
        self.groups -= needs.groups
        self.slices -= needs.slices
        self.routes -= needs.routes


def slice_needs(partition: Partition, number: int, channels: Sequence[Sequence[int]]) -> Needs:
    """What a slice of a layer needs; of the layers behind it is known that they have a slice at least.

    Parameters
    ----------
    partition : Partition
        Network and chip.
    number : int
        The layer.
    channels : sequence of sequence of int
        Channels of each slice of the layers before it.
    """
    layers, depth = partition.network.layers, partition.config.list_depth
    layer, last, slices = layers[number], len(layers) - 1, 1
    outputs = [[pixels(layers[k]) * count for count in own] for k, own in enumerate(channels)]
    network = partition.network
    inputs = [count for source in network.taken[number] for count in outputs[source]] or [layer.inputs]
    tape = sum(words_of(count) for count in inputs)
    groups = sum(-(-count // depth) for count in inputs) if flat(layer) else len(inputs)
    routes = len(inputs) + max(1, len(network.takers[number]))
    if partition.feedback and number == last:
        tape += sum(words_of(count) for own in (outputs if partition.learned else outputs[:-1]) for count in own)
        slices += partition.learned
        groups += sum(-(-count // FEEDBACK_GROUP) for own in outputs for count in own)
        routes += sum(len(own) for own in outputs[:-1])
    elif partition.feedback and number < last - (not partition.learned):
        routes += 1
    return Needs(
        rows=partition.rows[number],
        pixels=pixels(layer),
        tape=tape + layer.bias,
        groups=groups + layer.bias,
        routes=routes,
        slices=slices,
    )


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
    channels: list[list[int]] = []
    for number, layer in enumerate(layers):
        todo = partition.counts[number]
        own: list[int] = []
        needs = slice_needs(partition, number, channels)
        while todo:
            units = min(todo, partition.most[number], room.most(needs))
            if tables is not None and units:
                units = int((tables[number][1 : units + 1] <= left).all(axis=-1).sum())
            if not units:
                core += 1
                if core == cores:
                    return number
                room, left = Room(config), np.full(4, limit)
                continue
            room.take(needs, units)
            if tables is not None:
                left = left - tables[number][units]
            result[number, core] += units
            todo -= units
            own.append(min(units * partition.unit[number], layer.out_channels - sum(own)))
        channels.append(own)
    return result
