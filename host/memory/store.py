# SPDX-License-Identifier: Apache-2.0
"""The memory of a chip that runs a network in phases, kept by the host: packed bits and rounded numbers alone.

Whatever is read or written is counted. What the host works out itself is not: outputs of the last layer, and labels or
errors for it.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import ArrayLike

from backspike.golden.arithmetic import BitExact
from backspike.golden.exact import Exact
from backspike.host.compiler.phases.program import Phase, Program, Tile
from backspike.host.compiler.weight_map import encode_weights
from backspike.host.memory.formula import Counted
from backspike.host.memory.traffic import SUM_BYTES, Traffic, number_bytes

__all__ = ["Store"]

_HALF = 48
"""Bits of the lower half of an exact sum; either half is a number of float64."""


class Store:
    """Weights and velocities; spikes, masks and errors between the phases of a batch.

    Parameters
    ----------
    program : Program
        The phases.
    weights, velocities : sequence of array of float64
        One for each layer, of numbers of the format.

    Attributes
    ----------
    traffic : Traffic
        Bytes since the batch began.

    Raises
    ------
    ValueError
        An array is missing or of another shape, or the format cannot hold a number.
    """

    def __init__(self, program: Program, weights: Sequence[ArrayLike], velocities: Sequence[ArrayLike]) -> None:
        self._program, self._format = program, program.config.format
        self._number = number_bytes(self._format.width)
        self._arithmetic = BitExact(self._format)
        given = {"weights": weights, "velocities": velocities}
        self._kept = {
            name: encode_weights(program.network, self._format, numbers, name) for name, numbers in given.items()
        }
        self.begin()

    @property
    def saturated(self) -> bool:
        """Whether an error was beyond the largest number, as the chip's own flag."""
        return self._arithmetic.saturated

    def numbers(self, name: str) -> list[np.ndarray]:
        """All ``"weights"`` or ``"velocities"``, one float64 array per layer; not counted."""
        return [self._format.decode(patterns) for patterns in self._kept[name]]

    def begin(self) -> None:
        """A batch begins: what one before it has not finished is forgotten."""
        self.traffic = Traffic()
        count = len(self._program.phases)
        self._new = {name: [patterns.copy() for patterns in kept] for name, kept in self._kept.items()}
        self._bits: dict[tuple[str, int], list[np.ndarray]] = {}
        self._errors: dict[int, list[tuple[np.ndarray, np.ndarray]]] = {}
        self._sums: dict[tuple[int, int, int], int] = {}
        self._asked, self._nonzero = [0] * count, [0] * count

    def finish(self) -> None:
        """The batch is done: its weights and velocities are those of the next one."""
        self._kept = self._new

    @property
    def counted(self) -> Counted:
        """How many errors the batch asked for, and how many were not 0, as ``formula.training_traffic`` needs it."""
        return Counted(asked=tuple(self._asked), nonzero=tuple(self._nonzero))

    def _count(self, **moved: int) -> None:
        self.traffic += replace(Traffic(), **moved)

    # Weights and velocities of a tile

    def read_numbers(self, name: str, phase: Phase, tile: Tile) -> list[np.ndarray]:
        """A tile's weights or velocities as they were before the batch."""
        parts = [patterns[:, columns] for patterns, columns in self._of_tile(self._kept[name], phase, tile)]
        self._count(**{name: self._number * sum(part.size for part in parts)})
        return [self._format.decode(part) for part in parts]

    def write_numbers(self, name: str, phase: Phase, tile: Tile, values: Sequence[np.ndarray]) -> None:
        """What they are after it."""
        for (patterns, columns), own in zip(self._of_tile(self._new[name], phase, tile), values, strict=True):
            patterns[:, columns] = self._format.encode(own)
            self._count(**{name: self._number * own.size})

    def _of_tile(self, arrays: Sequence[np.ndarray], phase: Phase, tile: Tile) -> list[tuple[np.ndarray, slice]]:
        """Arrays of a phase's layers and the columns of a tile: all of them in layers before the last one."""
        own = arrays[phase.layers]
        return [(array, slice(None)) for array in own[:-1]] + [(own[-1], tile.columns)]

    # Spikes and masks in front of a phase

    def give(self, spikes: np.ndarray) -> None:
        """The inputs [T, B, N] of a batch, which are in the memory already."""
        self._bits["spikes", 0] = [_packed(spikes)]

    def write_bits(self, name: str, boundary: int, bits: np.ndarray) -> None:
        """``"spikes"`` or ``"masks"`` [T, B, N] of the next tile in front of a phase."""
        block = _packed(bits)
        self._bits.setdefault((name, boundary), []).append(block)
        self._count(**{name: block.nbytes})

    def read_bits(self, name: str, boundary: int) -> np.ndarray:
        """Those of all tiles."""
        blocks = self._bits[name, boundary]
        self._count(**{name: sum(block.nbytes for block in blocks)})
        sizes = self._program.blocks(boundary)
        return np.concatenate([_unpacked(*pair) for pair in zip(blocks, sizes, strict=True)], axis=2)

    # Errors in front of a phase

    def add_errors(
        self, boundary: int, index: int, masks: np.ndarray, sums: Mapping[tuple[int, int, int], int]
    ) -> None:
        """Add a tile's part of the errors of the inputs of its phase; the last tile's makes them complete.

        Parameters
        ----------
        boundary, index : int
            Number of the phase, and of the tile in it.
        masks : array of uint8 [T, B, N]
            Which inputs ask for errors.
        sums : mapping of (int, int, int) to int
            From ``Samples.input_errors``.
        """
        last = len(self._program.phases[boundary].tiles) - 1
        self._asked[boundary] = int(masks.sum(dtype=np.int64))
        moved = (index > 0) + (index < last)  # read what is there, write what is new
        self._count(sums=moved * SUM_BYTES * self._asked[boundary])
        for place, value in sums.items():
            self._sums[place] = self._sums.get(place, 0) + value
        if index == last:
            errors = self._rounded(masks.shape)
            self._sums = {}
            self._write_errors(boundary, errors)

    def _rounded(self, shape: tuple[int, ...]) -> np.ndarray:
        """The exact sums, each rounded once."""
        errors, unit = np.zeros(shape), 2 * self._format.lsb
        if self._sums:
            places = tuple(np.array(list(self._sums)).T)
            high = np.array([float(value >> _HALF) for value in self._sums.values()])
            low = np.array([float(value & (1 << _HALF) - 1) for value in self._sums.values()])
            exact = Exact((np.ldexp(high, _HALF + unit), np.ldexp(low, unit)), unit)
            errors[places] = self._arithmetic.masked(exact, np.ones(len(high), dtype=bool))
        return errors

    def _write_errors(self, boundary: int, errors: np.ndarray) -> None:
        blocks, start = [], 0
        for size in self._program.blocks(boundary):
            own = errors[..., start : start + size]
            blocks.append((_packed(own != 0), self._format.encode(own[own != 0])))
            start += size
        self._errors[boundary] = blocks
        self._nonzero[boundary] = sum(len(numbers) for _, numbers in blocks)
        self._count(errors=sum(self._error_bytes(block) for block in blocks))

    def _error_bytes(self, block: tuple[np.ndarray, np.ndarray]) -> int:
        return block[0].nbytes + self._number * len(block[1])

    def read_errors(self, boundary: int, index: int) -> np.ndarray:
        """Errors [T, B, N] of the neurons of a tile of the phase before, by its number."""
        block = self._errors[boundary][index]
        self._count(errors=self._error_bytes(block))
        places = _unpacked(block[0], self._program.blocks(boundary)[index]).astype(bool)
        errors = np.zeros(places.shape)
        errors[places] = self._format.decode(block[1])
        return errors


def _packed(bits: np.ndarray) -> np.ndarray:
    return np.packbits(bits.astype(bool), axis=2)


def _unpacked(block: np.ndarray, count: int) -> np.ndarray:
    return np.unpackbits(block, axis=2, count=count)
