# SPDX-License-Identifier: Apache-2.0
"""A network on a chip that is connected somehow."""

from collections.abc import Callable
from typing import Any, Protocol

import numpy as np

from backspike.golden.network import Training
from backspike.host.compiler.phases.cut import compile_program
from backspike.host.compiler.plan import Plan
from backspike.host.data.dataset import Samples
from backspike.host.driver.checks import check_run
from backspike.host.driver.driver import DriverError
from backspike.host.driver.operation import Operation
from backspike.host.driver.phased_driver import driver_for
from backspike.host.driver.sample_stream import SampleResult
from backspike.host.training.metrics import Metrics
from backspike.host.training.training_spec import TrainingSpec
from backspike.spec.config import ChipConfig

__all__ = ["Chip", "ChipFault", "ChipSession"]


class Chip(Protocol):
    """A chip, whatever the way to it.

    Attributes
    ----------
    config : ChipConfig
        What the chip is.
    """

    config: ChipConfig

    def run(self, operation: Operation) -> Any:
        """Run an operation of the driver to its end; returns its result."""


class ChipFault(RuntimeError):
    """The chip, or the way to it, does not work. ``lost``: nothing can be sent to it any more."""

    exit_code = 1

    def __init__(self, text: str, *, lost: bool = False) -> None:
        super().__init__(text)
        self.lost = lost


class ChipSession:
    """A network on a chip: its driver, every problem of which is a ``ChipFault``.

    Parameters
    ----------
    chip : Chip
        What is trained on.
    spec : TrainingSpec
        What is trained.
    training : Training
        ``Training`` to begin with.
    phases : bool
        Whether a network that does not fit may run in phases.

    Raises
    ------
    TypeError, ValueError
        Spec and chip do not fit together; ``CapacityError`` says what would.
    """

    def __init__(self, chip: Chip, spec: TrainingSpec, training: Training, *, phases: bool = True) -> None:
        fmt = chip.config.format
        if spec.model.format != fmt:
            raise ValueError(f"format of the network must be the chip's, {fmt}, not {spec.model.format}")
        check_run(spec.model, training, chip.config, batch=spec.batch, rule=spec.learning_rule, phases=phases)
        self.chip, self.spec = chip, spec
        self.program = compile_program(
            spec.model,
            training,
            chip.config,
            density=spec.densities(),
            loss=spec.chip_loss,
            rule=spec.learning_rule,
            feedback_seed=spec.seed,
            batch=spec.batch,
        )
        self.driver = driver_for(self.program)

    @property
    def plan(self) -> Plan:
        """What is on the chip: all of a network that fits."""
        return self.driver.plan

    def call(self, name: str, *arguments: Any, **options: Any) -> Any:
        """Run a call of the driver; returns its result."""
        operation = None
        try:
            operation = getattr(self.driver, name)(*arguments, **options)
            return self.chip.run(operation)
        except (DriverError, TimeoutError) as error:
            raise ChipFault(str(error)) from error
        except (RuntimeError, OSError) as error:
            raise ChipFault(f"{name}: {error}", lost=True) from error
        finally:
            if operation:
                operation.cancel()

    def load(
        self, weights: list[np.ndarray], velocities: list[np.ndarray] | None = None, **learned: list[np.ndarray] | None
    ) -> None:
        """Load the network; velocities are 0 if they are not given, and not needed without momentum.

        ``learned``: as the driver takes ``feedback`` and ``noise``.
        """
        momentum = self.chip.config.momentum
        self.call("load", weights, velocities if momentum else None, **learned)

    def write_weights(self, weights: list[np.ndarray], velocities: list[np.ndarray]) -> None:
        """Replace weights and velocities of a network that is loaded."""
        self.call("write_weights", weights, velocities if self.chip.config.momentum else None)

    @property
    def training(self) -> Training:
        """The constants in use."""
        return self.driver.program.training

    @property
    def weights_known(self) -> bool:
        """Whether the chip has the weights that it should have, see ``Driver``."""
        return self.driver.weights_known

    def train_batch(
        self, spikes: np.ndarray, labels: np.ndarray, trained: np.ndarray | None = None, *, update: bool = True
    ) -> SampleResult:
        """Train on a batch, as ``Driver.train_batch``, with the loss of the specification."""
        errors = self.spec.host_errors(labels)
        given = {"labels": labels} if errors is None else {"errors": errors}
        return self.call("train_batch", spikes, trained=trained, update=update, **given)

    def classify(
        self, samples: Samples, stop: Callable[[], bool] = lambda: False
    ) -> tuple[Metrics, list[np.ndarray]] | None:
        """Classify samples: ``(Metrics, output spikes of each part)``; ``None`` where it was stopped."""
        metrics, parts = self.spec.no_metrics(), []
        for start in range(0, len(samples), self.spec.batch):
            if stop():
                return None
            part = samples[start : start + self.spec.batch]
            result = self.call("evaluate", part.spikes)
            parts.append(result.spikes)
            metrics += self.spec.metrics(result.spikes, part.labels)
        return metrics, parts
