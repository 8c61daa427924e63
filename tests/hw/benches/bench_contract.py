# SPDX-License-Identifier: Apache-2.0
"""Bench of the packet contract: random packets on a core and on the model, and everything that comes of it compared.

``BACKSPIKE_PLAYS`` is how many sequences each core plays.
"""

import os
from random import Random

import cocotb
from cocotb.clock import Clock

from backspike.spec.config import ChipConfig
from tests.support.packet_play import Play, TracedCore, describe
from tests.support.packet_sequences import Sequence
from tests.support.shrink import shrink

_SMALL = {
    "columns": 1,
    "rows": 1,
    "slots": 2,
    "steps": 2,
    "slices": 4,
    "groups": 8,
    "peers": 16,
    "batch_terms": 1 << 14,
}
CHIPS = {
    "general": ChipConfig(**_SMALL, lanes=1, weights=256, neurons=32, tape_words=7, window=64),
    "dense": ChipConfig(**_SMALL | {"slots": 3}, lanes=2, weights=384, neurons=32, tape_words=6, dense_only=True),
}
PLAYS = int(os.environ.get("BACKSPIKE_PLAYS", "12"))
STORIES = 18


def units():
    return {name: TracedCore(config) for name, config in CHIPS.items()}


async def play(dut, name, actions, seed, stalls):
    """The error that comes of these actions, or None."""
    run = Play(dut, name, CHIPS[name], stalls)
    run.bench.random.seed(f"{seed} play")
    try:
        await run.run(actions)
    except AssertionError as error:
        return error
    return None


@cocotb.test()
@cocotb.parametrize(name=list(CHIPS))
async def whatever_comes(dut, name):
    """Every sequence has the effect that it has in the model, or something of it is dropped with a cause."""
    cocotb.start_soon(Clock(dut.clk, 10, unit="ns").start())
    for number in range(PLAYS):
        seed = f"{cocotb.RANDOM_SEED} {name} {number}"
        random = Random(seed)
        sequence = Sequence(CHIPS[name], random, random.choice(("rate", "rate", "external")))
        stalls = random.choice((0.0, 0.0, 0.3, 0.7))
        prelude, actions = sequence.prelude(), sequence.actions(STORIES)
        error = await play(dut, name, prelude + actions, seed, stalls)
        if error is None:
            continue

        async def fails(part, prelude=prelude, seed=seed, stalls=stalls):
            return await play(dut, name, prelude + part, seed, stalls) is not None

        short = await shrink(actions, fails)
        error = await play(dut, name, prelude + short, seed, stalls) or error
        told = [action[0] if action[0] == "rest" else f"after {action[1]}: {describe(action[2])}" for action in short]
        raise AssertionError(f"sequence {number}: {error}\n" + "\n".join(told))
