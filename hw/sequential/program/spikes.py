# SPDX-License-Identifier: Apache-2.0
"""Finds the set bits in the tapes of a slice's inputs."""

from contextlib import contextmanager

from backspike.host.protocol import DESCRIPTOR, GROUP, GROUP_STRIDE
from backspike.hw.sequential.assembler import Label
from backspike.hw.sequential.instructions import WORD_BITS
from backspike.hw.sequential.memory_map import LONG, TAPE_WORD
from backspike.hw.sequential.program.base import Registers as R

__all__ = ["BIT", "FIRST", "FREE", "GROUP_AT", "SCALE", "add_list_spikes", "set_bits", "weights_of"]

GROUP_AT, _LEFT, _AT, FIRST, _ROW, _WORD, BIT, *FREE = R.LOCAL
SCALE = FREE[0]


@contextmanager
def set_bits(p, tape, *, bias):
    """The block is done for each set bit of the words of SLOT and STEP in a tape, in no particular order.

    Words of zeros are passed over, 16 bits at a time. The block finds GROUP_AT: where the group's entry is; and the bit
    is number FIRST + BIT of the group. It may change the registers FREE.

    Parameters
    ----------
    tape: ``p.map.spikes`` or ``p.map.masks``
    bias: also the group of the bias
    """
    next_group = Label("next group")
    p.memory_field(GROUP_AT, DESCRIPTOR, "groups_base", R.DESCRIPTOR)
    p.multiply(GROUP_AT, GROUP_AT, GROUP_STRIDE * LONG)
    p.add(GROUP_AT, GROUP_AT, p.map.groups)
    p.memory_field(_LEFT, DESCRIPTOR, "groups", R.DESCRIPTOR)
    with p.while_(_LEFT, "!=", 0):
        if not bias:
            p.memory_field(_AT, GROUP, "constant", GROUP_AT)
            p.branch_if(_AT, "!=", 0, next_group)
        p.multiply(_AT, R.SLOT, p.config.steps)
        p.add(_AT, _AT, R.STEP)
        p.multiply(_AT, _AT, p.config.tape_words)
        p.memory_field(_WORD, GROUP, "tape", GROUP_AT)
        p.add(_AT, _AT, _WORD)
        p.multiply(_AT, _AT, TAPE_WORD)
        p.memory_field(_ROW, GROUP, "row_base", GROUP_AT)
        p.move(FIRST, 0)
        with p.loop("words of a group"):
            p.memory_field(BIT, GROUP, "channels", GROUP_AT)
            p.branch_if(FIRST, ">=", BIT, next_group)
            p.sub(BIT, BIT, FIRST)
            p.load(_WORD, _AT, tape)
            with p.when(BIT, "<", WORD_BITS):  # what lies behind the group's bits is not looked at
                p.bit(BIT, BIT)
                p.sub(BIT, BIT, 1)
                p.both(_WORD, _WORD, BIT)
            with p.while_(_WORD, "!=", 0):
                p.top(BIT, _WORD)
                p.bit(R.TEMP, BIT)
                p.differ(_WORD, _WORD, R.TEMP)
                yield
            p.add(_AT, _AT, 1)
            p.add(FIRST, FIRST, WORD_BITS)
            p.multiply(R.TEMP, R.BLOCKS, WORD_BITS)
            p.add(_ROW, _ROW, R.TEMP)
        p.place(next_group)
        p.add(GROUP_AT, GROUP_AT, GROUP_STRIDE * LONG)
        p.sub(_LEFT, _LEFT, 1)


def weights_of(p, d):
    """d = where the weights of the bit's input begin, counted from the first one; in the block of ``set_bits``."""
    p.multiply(d, BIT, R.BLOCKS)
    p.add(d, d, _ROW)


def add_list_spikes(p):
    """The routine ``list_spikes``: for each spike of SLOT and STEP, where its weights begin, times register SCALE.

    END = end of the list. Changes the registers of ``set_bits``.
    """
    p.place(p.list_spikes)
    p.move(R.END, p.map.list)
    with set_bits(p, p.map.spikes, bias=True):
        weights_of(p, R.TEMP)
        p.multiply(R.TEMP, R.TEMP, SCALE)
        p.store(R.TEMP, R.END)
        p.add(R.END, R.END, 1)
    p.give_back(R.MORE)
