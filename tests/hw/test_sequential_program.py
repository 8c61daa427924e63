# SPDX-License-Identifier: Apache-2.0
"""The sequential core's program, run by the model of its processor, against the golden model."""

import asyncio
from dataclasses import replace

import numpy as np
import pytest

from backspike.golden.formats import Format
from backspike.golden.network import Network
from backspike.golden.presets import default_training
from backspike.host.protocol import Cause, Kind, Packet, Region
from backspike.hw.config import ChipConfig
from backspike.sim.model_chip import ModelChip
from backspike.sim.session import Session, random_samples

SMALL = {
    "columns": 1, "rows": 1, "lanes": 1, "slots": 2, "steps": 4, "slices": 4, "weights": 3000, "neurons": 120,
    "tape_words": 12, "groups": 12, "peers": 20, "batch_terms": 1 << 10, "dense_only": True, "sequential": True,
}
FORMATS = {"e4m3": Format(exponent=4, mantissa=3), "e3m4": Format(exponent=3, mantissa=4)}
CHIPS = {
    "one core": {},
    "chain": {"columns": 3, "rows": 1, "chain": True, "slots": 3},
    "mesh": {"columns": 2, "rows": 2, "slots": 5, "tape_words": 20, "batch_terms": 1 << 20},
    "16 steps": {"steps": 16, "neurons": 60, "momentum": False},
    **{name: {"format": fmt, "batch_terms": 64, "weights": 1500} for name, fmt in FORMATS.items()},
}
NETWORKS = [
    ("12-10", {"steps": 1, "strict": True}, {}),
    ("33-7-1", {"steps": 3, "reset": "soft", "reset_value": 1.0, "kappa": 0.9, "theta": 0.75}, {"momentum": 0.5}),
    ("5-64-3-9", {"steps": 4, "reset": "hard", "width": 0.6, "bias": True, "kappa_back": 0.25, "amplitude": 1.5},
     {"momentum": 0.875, "loss_scale": 0.3}),
    ("70-1-2", {"steps": 2, "reset": "hard", "kappa": 0.0}, {"rate": 0.4}),
]


def session(seed=1, **fields):
    config = ChipConfig.from_dict(SMALL | {
        name: vars(value) if isinstance(value, Format) else value for name, value in fields.items()})
    return Session(None, config, transport=ModelChip(config, seed=seed))


def lively(text, seed, fmt, **options):
    """A network, its training constants, and weights large enough that all layers spike and learn at once."""
    network = Network.parse(text, format=fmt, **options)
    generator = np.random.default_rng(seed)
    weights = [fmt.round(generator.normal(0.4, 2, layer.shape) / np.sqrt(layer.shape[0])) + 0.0
               for layer in network.layers]
    return network, replace(default_training(network, batch=4, momentum=0.0), rate=2.0**-5), weights


@pytest.mark.parametrize("name", CHIPS)
def test_trains_as_the_golden_model(name):
    async def run():
        chip = session(**CHIPS[name])
        steps = 16 if name == "16 steps" else min(4, chip.config.steps)
        network, training, weights = lively("20-40-10", 1, chip.config.format, bias=True, steps=steps)
        training = replace(training, momentum=0.5 if chip.config.momentum else 0.0)
        await chip.load(network, training, weights=weights)
        for batch in range(2):
            await chip.train(*random_samples(network, 3, batch))
        await chip.evaluate(random_samples(network, 2, 9)[0])
        assert any((a != b).any() for a, b in zip(chip.golden.weights, weights, strict=True)), "nothing was learned"

    asyncio.run(run())


@pytest.mark.parametrize("number", range(len(NETWORKS)))
def test_networks(number):
    text, options, constants = NETWORKS[number]

    async def run():
        chip = session()
        network, training, weights = lively(text, number, chip.config.format, **options)
        await chip.load(network, replace(training, **constants), weights=weights)
        for batch, count in enumerate((2, chip.config.slots + 3)):  # also more samples than can be in flight
            await chip.train(*random_samples(network, count, batch, density=0.5))
        await chip.evaluate(random_samples(network, 3, 7, density=0.5)[0])

    asyncio.run(run())


def test_evaluation_between_training_and_any_loss():
    """Gradients of several calls add up, also those of errors that the host gives."""
    async def run():
        chip = session()
        network, training, weights = lively("16-20-6", 4, chip.config.format, bias=True)
        spikes, labels = random_samples(network, 5, 4)
        await chip.load(network, training, weights=weights)
        await chip.call("train_batch", spikes[:, :2], labels[:2], update=False)
        await chip.evaluate(spikes)
        await chip.call("train_batch", spikes[:, 2:], labels[2:], update=False)
        await chip.call("update")
        chip.golden.train_batch(spikes, labels)
        await chip.same_weights()

        await chip.load(network, training, weights=weights, loss="external")
        errors = network.format.round(np.random.default_rng(1).normal(0, 0.3, (network.steps, 5, 6)))
        await chip.train_with_errors(spikes, errors)

    asyncio.run(run())


def test_saturation_is_counted():
    async def run():
        chip = session()
        network = Network.parse("8-4-3")
        weights = [np.full(layer.shape, network.format.max_finite) for layer in network.layers]
        await chip.load(network, default_training(network, momentum=0.0), weights=weights)
        await chip.call("reset_counters")
        assert await chip.total("saturated") == [0]
        await chip.evaluate(np.ones((network.steps, 2, 8), dtype=np.uint8))
        assert (await chip.call("read_control"))[0, 0]["saturated"]
        assert (await chip.total("saturated"))[0] > 0

    asyncio.run(run())


def test_counters():
    """Terms, results, packets: as many as there are; and nothing of what the core has not."""
    async def run():
        chip = session()
        network, training, weights = lively("20-30-10", 2, chip.config.format)
        spikes, labels = random_samples(network, 3, 2)
        await chip.load(network, training, weights=weights)
        await chip.call("reset_counters")
        await chip.train(spikes, labels)
        counters = (await chip.call("read_counters"))[0, 0]
        assert counters["fp_results"] == 3 * network.steps * 40
        for name in ("fp_busy", "fp_terms", "bp_busy", "bp_terms", "wg_busy", "wg_terms", "delta_busy", "update_busy",
                     "packets_in", "packets_out"):
            assert 0 < counters[name] < counters["cycles"]
        assert counters["bp_rows"] == counters["bp_results"]
        for name in ("router_flits", "fp_stalled", "elementwise", "dropped"):
            assert counters[name] == 0

    asyncio.run(run())


@pytest.mark.parametrize(("kind", "tag", "payload", "cause"), [
    (Kind.SPIKES, {"slice": 3, "slot": 0, "step": 0, "word": 0, "train": 1}, (1, 1), Cause.STATE),
    (Kind.SPIKES, {"slice": 0, "slot": 0, "step": 15, "word": 0, "train": 1}, (1, 1), Cause.FIELD),
    (Kind.SPIKES, {"slice": 0, "slot": 0, "step": 0, "word": 0, "train": 1}, (1, 1, 1), Cause.LENGTH),
    (Kind.ERROR, {"neuron": 120, "step": 0, "slot": 0}, (1, 2), Cause.FIELD),
    (Kind.UPDATED, {"slice": 0, "from_x": 0, "from_y": 0}, (), Cause.KIND),
    (Kind.WRITE, {"region": 1}, (0, 1), Cause.FIELD),
    (Kind.WRITE, {"region": Region.TAPE}, (12, 1), Cause.FIELD),
    (Kind.WRITE, {"region": Region.WEIGHT}, (1 << 16, 1), Cause.FIELD),
    (Kind.WRITE, {"region": Region.WEIGHT}, tuple(range(20)), Cause.LENGTH),
    (Kind.READ, {"region": Region.WEIGHT, "count": 14}, (3000 - 13,), Cause.FIELD),
    (Kind.READ, {"region": Region.PEER, "count": 1}, (0,), Cause.FIELD),
])
def test_what_is_wrong_is_dropped_and_reported(kind, tag, payload, cause):
    async def run():
        chip = session()
        network, training, weights = lively("20-10", 2, chip.config.format)
        await chip.load(network, training, weights=weights)
        words = Packet(kind, tag, payload).words()
        chip.transport._deliver(words)
        fault = await chip.transport.receive()
        assert fault == Packet(Kind.FAULT, {"cause": cause, "from_x": 0, "from_y": 0, "link": 0}, (words[0],),
                               host=1).words()
        await chip.train(*random_samples(network, 3, 2))
        assert await chip.total("dropped") == [1]

    asyncio.run(run())


@pytest.mark.parametrize(("fields", "message"), [
    ({"lanes": 2}, "lanes of a sequential core must be 1, not 2"),
    ({"dense_only": False}, "dense_only of a sequential core must be True, not False: it has no convolutions"),
    ({"weights": 16384}, r"memory must be at most 65536 words, not \d+: 6 for each of its weights \(16384\); "
                         r"with these sizes it could have \d+ weights"),
])
def test_configurations_that_cannot_be(fields, message):
    with pytest.raises(ValueError, match=message):
        ChipConfig(**SMALL | fields)
