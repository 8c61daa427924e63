# SPDX-License-Identifier: Apache-2.0
"""Bench of a chip of echo cores: host link, mesh and tiles together, in both forms of the chip at once."""

from collections import defaultdict
from random import Random

import cocotb
from cocotb.clock import Clock
from cocotb.triggers import ClockCycles, with_timeout
from cocotbext.axi import AxiStreamBus, AxiStreamSink, AxiStreamSource

from backspike.spec.packets import HEADER
from tests.support.chip_pair import CONFIG
from tests.support.handshake import HandshakeMonitor
from tests.support.host_packets import good_packet

PACKETS = 400
TIMEOUT = (1, "ms")


def _words(frame):
    data = bytes(frame.tdata)
    return [int.from_bytes(data[n : n + 4], "little") for n in range(0, len(data), 4)]


@cocotb.test()
async def every_core_answers(dut):
    """Packets to random cores come back from the right one, whole and in order, and both forms do the same."""
    random = Random(cocotb.RANDOM_SEED)
    dut.rst.value = 1
    cocotb.start_soon(Clock(dut.clk, 10, unit="ns").start())
    source = AxiStreamSource(AxiStreamBus.from_prefix(dut, "s_axis"), dut.clk, dut.rst, byte_lanes=4)
    sink = AxiStreamSink(AxiStreamBus.from_prefix(dut, "m_axis"), dut.clk, dut.rst, byte_lanes=4)
    await ClockCycles(dut.clk, 5)
    dut.rst.value = 0
    await ClockCycles(dut.clk, 2)
    sink.set_pause_generator(iter(lambda: random.random() < 0.3, None))
    pins = [getattr(dut, f"m_axis_{part}") for part in ("tvalid", "tready", "tdata", "tlast")]
    HandshakeMonitor(dut.clk, dut.rst, pins[0], pins[1], pins[2:], name="m_axis")
    expected = defaultdict(list)
    for _ in range(PACKETS):
        words = good_packet(random, config=CONFIG, many=False)
        fields = HEADER.unpack(words[0])
        answer = [HEADER.pack(**fields | {"host": 1}), *words[1:]]
        expected[fields["x"], fields["y"]].append(answer)
        source.send_nowait(b"".join(word.to_bytes(4, "little") for word in words))
    for _ in range(PACKETS):
        words = _words(await with_timeout(sink.recv(), *TIMEOUT))
        fields = HEADER.unpack(words[0])
        assert words == expected[fields["x"], fields["y"]].pop(0)
    await ClockCycles(dut.clk, 20)
    assert sink.empty()
    assert not int(dut.differed.value)
