# SPDX-License-Identifier: Apache-2.0
"""What a ``Model`` is given: the name of data, the path of files, or arrays, as the data of a specification."""

from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from numpy.typing import ArrayLike

from backspike.host.data.arrays import array_data, hold_arrays
from backspike.host.data.encoders.by_name import default_encoder
from backspike.host.data.load import absolute, check_words, read
from backspike.host.data.raw import RawData
from backspike.host.data.sources.labels import are_numbers
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

    @cached_property
    def source(self) -> tuple[str, RawData] | None:
        """Name and content of the data; ``None`` where they are not there any more."""
        try:
            return self.spec.data, self.held or read(self.spec.data, self.spec.classes)
        except (OSError, ModuleNotFoundError):
            return None


def given_data(
    spec: TrainingSpec,
    x: str | Path | ArrayLike,
    y: ArrayLike | None,
    *,
    test: tuple[ArrayLike, ArrayLike] | None = None,
    classes: tuple[str, ...] | None = None,
    like: tuple[str, RawData] | None = None,
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
        Names of the classes that the network has learned; ``None``: those of the specification, if it has some.
    like : tuple of str and RawData, or None
        Name and content of the data that the network has learned, whose scale and encoder arrays get; ``None``: the
        arrays are the first ones of a training.
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
        if classes is not None and not are_numbers(classes) and absolute(str(x)) != spec.data:
            check_words(x, classes)
            changes["classes"] = classes
        return Given(replace(spec, data=str(x), **changes))
    if y is None:
        raise ValueError("y must be given with an array: the labels of its samples")
    data, encoder = array_data(
        (x, y),
        test,
        in_map=spec.model.layers[0].in_map,
        outputs=spec.model.outputs,
        steps=spec.steps,
        encoder=_encoder(spec, like),
        classes=classes or spec.classes,
        like=like,
    )
    held = hold_arrays(data)
    return Given(replace(spec, data=held.name, encoder=encoder, **changes), held)


def _encoder(spec: TrainingSpec, like: tuple[str, RawData] | None) -> str | None:
    """That of the specification, or the one that files of this kind get."""
    if spec.encoder is not None or like is None or like[1].kind not in ("values", "series"):
        return spec.encoder
    return str(default_encoder(like[1]))
