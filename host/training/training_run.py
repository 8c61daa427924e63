# SPDX-License-Identifier: Apache-2.0
"""The training of a network on a chip: batches, tests, checkpoints, what is done after a fault."""

import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from backspike.golden.constants import Training
from backspike.golden.diagnosis import diagnose_outputs
from backspike.host.data.dataset import Samples
from backspike.host.driver.phased_driver import PhasedDriver
from backspike.host.training.checkpoint import Checkpoint
from backspike.host.training.chip_group import ChipGroup, GroupSession
from backspike.host.training.chip_session import Chip, ChipFault, ChipSession
from backspike.host.training.compare import Difference, first_spike_difference, first_weight_difference
from backspike.host.training.history import epoch_line, history_entry
from backspike.host.training.metrics import Metrics
from backspike.host.training.training_log import TrainingLog

__all__ = ["TrainingRun"]

REPETITIONS = 3
"""How often a batch is repeated after a fault."""


class TrainingRun:
    """Trains until the spec ends, the chip differs from the golden model, or somebody stops it.

    Parameters
    ----------
    chip : Chip or ChipGroup
        What is trained on.
    state : Checkpoint
        What to go on with; it is kept up to date.
    path : Path
        Where checkpoints are saved.
    log : TrainingLog
        What is told, on the console and in a file.
    save_every : int
        Batches between two checkpoints within an epoch; there is one at the end of each epoch, too.
    compare : bool
        Whether the golden model trains beside, and is compared: output spikes of every batch and test, weights and
        velocities at every checkpoint.
    stop : function
        Says whether to stop before the next batch.

    Raises
    ------
    TypeError, ValueError
        Spec and chip do not fit together; ``CapacityError`` says what would.
    """

    def __init__(
        self,
        chip: Chip | ChipGroup,
        state: Checkpoint,
        path: Path,
        log: TrainingLog,
        *,
        save_every: int = 250,
        compare: bool = False,
        stop: Callable[[], bool] = lambda: False,
    ) -> None:
        self.state, self.path, self.log = state, path, log
        self.spec, self.data = state.spec, state.spec.dataset()
        self.save_every, self.stop = save_every, stop
        self._schedule = self.spec.schedule()
        session = GroupSession if isinstance(chip, ChipGroup) else ChipSession
        self.session: ChipSession | GroupSession = session(chip, self.spec, self._training)  # type: ignore[arg-type]
        self._golden = self.spec.trainer(state.weights) if compare else None
        if (plan := self.session.plan).learned and not state.feedback:
            state.feedback, state.noise = plan.feedback, plan.noise
        self._faults: dict[tuple[int, int], int] = {}
        self._saved = replace(state, history=list(state.history))
        self._warnings: list[str] = []
        self.difference: Difference | None = None
        state.chip = chip.config.to_dict()

    @property
    def _training(self) -> Training:
        """The constants of the epoch in work."""
        return self._schedule[min(self.state.epoch, len(self._schedule) - 1)]

    def run(self) -> str:
        """Returns ``"finished"``, ``"interrupted"`` or ``"different"`` (then ``difference`` says where).

        Raises ``ChipFault`` where a batch failed too often, or the chip is lost.
        """
        self._attempt(self._load)
        self._write()
        while not self.state.trained and not self.difference:
            if self.stop():
                self._attempt(self._save)
                return "different" if self.difference else "interrupted"
            self._attempt(self._step)
        while not self.state.finished and not self.difference:
            if self.stop():
                return "interrupted"
            self._attempt(self._test_best)
        return "different" if self.difference else "finished"

    def _attempt(self, action: Callable[[], None]) -> None:
        """Do it; after a fault bring the chip into order and do it again."""
        while True:
            try:
                action()
                return
            except ChipFault as fault:
                self._recover(fault)
                if action == self._step:
                    return  # the next step may be an earlier one

    def _load(self) -> None:
        """Bring chip and golden model to the state of the last checkpoint."""
        state, golden = self.state, self._golden
        learned = {"feedback": state.feedback, "noise": state.noise} if self.session.plan.learned else {}
        self.session.load(state.weights, state.velocities, **learned)
        if golden:
            golden.weights, golden.velocities = list(state.weights), list(state.velocities)
            if golden.feedback and state.feedback and state.noise:
                golden.feedback.matrices, golden.feedback.states = list(state.feedback), list(state.noise)

    def _recover(self, fault: ChipFault) -> None:
        """Give up what failed, and load the last checkpoint if weights are unknown; ``ChipFault`` if it is no use."""
        while True:
            place = (self.state.epoch, self.state.batch)
            self._faults[place] = count = self._faults.get(place, 0) + 1
            where: dict[str, Any] = {"epoch": place[0] + 1, "batch": place[1] + 1}
            if fault.lost or count > REPETITIONS:
                self.log.event("failed", **where, fault=str(fault), count=count)
                raise fault
            self.log.event(
                "fault",
                f"{self._place()}: {fault}; repeating ({count} of {REPETITIONS})",
                **where,
                fault=str(fault),
                count=count,
            )
            try:
                self.session.call("recover")
                # The noise has gone on with the samples of the batch that failed.
                if not self.session.weights_known or self.session.plan.learned:
                    self._go_back()
                return
            except ChipFault as again:
                fault = again

    def _place(self) -> str:
        """What is in work, in words."""
        batches = -(-len(self.data.train) // self.spec.batch)
        work = f"batch {self.state.batch + 1}" if self.state.batch < batches else "tests"
        return f"epoch {self.state.epoch + 1}, {work}"

    def _go_back(self) -> None:
        """To the last checkpoint."""
        saved = self._saved
        self.state.feedback, self.state.noise = saved.feedback, saved.noise
        self.state.epoch, self.state.batch, self.state.metrics = saved.epoch, saved.batch, saved.metrics
        self.state.history = list(saved.history)
        self._load()
        self.log.event(
            "back",
            f"back to epoch {saved.epoch + 1}, after batch {saved.batch}",
            epoch=saved.epoch + 1,
            batch=saved.batch,
        )

    def _step(self) -> None:
        """One batch, or the tests at the end of an epoch."""
        state = self.state
        batches = self.spec.epoch_batches(state.epoch, len(self.data.train))
        if state.batch == len(batches):
            self._end_epoch()
            return
        if self.session.training != self._training:
            self.session.call("change_training", self._training)
        self._train_batch(batches[state.batch], len(batches))
        if not self.difference and state.batch % self.save_every == 0 and state.batch < len(batches):
            self._save()

    def _train_batch(self, chosen: np.ndarray, batches: int) -> None:
        state, started = self.state, time.monotonic()
        samples = self.data.train[chosen]
        spikes, labels = samples.spikes, samples.labels
        trained = self.spec.trained_frames(state.epoch, state.batch)
        result = self.session.train_batch(spikes, labels, trained)
        seconds = time.monotonic() - started
        metrics = self.spec.metrics(result.spikes, labels)
        if self._golden:
            self._golden.training = self._training
            expected = self._golden.train_batch(spikes, labels, trained=trained)
            self._compare_spikes(expected, result.spikes, state.samples)
        state.metrics += metrics
        state.batch += 1
        self.log.event(
            "batch",
            f"epoch {state.epoch + 1}/{self.spec.epochs}, batch {state.batch}/{batches}: loss "
            f"{metrics.loss:.3f}, accuracy {metrics.accuracy:.1%}; epoch so far {state.metrics.loss:.3f}, "
            f"{state.metrics.accuracy:.1%}; {len(labels) / max(seconds, 1e-6):.1f} samples/s",
            passing=True,
            epoch=state.epoch + 1,
            batch=state.batch,
            samples=state.samples,
            loss=metrics.loss,
            accuracy=metrics.accuracy,
            seconds=round(seconds, 4),
        )

    def _end_epoch(self) -> None:
        state = self.state
        held, samples = self.data.held
        classified = self._classify(samples)
        if classified is None:
            return
        metrics, outputs = classified
        control = self.session.call("read_control")
        self._fetch()
        if self.difference:
            return
        saturated = any(core["saturated"] for core in control.values())
        entry = history_entry(
            state.epoch + 1, state.metrics, held, metrics, rate=self._training.rate, saturated=saturated
        )
        state.history.append(entry)
        state.epoch, state.batch, state.metrics = state.epoch + 1, 0, self.spec.no_metrics()
        if state.best_epoch == state.epoch:
            state.best = list(state.weights)
        self._write()
        self.log.event("epoch", epoch_line(entry, self.spec.epochs, held, metrics), **entry)
        if isinstance(self.session, ChipSession) and isinstance(self.session.driver, PhasedDriver):
            self._tell_memory(self.session.driver.memory_report()["training"])
        self._warn(diagnose_outputs(outputs, samples.labels, saturated=entry["saturated"]))

    def _tell_memory(self, training: dict[str, Any]) -> None:
        """Bytes of the training samples so far, and whether they are those of the formula."""
        counted, samples = training["counted"], max(training["samples"], 1)
        classes = ", ".join(f"{name} {count / samples:,.0f}" for name, count in counted.items() if count)
        equal = "" if counted == training["formula"] else ", not as by the formula"
        self.log.event(
            "memory",
            f"memory, bytes of a training sample: {classes}, all {sum(counted.values()) / samples:,.0f}{equal}",
            epoch=self.state.epoch,
            **training,
        )

    def _warn(self, warnings: list[str]) -> None:
        """Say why the network does not learn, but nothing twice in a row."""
        for text in warnings:
            if text not in self._warnings:
                self.log.event("warning", f"warning: {text}", epoch=self.state.epoch, warning=text)
        self._warnings = warnings

    def _classify(self, samples: Samples) -> tuple[Metrics, np.ndarray] | None:
        """``Metrics`` and output spikes of samples on the chip, compared with the golden model's; ``None``: stopped."""
        found = self.session.classify(samples, self.stop)
        if found is None:
            return None
        metrics, parts = found
        start = 0
        if self._golden:
            for part in parts:
                stop = start + part.shape[1]
                outputs = self._golden.forward(samples[start:stop].spikes).layers[-1].spikes
                self._compare_spikes(outputs, part, start)
                start = stop
        nothing = np.zeros((self.spec.steps, 0, self.spec.model.outputs), dtype=np.uint8)
        return metrics, np.concatenate([nothing, *parts], axis=1)

    def _test_best(self) -> None:
        """Classify the test samples with the weights of the best epoch, which are those of the training."""
        state = self.state
        state.weights = list(state.best or state.weights)
        self._load()
        classified = self._classify(self.data.test)
        if classified is None or self.difference:
            return
        metrics, _ = classified
        state.tested = {"test_loss": metrics.loss, "test_accuracy": metrics.accuracy, "tests": metrics.samples}
        self._write()
        self.log.event(
            "tested",
            f"weights of epoch {state.best_epoch}, the best on the validation samples; {metrics.samples} test samples: "
            f"loss {metrics.loss:.3f}, accuracy {metrics.accuracy:.1%}",
            epoch=state.best_epoch,
            **state.tested,
        )

    def _save(self) -> None:
        """A checkpoint of the chip as it is, unless it differs from the golden model."""
        self._fetch()
        if not self.difference:
            self._write()

    def _fetch(self) -> None:
        """Weights and velocities from the chip, which must be the golden model's."""
        weights = self.session.call("read_weights")
        velocities = self.state.velocities
        if self.session.chip.config.momentum:
            velocities = self.session.call("read_velocities")
        if self._golden:
            fmt, step = self.spec.model.format, self.state.batch
            self._differs(first_weight_difference(self._golden.weights, weights, step, fmt))
            if self.session.chip.config.momentum:
                self._differs(first_weight_difference(self._golden.velocities, velocities, step, fmt, "velocity"))
        self.state.weights, self.state.velocities = weights, velocities
        if self.session.plan.learned:
            self._fetch_feedback()

    def _fetch_feedback(self) -> None:
        """What brings errors to hidden layers, and the generators of its noise, which must be the golden model's."""
        state, fmt = self.state, self.spec.model.format
        state.feedback, state.noise = self.session.call("read_feedback"), self.session.call("read_noise")
        if self._golden and self._golden.feedback:
            own = self._golden.feedback
            self._differs(first_weight_difference(own.matrices, state.feedback, state.batch, fmt, "feedback"))

    def _write(self) -> None:
        self.state.save(self.path)
        self._saved = replace(self.state, history=list(self.state.history))
        self.log.event(
            "saved", epoch=self.state.epoch + 1, batch=self.state.batch, samples=self.state.samples, path=str(self.path)
        )

    def _compare_spikes(self, expected: np.ndarray, found: np.ndarray, first_sample: int) -> None:
        self._differs(first_spike_difference(expected, found, len(self.spec.model.layers) - 1, first_sample))

    def _differs(self, difference: Difference | None) -> None:
        if difference is not None and self.difference is None:
            self.difference = difference
            epoch, batch = self.state.epoch + 1, self.state.batch
            self.log.event(
                "difference",
                f"epoch {epoch}, after batch {batch}: {difference}",
                epoch=epoch,
                batch=batch,
                difference=vars(difference),
            )
