# SPDX-License-Identifier: Apache-2.0
"""The model of a cache: what goes past it, to the byte."""

import pytest

from backspike.host.memory.cache import BLOCK, Array, Cache


def arrays(*sizes):
    return [Array(number, size) for number, size in enumerate(sizes)]


def test_what_fits_is_read_once_and_never_written():
    one, two = arrays(3 * BLOCK + 5, 2 * BLOCK)
    cache = Cache(6 * BLOCK)
    for _ in range(3):
        cache.stream([one], [two])
    assert (cache.read, cache.written) == (3 * BLOCK + 5, 0)


def test_what_does_not_fit_is_read_again_and_written_back():
    """An array that is a block too large for the cache pushes itself out, block by block."""
    (one,) = arrays(5 * BLOCK)
    cache = Cache(4 * BLOCK)
    for _ in range(2):
        cache.stream([one], [one])
    assert (cache.read, cache.written) == (10 * BLOCK, 6 * BLOCK)


def test_what_is_gone_is_never_written_back():
    one, two, three = arrays(2 * BLOCK, 2 * BLOCK, 2 * BLOCK)
    cache = Cache(4 * BLOCK)
    cache.stream([], [one])
    cache.free(one.key)
    cache.free("never there")
    cache.stream([], [two, three])
    assert (cache.read, cache.written) == (0, 0)
    cache.stream([one], [])
    assert (cache.read, cache.written) == (2 * BLOCK, 2 * BLOCK)


@pytest.mark.parametrize("sizes", [(7 * BLOCK, BLOCK), (1, 3 * BLOCK - 1), (BLOCK + 1, 8 * BLOCK)])
def test_every_block_of_every_array_is_touched_once(sizes):
    cache = Cache(100 * BLOCK)
    cache.stream(arrays(*sizes), [])
    assert cache.read == sum(sizes)


def test_arrays_of_different_sizes_go_side_by_side():
    """The short one is in its middle when the long one is, so that neither has to wait for the other in the cache."""
    long, short = arrays(8 * BLOCK, 4 * BLOCK)
    cache = Cache(3 * BLOCK)
    cache.stream([long, short], [])
    before = cache.read
    cache.stream([Array(short.key, short.bytes)], [])
    assert before == 12 * BLOCK
    assert cache.read - before == 4 * BLOCK  # its first block is gone, and then each before it is read
