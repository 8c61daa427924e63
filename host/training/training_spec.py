# SPDX-License-Identifier: Apache-2.0
"""What is trained, on which data and in which order: all that the trained weights depend on, whatever the chip."""

import dataclasses
import hashlib
import json
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any, Self

import numpy as np

from backspike.golden.constants import Neuron, Training
from backspike.golden.initial import balanced_weights, initial_weights
from backspike.golden.network import Network
from backspike.golden.presets import default_rate, default_schedule, smallest_rate
from backspike.host.compiler.activity import measure_densities
from backspike.host.compiler.capacity import check_size
from backspike.host.compiler.cost_model import Density
from backspike.host.data.datasets import Dataset, load
from backspike.spec.checks import check_integer, check_number
from backspike.spec.config import LIMITS
from backspike.spec.formats import Format

__all__ = ["TrainingSpec", "fingerprint"]

_SEEN = 64
"""Training samples from which initial weights of convolutional networks and densities are found."""

_EPOCHS = 10_000
"""The most, as each has constants of its own."""

_load = lru_cache(load)


@dataclass(frozen=True, kw_only=True)
class TrainingSpec:
    """Equal specifications give equal weights, bit for bit, in the golden model and on every chip.

    Every epoch takes each training sample once, then all test samples are classified.

    Parameters
    ----------
    network : str
        Layers in the notation of ``Network.parse``, such as ``"64-128-10"`` or ``"1x28x28-c16k3p1-a2-10"``.
    steps : int
        Time steps T, 1 to 16.
    neuron : dict
        Fields of ``Neuron`` by name.
    bias : bool
        Whether neurons have a bias.
    format : dict
        Fields of ``Format`` by name, which the chip must have too.
    rate : float or None
        Of the update in the first epochs, more than 0; later ones are smaller (``default_schedule``). ``None``: by the
        rule of ``default_training``.
    momentum : float
        Of the update, 0 to 1.
    loss_scale : float or None
        Of the rate loss, more than 0; ``None``: 1 / T.
    data : str
        ``"digits"``, or what else ``host.data.datasets.load`` takes; a folder's path is made absolute.
    samples : int or None
        Training samples, the first ones of the data set; ``None``: all.
    tests : int or None
        Test samples, the first ones; ``None``: all.
    batch : int
        Samples per update.
    epochs : int
        Epochs of the full training; the rate of each one depends on their number.
    seed : int
        Of the initial weights and the order of the samples.

    Raises
    ------
    TypeError, ValueError
        A parameter of the wrong kind, out of range, or not a number of the format; a network that no chip can hold.
    """

    network: str = "64-128-10"
    steps: int = 4
    neuron: dict[str, Any] = field(default_factory=dict)
    bias: bool = False
    format: dict[str, Any] = field(default_factory=dict)
    rate: float | None = None
    momentum: float = 0.875
    loss_scale: float | None = None
    data: str = "digits"
    samples: int | None = None
    tests: int | None = None
    batch: int = 16
    epochs: int = 20
    seed: int = 1

    def __post_init__(self) -> None:
        check_integer("steps", self.steps, *LIMITS["steps"])
        for name, low in (("batch", 1), ("epochs", 1), ("seed", 0), ("samples", 1), ("tests", 1)):
            if getattr(self, name) is not None or name not in ("samples", "tests"):
                check_integer(name, getattr(self, name), low)
        if self.epochs > _EPOCHS:
            raise ValueError(f"epochs must be at most {_EPOCHS}, not {self.epochs!r}")
        for name in ("rate", "loss_scale"):
            if getattr(self, name) is not None:
                check_number(name, getattr(self, name), 0, float("inf"), open_low=True)
        check_number("momentum", self.momentum, 0, 1)
        _check_fields("neuron", self.neuron, Neuron)
        _check_fields("format", self.format, Format)
        if not isinstance(self.data, str):
            raise TypeError(f"data must be a string, not {self.data!r}")
        if Path(self.data).is_dir():
            # Whoever reads this later may do so in another folder, as a simulation does
            object.__setattr__(self, "data", str(Path(self.data).resolve()))
        check_size(self.model)
        for training in set(self.schedule()):
            training.rounded(self.model.format)

    @property
    def model(self) -> Network:
        """The ``Network``."""
        return Network.parse(
            self.network, steps=self.steps, bias=self.bias, format=Format(**self.format), **self.neuron
        )

    def schedule(self) -> list[Training]:
        """The ``Training`` of each epoch."""
        return default_schedule(
            self.model,
            self.epochs,
            batch=self.batch,
            momentum=self.momentum,
            rate=self.rate,
            loss_scale=self.loss_scale,
        )

    def rate_remark(self) -> str | None:
        """A sentence where the rule's rate is too small for the format, so that another one is used."""
        if self.rate is not None:
            return None
        rule, least = default_rate(self.model, batch=self.batch, momentum=self.momentum), smallest_rate(self.model)
        if rule >= least:
            return None
        return f"rate {least!r}, the smallest of the format: by the rule for this network it would be {rule:.2g}"

    def weights(self) -> list[np.ndarray]:
        """Initial weights; those of convolutional networks fit the data, as otherwise spikes die out on their way."""
        model = self.model
        if all(layer.kernel == 1 for layer in model.layers):
            return initial_weights(model, self.seed)
        return balanced_weights(model, self.seed, self.dataset().train_spikes[:, :_SEEN])

    def densities(self) -> tuple[Density, ...]:
        """The ``Density`` of each layer with the initial weights, for ``compile_network``."""
        data = self.dataset()
        return measure_densities(
            self.model, self.weights(), self.schedule()[0], data.train_spikes[:, :_SEEN], data.train_labels[:_SEEN]
        )

    def whole_dataset(self) -> Dataset:
        """All of the data; ``ValueError`` where network and data do not belong together."""
        data = _load(self.data, self.steps)
        model = self.model
        if model.inputs != data.inputs:
            raise ValueError(f"network must have {data.inputs} inputs for the data {data.name!r}, not {model.inputs}")
        if model.outputs < data.classes:
            raise ValueError(
                f"network must have at least {data.classes} outputs for the data {data.name!r}, not {model.outputs}"
            )
        return data

    def dataset(self) -> Dataset:
        """The share of the data; ``ValueError`` where there is not as much, or network and data do not fit."""
        data = self.whole_dataset()
        for name, labels in (("samples", data.train_labels), ("tests", data.test_labels)):
            if getattr(self, name) is not None and getattr(self, name) > len(labels):
                raise ValueError(
                    f"{name} must be at most {len(labels)} for the data {data.name!r}, not {getattr(self, name)}"
                )
        return dataclasses.replace(
            data,
            train_spikes=data.train_spikes[:, : self.samples],
            train_labels=data.train_labels[: self.samples],
            test_spikes=data.test_spikes[:, : self.tests],
            test_labels=data.test_labels[: self.tests],
        )

    def constants(self) -> dict[str, Any]:
        """All constants by name, as the format holds them: of each layer's neurons, and of each epoch's training."""
        model = self.model
        neurons = {
            f"neuron[{number}].{name}": value
            for number, layer in enumerate(model.layers)
            for name, value in dataclasses.asdict(layer.neuron.rounded(model.format)).items()
        }
        training = {
            f"training[{epoch}].{name}": value
            for epoch, training in enumerate(self.schedule())
            for name, value in dataclasses.asdict(training.rounded(model.format)).items()
        }
        return neurons | training

    def epoch_batches(self, epoch: int, samples: int) -> list[np.ndarray]:
        """Indices of the samples of each batch of an epoch, each of ``samples`` once; the last batch may be smaller."""
        order = np.random.default_rng((self.seed, epoch)).permutation(samples)
        return [order[start : start + self.batch] for start in range(0, samples, self.batch)]

    def to_json(self) -> str:
        """The specification as a JSON text."""
        return json.dumps(dataclasses.asdict(self))

    @classmethod
    def from_json(cls, text: str) -> Self:
        """The inverse of ``to_json``."""
        return cls(**json.loads(text))


def _check_fields(name: str, values: object, kind: type) -> None:
    """``TypeError`` or ``ValueError`` where ``values`` are not fields of a dataclass by name."""
    known = [entry.name for entry in dataclasses.fields(kind)]
    if not isinstance(values, dict):
        raise TypeError(f"{name} must be a dict of fields of {kind.__name__}, not {values!r}")
    for key in values:
        if key not in known:
            raise ValueError(f"{name} must have fields of {known}, not {key!r}")


def fingerprint(data: Dataset) -> str:
    """A hash of a ``Dataset``: equal ones have equal spikes and labels in equal order."""
    digest = hashlib.sha256()
    for array in (data.train_spikes, data.train_labels, data.test_spikes, data.test_labels):
        digest.update(repr(array.shape).encode())
        digest.update(np.ascontiguousarray(array, dtype="<i8" if array.ndim == 1 else np.uint8).tobytes())
    return digest.hexdigest()
