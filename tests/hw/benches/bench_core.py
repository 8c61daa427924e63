# SPDX-License-Identifier: Apache-2.0
"""Bench of one core without a mesh: training against the golden model while the host reads what it may read."""

import cocotb
import numpy as np

from backspike.golden.network import Network, Training
from backspike.hw.core import Core
from backspike.spec.config import ChipConfig
from backspike.spec.counters import COUNTERS
from backspike.spec.packets import Kind, Packet, header, parse_header
from backspike.spec.tables import Region
from tests.support.session import Session, random_samples
from tests.support.unit import Bench, Sink, Source

CONFIG = ChipConfig(
    columns=1, rows=1, lanes=2, slots=3, steps=3, slices=3, weights=2048, neurons=64, tape_words=6, routes=9
)
_TRAINING = Training(rate=2.0**-5, momentum=0.5)


def units():
    return {"core": Core(CONFIG)}


class CoreTransport:
    """Runs the driver's operations on a core, with packets of the bench's own between those of the driver.

    What the core sends to itself comes back to it, as from a router.

    Parameters
    ----------
    dut: handle of the top
    idle, stalls: chances of pauses of what enters and leaves the core

    Attributes
    ----------
    curious: read counters all the time; one READ at a time
    answers: what came for it
    """

    def __init__(self, dut, idle=0.0, stalls=0.0):
        self.bench = bench = Bench(dut, "core", Core(CONFIG))
        self.into, self.out_of = Source(bench, "rx", idle), Sink(bench, "tx", stalls)
        self.curious, self.reading = False, False
        self.answers, self.left = [], 0

    async def start(self):
        self.bench.set("x", 0)
        self.bench.set("y", 0)
        await self.bench.start()

    def send(self, words):
        """Queue a packet."""
        self.into.send(*({"data": word, "last": n == len(words) - 1} for n, word in enumerate(words)))

    def read_counters(self):
        """Queue a READ of counters, if the one before has been answered."""
        if self.curious and not self.left:
            self.left = 14
            self.send(Packet(Kind.READ, {"region": Region.COUNTER, "count": 14}, (len(COUNTERS) - 14,)).words())

    async def receive(self, own=False):
        """The next packet that the bench did not ask for itself; or the next part of an answer that it did ask for."""
        while True:
            words, last = [], False
            while not last:
                if not self.out_of.items:
                    self.read_counters()
                    await self.bench.until(lambda: self.out_of.items, 20_000)
                item = self.out_of.items.pop(0)
                words.append(item["data"])
                last = item["last"]
            kind, fields, tag = parse_header(words[0])
            if not fields["host"]:  # to another slice of the core
                self.send(words)
                continue
            if self.left and kind == Kind.DATA and tag["region"] == Region.COUNTER:
                self.left -= len(words) - 2
                self.answers.append(words)
                if not own:
                    continue
            return words

    async def finish(self):
        """Take the rest of the last answer."""
        while self.left:
            await self.receive(own=True)

    async def run(self, operation):
        while not operation.done:
            words = operation.next_packet()
            if words is None:
                operation.receive(await self.receive())
            else:
                self.send(words)
        return operation.result


async def started(dut, sizes, *, idle=0.0, stalls=0.0, **neuron):
    """A session with one core and a network in which all layers spike and learn."""
    chip = Session(dut, CONFIG)
    chip.transport = CoreTransport(dut, idle, stalls)
    await chip.transport.start()
    network = Network.parse(sizes, steps=CONFIG.steps, bias=True, **neuron)
    generator = np.random.default_rng(cocotb.RANDOM_SEED)
    weights = [
        network.format.round(generator.normal(0.4, 3, layer.shape) / np.sqrt(layer.inputs)) + 0.0
        for layer in network.layers
    ]
    await chip.load(network, _TRAINING, weights=weights)
    return chip, random_samples(network, 4, cocotb.RANDOM_SEED)


@cocotb.test()
@cocotb.parametrize(reset=["hard", "soft"], idle=[(0.0, 0.0), (0.3, 0.6)])
async def counters_are_read_while_engines_run(dut, reset, idle):
    """It costs the engines nothing: the weights are those of the golden model. With skipping and without."""
    chip, samples = await started(dut, "33-20-7", idle=idle[0], stalls=idle[1], reset=reset)
    before = [weight.copy() for weight in chip.golden.weights]
    chip.transport.curious = True
    for skipping in (True, False):
        await chip.call("set_skipping", skipping)
        expected = chip.golden.forward(samples[0]).layers[-1].spikes
        result = await chip.call("train_batch", *samples)
        chip.golden.train_batch(*samples)
        chip.same_spikes(expected, result.spikes)
    chip.transport.curious = False
    await chip.transport.finish()
    await chip.same_weights()
    assert len(chip.transport.answers) > 50
    assert all((a != b).any() for a, b in zip(chip.golden.weights, before, strict=True)), "nothing was learned"


@cocotb.test()
@cocotb.parametrize(stalls=[0.0, 0.9])
async def memory_is_read_right_before_a_batch(dut, stalls):
    """Weights that were asked for before the first sample, and come while its engines should run."""
    chip, samples = await started(dut, "33-20-7", stalls=stalls, reset="hard")
    transport = chip.transport
    await chip.train(*samples)
    memory = await _weights(chip, 14)
    expected = chip.golden.forward(samples[0]).layers[-1].spikes
    transport.send([header(Kind.READ, region=Region.WEIGHT, count=14), 0])
    operation = chip.driver.train_batch(*samples)
    found = []
    while not operation.done:
        words = operation.next_packet()
        if words is not None:
            transport.send(words)
            continue
        words = await transport.receive()
        if parse_header(words[0])[0] == Kind.DATA:
            found += words[2:]
        else:
            operation.receive(words)
    chip.golden.train_batch(*samples)
    chip.same_spikes(expected, operation.result.spikes)
    while len(found) < 14:
        found += (await transport.receive())[2:]
    await chip.same_weights()
    after = await _weights(chip, 14)
    assert all(value in pair for value, *pair in zip(found, memory, after, strict=True))


async def _weights(chip, count):
    """The first weights of the core's memory."""
    chip.transport.send([header(Kind.READ, region=Region.WEIGHT, count=count), 0])
    words = []
    while len(words) < count:
        words += (await chip.transport.receive())[2:]
    return words
