# SPDX-License-Identifier: Apache-2.0
"""From ``RawData`` to a ``Dataset``: scale, encoder, shape of the inputs."""

from collections.abc import Callable
from dataclasses import replace
from functools import partial

import numpy as np

from backspike.host.data.dataset import Dataset, Samples
from backspike.host.data.encoders.by_name import default_encoder, encoder_named
from backspike.host.data.encoders.encoder import Encoder
from backspike.host.data.frames import averaged, counted, filled
from backspike.host.data.raw import RawData
from backspike.host.data.scale import Scale, features, seen_values
from backspike.spec.checks import check_integer

__all__ = ["encode_data"]


def encode_data(data: RawData, steps: int, encoder: str | None = None) -> Dataset:
    """The data as inputs of T steps.

    Parameters
    ----------
    data : RawData
        What a reader has made.
    steps : int
        Time steps T.
    encoder : str or None
        Name of the encoder, see ``encoders.by_name``; ``None``: the one for this kind of data.

    Raises
    ------
    TypeError, ValueError
        There is no such encoder, it does not take such data, or they have another number of steps.
    """
    steps = check_integer("steps", steps, 1)
    if data.kind in ("spikes", "events"):
        if encoder is not None:
            raise ValueError(f"encoder must be None for the data {data.name!r}, which are {data.kind}, not {encoder!r}")
        if data.kind == "events":
            return _dataset(data, steps, partial(_events, data.shape, steps), data.shape)
        if data.length != steps:
            raise ValueError(f"steps must be {data.length} for the data {data.name!r}, not {steps}")
        return _dataset(data, steps, _as_steps, data.shape)
    chosen = default_encoder(data) if encoder is None else encoder_named(encoder)
    if data.kind not in chosen.kinds:
        raise ValueError(f"encoder must take {data.kind}, such as {default_encoder(data)}, not {encoder!r}")
    seen = seen_values(data, steps)
    scale = Scale.of(data, seen) if chosen.scaled else _plain
    fitted = chosen.fits or (chosen.scaled and data.full is None)
    chosen = chosen.fitted(scale(seen))
    encode = partial(_values if data.kind == "values" else _series, chosen, scale, steps, len(data.shape) == 3)
    shape = (chosen.inputs_per_value * data.shape[0], *data.shape[1:])
    return replace(_dataset(data, steps, encode, shape), bits=chosen.bits, encoder=str(chosen), fitted=fitted)


def _dataset(
    data: RawData,
    steps: int,
    encode: Callable[[np.ndarray, np.ndarray], np.ndarray],
    shape: tuple[int, ...],
) -> Dataset:
    count = len(data.train)
    return Dataset(
        name=data.name,
        train=Samples(data.train.rows, data.train.labels, encode, np.arange(count)),
        test=Samples(data.test.rows, data.test.labels, encode, np.arange(len(data.test)), count),
        classes=data.classes,
        shape=shape,
        steps=steps,
    )


def _plain(values: np.ndarray) -> np.ndarray:
    return values


def _as_steps(rows: np.ndarray, _: np.ndarray) -> np.ndarray:
    """Spikes [B, T, ...] as [T, B, inputs]."""
    return np.moveaxis(rows.reshape(*rows.shape[:2], -1), 0, 1).astype(np.uint8)


def _events(shape: tuple[int, ...], steps: int, rows: np.ndarray, _: np.ndarray) -> np.ndarray:
    return counted(rows, shape, steps)


def _values(
    encoder: Encoder,
    scale: Callable[[np.ndarray], np.ndarray],
    steps: int,
    maps: bool,
    rows: np.ndarray,
    numbers: np.ndarray,
) -> np.ndarray:
    values = scale(features(rows))
    return _joined(encoder.encode(np.broadcast_to(values, (steps, *values.shape)), numbers), maps)


def _series(
    encoder: Encoder,
    scale: Callable[[np.ndarray], np.ndarray],
    steps: int,
    maps: bool,
    rows: np.ndarray,
    numbers: np.ndarray,
) -> np.ndarray:
    values = averaged(rows.reshape(*rows.shape[:2], -1), steps)
    silent = np.isnan(values)
    inputs = encoder.encode(scale(filled(values)), numbers)
    # Of an encoder with +off all values come first, and then what they lack to 1
    silent = np.tile(silent, inputs.shape[3] // silent.shape[2])
    return _joined(np.where(silent[:, :, np.newaxis], 0, inputs), maps)


def _joined(inputs: np.ndarray, maps: bool) -> np.ndarray:
    """[T, B, planes, features] as [T, B, inputs]: planes of maps are channels, those of other values are neighbours."""
    if not maps:
        inputs = np.moveaxis(inputs, 2, 3)
    return inputs.reshape(*inputs.shape[:2], -1)
