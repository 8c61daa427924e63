# SPDX-License-Identifier: Apache-2.0
"""Small real data sets that packages bring along, coded as spikes: tables of scikit-learn, time series of aeon.

``pip install --no-deps aeon`` is enough: its files are read, none of its code is run.
"""

from importlib.util import find_spec
from pathlib import Path

import numpy as np
from sklearn import datasets

from backspike.host.data.datasets import Dataset, threshold_code

SCIKIT = ("iris", "wine", "breast_cancer")
TABLES = (*SCIKIT, "ItalyPowerDemand")
SERIES = ("JapaneseVowels", "BasicMotions", "OSULeaf")
LEVELS = 8  # inputs for each channel of a series
MOST_STEPS = 32


def table(name: str, steps: int = 8) -> Dataset:
    """A table of scikit-learn, three tenths for testing; or the day of 24 hours of aeon's ItalyPowerDemand, as one.

    A feature x, scaled to 0..1 by the training samples, is two inputs with the threshold code of x and of 1 - x.
    """
    if name in SCIKIT:
        values, labels = getattr(datasets, f"load_{name}")(return_X_y=True)
        order = np.random.default_rng(0).permutation(len(labels))
        values, labels = values[order], labels[order].astype(np.int64)
        cut = len(labels) - round(0.3 * len(labels))
    else:
        (train, train_words), (test, test_words) = _parts(name)
        values = np.concatenate(train + test)
        labels, cut = _numbers(train_words + test_words), len(train)
    low, high = np.quantile(values[:cut], [0.02, 0.98], axis=0)
    scaled = np.clip((values - low) / (high - low), 0, 1)
    spikes = threshold_code(np.concatenate([scaled, 1 - scaled], axis=1), steps)
    return _dataset(name, spikes[:, :cut], labels[:cut], spikes[:, cut:], labels[cut:])


def series(name: str) -> Dataset:
    """Time series of aeon, split as they come.

    Neighbouring values are averaged until at most 32 steps are left. A channel is eight inputs, one for each eighth of
    the training values: the one whose eighth the value is in spikes. A series that is shorter has no spikes at its end.
    """
    (train, train_words), (test, test_words) = _parts(name)
    longest = max(one.shape[1] for one in train + test)
    width = -(-longest // MOST_STEPS)
    train_values, test_values = (_averaged(part, -(-longest // width), width) for part in (train, test))
    points = np.arange(1, LEVELS) / LEVELS
    edges = np.nanquantile(train_values.reshape(-1, train_values.shape[2]), points, axis=0).T
    labels = _numbers(train_words + test_words)
    train_spikes, test_spikes = _levels(train_values, edges), _levels(test_values, edges)
    return _dataset(name, train_spikes, labels[: len(train)], test_spikes, labels[len(train) :])


def load(name: str) -> Dataset:
    """One of ``TABLES`` or ``SERIES``."""
    return table(name) if name in TABLES else series(name)


def _parts(name: str) -> list[tuple[list[np.ndarray], list[str]]]:
    """Samples and names of their classes, for training and for testing."""
    spec = find_spec("aeon")
    if spec is None or not spec.submodule_search_locations:
        raise ModuleNotFoundError(f"{name} needs the package aeon (pip install --no-deps aeon)")
    folder = Path(spec.submodule_search_locations[0]) / "datasets" / "data" / name
    return [_read(folder / f"{name}_{part}.ts") for part in ("TRAIN", "TEST")]


def _numbers(words: list[str]) -> np.ndarray:
    """Classes by number, in the order of their names."""
    names = sorted(set(words))
    return np.array([names.index(word) for word in words])


def _read(path: Path) -> tuple[list[np.ndarray], list[str]]:
    """Samples [channels, length] of a file in the format ts, and the names of their classes."""
    rows = [line.strip().split(":") for line in path.read_text().splitlines() if line.strip() and line[0] not in "#@"]
    samples = [np.array([channel.split(",") for channel in row[:-1]], dtype=np.float64) for row in rows]
    return samples, [row[-1] for row in rows]


def _averaged(samples: list[np.ndarray], steps: int, width: int) -> np.ndarray:
    """Means of so many neighbours, [T, B, channels]; not a number behind the end."""
    result = np.full((steps, len(samples), len(samples[0])), np.nan)
    for number, sample in enumerate(samples):
        for step in range(-(-sample.shape[1] // width)):
            result[step, number] = sample[:, step * width : (step + 1) * width].mean(axis=1)
    return result


def _levels(values: np.ndarray, edges: np.ndarray) -> np.ndarray:
    """Spikes [T, B, channels * LEVELS] of the level that each value is in."""
    spikes = np.zeros((*values.shape, LEVELS), dtype=np.uint8)
    level = (values[..., np.newaxis] > edges).sum(axis=-1)
    np.put_along_axis(spikes, level[..., np.newaxis], 1, axis=-1)
    spikes[np.isnan(values)] = 0
    return spikes.reshape(*values.shape[:2], -1)


def _dataset(name: str, spikes: np.ndarray, labels: np.ndarray, tests: np.ndarray, test_labels: np.ndarray) -> Dataset:
    return Dataset(
        name=name,
        train_spikes=spikes,
        train_labels=labels,
        test_spikes=tests,
        test_labels=test_labels,
        classes=1 + int(labels.max()),
        image=(spikes.shape[2],),
    )
