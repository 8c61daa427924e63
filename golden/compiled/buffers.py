# SPDX-License-Identifier: Apache-2.0
"""Memory for results that is taken again as soon as nobody holds the array in it.

Every batch needs the same large arrays. Fresh memory from the system costs as much time as what is computed in it.
"""

import math
import sys
from typing import Any

import numpy as np

__all__ = ["Buffers"]

_SMALL = 1 << 16  # bytes from which on it is worth it
_FREE = 3  # references to a buffer that is free: of the list, of the loop, of the question


class Buffers:
    """Buffers of one owner."""

    def __init__(self) -> None:
        self._kept: dict[int, list[np.ndarray]] = {}

    def empty(self, shape: tuple[int, ...], dtype: Any = np.float64) -> np.ndarray:
        """An array with anything in it."""
        size = math.prod(shape) * np.dtype(dtype).itemsize
        if size < _SMALL:
            return np.empty(shape, dtype)
        kept = self._kept.setdefault(size, [])
        for buffer in kept:
            if sys.getrefcount(buffer) == _FREE:  # a view of it would be one more
                return buffer.view(dtype).reshape(shape)
        kept.append(np.empty(size, np.uint8))
        return kept[-1].view(dtype).reshape(shape)
