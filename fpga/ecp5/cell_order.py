# SPDX-License-Identifier: Apache-2.0
"""An order for the block RAMs and multipliers of a module, in which those that work together lie side by side.

How much two of them have to do with each other is the current between them if every net were a star of resistors: it
counts all ways through the logic, the short ones most. The order then makes the sum of current times distance small,
by moves and swaps from several first orders, until none of them helps.
"""

from collections.abc import Iterable
from itertools import permutations
from typing import Any

import numpy as np

__all__ = ["Nets", "arrange"]

_WIDEST = 64  # cells at a net; those of wider ones, such as a reset, need not be near each other
_PASSES = 300  # of the relaxation; logic between two block RAMs is some tens of cells deep
_STARTS = 8


def arrange(cells: dict[str, Any], first: Iterable[str], second: Iterable[str]) -> tuple[list[str], list[str]]:
    """Names of two kinds of cells, each in its order.

    Parameters
    ----------
    cells : dict[str, Any]
        Of a module, as in Yosys' JSON.
    first, second : iterable of str
        Names; the second ones are put in the order of the first ones that they work with.

    Returns
    -------
    tuple[list[str], list[str]]
        Names of the first kind, and of the second kind.
    """
    first, second = sorted(first), sorted(second)
    network = Nets(cells)
    among = network.coupling(first)
    random = np.random.default_rng(1)
    orders = [_improved(random.permutation(len(first)).tolist(), among) for _ in range(_STARTS)]
    first = [first[index] for index in min(orders, key=lambda order: _length(order, among))]
    level, _ = network.relax(first, np.arange(len(first)))
    return first, sorted(second, key=level.__getitem__)


class Nets:
    """The cells of a module, as in Yosys' JSON, and the stars between them."""

    def __init__(self, cells: dict[str, Any]) -> None:
        self.number = {name: index for index, name in enumerate(cells)}
        members = {}
        for name, cell in cells.items():
            for bits in cell["connections"].values():
                for bit in bits:
                    members.setdefault(bit, set()).add(self.number[name])
        nets = [sorted(who) for bit, who in members.items() if isinstance(bit, int) and 2 <= len(who) <= _WIDEST]
        self.cell = np.array([cell for who in nets for cell in who], dtype=int)
        self.net = np.array([net for net, who in enumerate(nets) for _ in who], dtype=int)
        self.weight = np.array([1 / (len(who) - 1) for who in nets for _ in who])
        self.of_cell = np.maximum(np.bincount(self.cell, self.weight, len(cells)), 1e-9)
        self.of_net = np.bincount(self.net, self.weight, len(nets))

    def coupling(self, names: list[str]) -> np.ndarray:
        """Symmetric matrix of what flows between cells of these names, [names] * 2, with zeros on its diagonal."""
        currents = np.array([self.relax(names, given)[1] for given in np.eye(len(names))]).reshape([len(names)] * 2)
        currents += currents.T
        np.fill_diagonal(currents, 0)
        return currents

    def relax(self, names: list[str], given: np.ndarray) -> tuple[dict[str, float], np.ndarray]:
        """Levels of all cells by name, if those of these names have given ones, and what flows into the latter."""
        fixed = np.array([self.number[name] for name in names], dtype=int)
        level = flow = np.zeros(len(self.number))
        for _ in range(_PASSES):
            level[fixed] = given
            middle = np.bincount(self.net, self.weight * level[self.cell], len(self.of_net)) / self.of_net
            flow = np.bincount(self.cell, self.weight * middle[self.net], len(self.number))
            level = flow / self.of_cell
        return dict(zip(self.number, level, strict=True)), flow[fixed]


def _length(order, among):
    place = np.argsort(order)
    return (among * abs(place[:, None] - place)).sum()


def _improved(order, among):
    """The order after the first move or swap that helps, and the next one, until there is none."""
    best, found = _length(order, among), True
    while found:
        found = False
        for i, j in permutations(range(len(order)), 2):
            moved, swapped = order[:], order[:]
            moved.insert(j, moved.pop(i))
            swapped[i], swapped[j] = order[j], order[i]
            for other in (moved, swapped):
                length = _length(other, among)
                if length < best * (1 - 1e-9):
                    order, best, found = other, length, True
                    break
    return order
