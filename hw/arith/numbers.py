# SPDX-License-Identifier: Apache-2.0
"""Storage-format numbers inside the hardware: unpacking, exact fixed point, order.

Every finite number of a format is a multiple of ``2**fmt.lsb``, so that it is a signed integer of
``fmt.fixed_width`` bits, and a product of two numbers is one of ``2 * fmt.fixed_width - 1`` bits in units of
``2**(2 * fmt.lsb)``. Each hardware function has a numpy model of the same name with ``_model`` appended.
"""

import numpy as np
from amaranth.hdl import Cat, Const, Mux, Value

from backspike.spec.formats import Format

__all__ = [
    "check_format",
    "check_integer",
    "not_below",
    "not_below_model",
    "of_count",
    "of_count_model",
    "product_model",
    "product_width",
    "to_fixed",
    "to_fixed_model",
    "to_term",
    "unpack",
]


def check_format(fmt):
    """Return ``fmt``; ``TypeError`` if it is not a :class:`Format`."""
    if not isinstance(fmt, Format):
        raise TypeError(f"fmt must be a Format, not {fmt!r}")
    return fmt


def check_integer(name, value, low, high=None):
    """Return ``value``; ``TypeError`` if it is not an integer, ``ValueError`` if it is not in ``low..high``."""
    if not isinstance(value, int) or isinstance(value, bool):
        raise TypeError(f"{name} must be an integer, not {value!r}")
    if value < low or (high is not None and value > high):
        span = f"at least {low}" if high is None else f"{low} to {high}"
        raise ValueError(f"{name} must be {span}, not {value!r}")
    return value


def product_width(fmt):
    """Bits of a signed integer that holds every product of two numbers in units of ``2**(2 * fmt.lsb)``."""
    return 2 * fmt.fixed_width - 1


def unpack(bits, fmt):
    """Parts of a stored number: its value is ``(-1)**negative * significand * 2**(fmt.lsb + shift)``.

    Parameters
    ----------
    bits: value of ``fmt.width`` bits, the pattern of a finite number
    fmt: storage format

    Returns
    -------
    ``(negative, significand, shift)``: expressions of 1, ``fmt.mantissa + 1`` and ``fmt.exponent`` bits
    """
    bits = Value.cast(bits)
    code = bits[fmt.mantissa : -1]
    normal = code.any()  # codes 0 (subnormal) and 1 have the same weight
    return bits[-1], Cat(bits[: fmt.mantissa], normal), (code - normal)[: fmt.exponent]


def to_term(bits, fmt):
    """A stored number as ``term + carry`` in units of ``2**fmt.lsb``, for an adder with carry-in.

    A negative number is given as the ones' complement of its magnitude, which needs no carry chain.

    Parameters
    ----------
    bits: value of ``fmt.width`` bits, the pattern of a finite number (subnormals and both zeros included)
    fmt: storage format

    Returns
    -------
    ``(term, carry)``: combinational expressions, ``signed(fmt.fixed_width)`` and 1 bit
    """
    negative, significand, shift = unpack(bits, check_format(fmt))
    width = fmt.fixed_width - 1
    magnitude = (significand << shift)[:width]
    return Cat(magnitude ^ negative.replicate(width), negative).as_signed(), negative


def to_fixed(bits, fmt):
    """A stored number as an exact signed integer in units of ``2**fmt.lsb``.

    Parameters
    ----------
    bits: value of ``fmt.width`` bits, the pattern of a finite number (subnormals and both zeros included)
    fmt: storage format

    Returns
    -------
    combinational expression, ``signed(fmt.fixed_width)``
    """
    term, carry = to_term(bits, fmt)
    return (term + carry)[: fmt.fixed_width].as_signed()


def to_fixed_model(bits, fmt):
    """What :func:`to_fixed` computes, for integers or arrays of bit patterns; int64."""
    bits = np.asarray(bits, dtype=np.int64)
    code = (bits >> fmt.mantissa) & ((1 << fmt.exponent) - 1)
    field = bits & ((1 << fmt.mantissa) - 1)
    magnitude = (field | (np.minimum(code, 1) << fmt.mantissa)) << np.maximum(code - 1, 0)
    return np.where(bits >> (fmt.width - 1), -magnitude, magnitude)


def product_model(a, b, fmt):
    """Exact products of stored numbers in units of ``2**(2 * fmt.lsb)``; an object array of Python integers."""
    return to_fixed_model(a, fmt).astype(object) * to_fixed_model(b, fmt).astype(object)


def not_below(bits, bound, fmt):
    """Whether a stored number is at least another one; both zeros are equal.

    Parameters
    ----------
    bits, bound: values of ``fmt.width`` bits, the patterns of finite numbers
    fmt: storage format

    Returns
    -------
    combinational expression, 1 bit
    """
    bits, bound = Value.cast(bits), Value.cast(bound)
    magnitude, other = (value[: check_format(fmt).width - 1] for value in (bits, bound))
    negative, other_negative = bits[-1] & magnitude.any(), bound[-1] & other.any()
    # Of two negative numbers the greater has the smaller magnitude: the comparison is strict, and its outcome reversed.
    less = (Cat(Const(0, 1), magnitude) - Cat(negative, other))[-1]
    return Mux(negative == other_negative, less == negative, other_negative)


def not_below_model(bits, bound, fmt):
    """What :func:`not_below` computes, for integers or arrays of bit patterns."""
    return to_fixed_model(bits, fmt) >= to_fixed_model(bound, fmt)


def of_count(count, fmt):
    """An unsigned integer as a stored number; one that the format does not hold is rounded towards zero.

    Parameters
    ----------
    count: value
    fmt: storage format

    Returns
    -------
    combinational expression, ``fmt.width`` bits
    """
    count, m = Value.cast(count), check_format(fmt).mantissa
    pattern = Const(0, fmt.width)
    for k in range(len(count)):  # the highest bit that is set
        code, below = k + fmt.bias, count[:k]
        field = below[k - m :] if k > m else Cat(Const(0, m - k), below)
        top = Cat(field, Const(code, fmt.exponent), Const(0, 1))
        if code >= (1 << fmt.exponent) - 1:
            top = Const(int(fmt.encode(fmt.max_finite)), fmt.width)
        pattern = Mux(count[k], top, pattern)
    return pattern


def of_count_model(count, fmt):
    """What :func:`of_count` computes, for integers or arrays of them; bit patterns."""
    count = np.minimum(np.asarray(count, dtype=np.int64), int(fmt.max_finite))
    lost = np.maximum(np.frexp(count)[1] - 1 - fmt.mantissa, 0)
    return fmt.encode((count >> lost << lost).astype(float))
