# SPDX-License-Identifier: Apache-2.0
"""Presynaptic operands: what a weight's gradient multiplies a delta with, as integers.

By default that is the input's spike. With a leak it is a trace of the input's spikes, and with a leak of 1 their count.
The chip keeps the same integers beside each input of a layer.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from backspike.spec.checks import check_integer

__all__ = [
    "LEAK_BITS",
    "LEAK_ONE",
    "MAX_OPERAND",
    "MOST_BITS",
    "OPERAND_BITS",
    "Operand",
    "Operands",
    "operands",
    "round_shift",
]

LEAK_ONE = 256
"""The leak that keeps all: a leak is an integer in units of 1 / 256."""

LEAK_BITS = 8
"""Bits of that unit."""

MOST_BITS = 8
"""Bits that an operand may have."""

OPERAND_BITS = 7
"""Bits of an operand that is more than a spike, as the rules take it."""

MAX_OPERAND = 2**OPERAND_BITS - 1
"""The largest of them."""


@dataclass(frozen=True)
class Operand:
    """What an input gives to the gradient, an integer: ``n[t] = min(127, rne(leak * n[t-1] / 256) + one * s[t])``.

    ``rne`` rounds to the nearest integer, ties to even; ``n`` starts from 0 with each sample.

    Parameters
    ----------
    leak : int
        0 to 256: 0 for the spike itself, 256 for a count.
    one : int
        What a spike adds.
    bias : int
        What a bias gives, in place of n.
    most : int
        Bound of n.
    once : bool
        Whether it is taken once a sample, after the last step.
    """

    leak: int = 0
    one: int = 1
    bias: int = 1
    most: int = 1
    once: bool = False

    @property
    def spikes(self) -> bool:
        """Whether it is the spike itself."""
        return self.leak == 0 and self.one == 1


@dataclass(frozen=True)
class Operands:
    """What inputs keep from one step to the next.

    Parameters
    ----------
    values : array of int64 [B, N]
        The operands of the last step.
    saturated : bool
        Sticky: since the first step, some operand would have been larger than its bits can say.
    """

    values: np.ndarray
    saturated: bool = False


def round_shift(values: np.ndarray, bits: int) -> np.ndarray:
    """Integers of at least 0 divided by ``2**bits``, rounded to the nearest, ties to even."""
    return (values + (1 << bits - 1) - 1 + (values >> bits & 1)) >> bits


def operands(
    spikes: ArrayLike, *, leak: int = 0, one: int = 1, bits: int = 1, state: Operands | None = None
) -> tuple[np.ndarray, Operands]:
    """The operands of each step.

    At the first step of a sample ``n[t] = one * s[t]``; then
    ``n[t] = min(2**bits - 1, round(leak * n[t-1] / 256) + one * s[t])``, rounded to nearest, ties to even.

    With leak 0 and one 1 they are the spikes, with leak 256 and one 1 their counts, else traces in units of 1 / one.

    Parameters
    ----------
    spikes : array of uint8 or bool [T, B, N]
        Of the inputs of a layer in the steps of a frame.
    leak : int
        What a step leaves of the operand before, 0 to 256, in units of 1 / 256; 0 with operands of one bit.
    one : int
        What a spike adds, 1 to ``2**bits - 1``.
    bits : int
        Bits of an operand, 1 to 8.
    state : Operands or None
        After the step before; ``None`` if the sample begins here.

    Returns
    -------
    (array of int64 [T, B, N], Operands)
        The operands, and the state to go on with in the next frame of these samples.

    Raises
    ------
    TypeError
        A parameter is no integer; spikes are of another kind.
    ValueError
        A parameter is out of range; shapes of spikes and state do not fit; operands of one bit have a leak.
    """
    bits = check_integer("bits", bits, 1, MOST_BITS)
    most = (1 << bits) - 1
    leak, one = check_integer("leak", leak, 0, LEAK_ONE), check_integer("one", one, 1, most)
    if bits == 1 and leak:
        raise ValueError(f"leak must be 0 for operands of one bit, which are spikes, not {leak!r}")
    spikes = np.asarray(spikes)
    if spikes.dtype not in (np.uint8, np.bool_):
        raise TypeError(f"spikes must be an array of uint8 or bool, not {spikes.dtype}")
    if spikes.ndim != 3:
        raise ValueError(f"spikes must be [T, B, N], not {list(spikes.shape)}")
    if state is not None and state.values.shape != spikes.shape[1:]:
        raise ValueError(f"state must be {list(spikes.shape[1:])}, not {list(state.values.shape)}")
    result = np.empty(spikes.shape, dtype=np.int64)
    if state is None:
        state = Operands(np.zeros(spikes.shape[1:], dtype=np.int64))
    values, saturated = state.values, state.saturated
    for t, fired in enumerate(spikes):
        grown = round_shift(leak * values, LEAK_BITS) + one * fired.astype(np.int64)
        saturated |= bool(grown.max(initial=0) > most)
        result[t] = values = np.minimum(grown, most)
    return result, Operands(values, saturated)
