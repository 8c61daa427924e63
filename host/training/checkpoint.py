# SPDX-License-Identifier: Apache-2.0
"""Files (npz) that hold a training: weights, velocities, what is trained and how far it is.

``weights_0``, ``velocities_0``, ... are float64 arrays, shaped as the golden model's; so are ``feedback_0``, ... and
the integers ``noise_0``, ... of a rule whose feedback learns. ``description`` is a JSON text with the rest. Weights
that numpy has saved under those names can be read without a description too.
"""

import dataclasses
import json
import os
import platform
import zipfile
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from types import UnionType
from typing import Any, Self

import numpy as np

from backspike.golden.network import Network
from backspike.host.training.metrics import Metrics
from backspike.host.training.training_spec import TrainingSpec, fingerprint

__all__ = ["Checkpoint", "read_fitted", "read_history", "read_spec", "read_weights", "save_weights"]

_VERSION = 4
"""Of the description. A file of another version is refused."""


@dataclass
class Checkpoint:
    """A training between two batches.

    Attributes
    ----------
    spec : TrainingSpec
        What is trained.
    weights, velocities : list of array
        Float64 arrays per layer.
    feedback, noise : list of array or None
        Of each hidden layer, as in ``golden.feedback.Feedback``, if the rule's feedback learns and a chip has been
        loaded.
    epoch, batch : int
        Epochs that are complete, and batches of the one after them.
    metrics : Metrics
        ``Metrics`` of this epoch's samples so far, each before the update of its batch.
    history : list of dict
        A dict of results for each complete epoch.
    data : str
        ``fingerprint`` of the data.
    chip : dict or None
        Configuration of the chip that was trained last, as ``ChipConfig.to_dict``; ``None`` before the first.
    best : list of array or None
        The weights of the epoch with the best result on the validation samples; ``None`` before the first.
    tested : dict or None
        Results of these weights on the test samples, at the end of a training with validation; ``None`` before.
    """

    spec: TrainingSpec
    weights: list[np.ndarray]
    velocities: list[np.ndarray]
    epoch: int = 0
    batch: int = 0
    metrics: Metrics = None  # type: ignore[assignment]  # of no samples, once the steps are known
    history: list[dict[str, Any]] = field(default_factory=list)
    data: str = ""
    chip: dict[str, Any] | None = None
    best: list[np.ndarray] | None = None
    feedback: list[np.ndarray] | None = None
    noise: list[np.ndarray] | None = None
    tested: dict[str, Any] | None = None

    def __post_init__(self) -> None:
        self.metrics = self.metrics or self.spec.no_metrics()
        self.data = self.data or fingerprint(self.spec.dataset())

    @classmethod
    def start(cls, spec: TrainingSpec, weights: list[np.ndarray] | None = None) -> Self:
        """Before the first batch; with the initial weights of the spec, or others."""
        weights = spec.weights() if weights is None else weights
        return cls(spec, weights, [np.zeros_like(weight) for weight in weights])

    @property
    def finished(self) -> bool:
        """Whether nothing is left to do: the training is over, and its best weights are tested, if there are any."""
        return self.trained and not (self.spec.validation and self.tested is None)

    @property
    def trained(self) -> bool:
        """Whether all epochs are complete, or no better one has come for the patience of the specification."""
        patience = self.spec.patience
        return self.epoch == self.spec.epochs or (patience is not None and self.epoch - self.best_epoch >= patience)

    @property
    def best_epoch(self) -> int:
        """The first of the epochs with the best result on the validation samples, from 1; 0 before the first."""
        results = [entry["validation_accuracy"] for entry in self.history if "validation_accuracy" in entry]
        return 1 + max(range(len(results)), key=results.__getitem__) if results else 0

    @property
    def samples(self) -> int:
        """Training samples so far."""
        return sum(entry["samples"] for entry in self.history) + self.metrics.samples

    def save(self, path: Path) -> None:
        """Write the file."""
        data = self.spec.dataset()
        description = {
            "version": _VERSION,
            "spec": dataclasses.asdict(self.spec),
            "epoch": self.epoch,
            "batch": self.batch,
            "metrics": dataclasses.asdict(self.metrics),
            "history": self.history,
            "tested": self.tested,
            "samples": self.samples,
            "constants": self.spec.constants(),
            "data": self.data,
            "classes": data.classes,
            "fitted": data.fitted,
            "chip": self.chip,
            "written_by": _versions(),
        }
        arrays = {
            f"{name}_{number}": array
            for name in ("weights", "velocities", "best", "feedback", "noise")
            for number, array in enumerate(getattr(self, name) or ())
        }
        _write(path, description, arrays)

    @classmethod
    def load(cls, path: Path, data: str | None = None) -> Self:
        """The training in a file; ``data``: where the data set is now, if it was moved.

        Raises ``ValueError`` for a file of another kind or version, and where network, constants or data are not what
        they were when it was written.
        """
        arrays = _read(path)
        if "description" not in arrays:
            raise ValueError(f"{path} must hold a training to go on with, not only weights")
        found = _description(path, arrays)
        try:
            spec = _spec(found, {} if data is None else {"data": data})
            epoch, batch = _entry(found, "epoch", int), _entry(found, "batch", int)
            history, chip = _entry(found, "history", list), _entry(found, "chip", dict | None)
            tested = _entry(found, "tested", dict | None)
            constants, known = _entry(found, "constants", dict), _entry(found, "data", str)
            metrics = Metrics(**{name: _entry(found["metrics"], name, int) for name in _entry(found, "metrics", dict)})
            for entry in history:
                if not isinstance(entry, dict) or _entry(entry, "samples", int) < 0:
                    raise ValueError(f"history must have results of epochs, not {entry!r}")
        except (TypeError, ValueError) as error:
            raise ValueError(f"{path} does not describe a training: {error}") from None
        for name, value in spec.constants().items():
            if constants.get(name) != value:
                raise ValueError(f"{name} of {path} must be {value!r}, as in this version, not {constants.get(name)!r}")
        samples = spec.dataset()
        own = fingerprint(samples)
        if own != known:
            raise ValueError(
                f"data {spec.data!r} must have the fingerprint {known} as in {path}, not {own}: they "
                f"are not the same samples"
            )
        count = len(samples.train)
        for name, value, most in (("epoch", epoch, spec.epochs), ("batch", batch, -(-count // spec.batch))):
            if not 0 <= value <= most:
                raise ValueError(f"{name} of {path} must be 0 to {most}, not {value}")
        done = min(batch * spec.batch, count)
        if (metrics.steps, metrics.samples) != (spec.no_metrics().steps, done) or not 0 <= metrics.right <= done:
            raise ValueError(
                f"metrics of {path} must be of {done} samples and {spec.no_metrics().steps} steps, not {metrics}"
            )
        weights, velocities = (_layers(path, arrays, name, spec.model) for name in ("weights", "velocities"))
        best = _layers(path, arrays, "best", spec.model) if "best_0" in arrays else None
        known_feedback = "feedback_0" in arrays or epoch or batch
        learned = _learned(path, arrays, spec) if spec.learning_rule.feedback == "learned" and known_feedback else {}
        return cls(
            spec, weights, velocities, epoch, batch, metrics, history, known, chip, best, **learned, tested=tested
        )


def save_weights(
    path: Path,
    spec: TrainingSpec,
    weights: Sequence[np.ndarray],
    *,
    classes: tuple[str, ...] | None = None,
    history: Sequence[dict[str, Any]] = (),
    fitted: bool = False,
) -> None:
    """Write weights and what they are for, which a training can begin with, but not go on with."""
    description = {
        "version": _VERSION,
        "spec": dataclasses.asdict(spec),
        "classes": classes,
        "fitted": fitted,
        "history": list(history),
        "written_by": _versions(),
    }
    _write(path, description, {f"weights_{number}": weight for number, weight in enumerate(weights)})


def read_spec(path: Path) -> TrainingSpec | None:
    """The ``TrainingSpec`` that a file describes, with the names of its classes; ``None``: it holds only weights.

    So other data are classified with the outputs that were trained for their classes, or refused.
    """
    arrays = _read(path)
    if "description" not in arrays:
        return None
    try:
        found = _description(path, arrays)
        spec = _spec(found)
        return dataclasses.replace(spec, classes=spec.classes or _entry(found, "classes", list | None))
    except (TypeError, ValueError) as error:
        text = str(error)
        raise ValueError(text if str(path) in text else f"{path} does not describe a training: {text}") from None


def read_history(path: Path) -> list[dict[str, Any]]:
    """The results of each epoch of the training that a file describes; none where it holds only weights."""
    arrays = _read(path)
    return list(_description(path, arrays).get("history", ())) if "description" in arrays else []


def read_fitted(path: Path) -> bool:
    """Whether scale or encoder of the data follow from the samples of the training that a file describes."""
    arrays = _read(path)
    return bool(_description(path, arrays).get("fitted", False)) if "description" in arrays else False


def read_weights(path: Path, model: Network, *, rounded: bool = False) -> tuple[list[np.ndarray], float]:
    """The weights in a file, and how far the largest change of one was.

    Parameters
    ----------
    path : Path
        Of the file.
    model : Network
        The ``Network`` that they are for.
    rounded : bool
        Whether weights that are not numbers of the network's format are rounded to it.

    Raises
    ------
    ValueError
        They are not weights of such a network.
    """
    arrays = _read(path)
    moved = 0.0
    if rounded:
        for name in [name for name in arrays if name.startswith("weights_") and arrays[name].dtype.kind in "fiu"]:
            exact = np.asarray(arrays[name], dtype=np.float64)
            if np.isfinite(exact).all():
                arrays[name] = model.format.round(exact)
                moved = max(moved, float(np.abs(arrays[name] - exact).max(initial=0.0)))
    return _layers(path, arrays, "weights", model), moved


def _write(path: Path, description: dict[str, Any], arrays: dict[str, np.ndarray]) -> None:
    """Write a file. It replaces the one before at once and as a whole, even if the power fails."""
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(path.name + ".part")
    with part.open("wb") as file:
        np.savez(file, description=np.array(json.dumps(description)), **arrays)  # type: ignore[arg-type]
        file.flush()
        os.fsync(file.fileno())
    part.replace(path)
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def _description(path: Path, arrays: dict[str, np.ndarray]) -> dict[str, Any]:
    try:
        found = json.loads(str(arrays["description"]))
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{path} does not describe a training: {error}") from None
    if not isinstance(found, dict):
        raise ValueError(f"{path} does not describe a training: it must be a JSON object, not {found!r}")
    if found.get("version") != _VERSION:
        raise ValueError(f"version of {path} must be {_VERSION}, not {found.get('version')!r}")
    return found


def _entry(found: dict[str, Any], name: str, kind: type | UnionType) -> Any:
    """An entry of a description, which may have been edited by hand, if it is of this kind."""
    value = found.get(name)
    if not isinstance(value, kind) or isinstance(value, bool):
        raise TypeError(f"{name} must be a value of {getattr(kind, '__name__', kind)}, not {value!r}")
    return value


def _spec(found: dict[str, Any], changes: dict[str, Any] | None = None) -> TrainingSpec:
    values = _entry(found, "spec", dict)
    names = [entry.name for entry in dataclasses.fields(TrainingSpec)]
    if values.keys() != set(names):
        raise ValueError(f"spec must have {names}, not {list(values)}")
    return TrainingSpec(**values | (changes or {}))


def _read(path: Path) -> dict[str, np.ndarray]:
    if not path.is_file():
        raise FileNotFoundError(f"{path} is not a file")
    try:
        with np.load(path, allow_pickle=False) as content:
            return {name: content[name] for name in content.files}
    except (ValueError, EOFError, OSError, AttributeError, TypeError, zipfile.BadZipFile) as error:
        raise ValueError(f"{path} is not a whole npz file: {error}") from None


def _learned(path: Path, arrays: dict[str, np.ndarray], spec: TrainingSpec) -> dict[str, list[np.ndarray]]:
    """``feedback`` and ``noise`` of a file, which a training goes on with; ``ValueError`` where they are others."""
    hidden, outputs, fmt = spec.model.layers[:-1], spec.model.outputs, spec.model.format
    result: dict[str, list[np.ndarray]] = {"feedback": [], "noise": []}
    for number, layer in enumerate(hidden):
        for name, shape in (("feedback", (outputs, layer.outputs)), ("noise", (layer.outputs,))):
            array = arrays.get(f"{name}_{number}")
            if array is None or array.shape != shape:
                found = None if array is None else list(array.shape)
                raise ValueError(f"{name}_{number} of {path} must be {list(shape)} for the network, not {found}")
            result[name].append(array)
    for number, (matrix, states) in enumerate(zip(result["feedback"], result["noise"], strict=True)):
        try:
            fmt.encode(matrix)
        except (TypeError, ValueError) as error:
            raise ValueError(f"feedback_{number} of {path} must be numbers of the format: {error}") from None
        if states.dtype.kind not in "iu" or not ((states > 0) & (states < 1 << 16)).all():
            raise ValueError(f"noise_{number} of {path} must be integers from 1 to 65535")
    return result


def _layers(path: Path, arrays: dict[str, np.ndarray], name: str, model: Network) -> list[np.ndarray]:
    count = sum(key.startswith(f"{name}_") for key in arrays)
    if count != len(model.layers):
        raise ValueError(f"{path} must have {name} of {len(model.layers)} layers for the network, not of {count}")
    found = []
    for number, layer in enumerate(model.layers):
        array = arrays.get(f"{name}_{number}")
        if array is None or array.shape != layer.shape:
            shape = None if array is None else list(array.shape)
            raise ValueError(f"{name}_{number} of {path} must be {list(layer.shape)} for the network, not {shape}")
        if array.dtype.kind not in "fiu":
            raise ValueError(f"{name}_{number} of {path} must be numbers of the format, not {array.dtype}")
        try:
            model.format.encode(array)
        except ValueError as error:
            advice = ": --round takes the nearest ones" if name == "weights" and np.isfinite(array).all() else ""
            raise ValueError(f"{name}_{number} of {path} must be numbers of the format: {error}{advice}") from None
        found.append(np.array(array, dtype=np.float64))
    return found


def _versions() -> dict[str, str]:
    versions = {"python": platform.python_version(), "numpy": np.__version__}
    with suppress(PackageNotFoundError):
        versions["backspike"] = version("backspike")
    return versions
