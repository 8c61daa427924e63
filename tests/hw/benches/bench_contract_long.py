# SPDX-License-Identifier: Apache-2.0
"""Bench of the packet contract on more cores, and for longer, than ``bench_contract``."""

import cocotb

from backspike.spec.config import ChipConfig
from backspike.spec.formats import Format
from tests.hw.benches.bench_contract import play_all
from tests.support.packet_play import TracedCore

_SIZES = {"columns": 1, "rows": 1, "slices": 3, "fan_in": 7, "routes": 11, "batch_terms": 1 << 14, "tape_words": 7}
CHIPS = {
    "general_2": ChipConfig(**_SIZES, lanes=2, slots=3, steps=3, weights=512, neurons=48, list_depth=64),
    "general_8": ChipConfig(
        **_SIZES, lanes=8, slots=2, steps=4, weights=1024, neurons=96, list_depth=64, momentum=False
    ),
    "dense_1": ChipConfig(**_SIZES, lanes=1, slots=2, steps=4, weights=384, neurons=16, dense_only=True),
    "dense_e4m3": ChipConfig(
        **_SIZES,
        lanes=2,
        slots=5,
        steps=3,
        weights=384,
        neurons=16,
        dense_only=True,
        format=Format(exponent=4, mantissa=3),
    ),
}
PLAYS = 60


def units():
    return {name: TracedCore(config) for name, config in CHIPS.items()}


@cocotb.test()
@cocotb.parametrize(name=list(CHIPS))
async def whatever_comes(dut, name):
    """As in ``bench_contract``."""
    await play_all(dut, name, CHIPS[name], PLAYS)
