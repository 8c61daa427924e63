# SPDX-License-Identifier: Apache-2.0
"""Widths, depths and record layouts that follow from a chip configuration."""

from amaranth.hdl import signed
from amaranth.lib.data import ArrayLayout, StructLayout
from amaranth.utils import ceil_log2

from backspike.hw.layouts import layout_of
from backspike.spec import tables

__all__ = ["WORD", "Shapes", "index_bits"]

WORD = 32
"""Neurons in one word of a spike tape, mask tape or delta bitmap."""

LOW_RANGE = 8
"""The low part of a gradient is from -2**(LOW_RANGE - 1) on, and below 2**(LOW_RANGE - 1): 32 bits of binary16."""


def index_bits(count):
    """Bits of an index into ``count`` things, at least 1."""
    return max(1, (count - 1).bit_length())


class Shapes:
    """Derived widths of one core.

    Parameters
    ----------
    config: ChipConfig
    """

    def __init__(self, config):
        self.config = config
        self.number = config.format.width
        self.step = index_bits(config.steps)
        self.step_address = ceil_log2(config.steps)  # part of an address, which has no bit for one step
        self.slot = index_bits(config.slots)
        self.slice = index_bits(config.slices)
        self.lane = index_bits(config.lanes)
        self.weight_depth = config.weights // config.lanes
        self.weight_address = index_bits(self.weight_depth)
        self.neuron = index_bits(config.neurons)
        self.block_depth = config.neurons // config.lanes
        self.block = index_bits(self.block_depth)
        self.tape_word = index_bits(config.tape_words)
        self.tape_bit = index_bits(config.tape_words * WORD)
        self.delta_depth = -(-self.block_depth // WORD) + config.slices
        self.delta_word = index_bits(self.delta_depth)
        self.route = index_bits(config.routes)
        self.error_sum = 96

        self.traced = config.operand_bits > 1  # operands are more than spikes
        self.back = int(config.ternary)  # bits that say whether ternary spikes go back in a frame
        self.count = config.operand_bits if self.traced else 0  # a neuron's own spikes, modulo 2**count; 0: not counted
        self.noise = 16 if config.noise else 0  # state of a neuron's generator

        self.fan_in = index_bits(config.fan_in)
        self.gradient_sum = config.format.fixed_width + ceil_log2(config.batch_terms)
        # A gradient is kept as low + 2**gradient_low high, low signed: few terms reach the high part.
        self.gradient_low = min(LOW_RANGE - config.format.lsb, self.gradient_sum - 1)
        self.gradient_high = self.gradient_sum - self.gradient_low
        self.fan_in_entry = layout_of(tables.FAN_IN)
        self.fan_in_words = ArrayLayout(32, tables.FAN_IN.word_count)
        self.descriptor = layout_of(tables.DESCRIPTOR)
        # Words of it that are needed: without noise, and where operands are spikes, the last ones are not.
        unused = None if self.noise else "threshold_raised" if self.traced else "tape"
        used = tables.DESCRIPTOR.offset(unused) if unused else tables.DESCRIPTOR.width
        self.descriptor_words = -(-used // 32)
        self.route_entry = layout_of(tables.ROUTE)
        if not self.noise:
            self.route_entry = StructLayout({name: field.shape for name, field in self.route_entry if name != "noise"})
        self.tables = config.slices * tables.DESCRIPTOR_STRIDE
        # Words of the descriptors lie behind the spikes, from here on.
        self.descriptors = 1 << max(self.tape_address().size, index_bits(self.tables))
        self.spike_address = index_bits(self.descriptors + self.tables)
        self.packet = StructLayout({"header": 32, "words": ArrayLayout(32, 3), "length": 2})

    def tape_address(self):
        """Layout of an address of the spike and mask tapes."""
        return StructLayout({"word": self.tape_word, "slot": self.slot, "step": self.step_address})

    def bitmap_address(self):
        """Layout of an address in a lane's bitmaps of non-zero deltas."""
        return StructLayout({"word": self.delta_word, "step": self.step_address})

    def error_address(self):
        """Layout of an address of the error sums."""
        return StructLayout({"step": self.step_address, "neuron": self.neuron, "slot": self.slot})

    def erase_address(self):
        """Layout of what counts through the addresses of error sums, of the tape and of counts, to erase them."""
        neuron = max(self.neuron, self.tape_word, self.slice + 1)
        return StructLayout({"step": self.step_address, "neuron": neuron, "slot": self.slot})

    def error_word(self):
        """An error sum as its memory holds it: 0 where ``none`` is set, whatever stands in ``sum``."""
        return StructLayout({"sum": signed(self.error_sum), "none": 1})

    def delta_address(self):
        """Layout of an address in a lane's delta memory."""
        return StructLayout({"step": self.step_address, "block": self.block})

    def history_address(self):
        """Layout of an address of the spikes and masks of all steps."""
        return StructLayout({"neuron": self.neuron, "slot": self.slot})
