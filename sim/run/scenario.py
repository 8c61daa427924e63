# SPDX-License-Identifier: Apache-2.0
"""What a training run in simulation consists of: chip, network, data, seed."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, Self

import numpy as np

from backspike.golden.constants import Training, Update
from backspike.golden.rules import Rule
from backspike.host.compiler.compile import compile_network
from backspike.host.compiler.cost_model import Density
from backspike.host.compiler.frames import frame_steps, rule_sizes
from backspike.host.compiler.partition import Piece
from backspike.host.compiler.phases.cut import compile_program
from backspike.host.compiler.phases.program import Program
from backspike.host.compiler.plan import Plan
from backspike.host.data.dataset import Dataset
from backspike.host.driver.checks import check_run
from backspike.host.driver.driver import Driver
from backspike.host.driver.operation import Operation
from backspike.host.driver.sample_stream import SampleResult
from backspike.host.training.training_spec import TrainingSpec
from backspike.spec.checks import check_integer
from backspike.spec.config import LIMITS, ChipConfig, mesh_shape

__all__ = ["ACTIVITY_PERIOD", "PRESETS", "Scenario"]

ACTIVITY_PERIOD = 32
"""Clock cycles between two looks at the chip's activity."""

_SAMPLES = 1_000_000
"""The most on a simulated chip, as expected weights are kept for each batch."""

PRESETS: dict[str, dict[str, Any]] = {
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
class Scenario(TrainingSpec):
    """A training run in simulation. Equal scenarios give equal results, bit for bit.

    The parameters of ``TrainingSpec`` are those of the golden model's full training, which takes all of the data. The
    chip trains on fewer samples: the first batches alone, in which momentum learns more than Lion with its small steps.

    Parameters
    ----------
    cores : int
        Cores of the chip, in the most nearly square mesh.
    lanes : int
        Lanes of each engine.
    chip : dict
        Other fields of ``ChipConfig`` by name.
    samples : int
        Training samples for the chip, rounded up to whole batches.
    tests : int
        Test samples for the chip.
    placement : str
        Strategy of the compiler.
    idle : float
        Chance that the host pauses in a cycle, on each side of the link.
    skipping : bool
        Whether the engines skip zeros.

    Raises
    ------
    TypeError, ValueError
        A parameter of the wrong kind, or out of range.
    """

    cores: int = 4
    lanes: int = 1
    chip: dict[str, Any] = field(default_factory=dict)
    update: Update | None = "momentum"
    samples: int = 208
    tests: int = 96
    placement: Literal["balanced", "shuffled"] = "balanced"
    idle: float = 0.0
    skipping: bool = True

    def __post_init__(self) -> None:
        for name in ("cores", "samples", "tests"):
            check_integer(name, getattr(self, name), 1)
        super().__post_init__()
        _check_frame(self.learning_rule, self.steps)
        if self.samples > _SAMPLES:
            raise ValueError(f"samples must be at most {_SAMPLES}, not {self.samples!r}")
        if not isinstance(self.idle, int | float) or not 0 <= self.idle < 1:
            raise ValueError(f"idle must be at least 0 and less than 1, not {self.idle!r}")

    @classmethod
    def preset(cls, name: str, *, chip: dict[str, Any] | None = None, **fields: Any) -> Self:
        """A scenario of ``PRESETS`` with some fields, and some of the chip's and the neuron's, replaced."""
        if name not in PRESETS:
            raise ValueError(f"preset must be one of {list(PRESETS)}, not {name!r}")
        preset = PRESETS[name]
        inner = {"chip": chip or {}, "neuron": fields.pop("neuron", {})}
        return cls(**preset | fields | {key: preset.get(key, {}) | given for key, given in inner.items()})

    @property
    def config(self) -> ChipConfig:
        """The chip."""
        columns, rows = mesh_shape(self.cores)
        return ChipConfig.from_dict(
            {
                "columns": columns,
                "rows": rows,
                "lanes": self.lanes,
                **rule_sizes(self.learning_rule, self.steps),
                "format": self.format,
                **self.chip,
            }
        )

    @property
    def training(self) -> Training:
        """The constants of the first epoch, with which the chip trains."""
        return self.schedule()[0]

    @property
    def limit(self) -> None:
        """The golden model's full training takes all samples."""
        return None

    @property
    def batches(self) -> int:
        """Batches that the chip trains on."""
        return -(-self.samples // self.batch)

    def dataset(self) -> Dataset:
        """All of the data: the golden model takes them, the chip some (``order``)."""
        data = self.whole_dataset()
        return data.with_validation(self.validation, self.seed) if self.validation else data

    def check(self, *, phases: bool = True) -> None:
        """Refuse at once what golden model, compiler or driver would refuse in the course of the run.

        With ``phases``, a network that does not fit may run in phases.

        Raises ``TypeError``, ``ValueError``, ``CapacityError`` or, for data that are not there, ``OSError``.
        """
        config = self.config
        self.dataset()
        check_run(
            self.model,
            self.training,
            config,
            batch=self.batch,
            skipping=self.skipping,
            rule=self.learning_rule,
            phases=phases,
        )

    def plan(self, *, strategy: Sequence[Piece] | None = None, density: Sequence[Density] | None = None) -> Plan:
        """The network placed on the chip.

        Parameters
        ----------
        strategy : sequence of Piece or None
            Where the slices are; ``None``: by ``placement``.
        density : sequence of Density or None
            By which the load is balanced; ``None``: that of the initial weights.
        """
        return compile_network(
            self.model,
            self.training,
            self.config,
            strategy=strategy or self.placement,
            seed=self.seed,
            density=density or self.densities(),
            loss=self.chip_loss,
            rule=self.learning_rule,
            feedback_seed=self.seed,
            batch=self.batch,
        )

    def program(self) -> Program:
        """The network on the chip, in as many phases as it takes; of one that fits ``plan()``."""
        return compile_program(
            self.model,
            self.training,
            self.config,
            strategy=self.placement,
            seed=self.seed,
            density=self.densities(),
            loss=self.chip_loss,
            rule=self.learning_rule,
            feedback_seed=self.seed,
            batch=self.batch,
        )

    def batch_operation(
        self, driver: Driver, spikes: np.ndarray, labels: np.ndarray, number: int
    ) -> Operation[SampleResult]:
        """``driver.train_batch`` of the chip's n-th batch, with rule and loss of the scenario."""
        errors = self.host_errors(labels)
        return driver.train_batch(
            spikes,
            labels if errors is None else None,
            errors=errors,
            trained=self.trained_frames(0, number),
        )

    def order(self, data: Dataset) -> np.ndarray:
        """Indices of the chip's training samples, [batches, batch]; all samples once before any comes again."""
        generator = np.random.default_rng(self.seed)
        count = len(data.train)
        rounds = -(-self.batches * self.batch // count)
        order = np.concatenate([generator.permutation(count) for _ in range(rounds)])
        return order[: self.batches * self.batch].reshape(self.batches, self.batch)


def _check_frame(rule: Rule, steps: int) -> None:
    """``ValueError`` where no chip can hold a frame of the rule."""
    frame, most = frame_steps(rule, steps), LIMITS["steps"][1]
    if frame > most:
        fitting = max(n for n in range(1, most + 1) if steps % n == 0)
        raise ValueError(
            f"steps must be at most {most} with rule {rule}, as a chip holds all of them, not {steps!r}: use fewer, "
            f"rule tbptt:{fitting} or sltt"
        )
