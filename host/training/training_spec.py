# SPDX-License-Identifier: Apache-2.0
"""What is trained, on which data and in which order: all that the trained weights depend on, whatever the chip."""

import dataclasses
import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, Literal, Self

import numpy as np
from numpy.typing import ArrayLike

from backspike.golden.arithmetic import Arithmetic
from backspike.golden.constants import Neuron, Training, Update
from backspike.golden.engines import bit_exact
from backspike.golden.initial import balanced_weights
from backspike.golden.losses import Loss, host_errors
from backspike.golden.network import Network
from backspike.golden.presets import default_epochs, default_rate, default_schedule, smallest_rate
from backspike.golden.rules import Rule
from backspike.golden.trainer import Trainer
from backspike.host.compiler.activity import measure_densities
from backspike.host.compiler.capacity import check_size
from backspike.host.compiler.cost_model import Density
from backspike.host.data.arrays import arrays_named
from backspike.host.data.dataset import Dataset
from backspike.host.data.encoders.by_name import encoder_named
from backspike.host.data.load import absolute, load
from backspike.host.data.sources.labels import check_classes
from backspike.host.training.metrics import Metrics
from backspike.spec.checks import check_integer, check_number
from backspike.spec.config import ChipConfig
from backspike.spec.formats import Format

__all__ = ["TrainingSpec", "fingerprint"]

_SEEN = 64
"""Training samples from which initial weights, the rate and densities are found."""

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
        Time steps T; a chip takes those of a frame of the learning rule, 1 to 16.
    rule : str
        Learning rule, one of ``rules.NAMES``.
    loss : "rate" or "cross-entropy"
        What is made small.
    loss_span : "all" or "last"
        Whether all steps count for the loss and the answer, or the last one alone.
    neuron : dict or list of dict
        Fields of ``Neuron`` by name; or those of each layer, where they differ.
    bias : bool
        Whether neurons have a bias.
    format : dict
        Fields of ``Format`` by name, which the chip must have too.
    rate : float or None
        Of the update in the first epochs, more than 0; later ones are smaller (``default_schedule``). ``None``: by the
        rule of ``default_training``.
    update : str or None
        Kind of the update, one of ``UPDATES``; ``None``: ``"lion"``, or ``"momentum"`` where a momentum is given.
    momentum : float or None
        Of the update, 0 to 1; ``None``: as ``default_training`` says.
    decay : float
        Share of a weight that an update keeps, 0 to 1.
    loss_scale : float or None
        Of the loss, more than 0; ``None``: errors are within -1 and 1.
    data : str
        ``"digits"``, or what else ``host.data.load.read`` takes; a path is made absolute.
    encoder : str or None
        What makes inputs of the data, see ``host.data.encoders.by_name``; ``None``: the one for this kind of data.
    classes : tuple of str or None
        Names of the classes; ``None``: those of the data.
    samples : int or None
        Training samples, the first ones of the data set; ``None``: all.
    tests : int or None
        Test samples, the first ones; ``None``: all.
    batch : int
        Samples per update.
    epochs : int
        Epochs of the full training; the rate of each one depends on their number.
    seed : int
        Of the initial weights, the order of the samples, and which are for validation.
    validation : float
        Share of the training samples that is put aside: after each epoch they are classified instead of the test
        samples, and the weights of the best epoch are kept. 0: none.
    patience : int or None
        Epochs without a better result on the validation samples after which the training ends; ``None``: it goes on.

    Raises
    ------
    TypeError, ValueError
        A parameter of the wrong kind, out of range, or not a number of the format; a network that no chip can hold.
    """

    network: str = "64-128-10"
    steps: int = 4
    rule: str = "bptt"
    loss: Literal["rate", "cross-entropy"] = "rate"
    loss_span: Literal["all", "last"] = "all"
    neuron: dict[str, Any] | list[dict[str, Any]] = field(default_factory=dict)
    bias: bool = False
    format: dict[str, Any] = field(default_factory=dict)
    rate: float | None = None
    update: Update | None = None
    momentum: float | None = None
    decay: float = 1.0
    loss_scale: float | None = None
    data: str = "digits"
    encoder: str | None = None
    classes: tuple[str, ...] | None = None
    samples: int | None = None
    tests: int | None = None
    batch: int = 16
    epochs: int = 20
    seed: int = 1
    validation: float = 0.0
    patience: int | None = None

    def __post_init__(self) -> None:
        check_integer("steps", self.steps, 1)
        self.objective.check(self.learning_rule)
        for name, low in (("batch", 1), ("epochs", 1), ("seed", 0), ("samples", 1), ("tests", 1)):
            if getattr(self, name) is not None or name not in ("samples", "tests"):
                check_integer(name, getattr(self, name), low)
        self.learning_rule.check_batch(self.batch)
        if self.epochs > _EPOCHS:
            raise ValueError(f"epochs must be at most {_EPOCHS}, not {self.epochs!r}")
        for name in ("rate", "loss_scale"):
            if getattr(self, name) is not None:
                check_number(name, getattr(self, name), 0, float("inf"), open_low=True)
        if self.momentum is not None:
            check_number("momentum", self.momentum, 0, 1)
        check_number("validation", self.validation, 0, 0.9)
        if self.patience is not None:
            check_integer("patience", self.patience, 1)
            if not self.validation:
                raise ValueError("patience must be given with validation, a share of the samples such as 0.2")
        for fields in self.neuron if isinstance(self.neuron, list) and self.neuron else [self.neuron]:
            _check_fields("neuron", fields, Neuron)
        _check_fields("format", self.format, Format)
        self._check_data()
        check_size(self.model)
        for training in set(self._schedule()):
            training.rounded(self.model.format)

    def _check_data(self) -> None:
        if not isinstance(self.data, str):
            raise TypeError(f"data must be a string, not {self.data!r}")
        # Whoever reads this later may do so in another folder, as a simulation does
        object.__setattr__(self, "data", absolute(self.data))
        if self.encoder is not None:
            encoder_named(self.encoder)
        if self.classes is not None:
            object.__setattr__(self, "classes", check_classes(self.classes))

    @classmethod
    def with_epochs(cls, **given: Any) -> Self:
        """A specification with ``default_epochs`` of its samples, unless ``epochs`` are given."""
        spec = cls(**given)
        if "epochs" in given:
            return spec
        return dataclasses.replace(spec, epochs=default_epochs(spec.samples_trained(), spec.batch))

    def for_chip(self, config: ChipConfig) -> Self:
        """With the chip's number format, and without a momentum that nobody asked for and the chip has not."""
        own = dataclasses.asdict(config.format)
        if self.format and self.format != own:
            raise ValueError(f"format of the loaded weights must be the chip's, {own}, not {self.format}")
        if self.update in (None, "momentum") and not config.momentum and self.momentum is None:
            return dataclasses.replace(self, format=own, update="momentum", momentum=0.0)
        return dataclasses.replace(self, format=own)

    @property
    def model(self) -> Network:
        """The ``Network``, with the neurons of the learning rule."""
        neurons: dict[str, Any] = {"neurons": self.neuron} if isinstance(self.neuron, list) else self.neuron
        network = Network.parse(self.network, steps=self.steps, bias=self.bias, format=Format(**self.format), **neurons)
        bits = 1 if self.encoder is None else encoder_named(self.encoder).bits
        return self.learning_rule.adapted(dataclasses.replace(network, input_bits=bits))

    @property
    def learning_rule(self) -> Rule:
        """The ``Rule``."""
        return Rule.parse(self.rule)

    @property
    def objective(self) -> Loss:
        """The ``Loss``."""
        return Loss(kind=self.loss, span=self.loss_span)

    @property
    def chip_loss(self) -> Literal["rate", "external"]:
        """The loss that the chip has: its own, or errors from the host."""
        return "rate" if self.objective.on_chip else "external"

    @property
    def error_scale(self) -> float:
        """``loss_scale``, or the one with which errors are within -1 and 1."""
        if self.loss_scale is not None:
            return self.loss_scale
        rule = self.learning_rule
        return 1.0 if rule.per_step or not self.objective.on_chip else 1 / rule.frame_steps(self.steps)

    def trainer(self, weights: Sequence[ArrayLike], arithmetic: Arithmetic[Any] | None = None) -> Trainer:
        """The golden model of the training, with these weights and the constants of the first epoch.

        Without an arithmetic it is bit-exact, and compiled where that is possible.
        """
        return Trainer(
            self.model,
            self.schedule()[0],
            weights=weights,
            rule=self.learning_rule,
            loss=self.objective,
            batch=self.batch,
            feedback_seed=self.seed,
            arithmetic=bit_exact(self.model.format) if arithmetic is None else arithmetic,
        )

    def trained_frames(self, epoch: int, batch: int) -> np.ndarray | None:
        """The frames of a sample that a batch trains, bool [frames]; ``None``: all."""
        return self.learning_rule.draw(self.model, np.random.default_rng((self.seed, epoch, batch)))

    def metrics(self, spikes: np.ndarray, labels: np.ndarray) -> Metrics:
        """``Metrics`` of output spikes [T, B, N], of the steps that count."""
        counted = self.objective.counted(spikes)
        return Metrics.of(counted.sum(axis=0, dtype=np.int64), labels, len(counted))

    def no_metrics(self) -> Metrics:
        """``Metrics`` of no sample."""
        return Metrics(1 if self.loss_span == "last" else self.steps)

    def host_errors(self, labels: np.ndarray) -> Callable[[int, np.ndarray], np.ndarray] | None:
        """The ``ErrorFunction`` for the driver of samples with these labels; ``None`` where the chip finds them."""
        loss, rule, scale = self.objective, self.learning_rule, self.error_scale
        if loss.on_chip:
            return None

        def errors(sample: int, spikes: np.ndarray) -> np.ndarray:
            all_steps = host_errors(loss, scale, rule, self.steps, spikes[:, np.newaxis], labels[[sample]])
            return all_steps[-rule.frame_steps(self.steps) :, 0]

        return errors

    def schedule(self) -> list[Training]:
        """The ``Training`` of each epoch, whose rate follows from the data if none is given."""
        return self._schedule(**self._statistics())

    def _schedule(self, **statistics: Any) -> list[Training]:
        return default_schedule(
            self.model,
            self.epochs,
            batch=self.batch,
            momentum=self.momentum,
            rate=self.rate,
            loss_scale=self.error_scale,
            update=self.update,
            decay=self.decay,
            **statistics,
        )

    def _statistics(self) -> dict[str, Any]:
        """What the rate follows from: updates of the whole training, and mean square of the inputs."""
        if self.rate is not None:
            return {}
        updates = self.epochs * -(-self.samples_trained() // self.batch)
        if self.learning_rule.step_updates:
            updates *= self.steps
        seen = self._all().train[:_SEEN].spikes
        return {"updates": updates, "density": float(np.square(seen, dtype=np.float64).mean())}

    def _all(self) -> Dataset:
        """All of the data, whatever the network."""
        find = load if arrays_named(self.data) else _load  # arrays must not be held longer than by whoever has them
        return find(self.data, self.steps, encoder=self.encoder, classes=self.classes)

    @property
    def limit(self) -> int | None:
        """The most training samples of an epoch; ``None``: all."""
        return self.samples

    def samples_trained(self) -> int:
        """Training samples of an epoch."""
        count = len(self._all().train)
        count = count if self.limit is None else min(count, self.limit)
        return count - round(self.validation * count)

    def rate_remark(self) -> str | None:
        """A sentence where the rule's rate is too small for the format, so that another one is used."""
        if self.rate is not None:
            return None
        rule = default_rate(
            self.model, batch=self.batch, momentum=self.momentum, update=self.update, **self._statistics()
        )
        least = smallest_rate(self.model)
        if rule >= least:
            return None
        return f"rate {least!r}, the smallest of the format: by the rule for this network it would be {rule:.2g}"

    def weights(self) -> list[np.ndarray]:
        """Initial weights, which fit the data: otherwise layers may be silent or full from the start."""
        return balanced_weights(self.model, self.seed, self.dataset().train[:_SEEN].spikes)

    def densities(self) -> tuple[Density, ...]:
        """The ``Density`` of each layer with the initial weights, for ``compile_network``."""
        seen = self.dataset().train[:_SEEN]
        return measure_densities(self.trainer(self.weights()), seen.spikes, seen.labels)

    def whole_dataset(self) -> Dataset:
        """All of the data; ``ValueError`` where network and data do not belong together."""
        data = self._all()
        model, classes = self.model, len(data.classes)
        if model.inputs != data.inputs:
            raise ValueError(
                f"network must have {data.inputs} inputs for the data {data.name!r}, not {model.inputs}: such as "
                f"{data.notation}-128-{classes}"
            )
        if model.outputs < classes:
            raise ValueError(
                f"network must have at least {classes} outputs for the data {data.name!r}, not {model.outputs}"
            )
        return data

    def dataset(self) -> Dataset:
        """The share of the data; ``ValueError`` where there is not as much, or network and data do not fit."""
        data = self.whole_dataset()
        for name, found in (("samples", data.train), ("tests", data.test)):
            if getattr(self, name) is not None and getattr(self, name) > len(found):
                raise ValueError(
                    f"{name} must be at most {len(found)} for the data {data.name!r}, not {getattr(self, name)}"
                )
        part = dataclasses.replace(data, train=data.train[: self.samples], test=data.test[: self.tests])
        return part.with_validation(self.validation, self.seed) if self.validation else part

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
    for samples in (data.train, data.test):
        digest.update(repr((data.steps, len(samples), data.inputs)).encode())
        for start in range(0, len(samples), 256):
            digest.update(np.ascontiguousarray(samples[start : start + 256].spikes).tobytes())
        digest.update(samples.labels.astype("<i8").tobytes())
    return digest.hexdigest()
