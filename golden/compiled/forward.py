# SPDX-License-Identifier: Apache-2.0
"""What a layer does at each step of each sample: ``forward.run_layer`` as loops over spikes."""

from typing import NamedTuple

import numpy as np

from backspike.golden.compiled.geometry import Geometry, channels_last, pooled, reached
from backspike.golden.compiled.jit import compiled
from backspike.golden.compiled.rounding import Rounding, rounded_sum
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
    weight: np.ndarray,
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
    weight : array of float64
        As ``layer.shape``; sums of a neuron's weights are exact in float64.
    spikes : array of uint8 [T, B, inputs]
        0 and 1.
    noise : array of float64 [T, B, N]
        +1 or -1; no steps where there is none.
    start, fired_before : array of float64 and uint8 [B, N]
        Potentials and spikes before the first step.
    potentials, fired, masks : array of float64 and uint8 [T, B, N]
        Results.
    """
    steps, samples, inputs = spikes.shape
    pixels = geometry.out_height * geometry.out_width
    count = pixels * geometry.out_channels
    sums, current = np.empty(count), np.empty(count)
    seen = np.empty(inputs // geometry.pool**2, dtype=np.int64)
    saturated = False
    for sample in range(samples):
        for step in range(steps):
            _sums(geometry, weight, spikes[step, sample], seen, sums)
            if pixels > 1 and geometry.out_channels > 1:
                channels_last(sums, geometry.out_channels, current)
            else:
                sums, current = current, sums
            before = potentials[step - 1, sample] if step else start[sample]
            reset = fired[step - 1, sample] if step else fired_before[sample]
            saturated |= _step(
                cell,
                rounding,
                current,
                before,
                reset,
                potentials[step, sample],
                fired[step, sample],
                masks[step, sample],
            )
            if len(noise):
                _move(cell, potentials[step, sample], noise[step, sample], fired[step, sample])
    return saturated


@compiled
def _sums(geometry: Geometry, weight: np.ndarray, spikes: np.ndarray, seen: np.ndarray, sums: np.ndarray) -> None:
    """The weighted sums of one step, in the order (pixel, channel)."""
    out = geometry.out_channels
    if geometry.bias:
        for pixel in range(geometry.out_height * geometry.out_width):
            for channel in range(out):
                sums[pixel * out + channel] = weight[-1, channel]
    else:
        sums[:] = 0.0
    if geometry.pool > 1:
        pooled(spikes, geometry, seen)
        _scatter(geometry, weight, seen, sums)
    else:
        _scatter(geometry, weight, spikes, sums)


@compiled
def _scatter(geometry: Geometry, weight: np.ndarray, seen: np.ndarray, sums: np.ndarray) -> None:
    """Add the weights of each pooled input that is not 0 to all outputs that it reaches."""
    out, kernel, stride, padding = geometry.out_channels, geometry.kernel, geometry.stride, geometry.padding
    line = geometry.out_width * out
    for place in range(len(seen)):
        value = seen[place]
        if not value:
            continue
        times = float(value)
        pixel, x = divmod(place, geometry.width)
        channel, y = divmod(pixel, geometry.height)
        row = channel * kernel * kernel
        top, bottom = reached(y, kernel, stride, padding, geometry.out_height)
        left, right = reached(x, kernel, stride, padding, geometry.out_width)
        for out_y in range(top, bottom):
            tap = row + (y + padding - stride * out_y) * kernel + x + padding
            for out_x in range(left, right):
                taken = weight[tap - stride * out_x]
                target = sums[out_y * line + out_x * out :][:out]
                for i in range(out):
                    target[i] += times * taken[i]


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
