# SPDX-License-Identifier: Apache-2.0
"""Cocotb bench of the whole chip: learning rules and updates, one after the other, on the same digits.

The chip's configuration comes as JSON from ``BACKSPIKE_CHIP``, network and rules from ``BACKSPIKE_RULES``.
"""

import json
import os
from dataclasses import replace

import cocotb
import numpy as np

from backspike.golden.initial import balanced_weights
from backspike.golden.network import Network
from backspike.golden.presets import default_training
from backspike.golden.rules import Rule
from backspike.host.data.load import load
from backspike.spec.config import ChipConfig
from tests.support.session import Session

CONFIG = ChipConfig.from_dict(json.loads(os.environ.get("BACKSPIKE_CHIP", "{}")))
RUN = json.loads(
    os.environ.get("BACKSPIKE_RULES", '{"network": "64-10", "rules": [], "batch": 16, "updates": 4, "places": 2}')
)
SEED = getattr(cocotb, "RANDOM_SEED", 1)
STEPS = 4
UPDATES = [
    {"update": "momentum"},
    {"update": "lion"},
    {"update": "sign", "momentum": 0.5},
    {"update": "lion", "decay": 0.99},
][: RUN["updates"]]
"""Those of the batches, one after the other; a run may take the first of them."""
PLACES = [{}, {"strategy": "shuffled", "seed": 3}][: RUN["places"]]


@cocotb.test(timeout_time=10, timeout_unit="sec")
async def rules_and_updates(dut):
    """Each rule on two placements: after each batch spikes, weights, velocities and gradients are the golden model's.

    The updates take turns. With ``sltt`` frames of other lengths give the same bits.
    """
    chip = await Session(dut, CONFIG, seed=SEED, patience=10_000_000).start()
    for name in RUN["rules"]:
        rule = Rule.parse(name)
        runs = [(rule, place) for place in PLACES]
        if name == "sltt":
            runs += [(rule.framed(frame), PLACES[-1]) for frame in (2, 4) if frame <= CONFIG.steps]
        finals = [await trained(chip, *run) for run in runs]
        assert all(final == finals[0] for final in finals), name
        dut._log.info(f"{name}: equal")


async def trained(chip, rule, place):
    """Train on the digits with a rule; returns the bits of the weights."""
    network, data = rule.adapted(Network.parse(RUN["network"], steps=STEPS)), load("digits", STEPS).train
    initial = balanced_weights(network, SEED, data[:64].spikes)
    order = np.random.default_rng(SEED).permutation(len(data))
    batches = order[: RUN["batch"] * len(UPDATES)].reshape(-1, RUN["batch"])
    options = {"rule": rule, "feedback_seed": SEED, "batch": RUN["batch"], **place}
    await chip.load(network, training(network, UPDATES[0]), weights=initial, **options)
    for chosen, update in zip(batches, UPDATES, strict=True):
        chip.golden.training = training(network, update)
        await chip.call("change_training", chip.golden.training)
        for part in chosen.reshape(-1, 1) if rule.step_updates else [chosen]:
            await one_batch(chip, data, part, update=rule.step_updates)
        if not rule.step_updates:
            await chip.same_gradients()
            chip.golden.apply()
            await chip.call("update")
        await chip.same_weights(gradients=False)
    await chip.same_gradients()
    assert all((a != b).any() for a, b in zip(chip.golden.weights, initial, strict=True)), "nothing was learned"
    return [network.format.encode(weight).tolist() for weight in await chip.call("read_weights")]


def training(network, update):
    """Constants that change enough weights in few batches."""
    return replace(default_training(network, updates=100, **update), loss_scale=0.25)


async def one_batch(chip, data, chosen, *, update=True):
    """One batch of some samples on both, whose spikes must be equal; without ``update`` gradients stay."""
    golden, spikes, labels = chip.golden, data[chosen].spikes, data.labels[chosen]
    trained = golden.rule.draw(golden.network, np.random.default_rng(int(chosen[0])))
    result = await chip.call("train_batch", spikes, labels, trained=trained, update=update)
    if update:
        expected = golden.train_batch(spikes, labels, trained=trained)
    else:
        golden.apply = lambda: None
        expected = golden.train_batch(spikes, labels, trained=trained)
        del golden.apply
        assert golden.gradients[-1].integers().any()
    chip.same_spikes(expected, result.spikes)
