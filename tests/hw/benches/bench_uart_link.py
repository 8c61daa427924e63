# SPDX-License-Identifier: Apache-2.0
"""Cocotb bench of the serial link: the host's end against the chip's, over a line that damages bytes."""

from random import Random
from zlib import crc32

import cocotb
from cocotb.clock import Clock
from cocotb.triggers import ClockCycles, Timer
from cocotb.utils import get_sim_time

from backspike.host.link.arq import Link, LinkError
from backspike.sim.serial.uart_line import Damage, UartLine
from backspike.spec.packets import Kind
from backspike.spec.serial_frames import HELLO, POLL, Frame, FrameReader, pack_welcome
from tests.support.uart_echo import BAUD, CLOCK_HZ, CONFIG

_CLOCK_PS = 1_000_000_000_000 // CLOCK_HZ
_TICK_CYCLES = 10_000
_STEP_US = 20
test = cocotb.test(timeout_time=4, timeout_unit="sec")


def seconds():
    return get_sim_time("ns") * 1e-9


class Line:
    """The echo chip with a line, and hosts that use it one after the other."""

    def __init__(self, dut, **damage):
        self.dut = dut
        self.random = Random(cocotb.RANDOM_SEED)
        self.damage = [Damage(self.random.getrandbits(32), **damage) for _ in range(2)]

    async def start(self, drift=1.0):
        dut = self.dut
        cocotb.start_soon(Clock(dut.clk, _CLOCK_PS, unit="ps").start())
        dut.rst.value, dut.stall.value, dut.tick.value = 1, 0, 0
        self.line = UartLine(dut.rx, dut.tx, round(1e12 / BAUD * drift))
        await ClockCycles(dut.clk, 3)
        dut.rst.value = 0
        for process in (self.line.sender(), self.line.receiver(), self.ticks()):
            cocotb.start_soon(process)
        return self

    async def ticks(self):
        while True:
            await ClockCycles(self.dut.clk, _TICK_CYCLES)
            self.dut.tick.value = 1
            await ClockCycles(self.dut.clk, 1)
            self.dut.tick.value = 0

    async def step(self, link, limit=None):
        """Exchange what is there; let some time pass."""
        if self.line.idle:
            self.line.send(self.damage[0](link.output(seconds())))
        await Timer(_STEP_US, "us")
        data = bytes(self.line.received)
        self.line.received.clear()
        link.receive(self.damage[1](data), seconds())

    async def until(self, link, condition, within=0.05):
        end = seconds() + within
        while not condition():
            assert seconds() < end, f"took too long; {link.pending} bytes pending, {len(link.packets)} packets"
            await self.step(link)

    def link(self, **options):
        return Link(timeout=0.002, **options)

    async def open(self, **options):
        link = self.link(**options)
        await self.until(link, lambda: link.config is not None)
        assert link.config == CONFIG
        return link

    def packets(self, words):
        """Packets of so many words in all, most of them short, with many delimiters and escapes in them."""
        special = (0x7E7E7E7E, 0x7D7D7D7D, 0x5D5E7D7E, 0, 0xFFFFFFFF)
        result = []
        while words > 0:
            size = self.random.choice((1, 3, 3, 16, self.random.randint(1, 16)))
            result.append(
                [
                    self.random.choice(special) if self.random.random() < 0.2 else self.random.getrandbits(32)
                    for _ in range(size)
                ]
            )
            if result[-1][0] & 15 == Kind.FAULT:
                result[-1][0] ^= 1  # the link would take the echo for a fault of the chip
            words -= size
        return result

    async def echo(self, link, packets, within=0.2):
        """Send packets; all must come back, in order."""
        for packet in packets:
            link.send(packet)
        await self.until(link, lambda: len(link.packets) >= len(packets) and link.idle, within)
        assert list(link.packets) == packets
        link.packets.clear()


@test
async def clean_line_is_fast(dut):
    """Without damage nothing is sent twice, and the line is full."""
    line = await Line(dut).start()
    link = await line.open()
    packets = line.packets(800)
    start = seconds()
    await line.echo(link, packets)
    used = sum(1 + 4 * len(packet) for packet in packets) * 10 / BAUD / (seconds() - start)
    dut._log.info(f"{used:.0%} of the line's rate")
    assert not int(dut.fault.value)
    assert link.resent == link.damaged == 0
    assert used > 0.7


@test
async def every_damage_is_repaired(dut):
    """Flips, drops, repetitions and cuts, more and more of them."""
    line = await Line(dut).start()
    for rate in (0.0005, 0.002):
        damage = {"flip": rate, "drop": rate, "repeat": rate, "cut": rate / 50}
        line.damage = [Damage(line.random.getrandbits(32), **damage) for _ in range(2)]
        link = await line.open(frame=64)
        await line.echo(link, line.packets(500))
        events = [damage.events for damage in line.damage]
        dut._log.info(f"{events} damages, {link.damaged} damaged frames received, {link.resent} times sent again")
        assert min(events) > 0
        assert int(dut.fault.value)


async def _drifting(dut, drift):
    line = await Line(dut).start(drift)
    link = await line.open()
    await line.echo(link, line.packets(200))
    assert not int(dut.fault.value)


@test
async def host_is_slower(dut):
    """The host's rate is two percent lower."""
    await _drifting(dut, 1.02)


@test
async def host_is_faster(dut):
    """The host's rate is two percent higher."""
    await _drifting(dut, 0.98)


@test
async def window_holds_while_the_chip_takes_nothing(dut):
    """A chip that stalls loses nothing, and the host sends no more than fits."""
    line = await Line(dut).start()
    link = await line.open()
    dut.stall.value = 1
    packets = line.packets(1100)
    for packet in packets:
        link.send(packet)
    total = link.pending
    for _ in range(400):
        await line.step(link)
    assert total - link.pending <= 200, "the chip must not acknowledge what it has not taken"
    assert not link.packets
    dut.stall.value = 0
    await line.until(link, lambda: len(link.packets) >= len(packets) and link.idle, 0.1)
    assert list(link.packets) == packets


@test
async def the_host_may_stop_reading(dut):
    """Nobody reads for a long time: the chip keeps what it has, and sends it when somebody reads again."""
    line = await Line(dut).start()
    link = await line.open()
    packets = line.packets(400)
    for packet in packets:
        link.send(packet)
    for _ in range(5):
        line.line.send(link.output(seconds()))
        await Timer(5, "ms")
    line.line.received.clear()
    await line.until(link, lambda: len(link.packets) >= len(packets) and link.idle, 0.1)
    assert list(link.packets) == packets


@test
async def sessions(dut):
    """A new session forgets the old one; the old one is told; unknown sessions are refused."""
    line = await Line(dut).start()
    stranger = line.link()
    stranger.config, stranger._window = CONFIG, 2048
    stranger.send([1, 2, 3])
    try:
        await line.until(stranger, lambda: False, 0.01)
    except LinkError as error:
        assert "restarted" in str(error)
    else:
        raise AssertionError("a session that was never opened must be refused")
    for _ in range(3):
        old = await line.open(session=5)
        for packet in line.packets(600):
            old.send(packet)
        for _ in range(line.random.randint(1, 60)):
            await line.step(old)
        young = await line.open()
        await line.echo(young, line.packets(200))
        assert not int(dut.fault.value)
        old.send([1])
        try:
            await line.until(old, lambda: False, 0.02)
        except LinkError as error:
            assert "another program" in str(error)
        else:
            raise AssertionError("the old session must be refused")


@test
async def equal_numbers_of_sessions(dut):
    """A session is new, whatever number the last one had: also the first that the host tries, or the next."""
    line = await Line(dut).start()
    for number in (77, 78, 77, 77):
        link = await line.open(session=number)
        link.send([0x1234])
        await line.until(link, lambda link=link: link.idle and link.packets)
        assert list(link.packets) == [[0x1234]]


@test
async def hello_again_changes_nothing(dut):
    """Repetitions of a HELLO that come late do not restart the session."""
    line = await Line(dut).start()
    link = await line.open(session=8)
    packets = line.packets(300)
    for packet in packets:
        link.send(packet)
    for _ in range(20):
        await line.step(link)
        line.line.send(Frame(HELLO | POLL, 9, 0, 0).encode())
    await line.until(link, lambda: len(link.packets) >= len(packets) and link.idle)
    assert list(link.packets) == packets
    assert link.resent == 0


@test
async def noise_between_frames(dut):
    """Garbage, breaks and needles on the line: the next frames are found."""
    line = await Line(dut).start()
    link = await line.open()
    random = line.random
    for _ in range(20):
        await line.until(link, lambda: line.line.idle)
        kind = random.randrange(3)
        if kind == 0:
            garbage = (random.choice((0x7E, 0x7D, random.randrange(256))) for _ in range(random.randint(1, 200)))
            line.line.send(bytes(garbage))
        else:
            for _ in range(random.randint(1, 5)):
                dut.rx.value = 0
                await Timer(1000 * (random.randint(5, 60) if kind == 1 else random.randint(1000, 9000)), "ps")
                dut.rx.value = 1
                await Timer(random.randint(1_000_000, 5_000_000), "ps")
        await line.echo(link, line.packets(20))


@test
async def frames_are_as_documented(dut):
    """Bytes of the first frames."""
    line = await Line(dut).start()
    content = bytes.fromhex("05 3412 000000")
    line.line.send(b"\x7e" + content + crc32(content).to_bytes(4, "little") + b"\x7e")
    await Timer(200, "us")
    assert FrameReader().read(bytes(line.line.received)) == [Frame(HELLO, 0x1234, 0, 0, pack_welcome(CONFIG, 11))]
