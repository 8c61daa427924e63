# SPDX-License-Identifier: Apache-2.0
"""A network that is trained, tested, saved and loaded from Python, wherever it computes."""

import dataclasses
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from numpy.typing import ArrayLike
from threadpoolctl import threadpool_limits

from backspike.api.backends import Backend, check_backend
from backspike.api.samples import Given, given_data
from backspike.api.telling import Callback, Telling
from backspike.golden.constants import Neuron
from backspike.golden.engines import bit_exact
from backspike.golden.initial import initial_weights
from backspike.golden.network import Network
from backspike.golden.trainer import Trainer
from backspike.host.data.dataset import Samples
from backspike.host.data.encoders.by_name import encoder_named
from backspike.host.exchange.nir_export import export_nir
from backspike.host.exchange.nir_import import import_nir
from backspike.host.exchange.nir_neuron import Steps
from backspike.host.training.checkpoint import (
    Checkpoint,
    read_fitted,
    read_history,
    read_spec,
    read_weights,
    save_weights,
)
from backspike.host.training.chip_session import ChipSession
from backspike.host.training.golden_training import train_golden
from backspike.host.training.history import epoch_line, history_entry
from backspike.host.training.metrics import Metrics
from backspike.host.training.training_run import TrainingRun
from backspike.host.training.training_spec import TrainingSpec
from backspike.spec.checks import check_flag

if TYPE_CHECKING:
    import nir

    from backspike.api.torch_module import ChipNetwork

__all__ = ["Model"]

_NEURON = tuple(entry.name for entry in dataclasses.fields(Neuron))
_WHOLE: dict[str, Any] = {"samples": None, "tests": None, "validation": 0.0, "patience": None}
"""Fields of a specification that take all samples."""


class Model:
    """A network, and what it has learned: the same bits on every backend.

    Parameters
    ----------
    network : str or None
        Layers, such as ``"64-128-10"`` or ``"1x28x28-c16k3s2p1-a2-10"``; ``None``: those of ``TrainingSpec``.
    backend : "golden", Simulated or Port
        Where it computes; may be changed at any time.
    **options : object
        Fields of ``TrainingSpec``, such as ``steps``, ``rule``, ``loss``, ``update``, ``rate``, ``batch``, ``seed``,
        and of its neurons: ``reset``, ``kappa``, ``theta``, ``width``, ``strict``. They are the options of ``backspike
        train``.

    Attributes
    ----------
    spec : TrainingSpec
        What is, or was, trained.
    weights : list of array or None
        Of each layer; ``None`` before the first training.
    history : list of dict
        Results of each epoch of the last training.
    classes : tuple of str or None
        Names of the classes; ``None`` where nobody knows.

    Raises
    ------
    TypeError, ValueError
        An option is not there, of the wrong kind, or out of range.
    """

    def __init__(self, network: str | None = None, *, backend: Backend = "golden", **options: Any) -> None:
        self.backend = backend
        named = {} if network is None else {"network": network}
        self.spec = TrainingSpec(**_fields(named | options))
        self.weights: list[np.ndarray] | None = None
        self.history: list[dict[str, Any]] = []
        self.classes: tuple[str, ...] | None = self.spec.classes
        self._state: Checkpoint | None = None
        self._given: Given | None = None
        self._fitted = False

    @property
    def backend(self) -> Backend:
        """Where it computes."""
        return self._backend

    @backend.setter
    def backend(self, backend: Backend) -> None:
        self._backend = check_backend(backend)

    @property
    def network(self) -> Network:
        """The layers and their neurons."""
        return self.spec.model

    def fit(
        self,
        x: str | Path | ArrayLike,
        y: ArrayLike | None = None,
        *,
        test: tuple[ArrayLike, ArrayLike] | None = None,
        epochs: int | None = None,
        validation: float | None = None,
        progress: bool = True,
        callbacks: Sequence[Callback] = (),
        compare: bool = False,
        **options: Any,
    ) -> Self:
        """Train, from the weights that are there, or from new ones that fit the data.

        Parameters
        ----------
        x : str, Path or array
            The name of data, such as ``"digits"``, the path of files, or an array: values ``[samples, ...]`` from 0 to
            1 (or bytes), or spikes ``[samples, steps, ...]``.
        y : array or None
            Labels of an array: integers or words.
        test : tuple of array or None
            Samples and labels that are classified after each epoch; data with a name have their own.
        epochs : int or None
            How often each sample is taken; ``None``: 20, or as many as make 600 updates.
        validation : float or None
            Share of the samples that is put aside, and decides which epoch's weights are kept; ``None``: that of the
            model, at first 0.
        progress : bool
            Whether there is a line on the console for each epoch.
        callbacks : sequence of function
            Called after each epoch with its entry in the history; the training ends where one returns true.
        compare : bool
            Whether the golden model trains beside a chip, and is compared.
        **options : object
            Other options of the training, as for ``Model``.

        Raises
        ------
        TypeError, ValueError
            Data, network and options do not fit together; nothing has been trained then.
        RuntimeError
            A chip does not work, or differs from the golden model.
        """
        if epochs is not None:
            options["epochs"] = epochs
        if validation is not None:
            options["validation"] = validation
        base = replace(self.spec, **_fields(options, self.spec))
        check_flag("progress", progress)
        check_flag("compare", compare)
        telling = Telling(progress, callbacks)
        given = given_data(base, x, y, test=test, **self._known(x))
        spec = given.spec
        if epochs is None:
            spec = replace(spec, epochs=TrainingSpec.with_epochs(**_without_epochs(spec)).epochs)
        data = spec.dataset()
        with threadpool_limits(1):  # the matrices are too small for threads
            if self.backend == "golden":
                state = self._fit_golden(spec, telling)
            else:
                state = self._fit_chip(spec, telling, compare=compare)
        self.spec, self._state, self._given = state.spec, state, Given(state.spec, given.held)
        self.weights, self.history, self.classes = state.weights, state.history, data.classes
        self._fitted = data.fitted
        return self

    def _known(self, x: str | Path | ArrayLike) -> dict[str, Any]:
        """What a network that has learned something knows of its data, for ``given_data``."""
        if self.weights is None:
            return {}
        like = None if self._given is None or isinstance(x, str | Path) else self._given.source
        return {"classes": self.classes, "like": like}

    def _fit_golden(self, spec: TrainingSpec, telling: Telling) -> Checkpoint:
        state = Checkpoint.start(spec, self.weights)
        trainer, schedule, data = self._trainer(spec, state.weights), spec.schedule(), spec.dataset()
        held, _ = data.held

        def told(epoch: int, trained: Metrics, metrics: Metrics) -> bool:
            rate = schedule[epoch].rate
            entry = history_entry(epoch + 1, trained, held, metrics, rate=rate, saturated=trainer.saturated)
            state.history.append(entry)
            telling.event("epoch", epoch_line(entry, spec.epochs, held, metrics), **entry)
            return telling.asked()

        result = train_golden(spec, data, trainer, told)
        state.weights, state.velocities = trainer.weights, trainer.velocities
        state.epoch = len(state.history)
        if spec.validation:
            tested = result.tested
            state.best = trainer.weights
            state.tested = {"test_loss": tested.loss, "test_accuracy": tested.accuracy, "tests": tested.samples}
        return state

    def _fit_chip(self, spec: TrainingSpec, telling: Telling, *, compare: bool) -> Checkpoint:
        assert not isinstance(self.backend, str)
        with self.backend.open(spec) as chip, tempfile.TemporaryDirectory() as folder:
            spec = spec.for_chip(chip.config)
            state = Checkpoint.start(spec, self.weights)
            path = Path(folder) / "training.npz"
            run = TrainingRun(chip, state, path, telling, compare=compare, stop=telling.asked)
            if run.run() == "different":
                raise RuntimeError(f"chip and golden model differ: {run.difference}")
        return state

    @staticmethod
    def _trainer(spec: TrainingSpec, weights: Sequence[np.ndarray]) -> Trainer:
        return spec.trainer(weights, bit_exact(spec.model.format))

    def spikes(self, x: str | Path | ArrayLike) -> np.ndarray:
        """Output spikes [T, samples, outputs] of samples, as for ``evaluate``."""
        return self._run(x, None)[1]

    def predict(self, x: str | Path | ArrayLike) -> np.ndarray:
        """Numbers of the classes [samples] of samples, as for ``evaluate``; ``classes`` has their names."""
        counted = self.spec.objective.counted(self.spikes(x))
        return counted.sum(axis=0, dtype=np.int64).argmax(axis=1)

    def evaluate(self, x: str | Path | ArrayLike, y: ArrayLike | None = None) -> Metrics:
        """``accuracy`` and ``loss`` of samples: the test samples of data with a name, or an array and its labels."""
        if y is None and not isinstance(x, str | Path):
            raise ValueError("y must be given with an array: the labels of its samples")
        samples, spikes = self._run(x, y)
        return self.spec.metrics(spikes, samples.labels)

    def _run(self, x: str | Path | ArrayLike, y: ArrayLike | None) -> tuple[Samples, np.ndarray]:
        """The samples and the output spikes [T, samples, outputs]."""
        weights = self._learned()
        given = self._to_classify(x, y)
        spec = given.spec
        samples = spec.dataset().test
        with threadpool_limits(1):
            if self.backend == "golden":
                trainer = self._trainer(spec, weights)
                parts = [trainer.forward(samples[start : start + 256].spikes) for start in range(0, len(samples), 256)]
                return samples, np.concatenate([part.layers[-1].spikes for part in parts], axis=1).astype(np.uint8)
            with self.backend.open(spec) as chip:
                spec = spec.for_chip(chip.config)
                session = ChipSession(chip, spec, spec.schedule()[0])
                session.load(weights)
                classified = session.classify(samples)
        assert classified, "nobody asks to stop"
        return samples, np.concatenate(classified[1], axis=1)

    def _to_classify(self, x: str | Path | ArrayLike, y: ArrayLike | None) -> Given:
        """All of the samples as those for testing; arrays are encoded as those of the training were."""
        known = self._known(x)
        if isinstance(x, str | Path):
            return given_data(self.spec, x, y, **known, **_WHOLE)
        labels = np.full(np.shape(x)[:1], self.classes[0] if self.classes else 0) if y is None else y
        given = given_data(self.spec, x, labels, test=(x, labels), **known, **_WHOLE)
        encoder = given.spec.encoder
        if encoder is not None and not known.get("like") and (self._fitted or encoder_named(encoder).fits):
            raise ValueError(
                f"x must be spikes, as other values are encoded by the samples of the training, {self.spec.data!r}, "
                f"which are not there: train the model with some first"
            )
        return given

    def _learned(self) -> list[np.ndarray]:
        if self.weights is None:
            raise ValueError("the model must have weights: train it with fit, or load a file with Model.load")
        return self.weights

    def inputs(self, x: str | Path | ArrayLike) -> np.ndarray:
        """What the network sees of samples, as for ``evaluate``: uint8 [T, samples, inputs]."""
        given = self._to_classify(x, None)  # holds the arrays
        return given.spec.dataset().test.spikes

    def to_torch(self, *, exact: bool = True) -> "ChipNetwork":
        """A ``torch.nn.Module`` whose passes are the chip's, with the weights of the model, or new ones.

        Parameters
        ----------
        exact : bool
            Whether the passes are the chip's, bit for bit; otherwise they are in float64.

        Raises
        ------
        ModuleNotFoundError
            PyTorch is missing.
        """
        try:
            from backspike.api.torch_module import ChipNetwork  # noqa: PLC0415 - an optional package
        except ModuleNotFoundError as error:
            text = f"{error.name} is missing: pip install 'backspike[reference]', or pip install torch"
            raise ModuleNotFoundError(text, name=error.name) from None
        weights = initial_weights(self.network, self.spec.seed) if self.weights is None else self.weights
        return ChipNetwork(self.spec, weights, exact=exact, classes=self.classes)

    @classmethod
    def from_torch(cls, module: "ChipNetwork", *, backend: Backend = "golden") -> Self:
        """The model of a module that ``to_torch`` has given; its weights are rounded to the chip's numbers."""
        model = cls(backend=backend)
        model.spec, model.classes, model.weights = module.spec, module.classes, module.rounded()
        return model

    @classmethod
    def from_nir(
        cls,
        source: "str | Path | nir.NIRGraph",
        *,
        time: Steps | None = None,
        backend: Backend = "golden",
        **options: Any,
    ) -> Self:
        """The model in a NIR file or graph, see ``nir_import.import_nir``; ``options`` are those of ``Model``."""
        found = import_nir(source, time)
        model = cls(backend=backend)
        model.spec, model.weights = found.spec(**_fields(options)), found.weights
        return model

    def to_nir(self, path: str | Path, dt: float = 1e-4) -> None:
        """Write a NIR file, see ``nir_export.to_nir``."""
        export_nir(Path(path), self.network, self._learned(), dt)

    def save(self, path: str | Path) -> None:
        """Write a file, as ``backspike train --save``: its commands load it, and ``Model.load``."""
        path = Path(path)
        if path.suffix != ".npz":
            raise ValueError(f"path must end in .npz, not {str(path)!r}")
        if self._state is not None and self._state.finished and self._state.weights is self.weights:
            self._state.save(path)
        else:
            weights, classes = self._learned(), self.classes
            save_weights(path, self.spec, weights, classes=classes, history=self.history, fitted=self._fitted)

    @classmethod
    def load(cls, path: str | Path, *, backend: Backend = "golden") -> Self:
        """The model in a file of ``save``, of ``backspike train`` or of ``backspike nir import``."""
        path = Path(path)
        spec = read_spec(path)
        if spec is None:
            raise ValueError(f"{path} must describe its network, not only hold weights")
        model = cls(backend=backend)
        model.spec, model.classes = spec, spec.classes
        model.weights, _ = read_weights(path, spec.model)
        model.history, model._fitted = read_history(path), read_fitted(path)
        model._given = Given(spec) if model.history else None
        return model


def _fields(options: dict[str, Any], spec: TrainingSpec | None = None) -> dict[str, Any]:
    """Options as fields of ``TrainingSpec``, on top of one; ``TypeError`` for one that is not there."""
    known = [entry.name for entry in dataclasses.fields(TrainingSpec)]
    for name in options:
        if name not in (*known, *_NEURON):
            raise TypeError(f"options must be among {', '.join((*known, *_NEURON))}, not {name!r}")
    options = {name: value.item() if isinstance(value, np.generic) else value for name, value in options.items()}
    neuron = {name: value for name, value in options.items() if name in _NEURON}
    fields = {name: value for name, value in options.items() if name not in _NEURON}
    if neuron:
        before = fields.get("neuron", spec.neuron if spec else {})
        if not isinstance(before, dict):
            raise ValueError(f"{next(iter(neuron))} must not be given, as the layers have different neurons")
        fields["neuron"] = before | neuron
    return fields


def _without_epochs(spec: TrainingSpec) -> dict[str, Any]:
    return {
        entry.name: getattr(spec, entry.name) for entry in dataclasses.fields(TrainingSpec) if entry.name != "epochs"
    }
