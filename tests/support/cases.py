# SPDX-License-Identifier: Apache-2.0
"""Numbers and sums that are worth trying on arithmetic units: corner cases and seeded random ones."""

import numpy as np

__all__ = ["corner_numbers", "corner_sums", "random_numbers", "random_sums"]


def corner_numbers(fmt):
    """Bit patterns: zeros, ends of the subnormal and normal ranges, one and its neighbours, of both signs."""
    subnormal = (1 << fmt.mantissa) - 1
    one = fmt.bias << fmt.mantissa
    largest = (((1 << fmt.exponent) - 1) << fmt.mantissa) - 1
    positive = [0, 1, 2, subnormal, subnormal + 1, subnormal + 2, one - 1, one, one + 1, largest - 1, largest]
    positive = np.unique([pattern for pattern in positive if 0 <= pattern <= largest])
    return np.concatenate([positive, positive | 1 << (fmt.width - 1)]).astype(np.int64)


def random_numbers(rng, fmt, shape):
    """Bit patterns of finite numbers: exponents uniform, or close together within a row, or corner cases."""
    codes = (1 << fmt.exponent) - 1
    code = rng.integers(0, codes, shape)
    window = rng.integers(0, codes, (shape[0], *[1] * (len(shape) - 1)))
    near = np.clip(window + rng.integers(-2, 3, shape), 0, codes - 1)
    code = np.where(rng.random(shape) < 0.5, near, code)
    field, sign = rng.integers(0, 1 << fmt.mantissa, shape), rng.integers(0, 2, shape)
    bits = sign << (fmt.width - 1) | code << fmt.mantissa | field
    return np.where(rng.random(shape) < 0.05, rng.choice(corner_numbers(fmt), shape), bits)


def _clipped(values, width):
    return np.clip(values, -(1 << (width - 1)), (1 << (width - 1)) - 1)


def corner_sums(fmt, width, lsb):
    """Integers for a rounder: for every leading place the ties, their neighbours, the powers of two; the extremes."""
    below = fmt.lsb - lsb
    values = {0, 1, 2, 3}
    for place in range(width):
        drop = max(place - fmt.mantissa, below)
        half = (1 << drop) >> 1
        for significand in (1 << place >> drop, (1 << place >> drop) + 1, (2 << place >> drop) - 1):
            for low in (0, 1, half - 1, half, half + 1, 2 * half - 1):
                values.add(max((significand << drop) + low, 0))
    values |= {(1 << (width - 1)) - 1 - k for k in range(3)}
    positive = np.array(sorted(values), dtype=object)
    return np.unique(_clipped(np.concatenate([positive, -positive, [-(1 << (width - 1))]]), width))


def random_sums(rng, fmt, width, shape):
    """Signed integers of ``width`` bits (an object array) of all magnitudes, a third of them ties or next to one."""
    limbs = rng.integers(0, 2**63, (2, *shape), dtype=np.int64).astype(object)
    length = rng.integers(0, width, shape)
    values = (limbs[0] << 63 | limbs[1]) >> (126 - length).astype(object)
    drop = np.maximum(length - fmt.mantissa - 1, 1).astype(object)
    ties = (values >> drop << drop) + (1 << (drop - 1)) + rng.integers(-1, 2, shape)
    values = np.where(rng.random(shape) < 1 / 3, ties, values)
    return _clipped(np.where(rng.random(shape) < 0.5, values, -values), width)
