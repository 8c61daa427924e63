# SPDX-License-Identifier: Apache-2.0
"""Cuts of a network as matrices of units, many at a time: what they need, what they cost, which pieces they are.

A cut is an array [layers, cores]: how many units of a layer's channels are on a core. A unit is a block of lanes, or
fewer channels where the engines' lists allow no more. Leading axes are many cuts.
"""

from dataclasses import dataclass

import numpy as np

from backspike.host.compiler.capacity import most_channels, words_of
from backspike.host.compiler.cost_model import Work
from backspike.host.compiler.geometry import flat, pixels
from backspike.spec.tables import EXPECTATIONS, ROUTE

__all__ = ["Cuts", "Piece"]


@dataclass(frozen=True)
class Piece:
    """Output channels ``first`` to ``first + channels - 1`` of layer ``layer`` (from 0) on core (x, y).

    Each neuron of a dense layer is a channel.
    """

    layer: int
    x: int
    y: int
    first: int
    channels: int


class Cuts:
    """The cuts of a network on a chip.

    Attributes
    ----------
    unit: channels of a unit by layer
    counts: units by layer
    most: units that one slice can have, by layer
    work: the ``Work`` that estimates loads
    """

    def __init__(self, network, config, densities):
        self.network, self.config, self.densities = network, config, densities
        self.work = Work(network, config, densities)
        layers = network.layers
        most = [most_channels(network, config, number) for number in range(len(layers))]
        self.unit = [min(config.lanes, channels) for channels in most]
        self.counts = [-(-layer.out_channels // unit) for layer, unit in zip(layers, self.unit, strict=True)]
        self.most = [
            count if channels >= layer.out_channels else channels // unit
            for layer, channels, unit, count in zip(layers, most, self.unit, self.counts, strict=True)
        ]
        self._units, self._mosts = np.array(self.unit)[:, None], np.array(self.most)[:, None]
        self._words = [self._table(number, words_of) for number in range(len(layers))]
        # Words of the last unit's channels that do not exist
        missing = [
            unit * count - layer.out_channels for layer, unit, count in zip(layers, self.unit, self.counts, strict=True)
        ]
        self._absent = [pixels(layer) * channels // 32 for layer, channels in zip(layers, missing, strict=True)]
        after = [flat(layer) for layer in layers[1:]] + [False]
        self._groups = [
            self._table(number, lambda outputs: -(-outputs // config.list_depth)) if after[number] else None
            for number in range(len(layers))
        ]
        first = layers[0]
        self._host_words = words_of(first.inputs)
        self._host_groups = -(-first.inputs // config.list_depth) if flat(first) else 1
        self._bias = np.array([layer.bias for layer in layers], dtype=np.int64)
        self._rows = np.array([layer.shape[0] for layer in layers])[:, None]
        self._pixels = np.array([pixels(layer) for layer in layers])[:, None]

    def _table(self, number, measure):
        """``measure`` of the outputs of a layer's slices on one core, by their units."""
        neurons = pixels(self.network.layers[number]) * self.unit[number]
        most = self.most[number]
        return np.array(
            [
                units // most * measure(most * neurons) + (measure(units % most * neurons) if units % most else 0)
                for units in range(self.counts[number] + 1)
            ]
        )

    def slices(self, cuts):
        """Slices of each layer on each core."""
        return -(-cuts // self._mosts)

    def needs(self, cuts):
        """What cuts need: ``({field of ChipConfig: use of each core [..., cores]}, slices, words)``.

        ``slices`` [..., layers] counts the slices of each layer, ``words`` [...] the last layer's words of outputs.
        """
        lanes, slices = self.config.lanes, self.slices(cuts)
        counts = slices.sum(axis=-1)
        words = [np.full_like(counts[..., 0], self._host_words)]
        groups = [np.full_like(counts[..., 0], self._host_groups)]
        for number, table in enumerate(self._words):
            own = cuts[..., number, :]
            words.append(table[own].sum(axis=-1) - self._absent[number])
            of_groups = self._groups[number]
            groups.append(counts[..., number] if of_groups is None else of_groups[own].sum(axis=-1))
        words, groups = np.stack(words, axis=-1), np.stack(groups, axis=-1)
        host = np.ones_like(counts[..., :1])
        routes = np.concatenate([host, counts[..., :-1]], axis=-1) + np.concatenate([counts[..., 1:], host], axis=-1)
        use = {
            "weights": (cuts * self._rows * lanes).sum(axis=-2),
            "neurons": (cuts * self._pixels * lanes).sum(axis=-2),
            "tape_words": (slices * (words[..., :-1] + self._bias)[..., None]).sum(axis=-2),
            "fan_in": (slices * (groups[..., :-1] + self._bias)[..., None]).sum(axis=-2),
            "slices": slices.sum(axis=-2),
            "routes": (slices * routes[..., None]).sum(axis=-2),
        }
        return use, counts, words[..., -1]

    def excess(self, cuts):
        """By how much cuts are beyond memories and fields, as a sum of shares; 0 where they fit, [...]."""
        use, counts, words = self.needs(cuts)
        total = np.zeros(cuts.shape[:-2])
        for name, values in use.items():
            limit = getattr(self.config, name)
            total = total + (np.maximum(values - limit, 0) / limit).sum(axis=-1)
        consumers = (1 << EXPECTATIONS.fields["credits"]) - 1
        last = 1 << ROUTE.fields["word"]
        total = total + (np.maximum(counts[..., 1:] - consumers, 0) / consumers).sum(axis=-1)
        return total + np.maximum(words - last, 0) / last

    def loads(self, cuts):
        """Load of each core and, last, of the host's link, in cycles per sample: [..., cores + 1]."""
        slices = self.slices(cuts)
        cores = self.work.loads(cuts, cuts * self._units, slices).max(axis=-2)
        return np.concatenate([cores, self.work.link(slices)[..., None]], axis=-1)

    def pieces(self, cut, cores):
        """The pieces of one cut; ``cores`` are the coordinates of its columns."""
        pieces = []
        for number, layer in enumerate(self.network.layers):
            first = 0
            for (x, y), units in zip(cores, cut[number].tolist(), strict=True):
                for done in range(0, units, self.most[number]):
                    own = min(units - done, self.most[number]) * self.unit[number]
                    channels = min(own, layer.out_channels - first)
                    pieces.append(Piece(number, x, y, first, channels))
                    first += channels
        return pieces
