# SPDX-License-Identifier: Apache-2.0
"""Widths that follow from what a dense layer's slice can have."""

from backspike.hw.shapes import WORD, index_bits

__all__ = ["input_bits"]


def input_bits(shapes):
    """Bits of the number of an input in its group: the tape holds no more."""
    return max(6, index_bits(WORD * shapes.config.tape_words))
