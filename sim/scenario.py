# SPDX-License-Identifier: Apache-2.0
"""What a training run in simulation consists of: chip, network, data, seed."""

import dataclasses
import json
from dataclasses import dataclass, field
from functools import lru_cache

import numpy as np

from backspike.golden.initial import balanced_weights, initial_weights
from backspike.golden.network import Network
from backspike.golden.presets import default_training
from backspike.host.compiler import compile_network
from backspike.host.data import load
from backspike.host.density import measure_densities
from backspike.hw.config import ChipConfig, mesh_shape

__all__ = ["ACTIVITY_PERIOD", "PRESETS", "Scenario"]

ACTIVITY_PERIOD = 32
"""Clock cycles between two looks at the chip's activity."""

PRESETS = {
    "digits": {},
    "mlp": {
        "cores": 20, "network": "784-128-10", "data": "mnist5k", "samples": 64, "tests": 100, "epochs": 5,
        "chip": {"weights": 8192, "tape_words": 128, "slots": 8}},
    "deep20": {
        "cores": 20, "network": "1x28x28-c12k5s2p2-c16k3s2p1-c24k3p1-c24k3p1-c32k3s2p1-c32k3p1-c32k3p1-10",
        "neuron": {"reset": "hard"}, "data": "mnist5k", "samples": 64, "tests": 20, "epochs": 5,
        "chip": {"weights": 8192, "neurons": 2048, "tape_words": 128, "groups": 64, "peers": 64, "slots": 8}},
}
"""Fields of a ``Scenario`` by name of the preset; the README says what each is for."""

_SEEN = 64
"""Training samples from which initial weights of convolutional networks and densities are found."""


_load = lru_cache(load)


def _integer(name, value, low):
    if not isinstance(value, int) or isinstance(value, bool):
        raise TypeError(f"{name} must be an integer, not {value!r}")
    if value < low:
        raise ValueError(f"{name} must be at least {low}, not {value!r}")


@dataclass(frozen=True, kw_only=True)
class Scenario:
    """A training run. Equal scenarios give equal results, bit for bit.

    Parameters
    ----------
    cores: cores of the chip, in the most nearly square mesh
    lanes: lanes of each engine
    chip: other fields of ``ChipConfig`` by name
    network: layers in the notation of ``Network.parse``, such as ``"64-128-10"`` or ``"1x28x28-c16k3p1-a2-10"``
    steps: time steps T
    neuron: fields of ``Neuron`` by name
    bias: whether neurons have a bias
    momentum: of the update
    data: ``"digits"``, or what else ``host.data.load`` takes
    samples: training samples for the chip, rounded up to whole batches
    batch: samples per update
    tests: test samples for the chip
    epochs: epochs of the golden model's full training
    seed: of the initial weights, the split of the data and the order of the samples
    placement: strategy of the compiler
    idle: chance that the host pauses in a cycle, on each side of the link
    skipping: whether the engines skip zeros

    Raises
    ------
    TypeError, ValueError: a parameter of the wrong kind, or out of range
    """

    cores: int = 4
    lanes: int = 1
    chip: dict = field(default_factory=dict)
    network: str = "64-128-10"
    steps: int = 4
    neuron: dict = field(default_factory=dict)
    bias: bool = False
    momentum: float = 0.875
    data: str = "digits"
    samples: int = 208
    batch: int = 16
    tests: int = 360
    epochs: int = 20
    seed: int = 1
    placement: str = "balanced"
    idle: float = 0.0
    skipping: bool = True

    def __post_init__(self):
        for name, low in (("cores", 1), ("samples", 1), ("batch", 1), ("tests", 1), ("epochs", 1), ("seed", 0)):
            _integer(name, getattr(self, name), low)
        if not isinstance(self.idle, int | float) or not 0 <= self.idle < 1:
            raise ValueError(f"idle must be at least 0 and less than 1, not {self.idle!r}")

    @classmethod
    def preset(cls, name, *, chip=None, **fields):
        """A scenario of ``PRESETS`` with some fields, and some of the chip's, replaced."""
        if name not in PRESETS:
            raise ValueError(f"preset must be one of {list(PRESETS)}, not {name!r}")
        preset = PRESETS[name]
        return cls(**preset | fields | {"chip": preset.get("chip", {}) | (chip or {})})

    @property
    def config(self):
        """The chip."""
        columns, rows = mesh_shape(self.cores)
        return ChipConfig.from_dict({
            "columns": columns, "rows": rows, "lanes": self.lanes, "steps": max(4, self.steps), **self.chip})

    @property
    def model(self):
        """The ``Network``."""
        return Network.parse(self.network, steps=self.steps, bias=self.bias, **self.neuron)

    @property
    def training(self):
        return default_training(self.model, batch=self.batch, momentum=self.momentum)

    @property
    def batches(self):
        return -(-self.samples // self.batch)

    def plan(self):
        """The network placed on the chip, balanced for the densities of the initial weights."""
        data = self.dataset()
        densities = measure_densities(
            self.model, self.weights(), self.training, data.train_spikes[:, :_SEEN], data.train_labels[:_SEEN])
        return compile_network(
            self.model, self.training, self.config, strategy=self.placement, seed=self.seed, density=densities)

    def weights(self):
        """Initial weights; those of convolutional networks fit the data, as otherwise spikes die out on their way."""
        if all(layer.kernel == 1 for layer in self.model.layers):
            return initial_weights(self.model, self.seed)
        return balanced_weights(self.model, self.seed, self.dataset().train_spikes[:, :_SEEN])

    def dataset(self):
        """The data; ``ValueError`` where network and data do not belong together."""
        data = _load(self.data, self.steps)
        model = self.model
        if model.inputs != data.inputs:
            raise ValueError(f"network must have {data.inputs} inputs for the data {data.name!r}, not {model.inputs}")
        if model.outputs < data.classes:
            raise ValueError(
                f"network must have at least {data.classes} outputs for the data {data.name!r}, not {model.outputs}")
        return data

    def order(self, data):
        """Indices of the chip's training samples, [batches, batch]; all samples once before any comes again."""
        generator = np.random.default_rng(self.seed)
        count = len(data.train_labels)
        rounds = -(-self.batches * self.batch // count)
        order = np.concatenate([generator.permutation(count) for _ in range(rounds)])
        return order[:self.batches * self.batch].reshape(self.batches, self.batch)

    def to_json(self):
        return json.dumps(dataclasses.asdict(self))

    @classmethod
    def from_json(cls, text):
        return cls(**json.loads(text))
