# SPDX-License-Identifier: Apache-2.0
"""The driver: turns calls into packets and received packets into results, without any input or output of its own.

driver = Driver(plan)
operation = driver.train_batch(spikes, labels)  # an ``Operation``, which a transport runs
"""

from backspike.host.driver.checks import check_labels, check_skipping, check_spikes
from backspike.host.driver.operation import DriverError, Operation
from backspike.host.driver.packet_decoder import Fault, parse_packet
from backspike.host.driver.sample_stream import SampleResult, Samples
from backspike.host.driver.transactions import (
    LINK,
    Reads,
    Remains,
    Updates,
    Writes,
    activity_reads,
    control_reads,
    counter_reads,
)
from backspike.spec.counters import COUNTERS, LINK_COUNTERS
from backspike.spec.packets import Kind, Packet
from backspike.spec.tables import Region

__all__ = ["LINK", "Driver", "DriverError", "Operation", "SampleResult"]


class Driver:
    """Speaks to one chip that runs one ``Plan``; one operation at a time.

    Parameters
    ----------
    plan: from ``compile_network``
    strict: whether a fault or an unexpected packet ends the operation with ``DriverError``; they are counted and
        kept in ``faults`` and ``unexpected`` in any case
    next_slot: slot of the next sample; slots are used in turn from ``load`` on, so that a second driver for a loaded
        chip must go on with the first one's ``next_slot``

    Members
    -------
    faults: every ``Fault`` that the chip reported
    unexpected: words of every received packet that nobody asked for, or that is none
    problem: a fault or unexpected packet that no operation has failed for yet, in words
    weights_known: whether weights and velocities in the chip are as the last operation that ended well has left them.
        One that fails when it has begun to update leaves them unknown, until they are loaded again
    """

    def __init__(self, plan, *, strict=True, next_slot=0):
        if not isinstance(strict, bool):
            raise TypeError(f"strict must be True or False, not {strict!r}")
        if not isinstance(next_slot, int) or not 0 <= next_slot < plan.config.slots:
            raise ValueError(f"next_slot must be 0 to {plan.config.slots - 1}, not {next_slot!r}")
        self.plan, self.strict, self.next_slot = plan, strict, next_slot
        self.faults, self.unexpected, self.problem = [], [], None
        self.weights_known = True
        self._operation = None
        self._samples_since_update = 0
        self._mesh = [(x, y) for y in range(plan.config.rows) for x in range(plan.config.columns)]

    def _start(self, name, script):
        if self._operation is not None and not self._operation.done:
            raise DriverError(f"{name} must wait until {self._operation.name} is done")
        self._operation = Operation(self, name, script)
        return self._operation

    def receive(self, words):
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

    def _report(self, operation, problem):
        if self.strict:
            self.problem = self.problem or problem
            if operation:
                operation.fail(self.problem)

    def load(self, weights, velocities=None):
        """Write tables and weights, clear gradients; write velocities, or clear them. Slices start again with slot 0.

        ``weights``, ``velocities``: one array per layer as ``layer.shape``, of numbers of the chip's format, such as
        ``read_weights`` and ``read_velocities`` give: a training goes on from them as if it had not been interrupted.
        """
        packets, more = self.plan.load_packets(weights), []
        if velocities is not None:
            self._check_velocities("load with velocities")
            more = self.plan.velocity_packets(velocities)

        def script(run):
            self.next_slot, self.weights_known = 0, False
            yield from run(Writes(packets))
            yield from run(Reads(control_reads(self.plan.cores)))
            yield from self._update(run, clear=True, velocities=True)
            if more:
                yield from run(Writes(more))
                yield from run(Reads(control_reads(self.plan.cores)))
            self.weights_known = True

        return self._start("load", script)

    def _check_velocities(self, what):
        if not self.plan.config.momentum:
            raise DriverError(f"{what} needs a chip with velocity memory, momentum=True")

    def change_training(self, training):
        """Use other constants, a ``Training``, from the next batch on, such as another rate; weights stay.

        Raises ``TypeError``, ``ValueError`` and ``CapacityError`` as ``compile_network`` does.
        """
        plan = self.plan.retrained(training)
        packets = plan.descriptor_packets()

        def script(run):
            yield from run(Writes(packets))
            yield from run(Reads(control_reads(plan.cores)))
            self.plan = plan

        return self._start("change_training", script)

    def train_batch(self, spikes, labels=None, *, errors=None, update=True):
        """Train on ``spikes [T, B, N]`` with ``labels [B]``, or ``errors`` (see ``Samples``) if the loss is external.

        The weights change once, after the last sample, or not at all without ``update``: then gradients add up over
        calls until ``update()``. The result is a ``SampleResult``.

        ``ValueError`` where the gradients would add up more samples than the chip's exact sums can hold.
        """
        external = self.plan.loss == "external"
        if external != (labels is None) or external != (errors is not None):
            raise ValueError(
                f"train_batch must get {'errors, not labels' if external else 'labels, not errors'}, as "
                f"the plan's loss is {self.plan.loss!r}"
            )
        if external and not callable(errors):
            raise TypeError(f"errors must be a function of a sample and its output spikes, not {type(errors).__name__}")
        spikes = check_spikes(self.plan.network, spikes)
        if labels is not None:
            labels = check_labels(self.plan.network, labels, spikes.shape[1])
        self._check_terms(spikes.shape[1])

        def script(run):
            self._samples_since_update += spikes.shape[1]
            samples = self._samples(spikes, train=True, labels=labels, errors=errors)
            yield from run(samples)
            if update:
                yield from self._update(run)
            yield from samples.settle()
            if not update:
                yield from self._until_idle(run)
            return SampleResult(samples.outputs)

        return self._start("train_batch", script)

    def _check_terms(self, samples):
        """Refuse samples whose gradients, with those since the last update, could be beyond the chip's sums."""
        limit, each = self.plan.config.batch_terms, self.plan.sample_terms
        total = self._samples_since_update + samples
        if total * each > limit:
            raise ValueError(
                f"samples between two updates must be at most {limit // each}, not {total}: each adds {each:,} terms "
                f"to a gradient, and the chip's batch_terms is {limit:,}"
            )

    def _update(self, run, *, clear=False, **options):
        known = self.weights_known
        self.weights_known = known and clear
        yield from run(Updates(self.plan.slices, clear=clear, **options))
        self._samples_since_update, self.weights_known = 0, known

    def evaluate(self, spikes):
        """Run ``spikes [T, B, N]`` without learning. The result is a ``SampleResult``."""
        spikes = check_spikes(self.plan.network, spikes)

        def script(run):
            samples = self._samples(spikes, train=False)
            yield from run(samples)
            yield from samples.settle()
            yield from self._until_idle(run)
            return SampleResult(samples.outputs)

        return self._start("evaluate", script)

    def _samples(self, spikes, **options):
        samples = Samples(self.plan, spikes, first_slot=self.next_slot, **options)
        self.next_slot = (self.next_slot + spikes.shape[1]) % self.plan.config.slots
        return samples

    def _until_idle(self, run):
        busy = self.plan.cores
        while busy:
            memory = yield from run(Reads(control_reads(busy)))
            busy = [core for core in busy if memory[core][0] & 2]

    def update(self):
        """Update the weights with the gradients that ``train_batch(..., update=False)`` has added up."""
        return self._start("update", self._update)

    def clear_gradients(self):
        """Set the gradients to zero; the velocities stay."""
        return self._start("clear_gradients", lambda run: self._update(run, clear=True))

    def recover(self):
        """After a failed operation: give up all samples in the chip and clear the gradients.

        Where ``weights_known``, weights and velocities are as they were before the batch, which may then be trained
        again; otherwise the batch's update may have reached some of them, and they must be loaded. Packets of the
        failed operation that are still on their way are ignored.
        """

        def script(run):
            self.next_slot = 0
            yield from run(Remains())
            yield from self._until_quiet(run)
            yield from run(Writes(self.plan.restart_packets()))
            yield from self._until_idle(run)
            yield from self._update(run, clear=True)

        self.problem = None
        return self._start("recover", script)

    def _until_quiet(self, run):
        """Wait until no core is busy and none has worked since the look before.

        One look is not enough while samples are on their way: a core may be idle only until the next packet comes.
        """
        before = None
        while True:
            memory = yield from run(Reads(activity_reads(self.plan.cores)))
            if memory == before and not any(words[0] & 2 for words in memory.values()):
                return
            before = memory

    def _read(self, name, region):
        def script(run):
            return self.plan.decode_weights((yield from run(Reads(self.plan.weight_reads(region)))))

        return self._start(name, script)

    def read_weights(self):
        """The weights, one float64 array per layer."""
        return self._read("read_weights", Region.WEIGHT)

    def read_gradients(self):
        """The exact gradients, one int64 array per layer in units of ``2**format.lsb``; zero after an update."""

        def script(run):
            low = yield from run(Reads(self.plan.weight_reads(Region.GRADIENT)))
            high = yield from run(Reads(self.plan.weight_reads(Region.GRADIENT_HIGH)))
            return self.plan.decode_gradients(low, high)

        return self._start("read_gradients", script)

    def read_velocities(self):
        """The velocities of the momentum, as ``read_weights``."""
        self._check_velocities("read_velocities")
        return self._read("read_velocities", Region.VELOCITY)

    def _control(self, name, address, value):
        packets = [Packet(Kind.WRITE, {"region": Region.CONTROL}, (address, value), *core) for core in self._mesh]
        return self._start(name, lambda run: run(Writes(packets)))

    def set_skipping(self, skipping):
        """Let the engines skip zeros (as after reset), or not; results are the same.

        ``ValueError`` for ``False`` on a ``dense_only`` chip, whose engines always skip.
        """
        check_skipping(self.plan.config, skipping)
        return self._control("set_skipping", 0, int(not skipping))

    def reset_counters(self):
        """Clear the counters and the saturation flag of all cores. The link's counters only wrap."""
        return self._control("reset_counters", 1, 1)

    def read_control(self):
        """Per core (x, y): whether it skips zeros, is busy, and has saturated since the counters were cleared."""

        def script(run):
            memory = yield from run(Reads(control_reads(self._mesh)))
            names = ("skipping", "busy", "saturated")
            bits = {core: (words[0] ^ 1) for core, words in memory.items()}
            return {core: {name: bool(word >> k & 1) for k, name in enumerate(names)} for core, word in bits.items()}

        return self._start("read_control", script)

    def read_counters(self):
        """Counters by name, per core (x, y) and for ``LINK``."""

        def script(run):
            memory = yield from run(Reads(counter_reads(self._mesh)))
            return {
                core: {name: words[k] for k, name in enumerate(LINK_COUNTERS if core == LINK else COUNTERS)}
                for core, words in memory.items()
            }

        return self._start("read_counters", script)
