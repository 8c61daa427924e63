# SPDX-License-Identifier: Apache-2.0
"""The cut with the least loaded busiest core: filled cores first, then one improving move after the other."""

from collections.abc import Iterator, Sequence
from typing import TypeAlias

import numpy as np

from backspike.host.compiler.greedy_fill import greedy_fill
from backspike.host.compiler.partition import Partition

__all__ = ["best_cut"]

_Move: TypeAlias = list[tuple[int, int, int]]  # units that are added: (layer, core, units)

_POWER = 12
"""Of the norm of the loads that a move must make smaller: the busiest core counts most, but not alone."""
_SLICE = 2e-3
"""Share of the norm that one slice more must be worth: every slice costs packets and tables."""
_STEP = 0.94
_STARTS = 4
_MOVES = 400
_WIDE = 24
"""Cores to which moves are tried, the least loaded ones."""


def _rank(partition: Partition, many: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """What is to become small: ``(excess, norm of the loads with the price of the slices)``, each [n]."""
    loads = partition.loads(many)
    top = loads.max(axis=-1, keepdims=True)
    norm = top[..., 0] * ((loads / top) ** _POWER).mean(axis=-1) ** (1 / _POWER)
    return partition.excess(many), norm * (1 + _SLICE * partition.slices(many).sum(axis=(-1, -2)))


def _best(partition: Partition, many: np.ndarray) -> tuple[int, tuple[float, float]]:
    """Number of the best of many cuts (the first of equals), and its rank."""
    excess, norm = _rank(partition, many)
    best = int(np.lexsort((norm, excess))[0])
    return best, (float(excess[best]), float(norm[best]))


def _steps(units: int) -> list[int]:
    """Numbers of units to move: all of them small, some of them large, and all units."""
    result: list[int] = []
    step = 1
    while step < units:
        result.append(step)
        step += max(1, step // 4)
    return [*result, units]


def _moves(cut: np.ndarray, loads: np.ndarray, source: int) -> Iterator[_Move]:
    """Cuts one move away: units of a piece on ``source`` to another core, or pieces exchanged with another core's."""
    order = np.argsort(loads[:-1], kind="stable")
    near = set(order[:_WIDE].tolist())
    layers = np.flatnonzero(cut[:, source]).tolist()
    for layer in layers:
        for target in sorted(near | set(np.flatnonzero(cut[layer]).tolist())):
            if target != source:
                for units in _steps(int(cut[layer, source])):
                    yield [(layer, source, -units), (layer, target, units)]
        for target in sorted(near):
            for other in np.flatnonzero(cut[:, target]).tolist():
                if target != source and other != layer:
                    gives, takes = int(cut[layer, source]), int(cut[other, target])
                    yield [
                        (layer, source, -gives),
                        (layer, target, gives),
                        (other, target, -takes),
                        (other, source, takes),
                    ]


def _merges(cut: np.ndarray, loads: np.ndarray) -> Iterator[_Move]:
    """Cuts with one piece less: a piece moved to another core with its layer, or spread over all of these."""
    for layer, row in enumerate(cut):
        cores = np.flatnonzero(row).tolist()
        for source in cores:
            for target in cores:
                if source != target:
                    yield [(layer, source, -int(row[source])), (layer, target, int(row[source]))]
        least = sorted(cores, key=lambda core: loads[core])
        for source in cores if len(cores) > 2 else ():
            others = [core for core in least if core != source]
            each, more = divmod(int(row[source]), len(others))
            spread = [(layer, core, each + (k < more)) for k, core in enumerate(others)]
            yield [(layer, source, -int(row[source])), *spread]


def _apply(cut: np.ndarray, moves: Sequence[_Move]) -> np.ndarray:
    many = np.repeat(cut[None], len(moves), axis=0)
    for number, changes in enumerate(moves):
        for layer, core, units in changes:
            many[number, layer, core] += units
    return many


def _improve(partition: Partition, cut: np.ndarray) -> np.ndarray:
    """The cut after moves from the busiest cores, for as long as one makes it better."""
    rank = _best(partition, cut[None])[1]
    for _ in range(_MOVES):
        loads = partition.loads(cut)
        busiest = np.argsort(-loads[:-1], kind="stable")[:4].tolist()
        for sources in (busiest[:1], busiest[1:], None):
            if sources is None:
                moves = list(_merges(cut, loads))
            else:
                moves = [move for source in sources for move in _moves(cut, loads, source)]
            if not moves:
                continue
            many = _apply(cut, moves)
            best, found = _best(partition, many)
            if found < (rank[0], rank[1] * (1 - 1e-9)):
                cut, rank = many[best], found
                break
        else:
            return cut
    return cut


def best_cut(partition: Partition, cores: int) -> np.ndarray | int:
    """The best cut found for this many cores, [layers, cores] in units, or the number of a layer without room."""
    first = greedy_fill(partition, cores, float("inf"))
    if isinstance(first, int):
        return first
    found = [first]
    limit = float(partition.loads(np.array(partition.counts)[:, None]).max())
    while limit > 1:
        trial = greedy_fill(partition, cores, limit)
        if isinstance(trial, int):
            break
        found.append(trial)
        limit *= _STEP
    many = np.unique(np.stack(found), axis=0)
    excess, norm = _rank(partition, many)
    improved = np.stack([_improve(partition, many[k]) for k in np.lexsort((norm, excess))[:_STARTS]])
    return improved[_best(partition, improved)[0]]
