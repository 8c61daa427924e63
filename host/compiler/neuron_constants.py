# SPDX-License-Identifier: Apache-2.0
"""A neuron's and the training's numbers as bit patterns of the chip's storage format."""

from fractions import Fraction

from backspike.golden.constants import Neuron, Training
from backspike.spec.formats import Format

__all__ = ["clamp_interval", "mask_interval", "neuron_constants", "noisy_thresholds", "smallest_number"]


def _at(fmt: Format, ordinal: int) -> Fraction:
    """The ``ordinal``-th number of the format, counted from 0.0 in order of value."""
    return (-1 if ordinal < 0 else 1) * Fraction(float(fmt.decode(abs(ordinal))))


def _pattern(fmt: Format, ordinal: int) -> int:
    return ordinal if ordinal >= 0 else -ordinal | 1 << (fmt.width - 1)


def _first(fmt: Format, bound: Fraction, strict: bool) -> int:
    """Ordinal of the smallest number >= ``bound`` (``strict``: > ``bound``), or one more than the last ordinal."""
    top = int(fmt.encode(fmt.max_finite))
    low, high = -top, top + 1
    while low < high:
        middle = (low + high) // 2
        value = _at(fmt, middle)
        if value > bound or (value == bound and not strict):
            high = middle
        else:
            low = middle + 1
    return low


def smallest_number(fmt: Format, bound: float | Fraction, strict: bool = False) -> int:
    """Bit pattern of the smallest number of ``fmt`` that is >= ``bound``, or > ``bound`` if ``strict``.

    ``bound`` is taken exactly. Zero is +0.

    Raises
    ------
    ValueError
        The format has no such number.
    """
    ordinal = _first(fmt, Fraction(bound), strict)
    if ordinal > int(fmt.encode(fmt.max_finite)):
        relation = ">" if strict else ">="
        raise ValueError(f"theta must leave a number {relation} theta in the format, not {float(bound)!r}")
    return _pattern(fmt, ordinal)


def mask_interval(fmt: Format, theta: float | Fraction, width: float | Fraction) -> tuple[int, int]:
    """Bit patterns ``(low, high)``: low <= u <= high exactly where \\|u - theta\\| < width / 2.

    ``theta`` and ``width`` are taken exactly. Where no number of the format lies inside, the interval is
    the largest finite number to the smallest: low > high, so that no u is inside.
    """
    middle, half = Fraction(theta), Fraction(width) / 2
    low = _first(fmt, middle - half, strict=True)
    high = -_first(fmt, -(middle + half), strict=True)
    if low > high:
        high = -int(fmt.encode(fmt.max_finite))
        low = -high
    return _pattern(fmt, low), _pattern(fmt, high)


def clamp_interval(fmt: Format, neuron: Neuron, steps: int, *, last: bool) -> tuple[int, int]:
    """Bit patterns ``(low, high)`` of the mask of an input in all steps: 0 to ``steps * rr``; all in the last layer."""
    bound = fmt.max_finite if last else float(fmt.round(neuron.rounded(fmt).rr * steps))
    return int(fmt.encode(-bound if last else 0.0)), int(fmt.encode(bound))


def noisy_thresholds(neuron: Neuron, alpha: float, fmt: Format) -> dict[str, int]:
    """The descriptor's thresholds of a neuron, by field name, which noise moves by ``alpha`` thresholds."""
    neuron = neuron.rounded(fmt)
    moved = {"threshold_raised": 1 + alpha, "threshold_lowered": 1 - alpha}
    return {
        name: smallest_number(fmt, float(fmt.round(factor * neuron.theta)), neuron.strict)
        for name, factor in moved.items()
    }


def neuron_constants(neuron: Neuron, training: Training, fmt: Format) -> dict[str, int]:
    """The descriptor's 16-bit numbers of a layer with this neuron, and the modes of its update, by field name.

    They are those of ``neuron.rounded(fmt)`` and ``training.rounded(fmt)``, as in the golden model.
    """
    neuron, training = neuron.rounded(fmt), training.rounded(fmt)
    low, high = mask_interval(fmt, neuron.theta, neuron.width)
    values = {
        "kappa": neuron.kappa,
        "reset": neuron.rr,
        "kappa_back": neuron.leak_back,
        "amplitude": neuron.amplitude,
        "loss_scale": training.loss_scale,
        "minus_rate": -training.rate,
        "momentum": training.beta,
        "rest": training.mu - training.beta,  # exact: mu is the sum of two numbers of the format
        "decay": training.decay,
    }
    return {
        "threshold": smallest_number(fmt, neuron.theta, neuron.strict),
        "mask_low": low,
        "mask_high": high,
        "sign": int(training.update != "momentum"),
        **{name: int(fmt.encode(value)) for name, value in values.items()},
    }
