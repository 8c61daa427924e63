# SPDX-License-Identifier: Apache-2.0
"""What a ``Model`` is given: the name of data, the path of files, or arrays, as the data of a specification."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from numpy.typing import ArrayLike

from backspike.host.data.arrays import array_data, hold_arrays
from backspike.host.data.raw import RawData
from backspike.host.training.training_spec import TrainingSpec

__all__ = ["Given", "given_data"]


@dataclass(frozen=True)
class Given:
    """Data for a specification.

    Parameters
    ----------
    spec : TrainingSpec
        With the name of the data, and their encoder.
    held : RawData or None
        Arrays, which are found by their name as long as this is held.
    """

    spec: TrainingSpec
    held: RawData | None = None


def given_data(
    spec: TrainingSpec,
    x: str | Path | ArrayLike,
    y: ArrayLike | None,
    *,
    test: tuple[ArrayLike, ArrayLike] | None = None,
    classes: tuple[str, ...] | None = None,
    like: RawData | None = None,
    **changes: Any,
) -> Given:
    """The specification with what was given.

    Parameters
    ----------
    spec : TrainingSpec
        What is trained, or classified.
    x : str, Path or array
        The name of data, the path of files, or arrays as for ``array_data``.
    y : array or None
        Labels of arrays.
    test : tuple of array or None
        Samples and labels for testing.
    classes : tuple of str or None
        Names of the classes, where those of the specification are not known.
    like : RawData or None
        Arrays of the training, to which the encoder is fitted; ``None``: the arrays are those of a training.
    **changes : object
        Other fields of the specification.

    Raises
    ------
    TypeError, ValueError
        Something is given that does not belong together, or does not fit the network.
    """
    if isinstance(x, str | Path):
        if y is not None or test is not None:
            raise ValueError(f"y and test must be None with the data {str(x)!r}, which have their own")
        return Given(replace(spec, data=str(x), **changes))
    if y is None:
        raise ValueError("y must be given with an array: the labels of its samples")
    data, encoder = array_data(
        (x, y),
        test,
        in_map=spec.model.layers[0].in_map,
        steps=spec.steps,
        encoder=spec.encoder,
        classes=spec.classes or classes,
    )
    if like is not None and like.kind == data.kind:
        data = replace(data, name=f"{data.name}-like-{like.name}", train=like.train)
    held = hold_arrays(data)
    return Given(replace(spec, data=held.name, encoder=encoder, **changes), held)
