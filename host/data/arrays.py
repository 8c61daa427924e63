# SPDX-License-Identifier: Apache-2.0
"""Data that are arrays of a Python program, as other data: by a name, which follows from their content."""

import hashlib
from typing import Any
from weakref import WeakValueDictionary

import numpy as np
from numpy.typing import ArrayLike

from backspike.host.data.encoders.by_name import encoder_named
from backspike.host.data.raw import Part, RawData
from backspike.host.data.sources.labels import are_numbers, numbered

__all__ = ["array_data", "arrays_named", "hold_arrays"]

_HELD: WeakValueDictionary[str, RawData] = WeakValueDictionary()

_PLAIN = "threshold"
"""The encoder of values of which each is one input, where none is named."""


def hold_arrays(data: RawData) -> RawData:
    """The data to hold: they are found by their name until the last of its holders has gone."""
    return _HELD.setdefault(data.name, data)


def arrays_named(name: str) -> RawData | None:
    """The data of a name; ``None`` where nobody holds such data."""
    return _HELD.get(name)


def array_data(
    train: tuple[ArrayLike, ArrayLike],
    test: tuple[ArrayLike, ArrayLike] | None,
    *,
    in_map: tuple[int, int, int],
    outputs: int,
    steps: int,
    encoder: str | None = None,
    classes: tuple[str, ...] | None = None,
    like: tuple[str, RawData] | None = None,
) -> tuple[RawData, str | None]:
    """Arrays as the data of a network, and the name of their encoder, which is ``None`` where they are spikes.

    An array is ``[samples, ...]``: values from 0 to 1, or bytes; series of values ``[samples, length, ...]``; or spikes
    ``[samples, steps, ...]`` of 0 and 1. Which of them follows from the inputs of the network.

    Integer labels are numbers of classes, from 0 on. They count from 1 where none is 0 and the largest one is the
    number of outputs: the names of the classes are "1", "2", ... then. Where names are integers, labels stand for them.

    Parameters
    ----------
    train, test : tuple of array or None
        Samples and their labels, integers or words.
    in_map : tuple of int
        Channels, height and width of the network's inputs.
    outputs : int
        Of the network.
    steps : int
        Time steps T.
    encoder : str or None
        Name of the encoder; ``None``: by threshold, series in levels.
    classes : tuple of str or None
        Names of the classes, which the labels must be among; ``None``: as the labels say.
    like : tuple of str and RawData, or None
        Name and content of data whose scale, fitted encoder and shape these get, where they are of the same kind.

    Raises
    ------
    TypeError, ValueError
        The arrays are not such, or do not fit the network.
    """
    samples = _array("x", train[0])
    others = samples[:0] if test is None else _array("samples of test", test[0])
    kind, encoder = _kind(samples, int(np.prod(in_map)), steps, encoder)
    if like is not None and (like[1].kind != kind or np.prod(like[1].shape) * _planes(encoder) != np.prod(in_map)):
        like = None
    scaled = like is not None and like[1].full is None
    full = _check_values("x", samples, kind, scaled)
    if len(others):
        if others.shape[1:] != samples.shape[1:]:
            raise ValueError(
                f"samples of test must be {list(samples.shape[1:])} as those of x, not {list(others.shape[1:])}"
            )
        _check_values("samples of test", others, kind, scaled)
    labels = [_labels("y", train[1], len(samples))]
    labels.append(labels[0][:0] if test is None else _labels("labels of test", test[1], len(others)))
    digest = hashlib.sha256(repr((kind, encoder, classes, in_map, outputs, like and like[0])).encode())
    for array in (samples, others, *labels):
        digest.update(repr((array.shape, array.dtype.str)).encode())
        digest.update(np.ascontiguousarray(array).tobytes())
    name = f"arrays-{digest.hexdigest()[:16]}"
    numbers, names = _numbered(labels, classes, outputs)
    shape = _shape(samples.shape[1 if kind == "values" else 2 :], in_map, 1 if kind == "spikes" else _planes(encoder))
    parts = [
        Part(rows.reshape(len(rows), *(() if kind == "values" else samples.shape[1:2]), *shape), found)
        for rows, found in zip((samples, others), numbers, strict=True)
    ]
    length = 1 if kind == "values" else samples.shape[1]
    data = RawData(
        name=name, kind=kind, shape=shape, train=parts[0], test=parts[1], classes=names, length=length, full=full
    )
    return data if like is None else data.like(like[1], name), encoder


def _numbered(
    labels: list[np.ndarray], classes: tuple[str, ...] | None, outputs: int
) -> tuple[list[np.ndarray], tuple[str, ...]]:
    together = np.concatenate(labels)
    if together.dtype.kind in "iu":
        if classes is None and together.min() > 0 and together.max() == outputs:
            classes = tuple(map(str, range(1, outputs + 1)))
        elif classes is not None and are_numbers(classes) and together.max() >= len(classes):
            classes = None  # numbers that stand for themselves: there are more of them now
    return numbered(labels, classes, "given", known=True)


def _array(name: str, given: ArrayLike) -> np.ndarray:
    try:
        array = np.asarray(given)
    except ValueError:
        raise ValueError(f"{name} must be an array: its samples must be of one shape") from None
    if array.dtype.kind not in "fiub" or array.ndim < 2:
        raise TypeError(f"{name} must be an array of numbers [samples, ...], not {array.dtype} {list(array.shape)}")
    if not array.size:
        raise ValueError(f"{name} must have samples and values, not {list(array.shape)}")
    return array


def _kind(samples: np.ndarray, inputs: int, steps: int, encoder: str | None) -> tuple[Any, str | None]:
    """What rows are, and their encoder."""
    size = int(np.prod(samples.shape[1:]))
    inner = int(np.prod(samples.shape[2:])) if samples.ndim > 2 else 0
    spikes = samples.shape[1] == steps and inner == inputs
    binary = spikes and bool(np.isin(samples, (0, 1)).all())
    if binary and samples.dtype.kind != "f":
        return "spikes", None
    for name in [encoder] if encoder else [_PLAIN, f"{_PLAIN}+off"]:
        if size * _planes(name) == inputs:
            return "values", name
    series = encoder or "levels"
    if inner * _planes(series) == inputs and "series" in encoder_named(series).kinds:
        return "series", series
    if binary:
        return "spikes", None
    if spikes:
        raise ValueError(f"x must be spikes of 0 and 1, as [samples, {steps}, {inputs}], not {_odd(samples):g}")
    raise ValueError(
        f"x must be [samples, {inputs}] of values, or [samples, {steps}, {inputs}] of spikes, 0 and 1, "
        f"for the network's inputs{'' if encoder is None else f' with encoder {encoder}'}, not {samples.dtype} "
        f"{list(samples.shape)}"
    )


def _planes(encoder: str | None) -> int:
    return 1 if encoder is None else encoder_named(encoder).inputs_per_value


def _odd(samples: np.ndarray) -> float:
    """The first value that is neither 0 nor 1."""
    return float(samples[~np.isin(samples, (0, 1))][0])


def _check_values(name: str, samples: np.ndarray, kind: str, scaled: bool) -> float | None:
    """The value that stands for 1; ``None`` for spikes, and where values are ``scaled`` as those of other data."""
    if kind == "spikes":
        if not np.isin(samples, (0, 1)).all():
            raise ValueError(f"{name} must be spikes of 0 and 1, not {_odd(samples):g}")
        return None
    if kind == "values" and np.isnan(samples).any():
        raise ValueError(f"{name} must be values from 0 to 1, not nan: put a number where a value is missing")
    if scaled:
        if np.isinf(samples).any():
            raise ValueError(f"{name} must be finite, not inf")
        return None
    if samples.dtype == np.uint8:
        return 255.0
    low, high = float(np.nanmin(samples)), float(np.nanmax(samples))
    if not 0 <= low <= high <= 1:
        raise ValueError(
            f"{name} must be values from 0 to 1, or bytes, not {low:g} to {high:g}: scale them, as in (x - low) / "
            f"(high - low)"
        )
    return 1.0


def _labels(name: str, labels: ArrayLike, samples: int) -> np.ndarray:
    found = np.asarray(labels)
    if found.dtype.kind == "O" and all(isinstance(label, str) for label in found.reshape(-1)):
        found = found.astype(str)  # a column of a table in memory
    if found.shape != (samples,):
        raise ValueError(f"{name} must be [{samples}], one label for each sample, not {list(found.shape)}")
    return found


def _shape(given: tuple[int, ...], in_map: tuple[int, int, int], planes: int) -> tuple[int, ...]:
    """``(features,)``, or channels, height and width where the network has a map, or the samples are maps."""
    channels, height, width = in_map
    if height * width > 1:
        shape = channels // planes, height, width
        if len(given) > 1 and given not in (shape, shape[1:] if shape[0] == 1 else shape):
            raise ValueError(f"a sample of x must be {list(shape)} or flat for the network's map, not {list(given)}")
        return shape
    return given if len(given) == 3 else (int(np.prod(given)),)
