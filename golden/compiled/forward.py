# SPDX-License-Identifier: Apache-2.0
"""What a layer does at each step of each sample: ``forward.run_layer`` as loops over spikes."""

from typing import NamedTuple

import numpy as np

from backspike.golden.compiled.events import pooled
from backspike.golden.compiled.geometry import Geometry, channels_first
from backspike.golden.compiled.jit import compiled
from backspike.golden.compiled.rounding import Rounding, rounded_sum
from backspike.golden.compiled.sums import weighted_sums
from backspike.golden.constants import Neuron

__all__ = ["Cell", "run_layer"]


class Cell(NamedTuple):
    """Constants of a neuron's step, see ``neuron.step``.

    Attributes
    ----------
    soft, strict : bool
        Kind of the reset, and of the fire test.
    kappa, rr, theta, half : float
        Leak, what a spike takes, threshold, half the width of the surrogate.
    raised, lowered : float
        The threshold where noise is -1 and +1.
    """

    soft: bool
    strict: bool
    kappa: float
    rr: float
    theta: float
    half: float
    raised: float
    lowered: float

    @classmethod
    def of(cls, neuron: Neuron, raised: float, lowered: float) -> "Cell":
        """That of a neuron with rounded constants."""
        constants = (neuron.kappa, neuron.rr, neuron.theta, neuron.width / 2)
        return cls(neuron.soft, neuron.strict, *constants, raised, lowered)


@compiled
def run_layer(
    geometry: Geometry,
    cell: Cell,
    rounding: Rounding,
    places: np.ndarray,
    plain: bool,
    weights: np.ndarray,
    spikes: np.ndarray,
    noise: np.ndarray,
    start: np.ndarray,
    fired_before: np.ndarray,
    potentials: np.ndarray,
    fired: np.ndarray,
    masks: np.ndarray,
) -> bool:
    """Fill potentials, spikes and masks [T, B, N]; returns whether a potential was beyond the largest number.

    Parameters
    ----------
    geometry, cell, rounding : Geometry, Cell, Rounding
        Constants.
    places, plain, weights : array of int64, bool, array of float64
        As for ``sums.weighted_sums``.
    spikes : array of uint8 [T, B, inputs]
        What the inputs give.
    noise : array of float64 [T, B, N]
        +1 or -1; no steps where there is none.
    start, fired_before : array of float64 and uint8 [B, N]
        Potentials and spikes before the first step.
    potentials, fired, masks : array of float64 and uint8 [T, B, N]
        Results.
    """
    steps, samples, inputs = spikes.shape
    pixels = geometry.out_height * geometry.out_width
    sums, current = np.empty((steps, potentials.shape[2])), np.empty(potentials.shape[2])
    seen = np.empty((steps, inputs // geometry.pool**2), dtype=np.uint8)
    saturated = False
    for sample in range(samples):
        for step in range(steps):
            pooled(geometry, spikes[step, sample], seen[step])
        weighted_sums(geometry, places, plain, weights, seen, sums)
        before, reset = start[sample], fired_before[sample]
        for step in range(steps):
            channels_first(sums[step], pixels, current)
            own, spiking = potentials[step, sample], fired[step, sample]
            saturated |= _step(cell, rounding, current, before, reset, own, spiking, masks[step, sample])
            if len(noise):
                _move(cell, own, noise[step, sample], spiking)
            before, reset = own, spiking
    return saturated


@compiled
def _step(
    cell: Cell,
    rounding: Rounding,
    current: np.ndarray,
    before: np.ndarray,
    reset: np.ndarray,
    potentials: np.ndarray,
    fired: np.ndarray,
    masks: np.ndarray,
) -> bool:
    """``neuron.step`` of all neurons of a layer."""
    top, saturated = rounding.top, False
    for i in range(len(current)):
        if cell.soft:
            u = rounded_sum(cell.kappa * before[i], current[i] - (cell.rr if reset[i] else 0.0), rounding)
        else:
            u = rounded_sum(0.0 if reset[i] else cell.kappa * before[i], current[i], rounding)
        saturated |= abs(u) > top
        u = min(max(u, -top), top)
        potentials[i] = u
        fired[i] = u > cell.theta if cell.strict else u >= cell.theta
        masks[i] = abs(u - cell.theta) < cell.half
    return saturated


@compiled
def _move(cell: Cell, potentials: np.ndarray, noise: np.ndarray, fired: np.ndarray) -> None:
    """The spikes at thresholds that noise moves."""
    for i in range(len(potentials)):
        threshold = cell.lowered if noise[i] > 0 else cell.raised
        fired[i] = potentials[i] > threshold if cell.strict else potentials[i] >= threshold
