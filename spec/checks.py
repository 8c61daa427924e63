# SPDX-License-Identifier: Apache-2.0
"""Checks of parameters: one sentence for each kind of mistake, wherever it is made.

Numbers of numpy are numbers. Each check returns the value as Python's own, so that what is kept, printed and written to
files does not depend on where a number came from. ``True`` and ``False`` are no numbers.
"""

import math
import numbers

import numpy as np

__all__ = ["check_flag", "check_integer", "check_number"]


def check_integer(name: str, value: object, low: int | None = None, high: int | None = None) -> int:
    """An integer within bounds.

    Parameters
    ----------
    name : str
        What the sentence of an error begins with.
    value : object
        What a user gave.
    low, high : int or None
        Smallest and largest value; ``None`` for no bound. ``high`` needs ``low``.

    Returns
    -------
    int
        The value as Python's ``int``.

    Raises
    ------
    TypeError
        ``value`` is no integer.
    ValueError
        ``value`` is out of bounds.
    """
    if isinstance(value, bool) or not isinstance(value, numbers.Integral):
        raise TypeError(f"{name} must be an integer, not {value!r}")
    result = int(value)
    if (low is not None and result < low) or (high is not None and result > high):
        raise ValueError(f"{name} must be {f'at least {low}' if high is None else f'{low} to {high}'}, not {result!r}")
    return result


def check_number(name: str, value: object, low: float, high: float = math.inf, *, open_low: bool = False) -> float:
    """A finite number within bounds.

    Parameters
    ----------
    name : str
        What the sentence of an error begins with.
    value : object
        What a user gave.
    low, high : float
        Smallest and largest value.
    open_low : bool
        Whether ``low`` itself is refused.

    Returns
    -------
    float
        The value as Python's ``int`` or ``float``.

    Raises
    ------
    TypeError
        ``value`` is no number.
    ValueError
        ``value`` is not finite, or out of bounds.
    """
    if isinstance(value, bool) or not isinstance(value, numbers.Integral | float | np.floating):
        raise TypeError(f"{name} must be a number, not {value!r}")
    result = int(value) if isinstance(value, numbers.Integral) else float(value)
    if not math.isfinite(result) or not low <= result <= high or (open_low and result == low):
        bounds = f"more than {low:g}" if open_low else f"at least {low:g}"
        if high < math.inf:
            bounds += f" and at most {high:g}"
        raise ValueError(f"{name} must be {bounds}, not {result!r}")
    return result


def check_flag(name: str, value: object) -> bool:
    """``True`` or ``False``, also numpy's, as Python's ``bool``; ``TypeError`` for anything else."""
    if not isinstance(value, bool | np.bool_):
        raise TypeError(f"{name} must be True or False, not {value!r}")
    return bool(value)
