# SPDX-License-Identifier: Apache-2.0
"""Files (npz) that hold a training: weights, velocities, what is trained and how far it is.

``weights_0``, ``velocities_0``, ... are float64 arrays, shaped as the golden model's; ``description`` is a JSON text
with the rest. Weights that numpy has saved under those names can be read without a description too.
"""

import dataclasses
import json
import os
import platform
import zipfile
from contextlib import suppress
from dataclasses import dataclass, field
from importlib.metadata import PackageNotFoundError, version

import numpy as np

from backspike.host.training.metrics import Score
from backspike.host.training.training_spec import Course, fingerprint

__all__ = ["Checkpoint", "read_course", "read_weights"]

_VERSION = 1
"""Of the description. A file of another version is refused."""


@dataclass
class Checkpoint:
    """A training between two batches.

    Attributes
    ----------
    course: ``Course``
    weights, velocities: float64 arrays per layer
    epoch, batch: epochs that are complete, and batches of the one after them
    score: ``Score`` of this epoch's samples so far, each before the update of its batch
    history: a dict of results for each complete epoch
    data: ``fingerprint`` of the data
    chip: configuration of the chip that was trained last, as ``ChipConfig.to_dict``; ``None`` before the first
    """

    course: Course
    weights: list
    velocities: list
    epoch: int = 0
    batch: int = 0
    score: Score | None = None
    history: list = field(default_factory=list)
    data: str | None = None
    chip: dict | None = None

    def __post_init__(self):
        self.score = self.score or Score(self.course.steps)
        self.data = self.data or fingerprint(self.course.dataset())

    @classmethod
    def start(cls, course, weights=None):
        """Before the first batch; with the initial weights of the course, or others."""
        weights = course.weights() if weights is None else weights
        return cls(course, weights, [np.zeros_like(weight) for weight in weights])

    @property
    def finished(self):
        return self.epoch == self.course.epochs

    @property
    def samples(self):
        """Training samples so far."""
        return sum(entry["samples"] for entry in self.history) + self.score.samples

    def save(self, path):
        """Write the file. It replaces the one before at once and as a whole, even if the power fails."""
        description = {
            "version": _VERSION,
            "course": dataclasses.asdict(self.course),
            "epoch": self.epoch,
            "batch": self.batch,
            "score": dataclasses.asdict(self.score),
            "history": self.history,
            "samples": self.samples,
            "constants": self.course.constants(),
            "data": self.data,
            "chip": self.chip,
            "written_by": _versions(),
        }
        arrays = {
            f"{name}_{number}": array
            for name in ("weights", "velocities")
            for number, array in enumerate(getattr(self, name))
        }
        path.parent.mkdir(parents=True, exist_ok=True)
        part = path.with_name(path.name + ".part")
        with part.open("wb") as file:
            np.savez(file, description=np.array(json.dumps(description)), **arrays)
            file.flush()
            os.fsync(file.fileno())
        part.replace(path)
        folder = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)

    @classmethod
    def load(cls, path, data=None):
        """The training in a file; ``data``: where the data set is now, if it was moved.

        Raises ``ValueError`` for a file of another kind or version, and where network, constants or data are not what
        they were when it was written.
        """
        arrays = _read(path)
        if "description" not in arrays:
            raise ValueError(f"{path} must hold a training to go on with, not only weights")
        try:
            found = json.loads(str(arrays["description"]))
            if found["version"] != _VERSION:
                raise ValueError(f"version of {path} must be {_VERSION}, not {found['version']!r}")
            course = Course(**found["course"] | ({} if data is None else {"data": data}))
            score, history = Score(**found["score"]), found["history"]
            epoch, batch, chip = found["epoch"], found["batch"], found["chip"]
            if not (0 <= epoch <= course.epochs and batch >= 0):
                raise ValueError(
                    f"epoch of {path} must be 0 to {course.epochs}, and batch at least 0, not {epoch} and {batch}"
                )
            constants, known = found["constants"], found["data"]
        except (KeyError, TypeError, json.JSONDecodeError) as error:
            raise ValueError(f"{path} does not describe a training: {error!r}") from None
        for name, value in course.constants().items():
            if constants.get(name) != value:
                raise ValueError(f"{name} of {path} must be {value!r}, as in this version, not {constants.get(name)!r}")
        own = fingerprint(course.dataset())
        if own != known:
            raise ValueError(
                f"data {course.data!r} must have the fingerprint {known} as in {path}, not {own}: they "
                f"are not the same samples"
            )
        layers = [_layers(path, arrays, name, course.model) for name in ("weights", "velocities")]
        return cls(course, *layers, epoch, batch, score, history, known, chip)


def read_course(path):
    """The ``Course`` that a file describes; ``None`` where it holds only weights."""
    arrays = _read(path)
    if "description" not in arrays:
        return None
    try:
        return Course(**json.loads(str(arrays["description"]))["course"])
    except (KeyError, TypeError, json.JSONDecodeError) as error:
        raise ValueError(f"{path} does not describe a training: {error!r}") from None


def read_weights(path, model):
    """The weights in a file; ``ValueError`` where they are not those of a ``Network`` like ``model``."""
    return _layers(path, _read(path), "weights", model)


def _read(path):
    if not path.is_file():
        raise FileNotFoundError(f"{path} is not a file")
    try:
        with np.load(path, allow_pickle=False) as content:
            return {name: content[name] for name in content.files}
    except (ValueError, EOFError, OSError, AttributeError, TypeError, zipfile.BadZipFile) as error:
        raise ValueError(f"{path} is not a whole npz file: {error}") from None


def _layers(path, arrays, name, model):
    count = sum(key.startswith(f"{name}_") for key in arrays)
    if count != len(model.layers):
        raise ValueError(f"{path} must have {name} of {len(model.layers)} layers for the network, not of {count}")
    found = []
    for number, layer in enumerate(model.layers):
        array = arrays.get(f"{name}_{number}")
        if array is None or array.shape != layer.shape:
            shape = None if array is None else list(array.shape)
            raise ValueError(f"{name}_{number} of {path} must be {list(layer.shape)} for the network, not {shape}")
        try:
            model.format.encode(array)
        except (ValueError, TypeError) as error:
            raise ValueError(f"{name}_{number} of {path} must be numbers of the format: {error}") from None
        found.append(np.array(array, dtype=np.float64))
    return found


def _versions():
    versions = {"python": platform.python_version(), "numpy": np.__version__}
    with suppress(PackageNotFoundError):
        versions["backspike"] = version("backspike")
    return versions
