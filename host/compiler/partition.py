# SPDX-License-Identifier: Apache-2.0
"""Cuts of a network as matrices of units, many at a time: what they need, what they cost, which pieces they are.

A cut is an array [layers, cores]: how many units of a layer's channels are on a core. A unit is a block of lanes, or
fewer channels where the engines' lists allow no more. Leading axes are many cuts.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from backspike.golden.network import Network
from backspike.host.compiler.capacity import most_channels, words_of
from backspike.host.compiler.cost_model import CostModel, Density
from backspike.host.compiler.geometry import FEEDBACK_GROUP, Core, feedback_rows, flat, pixels, takes_matrix
from backspike.spec.config import ChipConfig
from backspike.spec.tables import EXPECTATIONS, ROUTE

__all__ = ["Partition", "Piece"]


@dataclass(frozen=True)
class Piece:
    """Output channels ``first`` to ``first + channels - 1`` of a layer on a core.

    Parameters
    ----------
    layer : int
        Number of the layer, from 0.
    x, y : int
        The core.
    first, channels : int
        First of the channels, and how many. Each neuron of a dense layer is a channel.
    """

    layer: int
    x: int
    y: int
    first: int
    channels: int


class Partition:
    """How a network can be cut for a chip.

    Parameters
    ----------
    network : Network
        The layers.
    config : ChipConfig
        The chip.
    densities : sequence of Density
        Of each layer.
    feedback : bool
        Whether errors go from the last layer to each hidden one.
    learned : bool
        Whether what brings them learns, from noise that comes in packets of its own.
    input_errors : bool
        Whether the host gets the errors of the inputs.

    Attributes
    ----------
    rows : list of int
        Rows of weights of a slice, by layer, with those that bring errors to other layers.
    unit : list of int
        Channels of a unit, by layer.
    counts : list of int
        Units, by layer.
    takes : array of int64 [layers, layers]
        1 where the layer of a row takes the spikes of the layer of a column.
    most : list of int
        Units that one slice can have, by layer.
    cost : CostModel
        What estimates loads.
    """

    def __init__(
        self,
        network: Network,
        config: ChipConfig,
        densities: Sequence[Density],
        *,
        feedback: bool = False,
        learned: bool = False,
        input_errors: bool = False,
    ) -> None:
        self.network, self.config, self.densities = network, config, densities
        self.feedback, self.learned = feedback, learned
        how = {"feedback": feedback, "learned": learned, "input_errors": input_errors}
        self.cost = CostModel(network, config, densities, **how)
        layers = network.layers
        self.takes = takes_matrix(network)
        self.rows = [
            layer.shape[0] + feedback_rows(network, number, feedback=feedback) for number, layer in enumerate(layers)
        ]
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
        self._flat = [flat(layer) for layer in layers]
        self._groups = [
            self._table(number, lambda outputs: -(-outputs // config.list_depth)) for number in range(len(layers))
        ]
        back = range(len(layers) - 1) if feedback else ()
        self._back_groups = [self._table(number, lambda outputs: -(-outputs // FEEDBACK_GROUP)) for number in back]
        first = layers[0]
        self._host_words = words_of(first.inputs)
        self._host_groups = -(-first.inputs // config.list_depth) if flat(first) else 1
        self._bias = np.array([layer.bias for layer in layers], dtype=np.int64)
        self._rows = np.array(self.rows)[:, None]
        self._pixels = np.array([pixels(layer) for layer in layers])[:, None]

    def _table(self, number: int, measure: Callable[[int], int]) -> np.ndarray:
        """``measure`` of the outputs of a layer's slices on one core, by their units."""
        neurons = pixels(self.network.layers[number]) * self.unit[number]
        most = self.most[number]
        return np.array(
            [
                units // most * measure(most * neurons) + (measure(units % most * neurons) if units % most else 0)
                for units in range(self.counts[number] + 1)
            ]
        )

    def slices(self, cuts: np.ndarray) -> np.ndarray:
        """Slices of each layer on each core, [..., layers, cores]."""
        return -(-cuts // self._mosts)

    def needs(self, cuts: np.ndarray) -> tuple[dict[str, np.ndarray], np.ndarray, np.ndarray]:
        """What cuts need.

        Parameters
        ----------
        cuts : array of int64 [..., layers, cores]
            Units of each layer on each core.

        Returns
        -------
        use : dict of str to array [..., cores]
            Use of each core by field of ``ChipConfig``.
        slices : array [..., layers]
            Slices of each layer.
        words : array [...]
            The last layer's words of outputs.
        """
        lanes, slices = self.config.lanes, self.slices(cuts)
        counts = slices.sum(axis=-1)
        words, groups = np.empty_like(counts), np.empty_like(counts)
        for number, table in enumerate(self._words):
            own = cuts[..., number, :]
            words[..., number] = table[own].sum(axis=-1) - self._absent[number]
            groups[..., number] = self._groups[number][own].sum(axis=-1)
        takes = self.takes
        tape = words @ takes.T + self._bias
        entries = np.where(self._flat, groups @ takes.T, counts @ takes.T) + self._bias
        tape[..., 0] += self._host_words
        entries[..., 0] += self._host_groups
        routes = counts @ takes.T + counts @ takes
        routes[..., 0] += 1
        routes[..., -1] += 1
        if self.feedback:
            # The layer before the last one sends its spikes there anyway
            others = len(self.network.layers) - (1 if self.learned else 2)
            tape[..., -1] += words[..., :others].sum(axis=-1)
            for number, table in enumerate(self._back_groups):
                entries[..., -1] += table[cuts[..., number, :]].sum(axis=-1)
            routes[..., -1] += counts[..., :-2].sum(axis=-1)
            routes[..., :others] += counts[..., -1:]
        use = {
            "weights": (cuts * self._rows * lanes).sum(axis=-2),
            "neurons": (cuts * self._pixels * lanes).sum(axis=-2),
            "tape_words": (slices * tape[..., None]).sum(axis=-2),
            "fan_in": (slices * entries[..., None]).sum(axis=-2),
            "slices": slices.sum(axis=-2) + slices[..., -1, :] * self.learned,
            "routes": (slices * routes[..., None]).sum(axis=-2),
        }
        return use, counts, words[..., -1]

    def excess(self, cuts: np.ndarray) -> np.ndarray:
        """By how much cuts are beyond memories and fields, as a sum of shares; 0 where they fit, [...]."""
        use, counts, words = self.needs(cuts)
        total = np.zeros(cuts.shape[:-2])
        for name, values in use.items():
            limit = getattr(self.config, name)
            total = total + (np.maximum(values - limit, 0) / limit).sum(axis=-1)
        consumers = (1 << EXPECTATIONS.fields["credits"]) - 1
        last = 1 << ROUTE.fields["word"]
        senders = counts @ self.takes
        if self.feedback:
            senders[..., :-2] += counts[..., -1:]
        total = total + (np.maximum(senders - consumers, 0) / consumers).sum(axis=-1)
        return total + np.maximum(words - last, 0) / last

    def loads(self, cuts: np.ndarray) -> np.ndarray:
        """Load of each core and, last, of the host's link, in cycles per sample: [..., cores + 1]."""
        slices = self.slices(cuts)
        cores = self.cost.loads(cuts, cuts * self._units, slices).max(axis=-2)
        return np.concatenate([cores, self.cost.link(slices)[..., None]], axis=-1)

    def pieces(self, cut: np.ndarray, cores: Sequence[Core]) -> list[Piece]:
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
