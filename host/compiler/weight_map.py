# SPDX-License-Identifier: Apache-2.0
"""Weights, gradients and velocities between the golden model's arrays and the words of the cores' memories."""

from collections.abc import Iterator, Mapping, Sequence

import numpy as np
from numpy.typing import ArrayLike

from backspike.golden.network import Network
from backspike.host.compiler.memory_layout import row_order
from backspike.host.compiler.slices import Slice
from backspike.spec.config import ChipConfig
from backspike.spec.formats import Format
from backspike.spec.packets import MAX_PAYLOAD, Kind, Packet, Place
from backspike.spec.tables import Region

__all__ = ["WeightMap", "encode_weights", "read_packets", "write_packets"]

_STEP = MAX_PAYLOAD - 1


def write_packets(x: int, y: int, region: Region, address: int, words: Sequence[int] | np.ndarray) -> list[Packet]:
    """``WRITE`` packets of consecutive words from ``address``."""
    return [
        Packet(Kind.WRITE, {"region": region}, (address + k, *map(int, words[k : k + _STEP])), x, y)
        for k in range(0, len(words), _STEP)
    ]


def read_packets(x: int, y: int, region: Region, start: int, end: int) -> list[Packet]:
    """``READ`` packets of the words from address ``start`` to the one before ``end``."""
    return [
        Packet(Kind.READ, {"region": region, "count": min(_STEP, end - address)}, (address,), x, y)
        for address in range(start, end, _STEP)
    ]


def encode_weights(
    network: Network, fmt: Format, weights: Sequence[ArrayLike], what: str = "weights"
) -> list[np.ndarray]:
    """Bit patterns of weights.

    Parameters
    ----------
    network : Network
        The layers.
    fmt : Format
        Of the numbers.
    weights : sequence of array of float64
        One for each layer, as ``layer.shape``.
    what : str
        Word for them in errors.

    Raises
    ------
    ValueError
        An array is missing or of another shape, or the format cannot hold a number: its layer and index are named.
    """
    layers = network.layers
    if len(weights) != len(layers):
        raise ValueError(f"{what} must have one array per layer, {len(layers)}, not {len(weights)}")
    patterns = []
    for number, (given, layer) in enumerate(zip(weights, layers, strict=True)):
        values = np.asarray(given, dtype=np.float64)
        if values.shape != layer.shape:
            raise ValueError(f"{what} of layer {number} must have shape {layer.shape}, not {values.shape}")
        bad = ~np.isfinite(values)
        bad |= fmt.round(np.where(bad, 0, values)) != values
        if bad.any():
            index = tuple(int(k) for k in np.argwhere(bad)[0])
            value = float(values[index])
            raise ValueError(f"{what} of layer {number} must be finite numbers of {fmt}, not {value!r} at {index}")
        patterns.append(fmt.encode(values))
    return patterns


class WeightMap:
    """Where each weight of a placed network lies.

    Parameters
    ----------
    network : Network
        The layers.
    config : ChipConfig
        The chip.
    layers : sequence of sequence of Slice
        Slices by layer, from ``memory_layout.lay_out``.
    """

    def __init__(self, network: Network, config: ChipConfig, layers: Sequence[Sequence[Slice]]) -> None:
        self._network, self._config = network, config
        self._slices = sorted((part for own in layers for part in own), key=lambda part: (part.core, part.index))
        self._orders = [row_order(network, layers, number) for number in range(len(layers))]

    def encode(self, weights: Sequence[ArrayLike], what: str = "weights") -> list[np.ndarray]:
        """See ``encode_weights``."""
        return encode_weights(self._network, self._config.format, weights, what)

    def packets(self, weights: Sequence[ArrayLike], region: Region = Region.WEIGHT) -> list[Packet]:
        """``WRITE`` packets of the weights, or of velocities; padding lanes get 0."""
        patterns = self.encode(weights, "velocities" if region == Region.VELOCITY else "weights")
        packets: list[Packet] = []
        for part in self._slices:
            image = np.zeros((part.rows, part.blocks * part.lanes), dtype=np.uint32)
            own = patterns[part.layer][:, part.first : part.first + part.channels]
            image[:, : part.channels] = own[self._orders[part.layer]]
            packets += write_packets(part.x, part.y, region, part.weight_base * part.lanes, image.ravel())
        return packets

    def feedback_packets(self, matrices: Sequence[np.ndarray]) -> list[Packet]:
        """``WRITE`` packets of what brings errors of the last layer to each hidden one, [outputs, N] each."""
        fmt, packets = self._config.format, list[Packet]()
        for part, base, layer, neurons in self._feedback():
            image = np.zeros((len(neurons), part.blocks * part.lanes), dtype=np.uint32)
            rows = matrices[layer][part.first : part.first + part.channels]
            image[:, : part.channels] = fmt.encode(rows[:, neurons]).T
            packets += write_packets(part.x, part.y, Region.WEIGHT, base, image.ravel())
        return packets

    def _feedback(self) -> Iterator[tuple[Slice, int, int, np.ndarray]]:
        """For each group that only gets errors: slice, first address, layer and golden numbers of its neurons."""
        for part in self._slices:
            for group in part.feedback:
                if isinstance(owner := group.origin, Slice):
                    first = group.neuron - owner.neuron_base
                    neurons = owner.order[first : first + group.channels]
                    yield part, group.row_base * part.lanes, owner.layer, neurons

    def feedback_reads(self, region: Region) -> dict[Place, list[Packet]]:
        """``READ`` packets that fetch all feedback, or its gradients or velocities, by core."""
        reads: dict[Place, list[Packet]] = {}
        for part in self._slices:
            if part.feedback:
                base = part.feedback_base * part.lanes
                span = base, base + part.feedback_words * part.lanes
                reads.setdefault(part.core, []).extend(read_packets(part.x, part.y, region, *span))
        return reads

    def feedback_words(self, memory: Mapping[Place, Mapping[int, int]]) -> list[np.ndarray]:
        """Per hidden layer, the int64 words of the shape of its feedback, from ``memory[(x, y)][address]``."""
        outputs = self._network.outputs
        result = [np.empty((outputs, layer.outputs), dtype=np.int64) for layer in self._network.layers[:-1]]
        for part, base, layer, neurons in self._feedback():
            width, words = part.blocks * part.lanes, memory[part.core]
            image = np.array([words[base + k] for k in range(len(neurons) * width)]).reshape(-1, width)
            result[layer][part.first : part.first + part.channels, neurons] = image[:, : part.channels].T
        return result

    def reads(self, region: Region) -> dict[Place, list[Packet]]:
        """``READ`` packets that fetch all of a region of weights, gradients or velocities, by core."""
        reads: dict[Place, list[Packet]] = {part.core: [] for part in self._slices}
        for part in self._slices:
            span = part.weight_base * part.lanes, (part.weight_base + part.weight_words) * part.lanes
            reads[part.core] += read_packets(part.x, part.y, region, *span)
        return reads

    def words(self, memory: Mapping[Place, Mapping[int, int]]) -> list[np.ndarray]:
        """Per layer, the int64 words of the shape of its weights, from ``memory[(x, y)][address]``."""
        result = [np.empty(layer.shape, dtype=np.int64) for layer in self._network.layers]
        for part in self._slices:
            base, width = part.weight_base * part.lanes, part.blocks * part.lanes
            words = memory[part.core]
            image = np.array([words[base + k] for k in range(part.rows * width)], dtype=np.int64).reshape(-1, width)
            own = result[part.layer][:, part.first : part.first + part.channels]
            own[self._orders[part.layer]] = image[:, : part.channels]
        return result
