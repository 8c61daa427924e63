# SPDX-License-Identifier: Apache-2.0
"""Labels of a source, numbers or words, as numbers of classes."""

from collections.abc import Sequence

import numpy as np

__all__ = ["are_numbers", "check_classes", "numbered"]

_MOST = 65_535
"""The largest label: no chip has as many outputs."""


def check_classes(classes: Sequence[str]) -> tuple[str, ...]:
    """Names of classes as a tuple; ``TypeError`` or ``ValueError`` where they are no names, or not different ones."""
    if not isinstance(classes, list | tuple) or not all(isinstance(name, str) and name for name in classes):
        raise TypeError(f"classes must be a sequence of names, not {classes!r}")
    if not classes or len(set(classes)) != len(classes):
        raise ValueError(f"classes must be different names, at least one, not {list(classes)!r}")
    return tuple(classes)


def are_numbers(classes: Sequence[str]) -> bool:
    """Whether names of classes are their numbers, from 0 on."""
    return list(classes) == [str(number) for number in range(len(classes))]


def numbered(
    labels: Sequence[np.ndarray], classes: tuple[str, ...] | None, source: str, *, known: bool = False
) -> tuple[list[np.ndarray], tuple[str, ...]]:
    """Numbers of the classes [samples] of each array of labels, and the names of the classes.

    Integers are numbers of classes, from 0 to the largest one; where all names are integers and the labels are among
    them, they stand for these; where other names are given and no label is 0, they count from 1 to the number of names.
    Words are numbered in the order of the names, without names in that of the alphabet, or of their size where all are
    integers; names that are none of the words rename them in that order.

    Parameters
    ----------
    labels : sequence of array
        Integers or strings, of all samples.
    classes : tuple of str or None
        Names of all classes in the order of their numbers; ``None``: they follow from the labels.
    source : str
        What the sentence of an error names.
    known : bool
        Whether the names are those of a network that has learned them: words must be among them then, and integers
        that stand for no name count from 0.

    Raises
    ------
    TypeError
        The labels are neither integers nor strings.
    ValueError
        There are no labels, one is negative or too large, or they do not fit the names.
    """
    together = np.concatenate([np.asarray(part).reshape(-1) for part in labels])
    if not len(together):
        raise ValueError(f"the data {source} must have samples, not none")
    if together.dtype.kind not in "iubU":
        raise TypeError(f"labels of the data {source} must be integers or words, not {together.dtype}")
    find = _words if together.dtype.kind == "U" else _counted
    found, names = find(together, classes, source, known)
    ends = np.cumsum([len(part) for part in labels])[:-1]
    return list(np.split(found, ends)), names


def _words(
    labels: np.ndarray, classes: tuple[str, ...] | None, source: str, known: bool
) -> tuple[np.ndarray, tuple[str, ...]]:
    found, numbers = np.unique(labels, return_inverse=True)
    words = [str(word) for word in found]
    ordered = sorted(words, key=int) if all(map(_is_integer, words)) else words
    unknown = [word for word in ordered if word not in (classes or words)]
    if classes is not None and unknown and (known or not len(unknown) == len(words) == len(classes)):
        raise ValueError(
            f"labels of the data {source} must be among the classes {', '.join(classes)}, not {unknown[0]!r}"
        )
    names = tuple(ordered) if classes is None else classes
    places = names if set(words) <= set(names) else ordered
    order = np.array([places.index(word) for word in words], dtype=np.int64)
    return order[numbers], names


def _is_integer(word: str) -> bool:
    return word.isascii() and word.removeprefix("-").isdecimal()


def _counted(
    labels: np.ndarray, classes: tuple[str, ...] | None, source: str, known: bool
) -> tuple[np.ndarray, tuple[str, ...]]:
    labels = labels.astype(np.int64)
    least, largest = int(labels.min()), int(labels.max())
    if least < 0 or largest > _MOST:
        raise ValueError(f"labels of the data {source} must be 0 to {_MOST}, not {least if least < 0 else largest}")
    if classes is None:
        return labels, tuple(map(str, range(largest + 1)))
    if all(map(_is_integer, classes)):
        words = labels.astype(str)
        if known or np.isin(words, classes).all():
            return _words(words, classes, source, True)
    if known and largest >= len(classes):
        raise ValueError(
            f"labels of the data {source} must be 0 to {len(classes) - 1}, the numbers of {', '.join(classes)}, not "
            f"{largest}: give these names"
        )
    first = 1 if not known and least > 0 and largest == len(classes) else 0
    if largest - first >= len(classes):
        raise ValueError(
            f"classes must be {largest + 1} names for the labels to {largest} of the data {source}, not {len(classes)}"
        )
    return labels - first, classes
