# SPDX-License-Identifier: Apache-2.0
"""The exact mean of weights: the same bits in whatever order the workers answer."""

from collections.abc import Sequence

import numpy as np

from backspike.spec.checks import check_integer
from backspike.spec.formats import Format

__all__ = ["exact_mean"]

_BITS = 62
"""Of sums in int64, with a bit to spare for twice a remainder."""


def exact_mean(weights: Sequence[Sequence[np.ndarray]], samples: Sequence[int], fmt: Format) -> list[np.ndarray]:
    """``W = round(sum_k n_k W_k / sum_k n_k)``, with one rounding.

    This is federated averaging (McMahan et al. 2017, arXiv 1602.05629). The sum is one of integers, so
    that neither the order nor a grouping of the workers changes a bit.

    Parameters
    ----------
    weights : sequence of sequence of array of float64
        Of each worker, those of each layer: numbers of the format.
    samples : sequence of int
        That each worker has trained on, at least 1.
    fmt : Format
        Of the weights, before and after.

    Returns
    -------
    list of array of float64
        The mean of each layer: the nearest number of the format, ties to even.

    Raises
    ------
    ValueError
        There is no worker, shapes differ, or there are more samples than the sums can hold.
    """
    if not weights or len(weights) != len(samples):
        raise ValueError(f"weights must be those of at least one worker, with its samples, not {len(weights)}")
    counts = [check_integer("samples", count, 1) for count in samples]
    total = sum(counts)
    most = 1 << (_BITS - fmt.fixed_width)
    if total > most:
        raise ValueError(f"samples of all workers must be at most {most}, not {total}")
    shapes = [array.shape for array in weights[0]]
    for number, arrays in enumerate(weights):
        if [array.shape for array in arrays] != shapes:
            raise ValueError(f"weights of worker {number} must have the shapes of the first's, {shapes}")
    result = []
    for k in range(len(shapes)):
        sums = np.zeros(shapes[k], dtype=np.int64)
        for count, arrays in zip(counts, weights, strict=True):
            sums += count * _integers(arrays[k], fmt)
        result.append(_rounded(sums, total, fmt))
    return result


def _integers(values: np.ndarray, fmt: Format) -> np.ndarray:
    """Numbers of the format in units of ``2**lsb``."""
    return np.ldexp(values, -fmt.lsb).astype(np.int64)


def _rounded(sums: np.ndarray, count: int, fmt: Format) -> np.ndarray:
    """``sums / count`` in units of ``2**lsb``, rounded to the format."""
    magnitude = np.abs(sums)
    # A quotient of more bits than the mantissa has is a multiple of a power of two.
    exponents = np.frexp((magnitude // count).astype(np.float64))[1]
    shift = np.maximum(exponents - (fmt.mantissa + 1), 0)
    divisor = count << shift.astype(np.int64)
    quotient, rest = np.divmod(magnitude, divisor)
    up = (2 * rest > divisor) | ((2 * rest == divisor) & (quotient & 1 == 1))
    return np.copysign(np.ldexp((quotient + up).astype(np.float64), shift + fmt.lsb), sums) + 0.0
