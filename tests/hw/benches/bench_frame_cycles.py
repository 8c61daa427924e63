# SPDX-License-Identifier: Apache-2.0
"""Cocotb bench of a chip: what frames of one step cost beside frames of a whole sample.

The chip's configuration comes as JSON from ``BACKSPIKE_CHIP``.
"""

import json
import os

import cocotb

from backspike.golden.network import Network
from backspike.golden.presets import default_training
from backspike.golden.rules import Rule
from backspike.golden.trainer import Trainer
from backspike.host.data.load import load
from backspike.spec.config import ChipConfig
from tests.support.session import Session

CONFIG = ChipConfig.from_dict(json.loads(os.environ.get("BACKSPIKE_CHIP", "{}")))
BATCHES, BATCH, EPOCHS = 2, 16, 3


async def _cycles(chip, data):
    """Cycles of a sample in some batches without their updates."""
    total = 0
    for start in range(0, BATCHES * BATCH, BATCH):
        chosen = slice(start, start + BATCH)
        before = (await chip.call("read_counters"))[0, 0]["cycles"]
        await chip.call("train_batch", data.train[chosen].spikes, data.train.labels[chosen], update=False)
        total += (await chip.call("read_counters"))[0, 0]["cycles"] - before
    return round(total / (BATCHES * BATCH))


@cocotb.test(timeout_time=2000, timeout_unit="ms")
async def frames_of_one_step_cost_little(dut):
    """With as many slots, at most 5 % more than frames of a sample, with initial weights and with trained ones."""
    chip = await Session(dut, CONFIG, seed=1).start()
    network, data = Network.parse("64-128-10", steps=4), load("digits")
    training, cycles = default_training(network, update="momentum"), {}
    for name in ("bptt", "sltt"):
        rule = Rule.parse(name)
        trainer = Trainer(network, training, seed=0, rule=rule)
        for epochs in (0, EPOCHS):
            trainer.train(data.train.spikes, data.train.labels, epochs=epochs, batch=BATCH)
            await chip.load(network, training, weights=trainer.weights, rule=rule)
            cycles[name, epochs] = await _cycles(chip, data)
            dut._log.info(f"{CONFIG.slots} slots, {name}, {epochs} epochs: {cycles[name, epochs]} cycles a sample")
    if CONFIG.slots >= 4:
        for epochs in (0, EPOCHS):
            assert cycles["sltt", epochs] <= 1.05 * cycles["bptt", epochs]
