# SPDX-License-Identifier: Apache-2.0
"""A simulated chip and the golden model side by side: every call runs on both and compares."""

import numpy as np

from backspike.golden import learning
from backspike.golden.rules import BPTT
from backspike.golden.trainer import Trainer
from backspike.host.compiler.compile import compile_network
from backspike.host.compiler.phases.cut import compile_program
from backspike.host.driver.driver import Driver
from backspike.host.driver.phased_driver import PhasedDriver
from backspike.host.training.compare import first_spike_difference, first_sum_difference, first_weight_difference
from backspike.sim.run.transport import ChipTransport

__all__ = ["Session", "random_samples"]


def random_samples(network, count, seed, density=0.3):
    """Random ``spikes [T, count, inputs]`` and ``labels [count]``."""
    generator = np.random.default_rng(seed)
    spikes = (generator.random((network.steps, count, network.inputs)) < density).astype(np.uint8)
    return spikes, generator.integers(0, network.outputs, count)


class Session:
    """One simulated chip, to which networks are loaded one after the other.

    Parameters
    ----------
    dut: the simulated ``Chip``
    config: its ``ChipConfig``
    seed, idle: of the transport
    transport: another way to a chip than by way of ``dut``, with the coroutines of ``ChipTransport``
    patience: cycles without a packet until a call fails
    """

    def __init__(self, dut, config, *, seed=0, idle=0.0, patience=300_000, transport=None):
        self.config = config
        self.transport = transport or ChipTransport(dut, seed=seed, idle=idle, patience=patience)

    async def start(self):
        await self.transport.start()
        return self

    async def load(self, network, training, *, weights=None, seed=0, strict=True, loss="rate", rule=BPTT, **placement):
        """Load a network with random or given weights into chip and golden model."""
        self.plan = compile_network(network, training, self.config, loss=loss, rule=rule, **placement)
        given = {"seed": seed} if weights is None else {"weights": weights}
        feedback = {"feedback_seed": self.plan.feedback_seed, "batch": self.plan.batch}
        self.golden = Trainer(network, training, rule=rule, **feedback, **given)
        self.driver = Driver(self.plan, strict=strict)
        await self.call("load", self.golden.weights)
        return self

    async def load_in_phases(self, network, training, within, *, weights, rule=BPTT):
        """Load a network in phases, as if the chip had the smaller memories of another ``ChipConfig``."""
        program = compile_program(network, training, within, rule=rule)
        self.golden = Trainer(network, training, rule=rule, weights=weights)
        self.driver = PhasedDriver(program)
        self.plan = self.driver.plan
        await self.call("load", self.golden.weights)
        return program

    async def call(self, name, *arguments, **options):
        """Call the driver and run the operation."""
        return await self.transport.run(getattr(self.driver, name)(*arguments, **options))

    async def train(self, spikes, labels, trained=None):
        """Train one batch; output spikes and weights must be equal, and velocities where there is momentum."""
        result = await self.call("train_batch", spikes, labels, trained=trained)
        expected = self.golden.train_batch(spikes, labels, trained=trained)
        self.same_spikes(expected, result.spikes)
        await self.same_weights()
        return result

    async def train_with_errors(self, spikes, errors):
        """Train one batch with errors [T, samples, outputs] that the host gives; compares as ``train``."""
        result = await self.call("train_batch", spikes, errors=lambda sample, _: errors[:, sample])
        golden = self.golden
        trace = golden.forward(spikes)
        self.same_spikes(trace.layers[-1].spikes, result.spikes)
        deltas, _ = learning.backward(
            golden.network, golden.weights, trace, golden.training, golden.arithmetic, errors=errors
        )
        golden.gradients = learning.accumulate(golden.network, trace, deltas, golden.arithmetic, golden.gradients)
        golden.apply()
        await self.same_weights()

    async def evaluate(self, spikes):
        """Classify samples; output spikes must be equal."""
        result = await self.call("evaluate", spikes)
        self.same_spikes(self.golden.forward(spikes).layers[-1].spikes, result.spikes)
        return result

    def same_spikes(self, expected, found):
        difference = first_spike_difference(expected, found, len(self.golden.weights) - 1)
        assert difference is None, difference

    async def same_weights(self, *, gradients=True):
        """Read weights and velocities back, and gradients if these are asked for, and compare every bit."""
        fmt = self.golden.network.format
        pairs = [("weights", self.golden.weights)]
        if self.config.momentum:
            pairs.append(("velocities", self.golden.velocities))
        if self.plan.learned:
            pairs.append(("feedback", self.golden.feedback.matrices))
        for name, expected in pairs:
            found = await self.call(f"read_{name}")
            difference = first_weight_difference(expected, found, 0, fmt, what=name)
            assert difference is None, difference
        if self.plan.learned:
            for state, found in zip(self.golden.feedback.states, await self.call("read_noise"), strict=True):
                assert state.tolist() == found.tolist()
        if isinstance(self.driver, PhasedDriver):
            assert self.driver.traffic == self.driver.expected
        elif gradients:
            await self.same_gradients()
            assert not self.plan.learned or not any(s.any() for s in await self.call("read_feedback_gradients"))

    async def same_gradients(self):
        """Read the exact sums back and compare them."""
        expected = [gradient.integers() for gradient in self.golden.gradients]
        difference = first_sum_difference(expected, await self.call("read_gradients"), 0)
        assert difference is None, difference

    async def sum_up(self, spikes, labels):
        """Gradients of a batch without an update, and what feedback learns from; both must be equal. Then they go."""
        golden = self.golden
        result = await self.call("train_batch", spikes, labels, update=False)
        noise = golden.feedback.noise(*spikes.shape[:2])
        trace = learning.forward(golden.network, golden.weights, spikes, golden.arithmetic, noise=noise)
        self.same_spikes(trace.layers[-1].spikes, result.spikes)
        deltas, _ = golden.backward(trace, labels)
        gradients = learning.accumulate(golden.network, trace, deltas, golden.arithmetic, rule=golden.rule)
        for name, sums in (
            ("gradients", gradients),
            ("feedback_gradients", golden.feedback.correlations(noise, trace, deltas[-1])),
        ):
            expected = [total.integers() for total in sums]
            difference = first_sum_difference(expected, await self.call(f"read_{name}"), 0)
            assert difference is None, difference
            assert all(values.any() for values in expected)
        await self.call("clear_gradients")
        await self.same_weights()

    async def total(self, *names):
        """Sums of hardware counters over the cores."""
        counters = await self.call("read_counters")
        return [
            sum(counters[x, y][name] for x in range(self.config.columns) for y in range(self.config.rows))
            for name in names
        ]
