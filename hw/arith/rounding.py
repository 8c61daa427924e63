# SPDX-License-Identifier: Apache-2.0
"""Rounding of an exact sum to the storage format."""

import numpy as np
from amaranth.hdl import Cat, Const, Module, Mux, Shape, Signal, signed
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from backspike.hw.arith.numbers import check_format, check_integer

__all__ = ["Rounder", "check_tag"]


def check_tag(tag):
    """Return ``tag``; ``TypeError`` if it is not a shape."""
    try:
        Shape.cast(tag)
    except TypeError:
        raise TypeError(f"tag must be a shape, not {tag!r}") from None
    return tag


class Rounder(wiring.Component):
    """Rounds an exact integer to the nearest number of a storage format, ties to even, saturating.

    An exact zero gives +0; a negative sum that rounds to zero gives -0. A sum that would round to more than the
    largest finite number gives that number, with its sign, and ``saturated``.

    One sum per cycle. Reset clears the sums under way.

    How it works: a negative sum is inverted, not negated (the missing 1 is accounted for when rounding). The leading
    zeros are shifted out by 2**k, ..., 4, 2, 1 places, three such levels per stage; bits that no later level can move
    into the significand are merged into one "sticky" bit at once, so that the shifter narrows from level to level.
    The shift can at most bring the smallest subnormal's place into the last place of the significand; the complement
    of the shift is then the exponent code (minus the leading bit's contribution), without a subtraction. Bits above
    the largest number's are not shifted: any of them that is set only says that the number saturates.

    Parameters
    ----------
    fmt: storage format
    width: bits of the sum
    lsb: exponent of the sum's unit: the sum stands for ``sum * 2**lsb``; not above ``fmt.lsb``
    tag: shape of a value that is carried along

    Attributes
    ----------
    latency: cycles from ``valid`` to ``done``

    Members
    -------
    valid: In(1)
    sum: In(signed(width))
    tag: In(tag)
    done: Out(1)
    value: Out(fmt.width), the rounded number; valid while ``done`` is high, as the next three
    nonzero: Out(1), the sum was not 0; the number may be +0 nevertheless
    saturated: Out(1)
    tag_out: Out(tag)

    Raises
    ------
    TypeError, ValueError: a parameter of the wrong kind or out of range
    """

    LEVELS_PER_STAGE = 3

    def __init__(self, fmt, width, lsb, tag):
        self.fmt = check_format(fmt)
        self.width = check_integer("width", width, 2)
        self.lsb = check_integer("lsb", lsb, -1000, fmt.lsb)
        self.tag_shape = check_tag(tag)
        self._levels = self._levels_of(fmt, width, lsb)
        self.latency = self.latency_of(fmt, width, lsb)
        super().__init__(
            {
                "valid": In(1),
                "sum": In(signed(width)),
                "tag": In(tag),
                "done": Out(1),
                "value": Out(fmt.width),
                "nonzero": Out(1),
                "saturated": Out(1),
                "tag_out": Out(tag),
            }
        )

    @staticmethod
    def _levels_of(fmt, width, lsb):
        # Places above the leading bit's place of the smallest normal number: these can hold leading zeros.
        # A sum with bits above the largest number's saturates, wherever they are.
        above = min(width - 1 - (fmt.lsb - lsb), fmt.fixed_width - 1) - (fmt.mantissa + 1)
        return max(above, 0).bit_length()

    @classmethod
    def latency_of(cls, fmt, width, lsb):
        """``latency`` of a rounder with these parameters."""
        return -(-cls._levels_of(fmt, width, lsb) // cls.LEVELS_PER_STAGE) + 1

    def elaborate(self, platform):
        m = Module()
        negative = self.sum[-1]
        inverted = self.sum[:-1] ^ negative.replicate(self.width - 1)
        # Below the smallest subnormal's place: the rounding bit, and bits that only say "inexact".
        below = self.fmt.lsb - self.lsb
        length = self.fmt.mantissa + 1 + (1 << self._levels)
        padded = Cat(inverted, Const(0, max(length + below - 1 - len(inverted), 0)))
        vector = padded[below - 1 :] if below else Cat(negative, padded)
        vector, beyond = vector[:length], vector[length:]
        over = beyond.any()
        sticky = self.sum[: max(below - 1, 0)].any()
        shift = Const(0, 0)
        valid, tag = self.valid, self.tag

        for level in reversed(range(self._levels)):
            vector, sticky, shifted = self._level(m, vector, sticky, negative, 1 << level)
            shift = Cat(shifted, shift)
            if level % self.LEVELS_PER_STAGE == 0:
                vector = self._register(m, vector, "vector")
                sticky = self._register(m, sticky, "sticky")
                shift = self._register(m, shift, "shift")
                negative = self._register(m, negative, "negative")
                over = self._register(m, over, "over")
                valid, tag = self._register_control(m, valid, tag)

        value, saturated = self._round(m, vector, sticky, shift, negative, over)
        # What is below the last place of a number that is +0. A negative sum has its sign.
        rest = self._register(m, vector[0] | sticky, "rest")
        m.d.comb += [
            self.value.eq(self._register(m, value, "rounded")),
            self.nonzero.eq(self.value.any() | rest),
            self.saturated.eq(self._register(m, saturated, "overflow")),
        ]
        done, tag = self._register_control(m, valid, tag)
        m.d.comb += [self.done.eq(done), self.tag_out.eq(tag)]
        return m

    def _register(self, m, value, name):
        register = Signal(len(value), name=name)
        m.d.sync += register.eq(value)
        return register

    def _register_control(self, m, valid, tag):
        valid_next = Signal(name="valid_next")
        tag_next = Signal(self.tag_shape, name="tag_next")
        m.d.sync += [valid_next.eq(valid), tag_next.eq(tag)]
        return valid_next, tag_next

    def _level(self, m, vector, sticky, negative, count):
        """Shift ``count`` zeros out at the top if there are as many, else give up as many bits at the bottom."""
        shifted = self._wire(m, ~vector[-count:].any(), f"shifted_{count}")
        narrowed = self._wire(m, Mux(shifted, vector[:-count], vector[count:]), f"narrowed_{count}")
        spent = (vector[:count] ^ negative.replicate(count)).any()
        return narrowed, self._wire(m, sticky | (spent & ~shifted), f"sticky_{count}"), shifted

    def _wire(self, m, value, name):
        """Name a value that is used several times, as the netlist would otherwise compute it each time."""
        wire = Signal(len(value), name=name)
        m.d.comb += wire.eq(value)
        return wire

    def _round(self, m, vector, sticky, shift, negative, over):
        """Round the significand, whose last place is followed by one rounding bit, and pack the number."""
        fmt = self.fmt
        rounding, significand = vector[0], vector[1:]
        # With a clear sticky bit, a negative sum's inverted tail is all ones: the missing 1 ripples up to the
        # rounding bit. A set rounding bit then carries into the significand; a clear one becomes set, a tie.
        up = Mux(
            negative,
            Mux(sticky, rounding, rounding | significand[0]),
            rounding & (sticky | significand[0]),
        )
        # The leading bit adds 1 to the exponent code; without it the number is subnormal, with code 0.
        total = Cat(Const(0, fmt.mantissa), ~shift) + significand + up
        packed = self._wire(m, total[: fmt.mantissa + max(len(shift), 1) + 1], "packed")
        code = packed[fmt.mantissa :]
        if len(code) >= fmt.exponent:
            over |= code[: fmt.exponent].all() | code[fmt.exponent :].any()
        saturated = self._wire(m, over, "saturating")
        largest = Const((((1 << fmt.exponent) - 1) << fmt.mantissa) - 1, fmt.width - 1)
        magnitude = Mux(saturated, largest, packed[: fmt.width - 1])
        return Cat(magnitude, Const(0, fmt.width - 1 - len(magnitude)), negative), saturated

    def model(self, sums):
        """``(value, saturated)`` for integers or an iterable of them: arrays of bit patterns and flags."""
        fmt, below = self.fmt, self.fmt.lsb - self.lsb
        infinity = ((1 << fmt.exponent) - 1) << fmt.mantissa
        sign = 1 << (fmt.width - 1)
        values, flags = [], []
        for exact in np.atleast_1d(np.asarray(sums, dtype=object)).flat:
            magnitude = abs(exact)
            drop = max(magnitude.bit_length() - 1 - fmt.mantissa, below)
            significand = magnitude >> drop
            twice_rest = (magnitude - (significand << drop)) * 2
            up = twice_rest > 1 << drop or (twice_rest == 1 << drop and significand & 1)
            pattern = ((drop - below) << fmt.mantissa) + significand + up
            values.append(min(pattern, infinity - 1) | (sign if exact < 0 else 0))
            flags.append(pattern >= infinity)
        shape = np.shape(sums)
        return np.array(values, dtype=np.int64).reshape(shape), np.array(flags, dtype=bool).reshape(shape)
