# SPDX-License-Identifier: Apache-2.0
"""Several chips that train one network together: each a part of every batch, to the bits of one chip.

Gradients are exact sums of integers. So those of the parts add up to that of the batch, whatever the parts are and in
whatever order they come; the host adds them, makes the one update with the golden model's arithmetic, and loads the
same weights and velocities into all chips.
"""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import numpy as np

from backspike.golden.constants import Training
from backspike.golden.exact import Exact
from backspike.host.data.dataset import Samples
from backspike.host.driver.sample_stream import SampleResult
from backspike.host.training.chip_session import Chip, ChipFault, ChipSession
from backspike.host.training.metrics import Metrics
from backspike.host.training.training_spec import TrainingSpec
from backspike.spec.config import ChipConfig

__all__ = ["CHIPS", "ChipGroup", "GroupSession"]

CHIPS = 64
"""Chips of a group: so many gradients of at most 57 bits, which a chip's exact sums have, add up to 63."""


class ChipGroup:
    """Chips of one number format; their shapes may differ.

    Parameters
    ----------
    chips : sequence of Chip
        2 to 64 of them.

    Raises
    ------
    ValueError
        There are fewer or more of them, or their formats differ.
    """

    def __init__(self, chips: Sequence[Chip]) -> None:
        if not 2 <= len(chips) <= CHIPS:
            raise ValueError(f"chips of a group must be 2 to {CHIPS}, not {len(chips)}")
        formats = [chip.config.format for chip in chips]
        for number, found in enumerate(formats):
            if found != formats[0]:
                raise ValueError(f"format of chip {number} must be that of the first, {formats[0]}, not {found}")
        self.chips = tuple(chips)

    @property
    def config(self) -> ChipConfig:
        """Of the first chip."""
        return self.chips[0].config


class GroupSession:
    """A network on every chip of a group, used as a ``ChipSession``.

    Parameters
    ----------
    group : ChipGroup
        What is trained on.
    spec : TrainingSpec
        What is trained.
    training : Training
        Constants to begin with.

    Raises
    ------
    TypeError, ValueError
        Spec and a chip do not fit together; ``CapacityError`` says what would.
    """

    def __init__(self, group: ChipGroup, spec: TrainingSpec, training: Training) -> None:
        rule = spec.learning_rule
        if rule.step_updates or rule.feedback == "learned":
            raise ValueError(
                "rule must be one whose batch is one exact sum on several chips, such as ottt or dfa, "
                f"not {str(rule)!r}"
            )
        self.spec, self.chip = spec, group
        part = replace(spec, batch=-(-spec.batch // len(group.chips)))
        self.sessions = [ChipSession(chip, part, training, phases=False) for chip in group.chips]
        self.program, self.plan = self.sessions[0].program, self.sessions[0].plan
        self._golden = spec.trainer(spec.weights())
        self._golden.training = training

    @property
    def training(self) -> Training:
        """The constants in use."""
        return self._golden.training

    @property
    def weights_known(self) -> bool:
        """Whether every chip has the weights that it should have."""
        return all(session.weights_known for session in self.sessions)

    def _all(self, action: Callable[[int, ChipSession], Any]) -> list[Any]:
        """Do something on all chips at a time; the first ``ChipFault`` is raised when all of them are done."""
        with ThreadPoolExecutor(len(self.sessions)) as pool:
            futures = [pool.submit(self._named, action, number) for number in range(len(self.sessions))]
        return [future.result() for future in futures]

    def _named(self, action: Callable[[int, ChipSession], Any], number: int) -> Any:
        try:
            return action(number, self.sessions[number])
        except ChipFault as fault:
            raise ChipFault(f"chip {number}: {fault}", lost=fault.lost) from fault

    def call(self, name: str, *arguments: Any, **options: Any) -> Any:
        """Run a call of the driver on every chip.

        Returns
        -------
        object
            What the first chip answered, of which weights and velocities must be those of all; of ``read_control``, the
            cores of all chips.
        """
        if name == "change_training":
            self._golden.training = arguments[0]
        found = self._all(lambda _, session: session.call(name, *arguments, **options))
        if name == "read_control":
            return {(number, core): values for number, cores in enumerate(found) for core, values in cores.items()}
        if name in ("read_weights", "read_velocities"):
            for number, arrays in enumerate(found):
                if not all(np.array_equal(a, b) for a, b in zip(arrays, found[0], strict=True)):
                    raise ChipFault(f"chip {number}: {name} gave other bits than chip 0")
        return found[0]

    def load(self, weights: list[np.ndarray], velocities: list[np.ndarray] | None = None) -> None:
        """Load the network into every chip."""
        self._golden.weights = list(weights)
        self._golden.velocities = [np.zeros_like(w) for w in weights] if velocities is None else list(velocities)
        self._all(lambda _, session: session.load(weights, velocities))

    def train_batch(self, spikes: np.ndarray, labels: np.ndarray, trained: np.ndarray | None = None) -> SampleResult:
        """Train on a batch: each chip on its part, then one update for all."""
        parts = np.array_split(np.arange(len(labels)), len(self.sessions))

        def train(number: int, session: ChipSession) -> tuple[np.ndarray, list[np.ndarray]] | None:
            part = parts[number]
            if not len(part):
                return None
            result = session.train_batch(spikes[:, part], labels[part], trained, update=False)
            return result.spikes, session.call("read_gradients")

        found = [result for result in self._all(train) if result]
        sums = [np.sum([gradients[k] for _, gradients in found], axis=0) for k in range(len(self._golden.weights))]
        self._golden.gradients = [Exact.of_integers(total, self.spec.model.format.lsb) for total in sums]
        self._golden.apply()
        self._all(lambda _, session: session.write_weights(self._golden.weights, self._golden.velocities))
        return SampleResult(np.concatenate([outputs for outputs, _ in found], axis=1))

    def classify(
        self, samples: Samples, stop: Callable[[], bool] = lambda: False
    ) -> tuple[Metrics, list[np.ndarray]] | None:
        """Classify samples, each chip a part of them; ``None`` where it was stopped."""
        numbers = np.array_split(np.arange(len(samples)), len(self.sessions))
        found = self._all(lambda number, session: session.classify(samples[numbers[number]], stop))
        if any(result is None for result in found):
            return None
        metrics = self.spec.no_metrics()
        for result, _ in found:
            metrics += result
        return metrics, [outputs for _, part in found for outputs in part]
