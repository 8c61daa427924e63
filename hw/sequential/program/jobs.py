# SPDX-License-Identifier: Apache-2.0
"""What the jobs have in common."""

from backspike.host.protocol import DESCRIPTOR, DESCRIPTOR_STRIDE
from backspike.hw.sequential.memory_map import LONG
from backspike.hw.sequential.program.base import Registers as R

__all__ = ["begin_job", "next_slot"]


def begin_job(p):
    """DESCRIPTOR = where the description of SLICE lies; BLOCKS = its outputs. Changes TEMP."""
    p.multiply(R.DESCRIPTOR, R.SLICE, DESCRIPTOR_STRIDE * LONG)
    p.add(R.DESCRIPTOR, R.DESCRIPTOR, p.map.descriptors)
    p.memory_field(R.BLOCKS, DESCRIPTOR, "blocks", R.DESCRIPTOR)


def next_slot(p, name):
    """The slice's samples use its slots in turn."""
    p.load_slice(R.TEMP, R.AT_SLICE, name)
    p.add(R.TEMP, R.TEMP, 1)
    with p.when(R.TEMP, "==", p.config.slots):
        p.move(R.TEMP, 0)
    p.store_slice(R.TEMP, R.AT_SLICE, name)
