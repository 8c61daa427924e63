# SPDX-License-Identifier: Apache-2.0
"""Estimated work of a placement: cycles per training sample of each core's engines and network port.

The estimate is for balancing and reports; results of the chip do not depend on it. It knows the useful terms and the
least that an engine spends on finding them, not how engines wait for each other.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from backspike.golden.network import Network
from backspike.host.compiler.geometry import pixels, takes_matrix, tap_count, window
from backspike.spec.checks import check_number
from backspike.spec.config import ChipConfig

__all__ = ["PARTS", "CostModel", "Density", "layer_densities"]

PARTS = ("forward", "backward", "port_in", "port_out")
"""What a core does at the same time; its load is the largest of these."""

_SPIKES_FLITS = _ERROR_FLITS = 3


@dataclass(frozen=True, kw_only=True)
class Density:
    """Shares of non-zeros of a layer, for the estimate: ``activity.measure_densities`` finds them.

    Parameters
    ----------
    spikes : float
        Of its input spikes, 0 to 1.
    masks : float
        Of the surrogate masks of its inputs, each of which asks for an error, 0 to 1.
    deltas : float
        Of the deltas of its outputs, 0 to 1.

    Raises
    ------
    TypeError
        A share is no number.
    ValueError
        A share is out of range.
    """

    spikes: float = 0.2
    masks: float = 0.3
    deltas: float = 0.15

    def __post_init__(self) -> None:
        for name in ("spikes", "masks", "deltas"):
            object.__setattr__(self, name, check_number(name, getattr(self, name), 0, 1))


def layer_densities(network: Network, density: Density | Sequence[Density] | None) -> tuple[Density, ...]:
    """A ``Density`` for each layer, from one for all, one for each, or ``None`` for the defaults.

    Raises
    ------
    TypeError
        ``density`` is of another kind.
    ValueError
        There is not one for each layer.
    """
    if density is None or isinstance(density, Density):
        return (density or Density(),) * len(network.layers)
    if not isinstance(density, Sequence) or not all(isinstance(each, Density) for each in density):
        raise TypeError(f"density must be a Density, one for each layer, or None, not {density!r}")
    if len(density) != len(network.layers):
        raise ValueError(f"density must have one Density for each of {len(network.layers)} layers, not {len(density)}")
    return tuple(density)


class CostModel:
    """The estimate for any cut of a network.

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
    link_flits : int
        Flits per sample of the host's inputs, for each copy that it sends.
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
        steps, layers = network.steps, network.layers
        self._takes = takes_matrix(network)
        # Layers, or the host, of which each layer takes spikes
        sources = [max(1, len(taken)) for taken in network.taken]
        last = len(layers) - 1
        # Layers that send to the last one because of it
        self._feedback = last - (not learned) if feedback else None
        self.link_flits = _SPIKES_FLITS * steps * -(-network.inputs // 32)

        def column(values: Iterable[float]) -> np.ndarray:
            return np.array(list(values), dtype=np.float64)[:, None]

        pairs = list(zip(layers, densities, strict=True))
        points = column(steps * pixels(layer) for layer in layers)
        # Inputs that an output pixel sees, in the mean, and the tape words in which they lie for each group
        seen = column(layer.in_channels * tap_count(layer) * layer.pool**2 / pixels(layer) for layer in layers)
        seen *= column(sources)
        seen += column(layer.bias for layer in layers)
        spiking = seen * column(density.spikes for _, density in pairs)
        rows = column(layer.kernel * layer.pool for layer in layers)
        inputs = [layer.inputs * count for layer, count in zip(layers, sources, strict=True)]
        scan = rows * rows * column(layer.in_channels / 32 for layer in layers) * column(sources)
        # Of the deltas of a block's lanes, any one makes work for all
        hit = column(1 - (1 - density.deltas) ** config.lanes for _, density in pairs)
        # Inputs whose masks ask for errors; with feedback, all hidden neurons ask the last layer
        asked = [number > 0 or input_errors for number in range(len(layers))]
        asking = [count * density.masks * asks for asks, count, density in zip(asked, inputs, densities, strict=True)]
        # Engines for dense layers find an input's deltas once, for its error and for the gradients of its weights
        unused = [
            (1 - density.masks * asks) * (1 - density.spikes) for asks, density in zip(asked, densities, strict=True)
        ]
        using = [count * (1 - unused[number]) for number, count in enumerate(inputs)]
        if feedback:
            hidden = sum(layer.outputs * density.masks for layer, density in zip(layers, densities[1:], strict=False))
            asking = [hidden * (number == last) for number in range(len(layers))]
            using = [layer.inputs * pairs[number][1].spikes + asking[number] for number, layer in enumerate(layers)]
        errors = column(steps * count for count in asking)
        used = column(steps * (count + layer.bias) for count, layer in zip(using, layers, strict=True))
        self._pairs = used * hit if config.dense_only else None
        reached = column(
            tap_count(layer) / ((layer.in_height // layer.pool) * (layer.in_width // layer.pool)) for layer in layers
        )
        self._replay = column(
            layer.in_channels * window(layer) * count + layer.bias <= config.list_depth
            for layer, count in zip(layers, sources, strict=True)
        )
        self._points, self._rows, self._scan = points, rows, scan
        self._fp_terms, self._wg_terms = points * spiking, points * hit * spiking
        self._wg_rows = points * hit
        self._errors, self._bp_terms = errors, errors * reached * hit
        self._learning = self._bp_terms * learned  # gradients of what brings errors
        # An error is sent where any delta that it sums is not zero: exponents of the chance that all are, by channel
        zero = column(1 - density.deltas for _, density in pairs)
        with np.errstate(divide="ignore"):
            self._silent = reached * np.log(zero)
        self._outputs = column(layer.out_channels for layer in layers)
        self._spike_flits = _SPIKES_FLITS * points / 32
        masks = [densities[takers[0]].masks if takers else 0 for takers in network.takers]
        self._error_flits = _ERROR_FLITS * points * column(masks)  # of each channel to each consumer, at most
        words = [-(-layer.inputs // 32) * count for layer, count in zip(layers, sources, strict=True)]
        if feedback:
            words[last] += sum(words[1 : 1 + (self._feedback or 0)])
        self._in_flits = _SPIKES_FLITS * steps * column(words)

    def engines(
        self, blocks: np.ndarray, channels: np.ndarray, slices: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        """Cycles ``(forward, backward, gradients, deltas)`` per sample, each [..., layers, cores].

        Parameters
        ----------
        blocks, channels, slices : array [..., layers, cores]
            Blocks of lanes, channels and slices of a layer on a core.
        """
        groups = self._groups(slices)
        words = self._scan + self._rows * groups * 31 / 32
        scan = self._points * words * np.where(self._replay, slices, blocks)
        forward = np.maximum(self._fp_terms * blocks, scan) + self._points * blocks
        deltas = 2 * self._points * channels
        sent = _ERROR_FLITS * self._errors * slices * self._share(channels, slices)
        if self._pairs is not None:
            return forward, np.maximum(sent, self._pairs * blocks), self._pairs * blocks, deltas
        backward = np.maximum(sent, self._errors * slices + self._bp_terms * blocks)
        gradients = np.maximum(self._wg_terms * blocks, self._wg_rows * blocks * words) + self._learning * blocks
        return forward, backward, gradients, deltas

    def _share(self, channels: np.ndarray, slices: np.ndarray) -> np.ndarray:
        """Share of the errors that masks ask for which are not zero, and so are sent, by slices with these channels."""
        with np.errstate(invalid="ignore"):
            exponents = self._silent * (channels / np.maximum(slices, 1))
        return -np.expm1(np.nan_to_num(exponents, nan=0.0))

    def _groups(self, slices: np.ndarray) -> np.ndarray:
        """Producers of each layer, [..., layers, 1]; the host is one."""
        counts = self._takes @ slices.sum(axis=-1, keepdims=True)
        return np.concatenate([np.ones_like(counts[..., :1, :]), counts[..., 1:, :]], axis=-2)

    def ports(self, channels: np.ndarray, slices: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Flits ``(in, out)`` per sample of the network port, each [..., layers, cores]."""
        counts = slices.sum(axis=-1, keepdims=True)
        shares = counts * self._share(self._outputs, counts)
        consumers, above = self._takes.T @ counts, self._takes.T @ shares
        consumers[..., -1, :] = 1
        if self._feedback is not None:
            above[..., :-1, :] = shares[..., -1:, :]
            consumers[..., : self._feedback, :] += counts[..., -1:, :]
        inward = self._in_flits * slices + above * self._error_flits * channels
        sent = _ERROR_FLITS * self._errors * slices * self._share(channels, slices)
        outward = consumers * self._spike_flits * channels + sent
        return inward, outward

    def loads(self, blocks: np.ndarray, channels: np.ndarray, slices: np.ndarray) -> np.ndarray:
        """Cycles per sample by part of ``PARTS``, [..., 4, cores]; arguments as for ``engines``."""
        forward, backward, gradients, deltas = self.engines(blocks, channels, slices)
        inward, outward = self.ports(channels, slices)
        parts = (forward, np.maximum(backward, gradients) + deltas, inward, outward)
        return np.stack([part.sum(axis=-2) for part in parts], axis=-2)

    def link(self, slices: np.ndarray) -> np.ndarray:
        """Flits of the host's link per sample, [...]: a copy of the inputs does for one slice of each core."""
        return self.link_flits * slices[..., 0, :].max(axis=-1)
