# SPDX-License-Identifier: Apache-2.0
"""From a network with weights to a NIR graph or file."""

import itertools
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from backspike.golden.constants import Neuron
from backspike.golden.layers import Layer, MaxPool
from backspike.golden.network import Network
from backspike.spec.checks import check_number

__all__ = ["export_nir", "to_nir"]


def to_nir(network: Network, weights: Sequence[np.ndarray], dt: float = 1e-4) -> Any:
    """The ``nir.NIRGraph`` of a network.

    Neurons are ``LIF`` with ``tau = dt / (1 - leak)``, or ``IF`` where nothing leaks; their constants are those that
    the chip holds. What NIR has no word for, how a spike resets and whether a neuron fires at its threshold, is in the
    metadata of their nodes, where our import finds it, and nobody else looks.

    Parameters
    ----------
    network : Network
        The layers.
    weights : sequence of array
        One for each layer, as ``layer.shape``.
    dt : float
        Length of a step, more than 0; snnTorch and SpikingJelly expect 1e-4.

    Raises
    ------
    ValueError
        A spike takes something else than the threshold from the potential.
    ModuleNotFoundError
        The package ``nir`` is missing.
    """
    import nir  # noqa: PLC0415 - an optional package

    check_number("dt", dt, 0, open_low=True)
    first = network.layers[0]
    nodes: dict[str, Any] = {"input": nir.Input(input_type=np.array(_shape(first.in_map)))}
    ends: list[str] = []
    edges: list[tuple[str, str]] = []
    for number, (layer, weight, taken) in enumerate(zip(network.layers, weights, network.taken, strict=True)):
        before = network.layers[taken[0]].out_map if taken else first.in_map
        seen = nodes[ends[taken[0]]].output_type["output"] if taken else nodes["input"].input_type["input"]
        own = _pooling(nir, layer) if isinstance(layer, MaxPool) else _layer(nir, layer, weight, before, len(seen) == 1)
        if not isinstance(layer, MaxPool):
            shape = (layer.outputs,) if "fc" in own else layer.out_map
            own["lif"] = _neurons(nir, layer, layer.neuron.rounded(network.format), dt, shape)
        named = {f"{name}{number}": node for name, node in own.items()}
        nodes |= named
        edges += [(ends[source], next(iter(named))) for source in taken] or [("input", next(iter(named)))]
        edges += itertools.pairwise(named)
        ends.append(list(named)[-1])
    nodes["output"] = nir.Output(output_type=nodes[ends[-1]].output_type["output"])
    return nir.NIRGraph(nodes=nodes, edges=[*edges, (ends[-1], "output")])


def _pooling(nir: Any, layer: MaxPool) -> dict[str, Any]:
    """The nodes of a maximum pooling, for which NIR has no word: whether a sum of spikes is more than a half."""
    size = np.array([layer.pool, layer.pool])
    pool = nir.SumPool2d(kernel_size=size, stride=size, padding=np.array([0, 0]))
    return {"pool": pool, "any": nir.Threshold(np.full(layer.out_map, 0.5))}


def _layer(nir: Any, layer: Layer, weight: np.ndarray, before: tuple[int, int, int], flat: bool) -> dict[str, Any]:
    """The nodes of a layer but its neurons, behind a map or, if ``flat``, behind channels."""
    nodes: dict[str, Any] = {}
    pool, rows = layer.pool, layer.shape[0] - layer.bias
    # An average is 1 / pool**2 of a sum
    kernel = (np.asarray(weight)[:rows] * pool**2).T
    bias = np.asarray(weight)[rows] if layer.bias else None
    if pool > 1:
        size = np.array([pool, pool])
        nodes["pool"] = nir.AvgPool2d(kernel_size=size, stride=size, padding=np.array([0, 0]))
    if layer.whole and (pool > 1 or layer.kernel == 1):
        if not flat:
            shape = np.array([layer.in_channels, layer.pooled_height, layer.pooled_width] if pool > 1 else before)
            nodes["flatten"] = nir.Flatten({"input": shape}, start_dim=0, end_dim=-1)
        nodes["fc"] = nir.Linear(kernel) if bias is None else nir.Affine(kernel, bias)
        return nodes
    nodes["conv"] = nir.Conv2d(
        input_shape=(layer.pooled_height, layer.pooled_width),
        weight=kernel.reshape(-1, layer.in_channels, layer.kernel, layer.kernel),
        stride=layer.stride,
        padding=layer.padding,
        dilation=1,
        groups=1,
        bias=np.zeros(len(kernel)) if bias is None else bias,
    )
    return nodes


def export_nir(path: Path, network: Network, weights: Sequence[np.ndarray], dt: float = 1e-4) -> None:
    """Write a NIR file, as ``to_nir``."""
    import nir  # noqa: PLC0415 - an optional package

    graph = to_nir(network, weights, dt)
    path.parent.mkdir(parents=True, exist_ok=True)
    nir.write(path, graph)


def _shape(layer_map: tuple[int, int, int]) -> tuple[int, ...]:
    return layer_map[:1] if layer_map[1:] == (1, 1) else layer_map


def _neurons(nir: Any, layer: Layer, neuron: Neuron, dt: float, shape: tuple[int, ...]) -> Any:
    """The node of a layer's neurons."""
    theta, zero = np.full(shape, neuron.theta), np.zeros(shape)
    metadata = {"reset": _reset(layer, neuron), "fire": ">" if neuron.strict else ">="}
    if neuron.kappa == 1:
        return nir.IF(r=np.full(shape, 1 / dt), v_threshold=theta, v_reset=zero, metadata=metadata)
    tau = dt / (1 - neuron.kappa)
    return nir.LIF(
        tau=np.full(shape, tau),
        r=np.full(shape, tau / dt),
        v_leak=zero,
        v_threshold=theta,
        v_reset=zero,
        metadata=metadata,
    )


def _reset(layer: Layer, neuron: Neuron) -> str:
    given = layer.neuron
    if not neuron.soft:
        return "hard"
    if given.reset_value is None or given.reset_value == given.kappa * given.theta:
        return "subtract"
    if given.reset_value == given.theta:
        return "subtract-delayed"
    raise ValueError(
        f"reset_value must be the threshold {given.theta!r}, or None, for NIR, not {given.reset_value!r}: NIR has no "
        f"word for it"
    )
