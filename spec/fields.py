# SPDX-License-Identifier: Apache-2.0
"""Named bit fields of a word: how packets, tables and frames are declared."""

__all__ = ["Fields"]


class Fields:
    """A named sequence of unsigned bit fields, least significant first.

    Parameters
    ----------
    **fields : int
        Width of each field in bits.

    Attributes
    ----------
    fields : dict of str to int
        Widths by name, in order.
    width : int
        Bits of all fields.
    """

    def __init__(self, **fields: int) -> None:
        self.fields = fields
        self.width = sum(fields.values())

    def offset(self, name: str) -> int:
        """Bits below a field."""
        return sum(list(self.fields.values())[: list(self.fields).index(name)])

    def pack(self, **values: int) -> int:
        """The integer with these field values.

        Parameters
        ----------
        **values : int
            Value of every field; flags may be ``bool``.

        Raises
        ------
        ValueError
            A field is missing, unknown, or its value does not fit.
        """
        if values.keys() != self.fields.keys():
            odd = sorted(values.keys() ^ self.fields.keys())
            raise ValueError(f"fields must be exactly {list(self.fields)}, missing or unknown: {odd}")
        word, offset = 0, 0
        for name, width in self.fields.items():
            value = int(values[name])
            if not 0 <= value < 1 << width:
                raise ValueError(f"{name} must be 0 to {(1 << width) - 1}, not {value!r}")
            word |= value << offset
            offset += width
        return word

    def unpack(self, word: int) -> dict[str, int]:
        """Field values of an integer by name; bits above the fields are ignored."""
        values = {}
        for name, width in self.fields.items():
            values[name] = word & ((1 << width) - 1)
            word >>= width
        return values

    def words(self, **values: int) -> list[int]:
        """The packed fields as words of 32 bits, least significant first; arguments and errors as ``pack``."""
        packed = self.pack(**values)
        return [packed >> 32 * k & 0xFFFFFFFF for k in range(self.word_count)]

    @property
    def word_count(self) -> int:
        """Words of 32 bits that hold all fields."""
        return -(-self.width // 32)
