# SPDX-License-Identifier: Apache-2.0
"""Values of Amaranth's shapes as integers and back, many times: what a shape means is found out once."""

from functools import cached_property

from amaranth.hdl import Shape
from amaranth.lib.data import ArrayLayout, StructLayout

__all__ = ["Codec"]


class Codec:
    """Bits of the values of a shape.

    Parameters
    ----------
    shape: ShapeLike

    Attributes
    ----------
    shape: as given
    width: bits of a value
    mask: so many ones
    pack: function of a value, a dict for a struct, a list for an array, else an integer; gives an integer
    unpack: the reverse; integers of signed shapes are signed
    """

    def __init__(self, shape):
        self.shape = shape
        self.width = Shape.cast(shape).width
        self.mask = (1 << self.width) - 1

    @cached_property
    def pack(self):
        mask = self.mask
        if isinstance(self.shape, StructLayout):
            parts = {name: (field.offset, Codec(field.shape).pack) for name, field in self.shape}

            def pack(value):
                if not isinstance(value, dict):
                    return int(value) & mask
                bits = 0
                for name, part in value.items():
                    offset, inner = parts[name]
                    bits |= inner(part) << offset
                return bits

        elif isinstance(self.shape, ArrayLayout):
            element = Codec(self.shape.elem_shape)
            step, inner = element.width, element.pack

            def pack(value):
                if isinstance(value, int):
                    return value & mask
                return sum(inner(part) << step * k for k, part in enumerate(value))

        else:

            def pack(value):
                return int(value) & mask

        return pack

    @cached_property
    def unpack(self):
        mask = self.mask
        if isinstance(self.shape, StructLayout):
            parts = [(name, field.offset, Codec(field.shape).unpack) for name, field in self.shape]
            return lambda bits: {name: part(bits >> offset) for name, offset, part in parts}
        if isinstance(self.shape, ArrayLayout):
            element, length = Codec(self.shape.elem_shape), self.shape.length
            step, part = element.width, element.unpack
            return lambda bits: [part(bits >> step * k) for k in range(length)]
        if Shape.cast(self.shape).signed:
            sign = 1 << self.width - 1
            return lambda bits: (bits & mask ^ sign) - sign
        return lambda bits: bits & mask
