# SPDX-License-Identifier: Apache-2.0
"""The two arithmetics of the golden model: float64, and one rounding per stored number as in the hardware.

Both have the same methods, so that the equations in ``neuron`` and ``learning`` are written once. ``matmul`` gives a
sum that is not yet rounded; ``combine`` adds terms to it and rounds.
"""

import numpy as np

from backspike.golden import exact
from backspike.golden.formats import Format

__all__ = ["BitExact", "Float64"]


class Float64:
    """IEEE double precision: no exactness, nothing saturates. The yardstick for ``BitExact``."""

    saturated = False

    def constants(self, described):
        """The constants of a ``Neuron`` or a ``Training`` as this arithmetic holds them."""
        return described

    def check(self, name, values):
        """``values`` as float64 if this arithmetic can hold them, else ``ValueError``."""
        values = np.asarray(values, dtype=np.float64)
        if not np.isfinite(values).all():
            raise ValueError(f"{name} must be finite numbers, not {float(values[~np.isfinite(values)].flat[0])!r}")
        return values

    def round(self, values):
        return np.asarray(values, dtype=np.float64)

    def matmul(self, a, b, *, spikes=False):
        return a @ b

    def combine(self, *terms, total=None):
        """``total + sum of constant * values`` over the terms ``(constant, values)``."""
        for constant, values in terms:
            scaled = values if constant == 1 else constant * values
            total = scaled if total is None else total + scaled
        return total

    def masked(self, total, masks):
        """A sum that ``matmul`` gave, where the mask is set, else 0."""
        return np.where(masks, total, 0.0)

    def accumulate(self, gradients, spikes, deltas):
        """``gradients + sum over samples and steps of spikes * deltas``."""
        inputs, outputs = gradients.shape
        return gradients + spikes.reshape(-1, inputs).T @ deltas.reshape(-1, outputs)


class BitExact:
    """The hardware's arithmetic: every result is the exact sum of exact products, rounded once to the format.

    Parameters
    ----------
    format: the format of every stored number

    Attributes
    ----------
    saturated: sticky, as the hardware's flag: some result was beyond the largest finite number
    """

    def __init__(self, format):
        if not isinstance(format, Format):
            raise TypeError(f"format must be a Format, not {format!r}")
        self.format = format
        self.saturated = False

    def constants(self, described):
        return described.rounded(self.format)

    def check(self, name, values):
        values = np.asarray(values, dtype=np.float64)
        try:
            self.format.encode(values)
        except ValueError as error:
            raise ValueError(f"{name} must be numbers of the format: {error}") from None
        return values

    def round(self, values):
        """Values of any float64 array, rounded; zeros become +0."""
        return self._note(exact.round_to(np.asarray(values, dtype=np.float64) + 0.0, self.format))

    def matmul(self, a, b, *, spikes=False):
        """The exact ``a @ b`` of numbers of the format, or of spikes (0 and 1) and numbers of the format."""
        return exact.matmul(a, b, 0 if spikes else self.format.lsb, self.format.lsb)

    def combine(self, *terms, total=None):
        """``total + sum of constant * values`` over the terms ``(constant, values)``, rounded once."""
        for constant, values in terms:
            scaled = exact.product(constant, values, self.format.lsb)
            total = scaled if total is None else total + scaled
        return self._note(exact.round_sum(total, self.format))

    def masked(self, total, masks):
        """The rounded sum where the mask is set, else 0; what no mask asks for is not computed, and cannot saturate."""
        result = np.zeros(masks.shape)
        result[masks] = self._note(exact.round_sum(total[masks], self.format))
        return result

    def accumulate(self, gradients, spikes, deltas):
        """``G = round(G + sum over steps of spikes * deltas)`` for one sample after the other.

        A gradient is rewritten where a step has both a spike and a non-zero delta, and else keeps its bits. That
        matters for a -0 only, which no sum here yields: one can only have been there before.
        """
        gradients = np.array(gradients)
        minus_zero = (gradients == 0) & np.signbit(gradients)
        if minus_zero.any():
            terms = spikes.reshape(-1, gradients.shape[0]).T @ (deltas.reshape(-1, gradients.shape[1]) != 0)
            minus_zero &= terms == 0
        steps, samples = spikes.shape[:2]
        if steps * self.format.max_finite * 2 > 2.0 ** (52 + self.format.lsb):
            raise ValueError(f"steps must be fewer, not {steps!r}")
        active_inputs, active_outputs = spikes.any(axis=0), (deltas != 0).any(axis=0)
        for sample in range(samples):
            rows, columns = np.flatnonzero(active_inputs[sample]), np.flatnonzero(active_outputs[sample])
            if rows.size and columns.size:
                where = np.ix_(rows, columns)
                added = spikes[:, sample, rows].T @ deltas[:, sample, columns]
                gradients[where] = self._note(exact.round_to(gradients[where] + added, self.format))
        gradients[minus_zero] = -0.0
        return gradients

    def _note(self, rounded):
        values, saturated = rounded
        self.saturated |= saturated
        return values
