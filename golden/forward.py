# SPDX-License-Identifier: Apache-2.0
"""The forward pass of a batch: spikes, masks and potentials of every layer, neuron and step.

Arrays are [T, B, N]: step, sample, neuron. The neurons of a map are in the order (channel, y, x); weights are
[rows, channels] as ``layers`` describes.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
from numpy.typing import ArrayLike

from backspike.golden.arithmetic import Arithmetic, Sum
from backspike.golden.layers import Layer
from backspike.golden.network import Network
from backspike.golden.neuron import State, initial_state, step
from backspike.golden.passes import Passes
from backspike.golden.sources import added
from backspike.golden.windows import input_windows, row_order, to_map

__all__ = ["LayerTrace", "Trace", "blocks", "check_labels", "check_spikes", "currents", "forward", "run_layer"]

_BLOCK = 1 << 17  # numbers in a matrix of windows that is made at a time


@dataclass(frozen=True)
class LayerTrace:
    """What a layer did in a forward pass.

    Parameters
    ----------
    potentials : array of float64 [T, B, N]
        Before the fire test.
    spikes, masks : array of bool [T, B, N]
        Spikes and surrogate masks.
    """

    potentials: np.ndarray
    spikes: np.ndarray
    masks: np.ndarray

    @property
    def state(self) -> State:
        """What the layer keeps after the last step."""
        return State(self.potentials[-1], self.spikes[-1].astype(np.float64))


@dataclass(frozen=True)
class Trace:
    """A forward pass.

    Parameters
    ----------
    inputs : array of uint8 or bool [T, B, inputs]
        The input spikes, or integers.
    layers : tuple of LayerTrace
        What each layer did.
    """

    inputs: np.ndarray
    layers: tuple[LayerTrace, ...]

    @classmethod
    def joined(cls, parts: "Sequence[Trace]") -> "Trace":
        """Traces of successive steps as one."""
        layers = zip(*(part.layers for part in parts), strict=True)
        names = ("potentials", "spikes", "masks")
        return cls(
            np.concatenate([part.inputs for part in parts]),
            tuple(LayerTrace(*(np.concatenate([getattr(each, n) for each in own]) for n in names)) for own in layers),
        )

    def given(self, taken: Sequence[int]) -> np.ndarray:
        """What the layers of these numbers give to a layer that takes their spikes, or the inputs to the first."""
        return added([self.layers[number].spikes for number in taken]) if taken else self.inputs

    @property
    def counts(self) -> np.ndarray:
        """Spikes of each output of the last layer, [B, N]."""
        return self.layers[-1].spikes.sum(axis=0)


def check_spikes(network: Network, spikes: ArrayLike) -> np.ndarray:
    """``spikes`` as an array [T, B, inputs], uint8 or bool, else ``TypeError`` or ``ValueError``.

    They are 0 and 1, or integers up to ``largest_input`` of a network that has such.
    """
    spikes = np.asarray(spikes)
    if spikes.dtype not in (np.uint8, np.bool_):
        raise TypeError(f"spikes must be an array of uint8 or bool, not {spikes.dtype}")
    if spikes.ndim != 3 or spikes.shape[0] != network.steps or spikes.shape[2] != network.inputs:
        raise ValueError(f"spikes must be [{network.steps}, B, {network.inputs}], not {list(spikes.shape)}")
    most = network.largest_input
    if spikes.dtype == np.uint8 and spikes.max(initial=0) > most:
        raise ValueError(f"spikes must be {'0 or 1' if most == 1 else f'0 to {most}'}, not {int(spikes.max())!r}")
    return spikes


def check_labels(network: Network, labels: ArrayLike, samples: int) -> np.ndarray:
    """``labels`` as an integer array [B] of output numbers, else ``TypeError`` or ``ValueError``."""
    labels = np.asarray(labels)
    if not np.issubdtype(labels.dtype, np.integer):
        raise TypeError(f"labels must be an array of integers, not {labels.dtype}")
    if labels.shape != (samples,):
        raise ValueError(f"labels must be [{samples}], not {list(labels.shape)}")
    if samples and not 0 <= labels.min() <= labels.max() < network.outputs:
        wrong = labels[(labels < 0) | (labels >= network.outputs)][0]
        raise ValueError(f"labels must be 0 to {network.outputs - 1}, not {int(wrong)!r}")
    return labels


def blocks(rows: int, width: int) -> list[slice]:
    """Slices of so many rows that a block of them stays in the cache."""
    size = max(1, _BLOCK // width)
    return [slice(start, min(start + size, rows)) for start in range(0, rows, size)]


def currents(
    layer: Layer, weight: np.ndarray, spikes: np.ndarray, arithmetic: Arithmetic[Sum], *, most: int = 1
) -> Sum:
    """``sum_j W_ji s_j`` for spikes [S, inputs], or integers up to ``most``, not rounded: [S, outputs]."""
    pixels = layer.out_height * layer.out_width
    weight = weight[row_order(layer)]
    totals = []
    for rows in blocks(len(spikes), pixels * len(weight)):
        total = arithmetic.matmul(input_windows(layer, spikes[rows]), weight, counts=layer.pool**2 * most)
        totals.append(arithmetic.map(total, partial(to_map, pixels)))
    return arithmetic.join(totals) if totals else arithmetic.zeros((0, layer.outputs))


def run_layer(
    layer: Layer,
    weight: np.ndarray,
    spikes: np.ndarray,
    arithmetic: Arithmetic[Sum],
    *,
    noise: np.ndarray | None = None,
    state: State | None = None,
    most: int = 1,
) -> LayerTrace:
    """What a layer does with spikes [T, B, inputs]; current = sum_j W_ji s_j[t], see ``neuron.step``.

    ``noise`` [T, B, N] moves its thresholds. ``state`` is that after the step before, if the samples began earlier.
    ``most`` is the largest input: 1 of spikes, more of their sums.
    """
    if isinstance(arithmetic, Passes):
        done = arithmetic.run_layer(layer, weight, spikes, noise, state)
        if done is not None:
            return done
    neuron = arithmetic.constants(layer.neuron)
    samples = spikes.shape[1]
    current = currents(layer, weight, spikes.reshape(-1, layer.inputs), arithmetic, most=most)
    state = state or initial_state((samples, layer.outputs))
    steps = []
    for t in range(len(spikes)):
        moved = None if noise is None else noise[t]
        state, output = step(neuron, state, current[t * samples : (t + 1) * samples], arithmetic, moved)
        steps.append((state.potentials, output.spikes, output.masks))
    return LayerTrace(*(np.stack(arrays) for arrays in zip(*steps, strict=True)))


def forward(
    network: Network,
    weights: Sequence[np.ndarray],
    spikes: ArrayLike,
    arithmetic: Arithmetic[Sum],
    *,
    noise: Sequence[np.ndarray] = (),
    before: Trace | None = None,
) -> Trace:
    """A forward pass.

    Parameters
    ----------
    network : Network
        The layers.
    weights : sequence of array of float64
        One for each layer, as ``layer.shape``.
    spikes : array of uint8 or bool [T, B, inputs]
        0 and 1, or integers up to ``network.largest_input``.
    arithmetic : Arithmetic
        How results are rounded.
    noise : sequence of array [T, B, N]
        What moves the thresholds of each hidden layer: +1 or -1; nothing if it is empty.
    before : Trace or None
        Of the steps before these, if the samples began earlier.

    Raises
    ------
    TypeError, ValueError
        ``spikes`` are of another kind or shape.
    """
    inputs = check_spikes(network, spikes)
    traces: list[LayerTrace] = []
    for number, (layer, weight, taken) in enumerate(zip(network.layers, weights, network.taken, strict=True)):
        moved = noise[number] if number < len(noise) else None
        state = None if before is None else before.layers[number].state
        given = Trace(inputs, tuple(traces)).given(taken)
        most = len(taken) or network.largest_input
        traces.append(run_layer(layer, weight, given, arithmetic, noise=moved, state=state, most=most))
    return Trace(inputs, tuple(traces))
