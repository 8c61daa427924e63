# SPDX-License-Identifier: Apache-2.0
"""Real values of K bits: each bit as an input with a weight of its own, or all of them as one integer."""

import numpy as np

from backspike.host.data.encoders.encoder import Encoder

__all__ = ["Bits", "Direct", "integers"]


def integers(values: np.ndarray, bits: int) -> np.ndarray:
    """The integers ``round((2**K - 1) x)``, ties to even, of values from 0 to 1."""
    return np.rint(values * (2**bits - 1)).astype(np.uint8)


class Bits(Encoder):
    """K inputs for each value, the bits of ``round((2**K - 1) x)`` from the least on, at every step.

    Weights of such inputs that are as 1, 2, 4, ... give the current of ``Direct``; they may learn others.
    """

    name = "bits"
    numbers = (4, 1, 8)

    def __init__(self, number: int | None = None) -> None:
        super().__init__(number)
        self.planes = self.number

    def encode(self, values: np.ndarray, numbers: np.ndarray) -> np.ndarray:
        planes = np.arange(self.planes, dtype=np.uint8).reshape(-1, 1)
        return integers(values, self.number)[:, :, np.newaxis] >> planes & 1


class Direct(Encoder):
    """One input for each value, the integer ``n = round((2**K - 1) x)`` at every step: a current ``W n``, no spikes."""

    name = "direct"
    numbers = (4, 1, 8)

    def __init__(self, number: int | None = None) -> None:
        super().__init__(number)
        self.bits = self.number

    def encode(self, values: np.ndarray, numbers: np.ndarray) -> np.ndarray:
        return integers(values, self.number)[:, :, np.newaxis]
