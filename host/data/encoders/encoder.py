# SPDX-License-Identifier: Apache-2.0
"""What all encoders have in common."""

from typing import ClassVar, Self

import numpy as np

from backspike.spec.checks import check_integer

__all__ = ["Encoder"]


class Encoder:
    """Makes inputs of values; equal encoders make equal inputs of a sample, whatever its batch.

    Parameters
    ----------
    number : int or None
        What follows the name; ``None``: the default, or there is no such number.

    Attributes
    ----------
    name : str
        By which it is asked for.
    kinds : tuple of str
        Kinds of ``RawData`` that it takes.
    scaled : bool
        Whether its values must be from 0 to 1.
    numbers : (int, int, int) or None
        Default, least and largest of what may follow the name.
    bits : int
        Of an input: 1 for spikes.
    planes : int
        Inputs that a value becomes.

    Raises
    ------
    TypeError, ValueError
        ``number`` is of the wrong kind or out of range.
    """

    name: ClassVar[str]
    kinds: ClassVar[tuple[str, ...]] = ("values", "series")
    scaled: ClassVar[bool] = True
    numbers: ClassVar[tuple[int, int, int] | None] = None
    bits: int = 1
    planes: int = 1

    def __init__(self, number: int | None = None) -> None:
        self.number = 0
        if self.numbers is not None:
            default, low, high = self.numbers
            self.number = check_integer(
                f"number of encoder {self.name}", default if number is None else number, low, high
            )
        elif number is not None:
            raise ValueError(f"encoder must be {self.name} without a number, not '{self.name}:{number}'")

    @property
    def fits(self) -> bool:
        """Whether it must be fitted to training samples, so that it encodes others as them."""
        return type(self).fitted is not Encoder.fitted

    @property
    def inputs_per_value(self) -> int:
        """How many inputs the network has for each value."""
        return self.planes

    def fitted(self, values: np.ndarray) -> Self:
        """The encoder for data such as these training samples [samples, features]; most need none."""
        return self

    def encode(self, values: np.ndarray, numbers: np.ndarray) -> np.ndarray:
        """The inputs, uint8 [T, B, planes, features], of values [T, B, features] of the samples of these numbers."""
        raise NotImplementedError

    def __str__(self) -> str:
        return self.name if self.numbers is None else f"{self.name}:{self.number}"
