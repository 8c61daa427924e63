# SPDX-License-Identifier: Apache-2.0
"""The nodes of a NIR file as layers: neurons, what lies before them, and the layers whose spikes they take."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from backspike.host.exchange.nir_kernel import KERNELS, Kernel
from backspike.host.exchange.nir_neuron import NEURONS

__all__ = ["NodesOfLayer", "layers_of"]

_WAYS_OUT = {
    "CubaLIF": "a neuron has no synaptic current: train with LIF, such as snnTorch's Leaky in place of Synaptic",
    "CubaLI": "the outputs of a chip are spikes: end the network with LIF, or leave this node out",
    "LI": "the outputs of a chip are spikes: end the network with LIF, or leave this node out",
    "I": "the outputs of a chip are spikes: end the network with IF, or leave this node out",
    "Delay": "spikes arrive at the step of their origin: train without delays",
    "Conv1d": "maps have two dimensions: use Conv2d with a map of N x 1 and a square kernel, or Affine",
}


@dataclass
class NodesOfLayer:
    """The nodes of a layer.

    Attributes
    ----------
    kernel : Kernel
        What lies before the neurons.
    sources : tuple of int
        Numbers of the layers whose spikes are added up before that; none for the first layer.
    names : list of str
        All of them, that of the neurons last.
    neurons : node or None
        The neurons; ``None`` where there are none yet.
    """

    kernel: Kernel
    sources: tuple[int, ...]
    names: list[str] = field(default_factory=list)
    neurons: Any = None

    @property
    def maximum(self) -> bool:
        """Whether it is a maximum pooling: the neurons spike where any input of their field does."""
        single = self.kernel.pooled
        if single is None or type(self.neurons).__name__ != "Threshold":
            return False
        threshold = np.asarray(self.neurons.threshold)
        return bool((threshold >= 0).all() and (threshold < single).all())


def layers_of(nodes: Sequence[tuple[str, Any, list[str]]], shape: tuple[int, ...]) -> list[NodesOfLayer]:
    """The layers of nodes that ``nir_graph.ordered`` gives, for inputs of this shape.

    Raises
    ------
    ValueError
        A node cannot be expressed, or one that is not of neurons has several nodes before or behind it.
    """
    first = nodes[0][0]
    followers = {name: [end for end, _, before in nodes if name in before] for name, *_ in nodes}
    layers: list[NodesOfLayer] = []
    spiking: dict[str, int] = {}
    open_ones = {first: NodesOfLayer(Kernel(shape), ())}
    for name, node, before in nodes[1:]:
        kind = type(node).__name__
        if kind not in KERNELS + NEURONS:
            way_out = _WAYS_OUT.get(kind, f"these kinds can: {', '.join(KERNELS + NEURONS)}")
            raise ValueError(f"node {name!r} of kind {kind} cannot be expressed: {way_out}")
        for each in before:
            if each not in spiking and len(followers[each]) > 1:
                raise ValueError(
                    f"node {each!r} must have one node behind it, not {followers[each]}: networks with branches can be "
                    f"expressed where neurons are; put neurons before the branch"
                )
        if len(before) > 1 and (others := [each for each in before if each not in spiking]):
            raise ValueError(
                f"node {name!r} must take spikes of neurons alone, as it takes several inputs, not {others[0]!r}: put "
                f"neurons behind {others[0]!r}, whose spikes can be added (ADD of SEW-ResNet)"
            )
        own = open_ones.pop(before[0], None) or _joined(name, [spiking[each] for each in before], layers)
        own.names.append(name)
        if kind in KERNELS:
            own.kernel.add(name, node)
            open_ones[name] = own
        else:
            own.neurons = node
            spiking[name] = len(layers)
            layers.append(own)
    kinds = {name: type(node).__name__ for name, node, _ in nodes}
    left = [name for own in open_ones.values() for name in own.names]
    if not layers or any(kinds[name] != "Flatten" for name in left):
        raise ValueError(
            f"node {(left or [first])[-1]!r} must have neurons behind it, as the outputs of a chip are spikes: "
            f"end with a LIF or an IF"
        )
    return layers


def _joined(name: str, sources: list[int], layers: Sequence[NodesOfLayer]) -> NodesOfLayer:
    """A layer that takes the spikes of these layers."""
    shapes = [layers[source].kernel.shape for source in sources]
    for shape in shapes:
        if shape != shapes[0]:
            raise ValueError(f"node {name!r} must take maps of one size to add them, not {shapes[0]} and {shape}")
    return NodesOfLayer(Kernel(shapes[0]), tuple(sources))
