# SPDX-License-Identifier: Apache-2.0
"""Cocotb bench of two modules that should do the same: random inputs and resets, and equal outputs in every cycle.

The module ``pair`` has the ports ``clk``, ``rst``, ``stimulus`` for both, and ``first`` and ``second``, their outputs.
"""

from random import Random

import cocotb
from cocotb.clock import Clock
from cocotb.triggers import FallingEdge

_CYCLES = 3_000


@cocotb.test()
async def both_do_the_same(dut):
    random = Random(cocotb.RANDOM_SEED)
    width, seen = len(dut.stimulus), set()
    Clock(dut.clk, 10, unit="ns").start()
    for cycle in range(_CYCLES):
        dut.rst.value = random.random() < 0.03
        # All bits random, or few set, or few clear: so that enables are given, and not given, for a while.
        bits = [random.getrandbits(width) for _ in range(3)]
        dut.stimulus.value = random.choice((bits[0], bits[0] & bits[1] & bits[2], bits[0] | bits[1] | bits[2]))
        await FallingEdge(dut.clk)
        first, second = str(dut.first.value), str(dut.second.value)
        assert first == second, f"in cycle {cycle}, outputs are {first} and {second}"
        seen.add(first)
    assert len(seen) > _CYCLES // 10, f"outputs have only {len(seen)} values"
