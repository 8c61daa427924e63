# SPDX-License-Identifier: Apache-2.0
"""From a NIR file to a network with weights, and a report of what became of each node."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np

from backspike.golden.arithmetic import BitExact, Float64
from backspike.golden.constants import Neuron
from backspike.golden.forward import forward
from backspike.golden.layers import Conv, Dense, Layer, MaxPool
from backspike.golden.network import Network
from backspike.golden.notation import describe
from backspike.host.exchange.nir_graph import ordered, read_graph
from backspike.host.exchange.nir_kernel import Kernel, by_channel
from backspike.host.exchange.nir_layers import layers_of
from backspike.host.exchange.nir_neuron import Steps, discrete
from backspike.host.training.checkpoint import save_weights
from backspike.host.training.training_spec import TrainingSpec
from backspike.spec.formats import BINARY16, Format

__all__ = ["ImportedLayer", "ImportedNetwork", "import_nir"]

_Part: TypeAlias = tuple[list[str], Layer, np.ndarray, np.ndarray | None]
"""Names of the nodes of a layer, the layer, its weights and biases."""


@dataclass(frozen=True)
class ImportedLayer:
    """What became of some nodes.

    Parameters
    ----------
    nodes : tuple of str
        Their names, that of the neurons last.
    layer : Layer
        With its neurons, whose constants are as in the file, not rounded.
    exact : array of float64
        The weights before they are rounded, as ``layer.shape``.
    weights : array of float64
        The weights.
    """

    nodes: tuple[str, ...]
    layer: Layer
    exact: np.ndarray
    weights: np.ndarray

    @property
    def moved(self) -> float:
        """How far the largest change of a weight by the rounding is, in thresholds."""
        return float(np.abs(self.weights - self.exact).max()) / self.layer.neuron.theta


@dataclass(frozen=True)
class ImportedNetwork:
    """A network from a NIR file.

    Parameters
    ----------
    layers : tuple of ImportedLayer
        In order.
    steps : Steps
        How time was read.
    format : Format
        Of the weights.
    sources : tuple of tuple of int
        For each layer the numbers of those whose spikes it takes.
    """

    layers: tuple[ImportedLayer, ...]
    steps: Steps
    format: Format
    sources: tuple[tuple[int, ...], ...]

    @property
    def weights(self) -> list[np.ndarray]:
        """The weights of each layer, rounded."""
        return [layer.weights for layer in self.layers]

    @property
    def exact(self) -> list[np.ndarray]:
        """The weights of each layer as they are in the file."""
        return [layer.exact for layer in self.layers]

    @property
    def notation(self) -> str:
        """The layers in the notation of ``Network.parse``."""
        return describe([layer.layer for layer in self.layers], self.sources)

    def spec(self, **fields: Any) -> TrainingSpec:
        """The ``TrainingSpec`` of the network, and other fields of it: ``steps``, ``data`` ..."""
        given: dict[str, Any] = {"network": self.notation, "bias": self._biased, "neuron": self._neurons()}
        return TrainingSpec(**given | {"format": asdict(self.format)} | fields)

    @property
    def _biased(self) -> bool:
        return any(layer.layer.bias for layer in self.layers)

    def _neurons(self) -> list[dict[str, Any]]:
        """Fields of each layer's neuron that are not the defaults; the surrogate is not in the file."""
        plain = asdict(Neuron())
        found = []
        for layer in self.layers:
            fields = asdict(layer.layer.neuron)
            found.append({name: value for name, value in fields.items() if value != plain[name]})
        return found

    def network(self, steps: int) -> Network:
        """The ``Network`` with so many time steps."""
        return Network.parse(self.notation, steps=steps, format=self.format, bias=self._biased, neurons=self._neurons())

    def save(self, path: Path, **fields: Any) -> TrainingSpec:
        """Write a file that ``backspike train --load`` takes, with other fields of the specification."""
        spec = self.spec(**fields)
        save_weights(path, spec, self.weights)
        return spec

    def trial(self, steps: int, samples: int, *, density: float = 0.25, seed: int = 0) -> list[tuple[int, int]]:
        """How many spikes the rounding of weights, constants and potentials changes, and how many there are.

        Parameters
        ----------
        steps : int
            Time steps of a sample.
        samples : int
            How many, of random input spikes.
        density : float
            Share of the inputs that spike at a step.
        seed : int
            Of the samples.

        Returns
        -------
        list of tuple of int
            For each layer: spikes that are only there with or without rounding; spikes in float64.
        """
        network = self.network(steps)
        inputs = np.random.default_rng(seed).random((steps, samples, network.inputs)) < density
        exact = forward(network, self.exact, inputs, Float64())
        rounded = forward(network, self.weights, inputs, BitExact(self.format))
        return [
            (int((a.spikes != b.spikes).sum()), int(a.spikes.sum()))
            for a, b in zip(exact.layers, rounded.layers, strict=True)
        ]

    def report(self) -> list[str]:
        """Lines that say what each node became, and how far weights and constants were moved by the rounding."""
        lines = []
        for number, part in enumerate(self.layers):
            exact, held = part.layer.neuron, part.layer.neuron.rounded(self.format)
            lines.append(f"layer {number}: {' + '.join(part.nodes)}: {_described(part.layer)}")
            lines.append(
                f"  leak {exact.kappa:.6g}, threshold {exact.theta:.6g}, reset {_reset(exact)}, fires at u "
                f"{'>' if exact.strict else '>='} threshold"
            )
            lines.append(
                f"  rounded to the format: largest move of a weight {part.moved:.3g} thresholds; leak "
                f"{held.kappa - exact.kappa:+.3g}, threshold {held.theta - exact.theta:+.3g}"
            )
        return lines


def import_nir(
    source: Path | str | Any, steps: Steps | None = None, number_format: Format = BINARY16
) -> ImportedNetwork:
    """The network in a NIR file or a ``nir.NIRGraph``.

    Parameters
    ----------
    source : Path, str or nir.NIRGraph
        The file, or the graph.
    steps : Steps or None
        How time passes; ``None``: as ``Steps()``.
    number_format : Format
        Of the weights.

    Raises
    ------
    FileNotFoundError
        There is no such file.
    ValueError
        It is no NIR file, or its network cannot be expressed: the message names the node and the way out.
    ModuleNotFoundError
        The package ``nir`` is missing.
    """
    steps = steps or Steps()
    nodes = ordered(read_graph(Path(source)) if isinstance(source, str | Path) else source)
    found = layers_of(nodes, _input_shape(*nodes[0][:2]))
    parts: list[_Part] = []
    for own in found:
        if own.maximum:
            parts.append((own.names, own.kernel.maximum(), np.zeros(0), None))
        else:
            parts.append((own.names, *_layer(own.names[-1], own.neurons, own.kernel, steps, number_format)))
    last_name, last_layer = parts[-1][0][-1], parts[-1][1]
    if last_layer.out_map[1:] != (1, 1):
        raise ValueError(
            f"node {last_name!r} must give one pixel, as the last layer, not a map of "
            f"{' x '.join(map(str, last_layer.out_map))}: end with Flatten, Affine and neurons"
        )
    return ImportedNetwork(
        tuple(_rounded(parts, number_format)), steps, number_format, tuple(own.sources for own in found)
    )


def _input_shape(name: str, node: Any) -> tuple[int, ...]:
    found = next(iter(node.input_type.values()))
    shape = tuple(int(size) for size in np.asarray(found).reshape(-1)) if found is not None else ()
    if len(shape) not in (1, 2, 3) or min(shape) < 1:
        raise ValueError(
            f"node {name!r}: its shape must be a number of inputs or channels, height and width, not {list(shape)}"
        )
    return (1, *shape) if len(shape) == 2 else shape


def _layer(
    name: str, node: Any, kernel: Kernel, steps: Steps, number_format: Format
) -> tuple[Conv | Dense, np.ndarray, np.ndarray | None]:
    """The layer whose neurons the node is, its weights and biases: the neurons' factors are in the weights."""
    layer, weight, bias = kernel.finish()
    found = discrete(name, node, steps, number_format)
    gain, offset, theta = (
        by_channel(name, part, values, kernel.shape)
        for part, values in (("r / tau", found.gain), ("v_leak / tau", found.offset), ("v_threshold", found.theta))
    )
    # Potentials in units of one threshold for all
    factor = theta[0] / theta
    weight = weight * (gain * factor)
    if bias is not None or offset.any():
        bias = ((0 if bias is None else bias) * gain + offset) * factor
    neuron = Neuron(
        kappa=found.kappa,
        theta=float(theta[0]),
        reset="hard" if found.reset == "hard" else "soft",
        reset_value=float(theta[0]) if found.reset == "subtract-delayed" else None,
        strict=found.fire == ">",
    )
    try:
        neuron.rounded(number_format)
    except ValueError as error:
        raise ValueError(f"node {name!r}: {error}") from None
    return replace(layer, neuron=neuron), weight, bias


def _rounded(parts: Sequence[_Part], number_format: Format) -> list[ImportedLayer]:
    """All layers have biases, or none has."""
    biased = any(bias is not None for *_, bias in parts)
    layers = []
    for names, layer, weight, bias in parts:
        if isinstance(layer, MaxPool):
            layers.append(ImportedLayer(tuple(names), layer, layer.weights, layer.weights))
            continue
        exact = np.ascontiguousarray(weight)
        if biased:
            exact = np.vstack([exact, np.zeros(layer.out_channels) if bias is None else bias])
        largest = float(np.abs(exact).max())
        if not np.isfinite(exact).all() or largest > number_format.max_finite:
            raise ValueError(
                f"node {names[0]!r}: weights must be at most {number_format.max_finite:g} in {number_format}, not "
                f"{largest!r}: scale weights and threshold of the layer down"
            )
        rounded = number_format.round(exact) + 0.0
        layers.append(ImportedLayer(tuple(names), replace(layer, bias=biased), exact, rounded))
    return layers


def _described(layer: Layer) -> str:
    if isinstance(layer, MaxPool):
        return f"maximum pooling, fields of {layer.pool} x {layer.pool}"
    count = f"{layer.inputs} inputs, {layer.outputs} neurons"
    if layer.whole and layer.pool == 1:
        return f"dense, {count}"
    pool = f"fields of {layer.pool} x {layer.pool}, " if layer.pool > 1 else ""
    return f"{pool}kernel {layer.kernel} x {layer.kernel}, stride {layer.stride}, padding {layer.padding}, {count}"


def _reset(neuron: Neuron) -> str:
    if not neuron.soft:
        return "to 0"
    return "less the threshold" + ("" if neuron.reset_value is None else ", after the leak")
