# SPDX-License-Identifier: Apache-2.0
"""Makes a list that fails as short as it gets, by leaving out parts of it (delta debugging)."""

from collections.abc import Awaitable, Callable, Sequence

__all__ = ["shrink"]


async def shrink(items: Sequence, fails: Callable[[list], Awaitable[bool]], tries: int = 150) -> list:
    """A part of ``items``, in the same order, for which ``fails`` still holds, and that no single item can leave.

    After so many ``tries`` it is what has been reached by then. ``fails(items)`` must hold.
    """
    items, size = list(items), max(1, len(items) // 2)
    while items:
        start, smaller = 0, False
        while start < len(items):
            rest = items[:start] + items[start + size :]
            tries -= 1
            if tries < 0:
                return items
            if await fails(rest):
                items, smaller = rest, True
            else:
                start += size
        if size == 1 and not smaller:
            break
        size = max(1, size // 2)
    return items
