# SPDX-License-Identifier: Apache-2.0
"""Cocotb bench of a very small chip in any simulator: it trains as the golden model, and its replies are recorded.

The chip's configuration comes as JSON from ``BACKSPIKE_CHIP``; the replies, each with its time, go as JSON to the path
in ``BACKSPIKE_REPLIES``.
"""

import json
import os
from pathlib import Path

import cocotb
from cocotb.utils import get_sim_time

from backspike.golden.network import Network
from backspike.golden.presets import default_training
from backspike.spec.config import ChipConfig
from tests.support.session import Session, random_samples

CONFIG = ChipConfig.from_dict(json.loads(os.environ.get("BACKSPIKE_CHIP", "{}")))
SEED = 1  # the same in all simulators


@cocotb.test(timeout_time=20, timeout_unit="ms")
async def trains(dut):
    """Two layers and a bias, two batches, velocities; counters at the end."""
    chip = Session(dut, CONFIG, seed=SEED, idle=0.2)
    replies, receive = [], chip.transport.receive

    async def recorded():
        words = await receive()
        replies.append([round(get_sim_time("ns")), words])
        return words

    chip.transport.receive = recorded
    await chip.start()
    network = Network.parse("12-8-4", bias=True, steps=CONFIG.steps)
    await chip.load(network, default_training(network, batch=3), seed=SEED)
    before = [weight.copy() for weight in chip.golden.weights]
    for batch in range(2):
        await chip.train(*random_samples(network, 3, SEED + batch))
    assert any((a != b).any() for a, b in zip(chip.golden.weights, before, strict=True)), "nothing was learned"
    await chip.evaluate(random_samples(network, 2, SEED)[0])
    await chip.total("wg_terms")
    Path(os.environ["BACKSPIKE_REPLIES"]).write_text(json.dumps(replies))
