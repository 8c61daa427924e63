# SPDX-License-Identifier: Apache-2.0
"""The training of a network on a chip: batches, tests, checkpoints, what is done after a fault."""

import time
from dataclasses import replace

from backspike.golden.trainer import Trainer
from backspike.host.compiler.compile import CapacityError
from backspike.host.training.chip_session import ChipFault, ChipSession
from backspike.host.training.compare import first_spike_difference, first_weight_difference
from backspike.host.training.metrics import Score

__all__ = ["TrainingRun"]

REPETITIONS = 3
"""How often a batch is repeated after a fault."""


class TrainingRun:
    """Trains until the course ends, the chip differs from the golden model, or somebody stops it.

    Parameters
    ----------
    chip: see ``chip_session``
    state: ``Checkpoint`` to go on with; it is kept up to date
    path: where checkpoints are saved
    journal: ``Journal``
    save_every: batches between two checkpoints within an epoch; there is one at the end of each epoch, too
    compare: whether the golden model trains beside, and is compared: output spikes of every batch and test, weights and
        velocities at every checkpoint
    stop: function that says whether to stop before the next batch

    Raises
    ------
    TypeError, ValueError: course and chip do not fit together; ``CapacityError`` says what would
    """

    def __init__(self, chip, state, path, journal, *, save_every=250, compare=False, stop=lambda: False):
        self.state, self.path, self.journal = state, path, journal
        self.course, self.data = state.course, state.course.dataset()
        self.save_every, self.stop = save_every, stop
        self._schedule = self.course.schedule()
        self.session = ChipSession(chip, self.course, self._training)
        most = chip.config.batch_terms // self.session.plan.sample_terms
        if self.course.batch > most:
            raise CapacityError(
                f"batch is {self.course.batch} and the chip's gradients hold {most} samples of this "
                f"network: use batch={most}"
            )
        self._golden = Trainer(self.course.model, self._training, weights=state.weights) if compare else None
        self._faults = {}
        self._saved = replace(state, history=list(state.history))
        self.difference = None
        state.chip = chip.config.to_dict()

    @property
    def _training(self):
        """The constants of the epoch in work."""
        return self._schedule[min(self.state.epoch, len(self._schedule) - 1)]

    def run(self):
        """Returns ``"finished"``, ``"interrupted"`` or ``"different"`` (then ``difference`` says where).

        Raises ``ChipFault`` where a batch failed too often, or the chip is lost.
        """
        self._attempt(self._load)
        self._write()
        while not self.state.finished and not self.difference:
            if self.stop():
                self._attempt(self._save)
                return "different" if self.difference else "interrupted"
            self._attempt(self._step)
        return "different" if self.difference else "finished"

    def _attempt(self, action):
        """Do it; after a fault bring the chip into order and do it again."""
        while True:
            try:
                return action()
            except ChipFault as fault:
                self._recover(fault)
                if action == self._step:
                    return None  # the next step may be an earlier one

    def _load(self):
        """Bring chip and golden model to the state of the last checkpoint."""
        state, golden = self.state, self._golden
        self.session.load(state.weights, state.velocities)
        if golden:
            golden.weights, golden.velocities = list(state.weights), list(state.velocities)

    def _recover(self, fault):
        """Give up what failed, and load the last checkpoint if weights are unknown; ``ChipFault`` if it is no use."""
        while True:
            place = (self.state.epoch, self.state.batch)
            self._faults[place] = count = self._faults.get(place, 0) + 1
            where = {"epoch": place[0] + 1, "batch": place[1] + 1}
            if fault.lost or count > REPETITIONS:
                self.journal.event("failed", **where, fault=str(fault), count=count)
                raise fault
            self.journal.event(
                "fault",
                f"{self._place()}: {fault}; repeating ({count} of {REPETITIONS})",
                **where,
                fault=str(fault),
                count=count,
            )
            try:
                self.session.call("recover")
                if not self.session.driver.weights_known:
                    self._go_back()
                return
            except ChipFault as again:
                fault = again

    def _place(self):
        """What is in work, in words."""
        batches = -(-len(self.data.train_labels) // self.course.batch)
        work = f"batch {self.state.batch + 1}" if self.state.batch < batches else "tests"
        return f"epoch {self.state.epoch + 1}, {work}"

    def _go_back(self):
        """To the last checkpoint."""
        saved = self._saved
        self.state.epoch, self.state.batch, self.state.score = saved.epoch, saved.batch, saved.score
        self.state.history = list(saved.history)
        self._load()
        self.journal.event(
            "back",
            f"back to epoch {saved.epoch + 1}, after batch {saved.batch}",
            epoch=saved.epoch + 1,
            batch=saved.batch,
        )

    def _step(self):
        """One batch, or the tests at the end of an epoch."""
        state = self.state
        batches = self.course.epoch_batches(state.epoch, len(self.data.train_labels))
        if state.batch == len(batches):
            self._end_epoch(len(batches))
            return
        if self.session.driver.plan.training != self._training:
            self.session.call("change_training", self._training)
        self._train_batch(batches[state.batch], len(batches))
        if not self.difference and state.batch % self.save_every == 0 and state.batch < len(batches):
            self._save()

    def _train_batch(self, chosen, batches):
        state, started = self.state, time.monotonic()
        spikes, labels = self.data.train_spikes[:, chosen], self.data.train_labels[chosen]
        result = self.session.call("train_batch", spikes, labels)
        seconds = time.monotonic() - started
        score = Score.of(result.counts, labels, self.course.steps)
        if self._golden:
            self._golden.training = self._training
            self._compare_spikes(self._golden.forward(spikes), result.spikes, state.samples)
            self._golden.train_batch(spikes, labels)
        state.score += score
        state.batch += 1
        self.journal.event(
            "batch",
            f"epoch {state.epoch + 1}/{self.course.epochs}, batch {state.batch}/{batches}: loss "
            f"{score.loss:.3f}, accuracy {score.accuracy:.1%}; epoch so far {state.score.loss:.3f}, "
            f"{state.score.accuracy:.1%}; {len(labels) / max(seconds, 1e-6):.1f} samples/s",
            passing=True,
            epoch=state.epoch + 1,
            batch=state.batch,
            samples=state.samples,
            loss=score.loss,
            accuracy=score.accuracy,
            seconds=round(seconds, 4),
        )

    def _end_epoch(self, batches):
        state = self.state
        tested = self.session.classify(self.data.test_spikes, self.data.test_labels, self.stop)
        if tested is None:
            return
        score, parts = tested
        control = self.session.call("read_control")
        self._fetch()
        if self._golden:
            start = 0
            for part in parts:
                tests = slice(start, start + part.shape[1])
                self._compare_spikes(self._golden.forward(self.data.test_spikes[:, tests]), part, start)
                start = tests.stop
        if self.difference:
            return
        entry = {
            "epoch": state.epoch + 1,
            "samples": state.score.samples,
            "train_loss": state.score.loss,
            "train_accuracy": state.score.accuracy,
            "test_loss": score.loss,
            "test_accuracy": score.accuracy,
            "tests": score.samples,
            "rate": self._training.rate,
            "saturated": any(core["saturated"] for core in control.values()),
        }
        state.history.append(entry)
        state.epoch, state.batch, state.score = state.epoch + 1, 0, Score(self.course.steps)
        self._write()
        self.journal.event(
            "epoch",
            f"epoch {state.epoch}/{self.course.epochs}: loss {entry['train_loss']:.3f}, accuracy "
            f"{entry['train_accuracy']:.1%}; {score.samples} tests: loss {score.loss:.3f}, accuracy "
            f"{score.accuracy:.1%}" + ("; numbers have saturated" if entry["saturated"] else ""),
            **entry,
        )

    def _save(self):
        """A checkpoint of the chip as it is, unless it differs from the golden model."""
        self._fetch()
        if not self.difference:
            self._write()

    def _fetch(self):
        """Weights and velocities from the chip, which must be the golden model's."""
        weights = self.session.call("read_weights")
        velocities = self.state.velocities
        if self.session.chip.config.momentum:
            velocities = self.session.call("read_velocities")
        if self._golden:
            fmt, step = self.course.model.format, self.state.batch
            self._differs(first_weight_difference(self._golden.weights, weights, step, fmt))
            if self.session.chip.config.momentum:
                self._differs(first_weight_difference(self._golden.velocities, velocities, step, fmt, "velocity"))
        self.state.weights, self.state.velocities = weights, velocities

    def _write(self):
        self.state.save(self.path)
        self._saved = replace(self.state, history=list(self.state.history))
        self.journal.event(
            "saved", epoch=self.state.epoch + 1, batch=self.state.batch, samples=self.state.samples, path=str(self.path)
        )

    def _compare_spikes(self, trace, found, first_sample):
        self._differs(
            first_spike_difference(trace.layers[-1].spikes, found, len(self.course.model.layers) - 1, first_sample)
        )

    def _differs(self, difference):
        if difference is not None and self.difference is None:
            self.difference = difference
            epoch, batch = self.state.epoch + 1, self.state.batch
            self.journal.event(
                "difference",
                f"epoch {epoch}, after batch {batch}: {difference}",
                epoch=epoch,
                batch=batch,
                difference=vars(difference),
            )
