# SPDX-License-Identifier: Apache-2.0
"""Checks of parameters, shared by the descriptions of neurons, layers and training."""

import math

__all__ = ["check_count", "check_number", "rounded_constant"]


def check_number(name, value, low, high, *, open_low=False):
    """``TypeError`` or ``ValueError`` unless ``value`` is a finite number within the bounds."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise TypeError(f"{name} must be a number, not {value!r}")
    if not math.isfinite(value) or not low <= value <= high or (open_low and value == low):
        bounds = f"more than {low:g}" if open_low else f"at least {low:g}"
        if high < math.inf:
            bounds += f" and at most {high:g}"
        raise ValueError(f"{name} must be {bounds}, not {value!r}")


def check_count(name, value, low=1, high=None):
    """``TypeError`` or ``ValueError`` unless ``value`` is an integer within the bounds."""
    if isinstance(value, bool) or not isinstance(value, int):
        raise TypeError(f"{name} must be an integer, not {value!r}")
    if value < low or (high is not None and value > high):
        raise ValueError(f"{name} must be {f'at least {low}' if high is None else f'{low} to {high}'}, not {value!r}")


def rounded_constant(name, value, number_format):
    """``value`` rounded to the format; refused where it overflows, or vanishes without being zero."""
    result = float(number_format.round(value))
    if abs(value) > number_format.max_finite:
        raise ValueError(f"{name} must be at most {number_format.max_finite:g} in {number_format}, not {value!r}")
    if value and not result:
        least = 2.0**number_format.lsb
        raise ValueError(
            f"{name} must not round to zero in {number_format}, but {value!r} does: use at least {least!r}"
        )
    return result
