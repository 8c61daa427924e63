# SPDX-License-Identifier: Apache-2.0
"""Comparison of values bit by bit, with the first difference in words."""

from dataclasses import dataclass

import numpy as np

from backspike.spec.formats import Format

__all__ = ["Difference", "first_spike_difference", "first_sum_difference", "first_weight_difference"]


@dataclass(frozen=True)
class Difference:
    """The first value that differs, where, and how many bits differ altogether.

    ``index`` is (sample, output) for spikes and (input, output) for weights; ``step`` is the time step for spikes and
    the batch, counted from 0, after which the weights were read.
    """

    what: str
    layer: int
    index: tuple[int, ...]
    step: int
    expected: str
    found: str
    bits: int

    def __str__(self) -> str:
        return (
            f"first difference: {self.what} of layer {self.layer}, index {self.index}, step {self.step}: "
            f"expected bits {self.expected}, found {self.found} ({self.bits} bits differ)"
        )


def _count(expected: list[np.ndarray], found: list[np.ndarray], fmt: Format) -> int:
    """Number of bits that differ between two lists of weight arrays."""
    return sum(int(np.bitwise_count(fmt.encode(a) ^ fmt.encode(b)).sum()) for a, b in zip(expected, found, strict=True))


def first_weight_difference(
    expected: list[np.ndarray], found: list[np.ndarray], step: int, fmt: Format, what: str = "weight"
) -> Difference | None:
    """The first ``Difference`` between two lists of weight arrays, or ``None``."""
    for layer, (a, b) in enumerate(zip(expected, found, strict=True)):
        bits_a, bits_b = fmt.encode(a), fmt.encode(b)
        wrong = np.argwhere(bits_a != bits_b)
        if len(wrong):
            index = tuple(int(k) for k in wrong[0])
            digits = -(-fmt.width // 4)
            return Difference(
                what,
                layer,
                index,
                step,
                f"0x{int(bits_a[index]):0{digits}x}",
                f"0x{int(bits_b[index]):0{digits}x}",
                _count(expected, found, fmt),
            )
    return None


def first_sum_difference(expected: list[np.ndarray], found: list[np.ndarray], step: int) -> Difference | None:
    """The first ``Difference`` between two lists of arrays of integers, the exact gradients, or ``None``."""
    for layer, (a, b) in enumerate(zip(expected, found, strict=True)):
        wrong = np.argwhere(a != b)
        if len(wrong):
            index = tuple(int(k) for k in wrong[0])
            bits = sum(int(x ^ y).bit_count() for x, y in zip(a[a != b], b[a != b], strict=True))
            return Difference("gradient", layer, index, step, str(a[index]), str(b[index]), bits)
    return None


def first_spike_difference(
    expected: np.ndarray, found: np.ndarray, layer: int, first_sample: int = 0
) -> Difference | None:
    """The first ``Difference`` between spikes [T, B, N], in the order of samples, or ``None``."""
    wrong = np.argwhere(np.moveaxis(np.asarray(expected) != np.asarray(found), 0, 1))
    if not len(wrong):
        return None
    sample, step, output = (int(k) for k in wrong[0])
    return Difference(
        "spike",
        layer,
        (first_sample + sample, output),
        step,
        str(int(expected[step, sample, output])),
        str(int(found[step, sample, output])),
        len(wrong),
    )
