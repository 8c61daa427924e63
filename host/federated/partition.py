# SPDX-License-Identifier: Apache-2.0
"""Which worker has which samples: a function of the seed."""

from typing import Literal

import numpy as np

from backspike.spec.checks import check_integer

__all__ = ["PARTITIONS", "Partition", "partition", "present"]

Partition = Literal["iid", "label"]
PARTITIONS: tuple[Partition, ...] = ("iid", "label")


def partition(labels: np.ndarray, workers: int, kind: Partition, seed: int) -> list[np.ndarray]:
    """Indices of the samples of each worker; every sample is one worker's.

    Parameters
    ----------
    labels : array of int [samples]
        Of the samples.
    workers : int
        How many.
    kind : "iid" or "label"
        ``iid``: drawn at random. ``label``: ordered by label and cut into two shards a worker, which are drawn, so that
        each worker sees few of the classes (McMahan et al. 2017, arXiv 1602.05629, section 3).
    seed : int
        Of what is drawn.

    Raises
    ------
    TypeError, ValueError
        A parameter is of the wrong kind, or there are too few samples for so many workers.
    """
    if kind not in PARTITIONS:
        raise ValueError(f"partition must be {' or '.join(PARTITIONS)}, not {kind!r}")
    workers, seed = check_integer("workers", workers, 1), check_integer("seed", seed, 0)
    shards = workers if kind == "iid" else 2 * workers
    if len(labels) < shards:
        most = len(labels) if kind == "iid" else len(labels) // 2
        raise ValueError(f"workers must be at most {most} for {len(labels)} samples, not {workers}")
    generator = np.random.default_rng((seed, 3))
    order = generator.permutation(len(labels))
    if kind == "iid":
        return [np.sort(part) for part in np.array_split(order, workers)]
    order = order[np.argsort(labels[order], kind="stable")]
    cut, drawn = np.array_split(order, shards), generator.permutation(shards)
    return [np.sort(np.concatenate([cut[k] for k in drawn[2 * w : 2 * w + 2]])) for w in range(workers)]


def present(workers: int, round_number: int, drop: float, seed: int) -> np.ndarray:
    """Which workers take part in a round, bool [workers]; at least one does.

    Parameters
    ----------
    workers, round_number : int
        How many there are; the round, from 0.
    drop : float
        Chance that a worker is absent, at least 0 and less than 1.
    seed : int
        Of what is drawn.
    """
    chances = np.random.default_rng((seed, 5, round_number)).random(workers)
    return (chances >= drop) | (chances == chances.max())
