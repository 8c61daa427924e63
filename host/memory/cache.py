# SPDX-License-Identifier: Apache-2.0
"""A cache in front of a memory, as a model: which bytes of large arrays go past it."""

from collections import OrderedDict
from collections.abc import Hashable, Iterable
from dataclasses import dataclass

__all__ = ["BLOCK", "Array", "Cache"]

BLOCK = 1 << 16
"""Bytes that come and go together. A real line is shorter; arrays are streamed, so that it makes no difference."""


@dataclass(frozen=True)
class Array:
    """An array in memory.

    Parameters
    ----------
    key : hashable
        Which one.
    bytes : int
        Its size.
    """

    key: Hashable
    bytes: int

    @property
    def blocks(self) -> int:
        """Blocks that hold it."""
        return max(1, -(-self.bytes // BLOCK))

    def block_bytes(self, number: int) -> int:
        """Bytes in one of them."""
        return min(BLOCK, self.bytes - number * BLOCK)


class Cache:
    """Fully associative, least recently used first out, written back; what is written as a whole is not read before.

    Parameters
    ----------
    size : int
        Bytes.

    Attributes
    ----------
    read, written : int
        Bytes that have come from and gone to the memory behind it.
    """

    def __init__(self, size: int) -> None:
        self.size, self.read, self.written = size, 0, 0
        self._used = 0
        self._blocks: OrderedDict[tuple[Hashable, int], tuple[int, bool]] = OrderedDict()  # bytes, and whether written
        self._held: dict[Hashable, set[int]] = {}

    def stream(self, reads: Iterable[Array], writes: Iterable[Array]) -> None:
        """A kernel that goes through arrays side by side, from their first byte to their last."""
        moves = [(array, False) for array in reads] + [(array, True) for array in writes]
        turns = max((array.blocks for array, _ in moves), default=0)
        for turn in range(turns):
            for array, written in moves:
                first, last = (-(-array.blocks * k // turns) for k in (turn, turn + 1))
                for block in range(first, last):
                    self._touch(array, block, written=written)

    def _touch(self, array: Array, number: int, *, written: bool) -> None:
        key = array.key, number
        size, dirty = self._blocks.pop(key, (0, False))
        if not size:
            size = array.block_bytes(number)
            self.read += 0 if written else size
            self._used += size
            self._held.setdefault(array.key, set()).add(number)
        self._blocks[key] = size, dirty or written
        while self._used > self.size:
            (other, block), (gone, dirty) = self._blocks.popitem(last=False)
            self._held[other].discard(block)
            self._used -= gone
            self.written += gone * dirty

    def free(self, key: Hashable) -> None:
        """An array is gone: what of it has not been written back never will be."""
        for number in self._held.pop(key, set()):
            size, _ = self._blocks.pop((key, number))
            self._used -= size
