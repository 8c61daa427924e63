# SPDX-License-Identifier: Apache-2.0
"""Small real data sets that packages bring along: tables of scikit-learn, time series of aeon.

``pip install --no-deps aeon`` is enough: its files are read, none of its code is run.
"""

from importlib.util import find_spec
from pathlib import Path

import numpy as np
from sklearn import datasets

from backspike.host.data.dataset import Dataset
from backspike.host.data.encode import encode_data
from backspike.host.data.load import load as load_files
from backspike.host.data.load import read
from backspike.host.data.raw import Part, RawData

SCIKIT = ("iris", "wine", "breast_cancer")
TABLES = (*SCIKIT, "ItalyPowerDemand")
SERIES = {"JapaneseVowels": 29, "BasicMotions": 25, "OSULeaf": 31}
TABLE_STEPS = 8


def load(name: str) -> Dataset:
    """One of ``TABLES``, each value and its complement in the threshold code, or of ``SERIES``, in eight levels."""
    if name in SERIES:
        return load_files(_file(name), SERIES[name], encoder="levels:8")
    data = _scikit(name) if name in SCIKIT else _as_table(read(_file(name)))
    return encode_data(data, TABLE_STEPS, "threshold+off")


def _scikit(name: str) -> RawData:
    """A table of scikit-learn, three tenths for testing."""
    values, labels = getattr(datasets, f"load_{name}")(return_X_y=True)
    order = np.random.default_rng(0).permutation(len(labels))
    values, labels = values[order], labels[order].astype(np.int64)
    cut = len(labels) - round(0.3 * len(labels))
    return RawData(
        name=name,
        kind="values",
        shape=values.shape[1:],
        train=Part(values[:cut], labels[:cut]),
        test=Part(values[cut:], labels[cut:]),
        classes=tuple(map(str, range(1 + labels.max()))),
    )


def _as_table(series: RawData) -> RawData:
    """Series of one channel and one length as rows of a table."""
    parts = [Part(part.rows[:][:, :, 0], part.labels) for part in (series.train, series.test)]
    return RawData(
        name=series.name, kind="values", shape=(series.length,), train=parts[0], test=parts[1], classes=series.classes
    )


def _file(name: str) -> Path:
    """The first of the two files that aeon has of a data set."""
    spec = find_spec("aeon")
    if spec is None or not spec.submodule_search_locations:
        raise ModuleNotFoundError(f"{name} needs the package aeon (pip install --no-deps aeon)")
    return Path(spec.submodule_search_locations[0]) / "datasets" / "data" / name / f"{name}_TRAIN.ts"
