# SPDX-License-Identifier: Apache-2.0
"""The bit-exact arithmetic whose passes are compiled loops."""

import math

import numpy as np
from numpy.typing import ArrayLike

from backspike.golden.arithmetic import BitExact
from backspike.golden.compiled import backward, errors, forward, gradients, rounding, update
from backspike.golden.compiled.buffers import Buffers
from backspike.golden.compiled.geometry import Geometry, run_order
from backspike.golden.constants import Training
from backspike.golden.exact import Exact, low_bit
from backspike.golden.forward import LayerTrace, blocks
from backspike.golden.layers import Layer
from backspike.golden.neuron import NOISE, State
from backspike.golden.operands import Operand
from backspike.golden.passes import Passes
from backspike.golden.rules import Rule
from backspike.spec.formats import Format

__all__ = ["CompiledExact"]

_BITS = 53
_BYTE = 255
_NOTHING = np.empty((0, 0, 0))


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
        self._rounding, self._buffers = rounding.Rounding.of(format), Buffers()
        self._zeros: dict[tuple[int, ...], Exact] = {}
        self._exact = math.ldexp(0.99, _BITS + format.lsb)  # the bounds themselves are rounded
        self._exact_products = math.ldexp(0.99, _BITS + 2 * format.lsb)

    def round(self, values: ArrayLike) -> np.ndarray:
        array = np.ascontiguousarray(values, dtype=np.float64)
        result = np.empty(array.shape)
        self.saturated |= rounding.round_all(array.reshape(-1), self._rounding, result.reshape(-1))
        return result

    def zeros(self, shape: tuple[int, ...]) -> Exact:
        if shape not in self._zeros:
            zeros = super().zeros(shape)
            zeros.parts[0].setflags(write=False)
            self._zeros[shape] = zeros
        return self._zeros[shape]

    def run_layer(
        self, layer: Layer, weight: np.ndarray, spikes: np.ndarray, noise: np.ndarray | None, state: State | None
    ) -> LayerTrace | None:
        neuron = layer.neuron.rounded(self.format)
        most = _most(spikes) * layer.pool**2
        terms, top = len(weight) * most, self.format.max_finite
        if most > _BYTE or (terms * top > self._exact - top and terms * _largest(weight) > self._exact - neuron.rr):
            return None
        steps, samples, _ = spikes.shape
        shape = (samples, layer.outputs)
        raised, lowered = 0.0, 0.0
        if noise is not None:
            raised, lowered = (self.constant((1 + sign * NOISE) * neuron.theta) for sign in (1, -1))
        places, rows = run_order(layer)
        potentials = self._buffers.empty((steps, *shape))
        fired, masks = (self._buffers.empty((steps, *shape), np.uint8) for _ in range(2))
        self.saturated |= forward.run_layer(
            Geometry.of(layer),
            forward.Cell.of(neuron, raised, lowered),
            self._rounding,
            places,
            layer.whole and most <= 1,
            np.ascontiguousarray(weight if rows is None else weight[rows]).reshape(-1),
            _bytes(spikes),
            _NOTHING if noise is None else np.ascontiguousarray(noise),
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
        deltas = self._buffers.empty(error.shape)
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
        geometry, pixels = Geometry.of(layer), layer.out_height * layer.out_width
        weight = np.ascontiguousarray(weight[: len(weight) - geometry.bias])
        rows = np.ascontiguousarray(deltas).reshape(-1, layer.outputs)
        asked, shape = _bytes(masks).reshape(-1, layer.inputs), masks.shape
        picked = self._buffers.empty((len(rows) * pixels, layer.out_channels))
        places = self._buffers.empty((len(rows) * pixels,), np.int64)
        found, square = errors.gather(rows, pixels, picked, places)
        taps = 1 if layer.whole else layer.kernel**2
        squares = errors.largest_norm(weight, taps) * square * taps
        pieces = self._pieces(weight, squares, square * taps * taps * layer.out_channels)
        if pieces is None:
            return None
        result = self._buffers.empty((len(rows), layer.inputs))
        if not layer.whole:
            kernels = (layer.in_channels, layer.kernel, layer.kernel, layer.out_channels)
            pieces = [piece.reshape(kernels).transpose(1, 2, 0, 3).reshape(len(weight), -1) for piece in pieces]
        parts = blocks(len(rows), pixels * len(weight))
        ends = np.searchsorted(places[:found], [part.stop * pixels for part in parts[:-1]])
        for part, first, end in zip(parts, (0, *ends), (*ends, found), strict=True):
            products = [picked[first:end] @ piece.T for piece in pieces]
            self.saturated |= errors.spread(
                geometry,
                self._rounding,
                places[first:end] - part.start * pixels,
                products[0],
                products[1] if len(products) > 1 else products[0][:0],
                asked[part],
                result[part],
            )
        return result.reshape(shape)

    def _pieces(self, weight: np.ndarray, squares: float, rest: float) -> list[np.ndarray] | None:
        """The weights in one piece or two, with each of which all sums of products are exact in float64.

        A sum and all parts of it are at most the root of ``squares``, by the inequality of Cauchy and Schwarz; that of
        the second pieces at most the root of ``rest``, times the largest of them.
        """
        if squares <= self._exact_products**2:
            return [weight]
        unit = math.ldexp(1.0, self.format.lsb)
        step = 2.0 ** math.ceil(1 + math.log2(math.sqrt(squares) / self._exact_products))
        if step * unit * math.sqrt(rest) > self._exact_products:
            return None
        high = np.rint(weight / (step * unit)) * (step * unit)
        return [high, weight - high]

    def correlated(self, layer: Layer, given: np.ndarray, deltas: np.ndarray, operand: Operand) -> Exact | None:
        pixels = layer.out_height * layer.out_width
        most = _most(given) * layer.pool**2
        deltas = np.ascontiguousarray(deltas)
        largest = gradients.largest_sum(deltas.reshape(-1, layer.outputs), pixels)
        if most > _BYTE or max(most, operand.bias) * largest > self._exact:
            return None
        places, rows = run_order(layer)
        total = self._buffers.empty(layer.shape)
        total[...] = 0.0
        plain = layer.whole and most <= 1
        gradients.accumulate(Geometry.of(layer), places, plain, operand.bias, _bytes(given), deltas, total.reshape(-1))
        if rows is not None:
            ordered = self._buffers.empty(layer.shape)
            ordered[rows] = total
            total = ordered
        return Exact((total,), self.format.lsb)

    def update(
        self, weight: np.ndarray, velocity: np.ndarray, gradient: Exact, constants: Training
    ) -> tuple[np.ndarray, np.ndarray] | None:
        if len(gradient.parts) > 1:
            return None
        results = self._buffers.empty(weight.shape), self._buffers.empty(weight.shape)
        (total,) = gradient.parts
        by_sign = constants.update != "momentum"
        top, kept = self.format.max_finite, self.format.lsb + min(low_bit(constants.decay), 0)
        moved = low_bit(constants.rate) + (0 if by_sign else self.format.lsb)
        most = constants.decay * top + constants.rate * (1 if by_sign else top)
        self.saturated |= update.update(
            by_sign,
            most <= math.ldexp(0.99, _BITS + min(kept, moved)),
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


def _most(array: np.ndarray) -> int:
    """Bound of booleans or integers; more than a byte where some are negative."""
    if array.dtype == np.bool_:
        return 1
    if array.dtype.kind != "u" and array.min(initial=0) < 0:
        return _BYTE + 1
    return int(array.max(initial=0))


def _bytes(array: np.ndarray) -> np.ndarray:
    """Booleans and small integers as uint8."""
    if array.dtype != np.bool_:
        return np.ascontiguousarray(array, dtype=np.uint8)
    return np.ascontiguousarray(array).view(np.uint8)
