# SPDX-License-Identifier: Apache-2.0
"""From which layers each layer of a network takes its spikes.

A layer that takes those of several layers sees their sum, with one weight for both: a residual connection past the
layers between them, as in SEW-ResNet (Fang et al., NeurIPS 2021, arXiv 2102.04159), where it is called ADD.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from backspike.golden.layers import Dense
from backspike.spec.checks import check_integer

if TYPE_CHECKING:
    from backspike.golden.network import Network

__all__ = ["added", "chain", "check_chain", "check_sources", "is_chain"]


def chain(layers: int) -> tuple[tuple[int, ...], ...]:
    """The sources where each layer takes the spikes of the one before."""
    return ((), *((number,) for number in range(layers - 1)))


def check_sources(network: "Network") -> None:
    """Check the sources of a network, and keep them as tuples; ``None`` where they are those of a chain.

    Raises
    ------
    TypeError, ValueError
        They are not as ``Network`` says, maps do not fit, or no layer takes the spikes of a hidden layer.
    """
    layers = network.layers
    if network.sources is not None and len(network.sources) != len(layers):
        raise ValueError(f"sources must be those of {len(layers)} layers, not of {len(network.sources)}")
    if network.sources is not None and network.sources[0]:
        raise ValueError(f"sources[0] must be (), as the first layer takes the inputs, not {network.sources[0]!r}")
    for number in range(1, len(layers)):
        _check_layer(network, number)
    for number, takers in enumerate(network.takers[:-1]):
        if not takers:
            raise ValueError(f"the spikes of layers[{number}] must be taken by a layer behind it, and none does")
    object.__setattr__(network, "sources", None if network.taken == chain(len(layers)) else network.taken)


def _check_layer(network: "Network", number: int) -> None:
    """Check the sources of a layer that is not the first."""
    layer, taken = network.layers[number], network.taken[number]
    if not taken:
        raise ValueError(f"sources[{number}] must be one layer or more, not {taken!r}")
    for source in taken:
        check_integer(f"sources[{number}]", source, 0, number - 1)
    if len(set(taken)) < len(taken):
        raise ValueError(f"sources[{number}] must name each layer once, not {taken!r}")
    for source in taken:
        before = network.layers[source]
        if not isinstance(layer, Dense) and layer.in_map != before.out_map:
            raise ValueError(f"layers[{number}] must have inputs of {_show(before.out_map)}, not {_show(layer.in_map)}")
        if before.outputs != layer.inputs:
            raise ValueError(f"layers[{number}].inputs must be {before.outputs}, not {layer.inputs!r}")
        if before.out_map != network.layers[taken[0]].out_map:
            first = network.layers[taken[0]].out_map
            raise ValueError(
                f"the sources of layers[{number}] must have equal maps, not {_show(first)} and {_show(before.out_map)}"
            )


def _show(shape: Sequence[int]) -> str:
    return " x ".join(map(str, shape))


def is_chain(network: "Network") -> bool:
    """Whether each layer takes the spikes of the one before, and learns."""
    return network.sources is None and all(layer.learns for layer in network.layers)


def check_chain(rule: str, network: "Network") -> None:
    """``ValueError`` where a rule needs layers that each take the spikes of the one before, and learn."""
    if not is_chain(network):
        raise ValueError(
            f"rule {rule} must have layers that take the spikes of the layer before, and no maximum pooling, not "
            f"{network}: use bptt, tbptt, sltt, sltt-k, ottt or ottt-o"
        )


def added(spikes: Sequence[np.ndarray]) -> np.ndarray:
    """Arrays of spikes, or of what stands in their place, as one: their sum, as integers, if there are several."""
    if len(spikes) == 1:
        return spikes[0]
    kind = np.uint8 if spikes[0].dtype == np.bool_ else spikes[0].dtype
    return np.asarray(np.sum(spikes, axis=0, dtype=kind))
