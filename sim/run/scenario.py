# SPDX-License-Identifier: Apache-2.0
"""What a training run in simulation consists of: chip, network, data, seed."""

from dataclasses import dataclass, field

import numpy as np

from backspike.golden.presets import default_training
from backspike.host.compiler.compile import compile_network
from backspike.host.training.recipe import Recipe, check_integer
from backspike.spec.config import ChipConfig, mesh_shape

__all__ = ["ACTIVITY_PERIOD", "PRESETS", "Scenario"]

ACTIVITY_PERIOD = 32
"""Clock cycles between two looks at the chip's activity."""

PRESETS = {
    "digits": {},
    "mlp": {
        "cores": 20,
        "network": "784-128-10",
        "data": "mnist5k",
        "samples": 64,
        "tests": 100,
        "epochs": 5,
        "chip": {"weights": 8192, "tape_words": 128, "slots": 8},
    },
    "deep20": {
        "cores": 20,
        "network": "1x28x28-c12k5s2p2-c16k3s2p1-c24k3p1-c24k3p1-c32k3s2p1-c32k3p1-c32k3p1-10",
        "neuron": {"reset": "hard"},
        "data": "mnist5k",
        "samples": 64,
        "tests": 20,
        "epochs": 5,
        "chip": {"weights": 8192, "neurons": 2048, "tape_words": 128, "fan_in": 64, "routes": 64, "slots": 8},
    },
}
"""Fields of a ``Scenario`` by name of the preset; the README says what each is for."""


@dataclass(frozen=True, kw_only=True)
class Scenario(Recipe):
    """A training run in simulation. Equal scenarios give equal results, bit for bit.

    Parameters
    ----------
    all of ``Recipe``: the golden model's full training. The chip trains on fewer samples
    cores: cores of the chip, in the most nearly square mesh
    lanes: lanes of each engine
    chip: other fields of ``ChipConfig`` by name
    samples: training samples for the chip, rounded up to whole batches
    tests: test samples for the chip
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
    samples: int = 208
    tests: int = 360
    placement: str = "balanced"
    idle: float = 0.0
    skipping: bool = True

    def __post_init__(self):
        for name in ("cores", "samples", "batch", "tests", "epochs"):
            check_integer(name, getattr(self, name), 1)
        super().__post_init__()
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
        return ChipConfig.from_dict(
            {
                "columns": columns,
                "rows": rows,
                "lanes": self.lanes,
                "steps": max(4, self.steps),
                "format": self.format,
                **self.chip,
            }
        )

    @property
    def training(self):
        return default_training(self.model, batch=self.batch, momentum=self.momentum)

    @property
    def batches(self):
        return -(-self.samples // self.batch)

    def plan(self):
        """The network placed on the chip, balanced for the densities of the initial weights."""
        return compile_network(
            self.model, self.training, self.config, strategy=self.placement, seed=self.seed, density=self.densities()
        )

    def order(self, data):
        """Indices of the chip's training samples, [batches, batch]; all samples once before any comes again."""
        generator = np.random.default_rng(self.seed)
        count = len(data.train_labels)
        rounds = -(-self.batches * self.batch // count)
        order = np.concatenate([generator.permutation(count) for _ in range(rounds)])
        return order[: self.batches * self.batch].reshape(self.batches, self.batch)
