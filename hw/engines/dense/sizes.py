# SPDX-License-Identifier: Apache-2.0
"""Widths that follow from what a dense layer's slice can have, and the number of words of a row of its bits."""

from amaranth.hdl import Cat
from amaranth.utils import exact_log2

from backspike.hw.shapes import WORD, index_bits

__all__ = ["input_bits", "last_word"]

_PLACE = exact_log2(WORD)


def input_bits(shapes):
    """Bits of the number of an input in its group: the tape holds no more."""
    return max(6, index_bits(WORD * shapes.config.tape_words))


def last_word(count, bits):
    """Index of the last word of a row of ``count`` bits, 1 to 2**bits: ``count - 1`` without its place in the word.

    It is one less than ``count`` without that place if the last word is full, by few look-up tables and no carry chain.
    """
    words, whole = count[_PLACE:bits], ~count[:_PLACE].any()
    return Cat(words[k] ^ (whole & ~words[:k].any()) for k in range(len(words)))
