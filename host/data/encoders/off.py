# SPDX-License-Identifier: Apache-2.0
"""Inputs for small values too: any encoder of ``x`` and ``1 - x``."""

import numpy as np

from backspike.host.data.encoders.encoder import Encoder

__all__ = ["Off"]


class Off(Encoder):
    """The inputs of another encoder for all values, then its inputs for what they lack to 1.

    Parameters
    ----------
    encoder : Encoder
        The other one, of values from 0 to 1.
    """

    def __init__(self, encoder: Encoder) -> None:
        if not encoder.scaled:
            raise ValueError(
                f"encoder must be {encoder} without +off, as it has inputs for small values, not '{encoder}+off'"
            )
        self.encoder = encoder
        self.name, self.kinds = f"{encoder}+off", encoder.kinds  # type: ignore[misc]  # those of the other one
        self.bits, self.planes = encoder.bits, encoder.planes

    def __str__(self) -> str:
        return self.name

    @property
    def inputs_per_value(self) -> int:
        return 2 * self.encoder.planes

    def encode(self, values: np.ndarray, numbers: np.ndarray) -> np.ndarray:
        return self.encoder.encode(np.concatenate([values, 1 - values], axis=2), numbers)
