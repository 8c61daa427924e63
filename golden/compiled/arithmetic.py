# SPDX-License-Identifier: Apache-2.0
"""The bit-exact arithmetic whose passes are compiled loops."""

import math

import numpy as np

from backspike.golden.arithmetic import BitExact
from backspike.golden.compiled import backward, errors, forward, gradients, update
from backspike.golden.compiled.geometry import Geometry
from backspike.golden.compiled.rounding import Rounding
from backspike.golden.constants import Training
from backspike.golden.exact import Exact
from backspike.golden.forward import LayerTrace
from backspike.golden.layers import Layer
from backspike.golden.neuron import NOISE, State
from backspike.golden.operands import Operand
from backspike.golden.passes import Passes
from backspike.golden.rules import Rule
from backspike.spec.formats import Format

__all__ = ["CompiledExact"]

_BITS = 53


class CompiledExact(BitExact, Passes):
    """``BitExact`` at compiled speed.

    Sums are kept in float64, or in two such numbers. Where those might not hold a sum exactly, which large weights of
    many inputs need, a pass is left to numpy.

    Parameters
    ----------
    format : Format
        Of every stored number.
    """

    def __init__(self, format: Format) -> None:
        super().__init__(format)
        self._rounding = Rounding.of(format)
        self._exact = math.ldexp(0.99, _BITS + format.lsb)  # the bounds themselves are rounded
        self._exact_products = math.ldexp(0.99, _BITS + 2 * format.lsb)

    def run_layer(
        self, layer: Layer, weight: np.ndarray, spikes: np.ndarray, noise: np.ndarray | None, state: State | None
    ) -> LayerTrace | None:
        neuron = layer.neuron.rounded(self.format)
        if _largest(weight) * len(weight) * layer.pool**2 + neuron.rr > self._exact:
            return None
        steps, samples, _ = spikes.shape
        shape = (samples, layer.outputs)
        raised, lowered = (
            self.round([(1 + NOISE) * neuron.theta, (1 - NOISE) * neuron.theta]) if noise is not None else (0.0, 0.0)
        )
        cell = forward.Cell.of(neuron, float(raised), float(lowered))
        potentials = np.empty((steps, *shape))
        fired, masks = np.empty((2, steps, *shape), dtype=np.uint8)
        self.saturated |= forward.run_layer(
            Geometry.of(layer),
            cell,
            self._rounding,
            np.ascontiguousarray(weight),
            _bytes(spikes),
            np.empty((0, 0, 0)) if noise is None else np.ascontiguousarray(noise),
            np.zeros(shape) if state is None else np.ascontiguousarray(state.potentials),
            np.zeros(shape, dtype=np.uint8) if state is None else state.spikes.astype(np.uint8),
            potentials,
            fired,
            masks,
        )
        return LayerTrace(potentials, fired.view(np.bool_), masks.view(np.bool_))

    def layer_back(
        self, layer: Layer, traced: LayerTrace, error: np.ndarray, rule: Rule, trained: np.ndarray | None
    ) -> np.ndarray | None:
        neuron, steps = layer.neuron.rounded(self.format), len(error)
        deltas = np.zeros(error.shape)
        self.saturated |= backward.layer_back(
            neuron.soft,
            neuron.amplitude,
            neuron.leak_back,
            self._rounding,
            rule.frame_steps(steps),
            np.ones(rule.frames(steps), dtype=np.bool_) if trained is None else trained,
            np.ascontiguousarray(error),
            _bytes(traced.spikes),
            _bytes(traced.masks),
            deltas,
        )
        return deltas

    def pass_back(self, layer: Layer, weight: np.ndarray, deltas: np.ndarray, masks: np.ndarray) -> np.ndarray | None:
        geometry = Geometry.of(layer)
        used = weight[: len(weight) - geometry.bias]
        kernels = used.reshape(layer.in_channels, layer.kernel, layer.kernel, layer.out_channels)
        turned = np.ascontiguousarray(kernels.transpose(3, 1, 2, 0))
        terms, largest = layer.kernel**2 * layer.out_channels, _largest(deltas)
        # What the high number of a sum loses is at most terms times the last place of its largest value
        if terms**2 * _largest(weight) * largest > math.ldexp(self._exact_products, _BITS - 1):
            return None
        total = float(np.abs(turned).sum(axis=(0, 1, 2)).max())
        result = np.zeros(masks.shape)
        self.saturated |= errors.pass_back(
            geometry,
            self._rounding,
            turned,
            self._exact_products / total if total else math.inf,
            np.ascontiguousarray(deltas).reshape(-1, layer.outputs),
            _bytes(masks).reshape(-1, layer.inputs),
            result.reshape(-1, layer.inputs),
        )
        return result

    def correlated(self, layer: Layer, given: np.ndarray, deltas: np.ndarray, operand: Operand) -> Exact | None:
        pixels = layer.out_height * layer.out_width
        rows = np.ascontiguousarray(deltas).reshape(-1, layer.outputs)
        if layer.pool**2 * operand.most * gradients.largest_sum(rows, pixels) > self._exact:
            return None
        total = np.zeros(layer.shape)
        numbers = _bytes(given).reshape(-1, layer.inputs)
        gradients.accumulate(Geometry.of(layer), operand.bias, numbers, rows, total)
        return Exact((total,), self.format.lsb)

    def update(
        self, weight: np.ndarray, velocity: np.ndarray, gradient: Exact, constants: Training
    ) -> tuple[np.ndarray, np.ndarray] | None:
        if len(gradient.parts) > 1:
            return None
        results = np.empty(weight.shape), np.empty(weight.shape)
        (total,) = gradient.parts
        self.saturated |= update.update(
            constants.update != "momentum",
            constants.mu,
            constants.beta,
            constants.decay,
            constants.rate,
            self._rounding,
            *(np.ascontiguousarray(array).reshape(-1) for array in (weight, velocity, total)),
            *(array.reshape(-1) for array in results),
        )
        return results


def _largest(array: np.ndarray) -> float:
    return max(float(array.max(initial=0.0)), -float(array.min(initial=0.0)))


def _bytes(array: np.ndarray) -> np.ndarray:
    """Booleans and small integers as uint8."""
    if array.dtype != np.bool_:
        return np.ascontiguousarray(array, dtype=np.uint8)
    return np.ascontiguousarray(array).view(np.uint8)
