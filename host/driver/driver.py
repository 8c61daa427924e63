# SPDX-License-Identifier: Apache-2.0
"""The driver: turns calls into packets and received packets into results, without any input or output of its own.

driver = Driver(plan)
operation = driver.train_batch(spikes, labels)  # an ``Operation``, which a transport runs
"""

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import numpy as np
from numpy.typing import ArrayLike

from backspike.golden.network import Training
from backspike.host.compiler.geometry import Core
from backspike.host.compiler.phases.program import Program
from backspike.host.compiler.plan import Plan
from backspike.host.driver.checks import check_labels, check_skipping, check_spikes, check_trained
from backspike.host.driver.operation import DriverError, Operation, Run, Script
from backspike.host.driver.packet_decoder import Fault, parse_packet
from backspike.host.driver.sample_stream import ErrorFunction, SampleResult, Samples
from backspike.host.driver.transactions import (
    DrainLate,
    Reads,
    Updates,
    Writes,
    activity_reads,
    control_reads,
    counter_reads,
)
from backspike.spec.checks import check_flag, check_integer
from backspike.spec.counters import COUNTERS, LINK_COUNTERS
from backspike.spec.packets import LINK, Kind, Packet, Place
from backspike.spec.tables import Region

__all__ = ["LINK", "Driver", "DriverError", "Operation", "SampleResult"]

_Result = TypeVar("_Result")


class Driver:
    """Speaks to one chip that runs one ``Plan``; one operation at a time.

    Parameters
    ----------
    plan : Plan
        From ``compile_network``.
    strict : bool
        Whether a fault or an unexpected packet ends the operation with ``DriverError``; they are counted and kept in
        ``faults`` and ``unexpected`` in any case.
    next_slot : int
        Slot of the next frame; slots are used in turn from ``load`` on, so that a second driver for a loaded chip must
        go on with the first one's ``next_slot``.

    Attributes
    ----------
    program : Plan or Program
        What is trained; ``plan`` is what is on the chip of it.
    faults : list of Fault
        Every fault that the chip reported.
    unexpected : list of list of int
        Words of every received packet that nobody asked for, or that is none.
    problem : str or None
        A fault or unexpected packet that no operation has failed for yet, in words.
    weights_known : bool
        Whether weights and velocities in the chip are as the last operation that ended well has left them. One that
        fails when it has begun to update leaves them unknown, until they are loaded again.

    Raises
    ------
    TypeError
        A parameter is of the wrong kind.
    ValueError
        ``next_slot`` is no slot of the chip.
    """

    def __init__(self, plan: Plan, *, strict: bool = True, next_slot: int = 0) -> None:
        self.program: Plan | Program = plan
        self.plan, self.strict = plan, check_flag("strict", strict)
        self.next_slot = check_integer("next_slot", next_slot, 0, plan.config.slots - 1)
        self.faults: list[Fault] = []
        self.unexpected: list[list[int]] = []
        self.problem: str | None = None
        self.weights_known = True
        self._operation: Operation[Any] | None = None
        self._samples_since_update = 0
        self._mesh = [(x, y) for y in range(plan.config.rows) for x in range(plan.config.columns)]

    def _start(self, name: str, script: Callable[[Run], Script[_Result]]) -> Operation[_Result]:
        if self._operation is not None and not self._operation.done:
            raise DriverError(f"{name} must wait until {self._operation.name} is done")
        operation = Operation(self, name, script)
        self._operation = operation
        return operation

    def receive(self, words: Sequence[int]) -> None:
        """Take one received packet, whether an operation runs or not."""
        operation = self._operation if self._operation is not None and not self._operation.done else None
        try:
            packet = parse_packet(words)
        except ValueError as error:
            self.unexpected.append(list(words))
            self._report(operation, f"received no packet: {error}")
            return
        if packet.kind == Kind.FAULT:
            self.faults.append(Fault.of(packet))
            self._report(operation, str(self.faults[-1]))
        elif packet.host and operation and operation.accept(packet):
            operation.advance()
        else:
            self.unexpected.append(list(words))
            self._report(operation, f"received an unexpected {packet.kind.name} packet, {packet.tag}")

    def _report(self, operation: Operation[Any] | None, problem: str) -> None:
        if self.strict:
            self.problem = self.problem or problem
            if operation:
                operation.fail(self.problem)

    def load(
        self,
        weights: Sequence[ArrayLike],
        velocities: Sequence[ArrayLike] | None = None,
        *,
        feedback: Sequence[np.ndarray] | None = None,
        noise: Sequence[np.ndarray] | None = None,
    ) -> Operation[None]:
        """Write tables and weights, clear gradients; write velocities, or clear them. Slices start again with slot 0.

        From what ``read_weights`` and ``read_velocities`` gave, a training goes on as if it had not been interrupted;
        with feedback that learns, ``read_feedback`` and ``read_noise`` too.

        Parameters
        ----------
        weights, velocities : sequence of array of float64
            One for each layer, as ``layer.shape``, of numbers of the chip's format.
        feedback, noise : sequence of array or None
            As ``Plan.feedback`` and ``Plan.noise``; ``None``: those.

        Raises
        ------
        ValueError
            An array is missing or of another shape, or the chip's format cannot hold a number.
        DriverError
            Velocities are given and the chip has no memory for them, or another operation runs.
        """
        packets = self.plan.load_packets(weights, feedback, noise)
        return self._writing("load", packets, velocities, first_slot=0)

    def write_weights(
        self, weights: Sequence[ArrayLike], velocities: Sequence[ArrayLike] | None = None
    ) -> Operation[None]:
        """Write weights into a chip that has been loaded, as ``load`` does; tables and slots stay as they are.

        Parameters
        ----------
        weights, velocities : sequence of array of float64
            As of ``load``, which raises the same errors.
        """
        return self._writing("write_weights", self.plan.weight_packets(weights), velocities)

    def _writing(
        self, name: str, packets: list[Packet], velocities: Sequence[ArrayLike] | None, first_slot: int | None = None
    ) -> Operation[None]:
        more: list[Packet] = []
        if velocities is not None:
            self._check_velocities(f"{name} with velocities")
            more = self.plan.velocity_packets(velocities)

        def script(run: Run) -> Script[None]:
            self.weights_known = False
            if first_slot is not None:
                self.next_slot = first_slot
            yield from run(Writes(packets))
            yield from run(Reads(control_reads(self.plan.cores)))
            yield from self._update(run, clear=True, velocities=True)
            if more:
                yield from run(Writes(more))
                yield from run(Reads(control_reads(self.plan.cores)))
            self.weights_known = True

        return self._start(name, script)

    def _check_velocities(self, what: str) -> None:
        if not self.plan.config.momentum:
            raise DriverError(f"{what} needs a chip with velocity memory, momentum=True")

    def change_training(self, training: Training) -> Operation[None]:
        """Use other constants, such as another rate, from the next batch on; weights stay.

        Raises
        ------
        TypeError, ValueError, CapacityError
            As ``compile_network``.
        """
        plan = self.plan.retrained(training)
        packets = plan.descriptor_packets()

        def script(run: Run) -> Script[None]:
            yield from run(Writes(packets))
            yield from run(Reads(control_reads(plan.cores)))
            self.plan = self.program = plan

        return self._start("change_training", script)

    def train_batch(
        self,
        spikes: ArrayLike,
        labels: ArrayLike | None = None,
        *,
        errors: ErrorFunction | None = None,
        trained: ArrayLike | None = None,
        update: bool = True,
    ) -> Operation[SampleResult]:
        """Train on a batch. The weights change once, after the last sample.

        Parameters
        ----------
        spikes : array [T, B, N]
            Inputs, 0 or 1.
        labels : array of integers [B] or None
            Outputs that should spike, if the loss is on the chip.
        errors : ErrorFunction or None
            If the loss is external.
        trained : array of bool [frames] or None
            Which frames of each sample are trained, as ``Rule.draw`` gives them; ``None``: all.
        update : bool
            Whether the weights change; if not, gradients add up over calls until ``update()``. Not with a rule that
            updates after each step.

        Raises
        ------
        TypeError, ValueError
            A parameter is of the wrong kind or shape, or out of range; or the gradients would add up more samples than
            the chip's exact sums can hold.
        DriverError
            Another operation runs.
        """
        program = self.program
        external = program.loss == "external"
        if external != (labels is None) or external != (errors is not None):
            raise ValueError(
                f"train_batch must get {'errors, not labels' if external else 'labels, not errors'}, as "
                f"the plan's loss is {program.loss!r}"
            )
        if errors is not None and not callable(errors):
            raise TypeError(f"errors must be a function of a sample's number and its output spikes, not {errors!r}")
        inputs = check_spikes(program.network, spikes)
        count = inputs.shape[1]
        targets = None if labels is None else check_labels(program.network, labels, count)
        frames = check_trained(program.rule, program.frames, trained)
        program.rule.check_batch(count)
        self._check_terms(count)
        if program.rule.step_updates:
            if not update:
                raise ValueError(
                    f"update must be True with rule {program.rule}, which updates after each step, not False"
                )
            return self._start("train_batch", lambda run: self._train_steps(run, inputs, targets, errors))
        return self._start("train_batch", lambda run: self._train(run, inputs, frames, targets, errors, update=update))

    def _train(
        self,
        run: Run,
        inputs: np.ndarray,
        frames: np.ndarray,
        labels: list[int] | None,
        errors: ErrorFunction | None,
        *,
        update: bool,
    ) -> Script[SampleResult]:
        self._samples_since_update += inputs.shape[1]
        frames = np.append(frames, np.ones(self.plan.back_frames, dtype=bool))
        samples = self._samples(inputs, frames, labels=labels, errors=errors)
        yield from run(samples)
        if update:
            yield from self._update(run)
        yield from samples.settle()
        if not update:
            yield from self._until_idle(run)
        return SampleResult(samples.outputs)

    def _train_steps(
        self, run: Run, spikes: np.ndarray, labels: Sequence[int] | None, errors: ErrorFunction | None
    ) -> Script[SampleResult]:
        """One sample, whose frames are followed by an update each."""
        outputs = np.zeros((0, 1, self.plan.network.outputs), dtype=np.uint8)

        def so_far(sample: int, own: np.ndarray) -> ArrayLike:
            assert errors is not None
            return errors(sample, np.concatenate([outputs[:, sample], own]))

        self.weights_known = False
        for frame in range(self.plan.frames):
            steps = slice(frame * self.plan.frame, (frame + 1) * self.plan.frame)
            given = so_far if errors else None
            samples = self._samples(spikes[steps], np.ones(1, dtype=bool), more=frame > 0, labels=labels, errors=given)
            yield from run(samples)
            yield from self._update(run)
            yield from samples.settle()
            outputs = np.concatenate([outputs, samples.outputs])
        self.weights_known = True
        return SampleResult(outputs)

    def _check_terms(self, samples: int) -> None:
        """Refuse samples whose gradients, with those since the last update, could be beyond the chip's sums."""
        limit, each = self.program.config.batch_terms, self.program.sample_terms
        total = self._samples_since_update + samples
        if total * each > limit:
            raise ValueError(
                f"samples between two updates must be at most {limit // each}, not {total}: each adds {each:,} terms "
                f"to a gradient, and the chip's batch_terms is {limit:,}"
            )

    def _update(self, run: Run, *, clear: bool = False, velocities: bool = False) -> Script[None]:
        known = self.weights_known
        self.weights_known = known and clear
        for slices in self.plan.updates(clear=clear):
            yield from run(Updates(slices, clear=clear, velocities=velocities))
        self._samples_since_update, self.weights_known = 0, known

    def evaluate(self, spikes: ArrayLike) -> Operation[SampleResult]:
        """Run ``spikes [T, B, N]``, 0 or 1, without learning; ``ValueError`` where they are others."""
        inputs = check_spikes(self.program.network, spikes)
        return self._start("evaluate", lambda run: self._evaluate(run, inputs))

    def _evaluate(self, run: Run, inputs: np.ndarray) -> Script[SampleResult]:
        samples = yield from self._forward(run, inputs)
        return SampleResult(samples.outputs)

    def _forward(self, run: Run, inputs: np.ndarray) -> Script[Samples]:
        """Samples through what is on the chip, without learning."""
        samples = self._samples(inputs, np.zeros(self.plan.frames, dtype=bool))
        yield from run(samples)
        yield from samples.settle()
        yield from self._until_idle(run)
        return samples

    def _samples(
        self,
        spikes: np.ndarray,
        trained: np.ndarray,
        *,
        more: bool = False,
        labels: Sequence[int] | None = None,
        errors: ErrorFunction | None = None,
        input_masks: np.ndarray | None = None,
    ) -> Samples:
        samples = Samples(
            self.plan,
            spikes,
            trained,
            first_slot=self.next_slot,
            more=more,
            labels=labels,
            errors=errors,
            input_masks=input_masks,
        )
        self.next_slot = (self.next_slot + spikes.shape[1] * len(trained)) % self.plan.config.slots
        return samples

    def _until_idle(self, run: Run) -> Script[None]:
        busy = self.plan.cores
        while busy:
            memory = yield from run(Reads(control_reads(busy)))
            busy = [core for core in busy if memory[core][0] & 2]

    def update(self) -> Operation[None]:
        """Update the weights with the gradients that ``train_batch(..., update=False)`` has added up."""
        return self._start("update", self._update)

    def clear_gradients(self) -> Operation[None]:
        """Set the gradients to zero; the velocities stay."""
        return self._start("clear_gradients", lambda run: self._update(run, clear=True))

    def recover(self) -> Operation[None]:
        """After a failed operation: give up all samples in the chip and clear the gradients.

        Where ``weights_known``, weights and velocities are as they were before the batch, which may then be trained
        again; otherwise the batch's update may have reached some of them, and they must be loaded. Packets of the
        failed operation that are still on their way are ignored. The noise has gone on with the samples of the batch.
        """

        def script(run: Run) -> Script[None]:
            self.next_slot = 0
            yield from run(DrainLate())
            yield from self._until_quiet(run)
            yield from run(Writes(self.plan.restart_packets()))
            yield from self._until_idle(run)
            yield from self._update(run, clear=True)

        self.problem = None
        return self._start("recover", script)

    def _until_quiet(self, run: Run) -> Script[None]:
        """Wait until no core is busy and none has worked since the look before.

        One look is not enough while samples are on their way: a core may be idle only until the next packet comes.
        """
        before = None
        while True:
            memory = yield from run(Reads(activity_reads(self.plan.cores)))
            if memory == before and not any(words[0] & 2 for words in memory.values()):
                return
            before = memory

    def _read(self, name: str, region: Region) -> Operation[list[np.ndarray]]:
        def script(run: Run) -> Script[list[np.ndarray]]:
            return self.plan.decode_weights((yield from run(Reads(self.plan.weight_reads(region)))))

        return self._start(name, script)

    def read_weights(self) -> Operation[list[np.ndarray]]:
        """The weights, one float64 array per layer."""
        return self._read("read_weights", Region.WEIGHT)

    def read_gradients(self) -> Operation[list[np.ndarray]]:
        """The exact gradients, one int64 array per layer in units of ``2**format.lsb``; zero after an update."""

        def script(run: Run) -> Script[list[np.ndarray]]:
            low = yield from run(Reads(self.plan.weight_reads(Region.GRADIENT)))
            high = yield from run(Reads(self.plan.weight_reads(Region.GRADIENT_HIGH)))
            return self.plan.decode_gradients(low, high)

        return self._start("read_gradients", script)

    def read_velocities(self) -> Operation[list[np.ndarray]]:
        """The velocities of the momentum, as ``read_weights``."""
        self._check_velocities("read_velocities")
        return self._read("read_velocities", Region.VELOCITY)

    def read_feedback(self) -> Operation[list[np.ndarray]]:
        """What brings errors to each hidden layer, as ``Plan.feedback``."""

        def script(run: Run) -> Script[list[np.ndarray]]:
            return self.plan.decode_feedback((yield from run(Reads(self.plan.feedback_reads()))))

        return self._start("read_feedback", script)

    def read_feedback_gradients(self) -> Operation[list[np.ndarray]]:
        """The exact sums from which the feedback learns, as ``read_gradients``."""

        def script(run: Run) -> Script[list[np.ndarray]]:
            low = yield from run(Reads(self.plan.feedback_reads(Region.GRADIENT)))
            high = yield from run(Reads(self.plan.feedback_reads(Region.GRADIENT_HIGH)))
            return self.plan.decode_feedback_gradients(low, high)

        return self._start("read_feedback_gradients", script)

    def read_noise(self) -> Operation[list[np.ndarray]]:
        """The generators of the noise, as ``Plan.noise``."""

        def script(run: Run) -> Script[list[np.ndarray]]:
            return self.plan.decode_noise((yield from run(Reads(self.plan.noise_reads()))))

        return self._start("read_noise", script)

    def _control(self, name: str, address: int, value: int) -> Operation[None]:
        packets = [Packet(Kind.WRITE, {"region": Region.CONTROL}, (address, value), *core) for core in self._mesh]
        return self._start(name, lambda run: run(Writes(packets)))

    def set_skipping(self, skipping: bool) -> Operation[None]:
        """Let the engines skip zeros (as after reset), or not; results are the same.

        Raises
        ------
        TypeError
            ``skipping`` is neither ``True`` nor ``False``.
        ValueError
            It is ``False`` on a ``dense_only`` chip, whose engines always skip.
        """
        skipping = check_flag("skipping", skipping)
        check_skipping(self.plan.config, skipping)
        return self._control("set_skipping", 0, int(not skipping))

    def reset_counters(self) -> Operation[None]:
        """Clear the counters and the saturation flag of all cores. Those of the host link go on."""
        return self._control("reset_counters", 1, 1)

    def read_control(self) -> Operation[dict[Core, dict[str, bool]]]:
        """Per core (x, y): whether it skips zeros, is busy, and has saturated since the counters were cleared."""
        return self._start("read_control", self._control_of_cores)

    def _control_of_cores(self, run: Run) -> Script[dict[Core, dict[str, bool]]]:
        memory = yield from run(Reads(control_reads(self._mesh)))
        names = ("skipping", "busy", "saturated")
        bits = {core: memory[core][0] ^ 1 for core in self._mesh}
        return {core: {name: bool(word >> k & 1) for k, name in enumerate(names)} for core, word in bits.items()}

    def read_counters(self) -> Operation[dict[Place, dict[str, int]]]:
        """Counters by name, per core (x, y) and for ``LINK``.

        They have 32 bits and wrap, after 43 s at 100 MHz those that count cycles: ``counters.counter_difference`` says
        how far one has gone on between two looks.
        """

        def script(run: Run) -> Script[dict[Place, dict[str, int]]]:
            memory = yield from run(Reads(counter_reads(self._mesh)))
            return {
                core: {name: words[k] for k, name in enumerate(LINK_COUNTERS if core == LINK else COUNTERS)}
                for core, words in memory.items()
            }

        return self._start("read_counters", script)
