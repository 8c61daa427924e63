# SPDX-License-Identifier: Apache-2.0
"""Declared bit fields as hardware sees them."""

from amaranth.lib.data import StructLayout

from backspike.spec.fields import Fields

__all__ = ["layout_of"]


def layout_of(fields: Fields) -> StructLayout:
    """The same fields as a struct, the first one in the lowest bits."""
    return StructLayout(dict(fields.fields))
