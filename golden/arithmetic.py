# SPDX-License-Identifier: Apache-2.0
"""The two arithmetics of the golden model: float64, and one rounding per stored number as in the hardware.

Both have the same methods, so that the equations in ``neuron`` and ``learning`` are written once. Each has its own kind
of sums that are not yet rounded, ``Sum``: arrays, or ``exact.Exact``.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Sequence
from typing import Generic, TypeVar

import numpy as np
from numpy.typing import ArrayLike

from backspike.golden import exact
from backspike.golden.constants import Neuron, Training
from backspike.golden.operands import LEAK_ONE, operands
from backspike.spec.formats import Format

__all__ = ["Arithmetic", "BitExact", "Float64", "Sum"]

Sum = TypeVar("Sum", np.ndarray, exact.Exact)
_Constants = TypeVar("_Constants", Neuron, Training)


class Arithmetic(ABC, Generic[Sum]):
    """What both arithmetics can do. Arrays are float64 where nothing else is said.

    Attributes
    ----------
    saturated : bool
        Sticky: some result was beyond the largest finite number.
    """

    saturated = False

    @abstractmethod
    def constants(self, described: _Constants) -> _Constants:
        """The constants of a ``Neuron`` or a ``Training`` as this arithmetic holds them."""

    @abstractmethod
    def check(self, name: str, values: ArrayLike) -> np.ndarray:
        """``values`` as float64; ``ValueError`` where this arithmetic cannot hold one."""

    @abstractmethod
    def round(self, values: ArrayLike) -> np.ndarray:
        """Values of any float64 array, rounded; zeros become +0."""

    def constant(self, value: float) -> float:
        """One number, rounded."""
        return float(self.round(np.array([value]))[0])

    @abstractmethod
    def matmul(self, a: np.ndarray, b: np.ndarray, *, counts: int | None = None, largest: float | None = None) -> Sum:
        """The sums ``a @ b``, not rounded.

        Parameters
        ----------
        a : array [M, K]
            Numbers that this arithmetic holds, or integers.
        b : array [K, N]
            Numbers that this arithmetic holds.
        counts : int or None
            Largest magnitude of the integers in ``a``; ``None`` where they are other numbers.
        largest : float or None
            Bound on the magnitudes in ``a``, if one is known: to look for it takes time.
        """

    @abstractmethod
    def correlate(self, blocks: Iterable[tuple[np.ndarray, slice]], values: np.ndarray, counts: int) -> Sum:
        """The sum of ``left.T @ values[rows]`` over blocks ``(left, rows)``, not rounded.

        Parameters
        ----------
        blocks : iterable of (array [R, K], slice of R rows)
            At least one; the arrays hold integers.
        values : array [S, N]
            Numbers that this arithmetic holds.
        counts : int
            Largest magnitude of the integers.
        """

    @abstractmethod
    def operands(self, spikes: np.ndarray, leak: int, one: int, bits: int) -> np.ndarray:
        """What inputs give to the gradient at each step [T, B, N], see ``operands.operands``."""

    @abstractmethod
    def zeros(self, shape: tuple[int, ...]) -> Sum:
        """Sums of nothing, to which others can be added."""

    @abstractmethod
    def add(self, a: Sum, b: Sum) -> Sum:
        """``a + b`` of two sums."""

    @abstractmethod
    def map(self, total: Sum, function: Callable[[np.ndarray], np.ndarray]) -> Sum:
        """A sum after a function that moves the elements of an array."""

    @abstractmethod
    def join(self, totals: Sequence[Sum]) -> Sum:
        """Sums one after the other along the first axis."""

    @abstractmethod
    def combine(self, *terms: tuple[float, np.ndarray], total: Sum | None = None) -> np.ndarray:
        """``total + sum of constant * values`` over the terms ``(constant, values)``, rounded once."""

    @abstractmethod
    def sign(self, *terms: tuple[float, np.ndarray], total: Sum | None = None) -> np.ndarray:
        """-1, 0 or 1: the sign of what ``combine`` rounds, before it is rounded; it cannot saturate."""

    @abstractmethod
    def masked(self, total: Sum, masks: np.ndarray) -> np.ndarray:
        """The rounded sum where the mask is set, else 0; what no mask asks for cannot saturate."""


class Float64(Arithmetic[np.ndarray]):
    """IEEE double precision: no exactness, nothing saturates. The yardstick for ``BitExact``."""

    def constants(self, described: _Constants) -> _Constants:
        return described

    def check(self, name: str, values: ArrayLike) -> np.ndarray:
        array = np.asarray(values, dtype=np.float64)
        if not np.isfinite(array).all():
            raise ValueError(f"{name} must be finite numbers, not {float(array[~np.isfinite(array)].flat[0])!r}")
        return array

    def round(self, values: ArrayLike) -> np.ndarray:
        return np.asarray(values, dtype=np.float64)

    def matmul(
        self, a: np.ndarray, b: np.ndarray, *, counts: int | None = None, largest: float | None = None
    ) -> np.ndarray:
        return a @ b

    def correlate(self, blocks: Iterable[tuple[np.ndarray, slice]], values: np.ndarray, counts: int) -> np.ndarray:
        return sum((left.T @ values[rows] for left, rows in blocks), start=np.zeros(()))

    def operands(self, spikes: np.ndarray, leak: int, one: int, bits: int) -> np.ndarray:
        result = one * spikes.astype(np.float64)
        for t in range(1, len(spikes)):
            result[t] += leak / LEAK_ONE * result[t - 1]
        return result

    def zeros(self, shape: tuple[int, ...]) -> np.ndarray:
        return np.zeros(shape)

    def add(self, a: np.ndarray, b: np.ndarray) -> np.ndarray:
        return a + b

    def map(self, total: np.ndarray, function: Callable[[np.ndarray], np.ndarray]) -> np.ndarray:
        return function(total)

    def join(self, totals: Sequence[np.ndarray]) -> np.ndarray:
        return np.concatenate(totals)

    def combine(self, *terms: tuple[float, np.ndarray], total: np.ndarray | None = None) -> np.ndarray:
        for constant, values in terms:
            scaled = values if constant == 1 else constant * values
            total = scaled if total is None else total + scaled
        if total is None:
            raise ValueError("a sum must have a term or a total")
        return total

    def sign(self, *terms: tuple[float, np.ndarray], total: np.ndarray | None = None) -> np.ndarray:
        return np.sign(self.combine(*terms, total=total)) + 0.0

    def masked(self, total: np.ndarray, masks: np.ndarray) -> np.ndarray:
        return np.where(masks, total, 0.0)


class BitExact(Arithmetic[exact.Exact]):
    """The hardware's arithmetic: every result is the exact sum of exact products, rounded once to the format.

    Parameters
    ----------
    format : Format
        Of every stored number.

    Attributes
    ----------
    saturated : bool
        Sticky, as the hardware's flag: some result was beyond the largest finite number.

    Raises
    ------
    TypeError
        ``format`` is no ``Format``.
    """

    def __init__(self, format: Format) -> None:
        if not isinstance(format, Format):
            raise TypeError(f"format must be a Format, not {format!r}")
        self.format = format
        self.saturated = False

    def constants(self, described: _Constants) -> _Constants:
        return described.rounded(self.format)

    def check(self, name: str, values: ArrayLike) -> np.ndarray:
        array = np.asarray(values, dtype=np.float64)
        try:
            self.format.encode(array)
        except ValueError as error:
            raise ValueError(f"{name} must be numbers of the format: {error}") from None
        return array

    def round(self, values: ArrayLike) -> np.ndarray:
        return self._note(exact.round_to(np.asarray(values, dtype=np.float64) + 0.0, self.format))

    def matmul(
        self, a: np.ndarray, b: np.ndarray, *, counts: int | None = None, largest: float | None = None
    ) -> exact.Exact:
        if counts is not None:
            return exact.matmul(a, b, 0, self.format.lsb, largest=counts)
        return exact.matmul(a, b, self.format.lsb, self.format.lsb, largest=largest)

    def correlate(self, blocks: Iterable[tuple[np.ndarray, slice]], values: np.ndarray, counts: int) -> exact.Exact:
        return exact.correlate(blocks, values, counts, self.format.lsb)

    def operands(self, spikes: np.ndarray, leak: int, one: int, bits: int) -> np.ndarray:
        values, state = operands(spikes, leak=leak, one=one, bits=bits)
        self.saturated |= state.saturated
        return values

    def zeros(self, shape: tuple[int, ...]) -> exact.Exact:
        return exact.Exact((np.zeros(shape),), self.format.lsb)

    def add(self, a: exact.Exact, b: exact.Exact) -> exact.Exact:
        return exact.merge(a + b)

    def map(self, total: exact.Exact, function: Callable[[np.ndarray], np.ndarray]) -> exact.Exact:
        return total.map(function)

    def join(self, totals: Sequence[exact.Exact]) -> exact.Exact:
        return exact.join(totals)

    def combine(self, *terms: tuple[float, np.ndarray], total: exact.Exact | None = None) -> np.ndarray:
        return self._note(exact.round_sum(self._sum(*terms, total=total), self.format))

    def sign(self, *terms: tuple[float, np.ndarray], total: exact.Exact | None = None) -> np.ndarray:
        return exact.sign(self._sum(*terms, total=total))

    def _sum(self, *terms: tuple[float, np.ndarray], total: exact.Exact | None) -> exact.Exact:
        for constant, values in terms:
            scaled = exact.product(constant, values, self.format.lsb)
            total = scaled if total is None else total + scaled
        if total is None:
            raise ValueError("a sum must have a term or a total")
        return total

    def masked(self, total: exact.Exact, masks: np.ndarray) -> np.ndarray:
        result = np.zeros(masks.shape)
        result[masks] = self._note(exact.round_sum(total[masks], self.format))
        return result

    def _note(self, rounded: tuple[np.ndarray, bool]) -> np.ndarray:
        values, saturated = rounded
        self.saturated |= saturated
        return values
