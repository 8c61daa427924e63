# SPDX-License-Identifier: Apache-2.0
"""What is trained, on which data and in which order: all that the trained weights depend on, whatever the chip."""

import dataclasses
import json
from dataclasses import dataclass, field
from functools import lru_cache

import numpy as np

from backspike.golden.initial import balanced_weights, initial_weights
from backspike.golden.network import Network
from backspike.golden.presets import default_schedule
from backspike.host.compiler.activity import measure_densities
from backspike.host.data.datasets import load
from backspike.spec.formats import Format

__all__ = ["Recipe", "check_integer"]

_SEEN = 64
"""Training samples from which initial weights of convolutional networks and densities are found."""


_load = lru_cache(load)


def check_integer(name, value, low):
    """``TypeError`` or ``ValueError`` where a value is not an integer from ``low`` on."""
    if not isinstance(value, int) or isinstance(value, bool):
        raise TypeError(f"{name} must be an integer, not {value!r}")
    if value < low:
        raise ValueError(f"{name} must be at least {low}, not {value!r}")


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """Equal recipes give equal weights, bit for bit, in the golden model and on every chip.

    Parameters
    ----------
    network: layers in the notation of ``Network.parse``, such as ``"64-128-10"`` or ``"1x28x28-c16k3p1-a2-10"``
    steps: time steps T
    neuron: fields of ``Neuron`` by name
    bias: whether neurons have a bias
    format: fields of ``Format`` by name, which the chip must have too
    momentum: of the update
    data: ``"digits"``, or what else ``host.data.load`` takes
    batch: samples per update
    epochs: epochs of the full training; the rate of each one depends on their number
    seed: of the initial weights and the order of the samples

    Raises
    ------
    TypeError, ValueError: a parameter of the wrong kind, or out of range
    """

    network: str = "64-128-10"
    steps: int = 4
    neuron: dict = field(default_factory=dict)
    bias: bool = False
    format: dict = field(default_factory=dict)
    momentum: float = 0.875
    data: str = "digits"
    batch: int = 16
    epochs: int = 20
    seed: int = 1

    def __post_init__(self):
        for name, low in (("batch", 1), ("epochs", 1), ("seed", 0)):
            check_integer(name, getattr(self, name), low)

    @property
    def model(self):
        """The ``Network``."""
        return Network.parse(
            self.network, steps=self.steps, bias=self.bias, format=Format(**self.format), **self.neuron
        )

    def schedule(self):
        """The ``Training`` of each epoch."""
        return default_schedule(self.model, self.epochs, batch=self.batch, momentum=self.momentum)

    def weights(self):
        """Initial weights; those of convolutional networks fit the data, as otherwise spikes die out on their way."""
        model = self.model
        if all(layer.kernel == 1 for layer in model.layers):
            return initial_weights(model, self.seed)
        return balanced_weights(model, self.seed, self.dataset().train_spikes[:, :_SEEN])

    def densities(self):
        """The ``Density`` of each layer with the initial weights, for ``compile_network``."""
        data = self.dataset()
        return measure_densities(
            self.model, self.weights(), self.schedule()[0], data.train_spikes[:, :_SEEN], data.train_labels[:_SEEN]
        )

    def dataset(self):
        """The data; ``ValueError`` where network and data do not belong together."""
        data = _load(self.data, self.steps)
        model = self.model
        if model.inputs != data.inputs:
            raise ValueError(f"network must have {data.inputs} inputs for the data {data.name!r}, not {model.inputs}")
        if model.outputs < data.classes:
            raise ValueError(
                f"network must have at least {data.classes} outputs for the data {data.name!r}, not {model.outputs}"
            )
        return data

    def epoch_batches(self, epoch, samples):
        """Indices of the samples of each batch of an epoch, each of ``samples`` once; the last batch may be smaller."""
        order = np.random.default_rng((self.seed, epoch)).permutation(samples)
        return [order[start : start + self.batch] for start in range(0, samples, self.batch)]

    def to_json(self):
        return json.dumps(dataclasses.asdict(self))

    @classmethod
    def from_json(cls, text):
        return cls(**json.loads(text))
