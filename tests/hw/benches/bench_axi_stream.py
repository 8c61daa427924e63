# SPDX-License-Identifier: Apache-2.0
"""Bench of the host's ends of a link, with a register between them."""

from random import Random

import cocotb
import pytest
from cocotb.triggers import ClockCycles
from cocotb.utils import get_sim_time

from backspike.sim.run.transport import CLOCK_NS, ChipTransport


async def _echoed(chip, packets):
    for packet in packets:
        await chip.send(packet)
    assert [await chip.receive() for _ in packets] == packets


@cocotb.test(timeout_time=1, timeout_unit="ms")
@cocotb.parametrize(idle=[0.0, 0.1, 0.9])
async def packets_come_back(dut, idle):
    """Whole and in order, whoever pauses; also when a packet is sent some cycles after the last one came."""
    chip, random = ChipTransport(dut, seed=cocotb.RANDOM_SEED, idle=idle), Random(cocotb.RANDOM_SEED)
    await chip.start()
    for count in (1, 2, 20):
        lengths = [random.choice((1, 1, 3, 16)) for _ in range(count)]
        await _echoed(chip, [[random.getrandbits(32) for _ in range(length)] for length in lengths])
        await ClockCycles(dut.clk, random.randrange(5))


@cocotb.test(timeout_time=1, timeout_unit="ms")
async def a_word_each_cycle(dut):
    """A cycle for each word, and three on the way."""
    chip = ChipTransport(dut)
    await chip.start()
    start = get_sim_time("ns")
    await _echoed(chip, [list(range(16)) for _ in range(10)])
    assert get_sim_time("ns") - start <= CLOCK_NS * (10 * 16 + 3)


@cocotb.test(timeout_time=1, timeout_unit="ms")
async def nothing_comes(dut):
    """A wait ends after its cycles, however long others took before, and another one may follow."""
    chip = ChipTransport(dut, patience=50)
    await chip.start()
    for wait in (0, 3, 30, 1200, 120):
        await ClockCycles(dut.clk, wait)
        start = get_sim_time("ns")
        with pytest.raises(TimeoutError, match=r"^no packet from the chip within 50 cycles$"):
            await chip.receive()
        assert 50 <= (get_sim_time("ns") - start) / CLOCK_NS <= 51
        await _echoed(chip, [[wait]])
