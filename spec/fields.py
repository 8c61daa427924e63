# SPDX-License-Identifier: Apache-2.0
"""Named bit fields of a word: how packets, tables and frames are declared."""

__all__ = ["Fields"]


class Fields:
    """A named sequence of unsigned bit fields, least significant first.

    Parameters
    ----------
    fields: name -> width in bits
    """

    def __init__(self, **fields):
        self.fields = fields
        self.width = sum(fields.values())

    def offset(self, name):
        """Bits below a field."""
        return sum(list(self.fields.values())[: list(self.fields).index(name)])

    def pack(self, **values):
        """The integer with these field values; every field must be given and fit (else ``ValueError``)."""
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

    def unpack(self, word):
        """Field values of an integer, as a dict; bits above the fields are ignored."""
        values = {}
        for name, width in self.fields.items():
            values[name] = word & ((1 << width) - 1)
            word >>= width
        return values

    def words(self, **values):
        """The packed fields as a list of 32-bit words, least significant first."""
        packed = self.pack(**values)
        return [packed >> 32 * k & 0xFFFFFFFF for k in range(self.word_count)]

    @property
    def word_count(self):
        return -(-self.width // 32)
