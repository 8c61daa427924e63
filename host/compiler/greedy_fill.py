# SPDX-License-Identifier: Apache-2.0
"""Cuts that fill one core after the other, layer by layer, up to a limit of work: few slices, short ways."""

import numpy as np

from backspike.host.compiler.capacity import words_of
from backspike.host.compiler.geometry import flat, pixels

__all__ = ["Room", "fill", "tape_and_groups"]


class Room:
    """What is left of one core's memories while it is filled."""

    def __init__(self, config):
        self.rows = config.weights // config.lanes
        self.blocks = config.neurons // config.lanes
        self.tape, self.groups, self.slices, self.routes = (
            config.tape_words,
            config.fan_in,
            config.slices,
            config.routes,
        )

    def most(self, layer, tape, groups, routes):
        """Blocks of one new slice of a layer that fit, if it has this many tape words, groups and routes; 0 or more."""
        if self.slices < 1 or self.tape < tape or self.groups < groups or self.routes < routes:
            return 0
        return min(self.rows // layer.shape[0], self.blocks // pixels(layer))

    def take(self, layer, blocks, tape, groups, routes):
        self.rows -= blocks * layer.shape[0]
        self.blocks -= blocks * pixels(layer)
        self.tape -= tape
        self.groups -= groups
        self.slices -= 1
        self.routes -= routes


def tape_and_groups(layer, before, channels, config):
    """``(tape words, groups)`` of a slice, bias included, from the channels of the producers (``None``: the host).

    ``before`` is the producers' layer.
    """
    outputs = [layer.inputs] if before is None else [pixels(before) * count for count in channels]
    groups = sum(-(-count // config.list_depth) for count in outputs) if flat(layer) else len(outputs)
    return sum(words_of(count) for count in outputs) + layer.bias, groups + layer.bias


def _tables(cuts, limit):
    """Load parts of one slice of each layer by its units, [units + 1, 4], in a cut of about this limit."""
    layers = cuts.network.layers
    count = np.ones(len(layers))
    whole = [_single(cuts, number, np.array([cuts.counts[number]]), count).max() for number in range(len(layers))]
    count = np.clip(np.ceil(np.array(whole) / limit), 1, cuts.counts)
    return [_single(cuts, number, np.arange(cuts.counts[number] + 1), count) for number in range(len(layers))]


def _single(cuts, number, units, count):
    """Load parts of a slice with ``units`` [n] of a layer, where the other layers have ``count`` slices: [n, 4]."""
    shape = (len(units), len(count), 1)
    own, slices = np.zeros(shape), np.zeros(shape)
    slices[:] = count[:, None]
    slices[:, number] = 1
    own[:, number, 0] = units
    work, channels = cuts.work, own * cuts.unit[number]
    forward, backward, gradients, deltas = work.engines(own, channels, slices)
    parts = (forward, np.maximum(backward, gradients) + deltas, *work.ports(channels, slices))
    return np.stack([part[:, number, 0] for part in parts], axis=-1)


def fill(cuts, cores, limit):
    """The cut from filling cores up to ``limit`` cycles each, or the number of the first layer without room."""
    config, layers = cuts.config, cuts.network.layers
    tables = _tables(cuts, limit) if limit < float("inf") else None
    result = np.zeros((len(layers), cores), dtype=np.int64)
    core, room, left = -1, None, None
    channels, before = None, None
    for number, layer in enumerate(layers):
        todo, own = cuts.counts[number], []
        tape, groups = tape_and_groups(layer, before, channels, config)
        routes = (len(channels) if channels else 1) + 1
        while todo:
            units = 0
            if room:
                units = min(todo, cuts.most[number], room.most(layer, tape, groups, routes))
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
            own.append(min(units * cuts.unit[number], layer.out_channels - sum(own)))
        channels, before = own, layer
    return result
