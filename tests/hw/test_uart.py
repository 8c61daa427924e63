# SPDX-License-Identifier: Apache-2.0
"""Serial line, frames, and the chip's end of the link against the host's."""

import re
from itertools import product
from random import Random

import pytest
from amaranth.hdl import Module
from amaranth.sim import Simulator

from backspike.hw.serial import UartChip, UartLink
from backspike.hw.serial.frames import FrameReceiver, FrameSender
from backspike.hw.serial.rings import Inbox
from backspike.hw.serial.uart import UartReceiver, UartTransmitter, divisor
from backspike.hw.verilog.emit import to_verilog
from backspike.sim.verilator.runner import build, default_seed, run
from backspike.spec.config import ChipConfig
from backspike.spec.serial_frames import ESCAPE, FLAG, Frame, FrameReader
from tests.support.uart_echo import UartEcho

CLOCKS = [12_000_000, 25_000_000, 27_000_000, 33_333_333, 48_000_000, 50_000_000, 66_666_667, 80_000_000, 100_000_000]
RATES = [9600, 115_200, 921_600, 1_000_000, 2_000_000, 3_000_000, 12_000_000]


@pytest.mark.parametrize(
    ("clock_hz", "baud"),
    [(clock_hz, baud) for clock_hz, baud in product(CLOCKS, RATES) if clock_hz >= 6 * baud or clock_hz == 4 * baud],
)
def test_rates_are_met(clock_hz, baud):
    step, width = divisor(clock_hz, baud)
    assert abs(clock_hz * step / 2**width / baud - 1) <= 0.001


@pytest.mark.parametrize(
    ("clock_hz", "baud", "message"),
    [
        (
            12_000_000,
            3_100_000,
            "baud must be 3000000, 2400000, or at most 2000000, a quarter, a fifth or a sixth of the "
            "clock's 12000000 Hz, not 3100000",
        ),
        (100_000_000, 1, "baud must be at least 6 with a clock of 100000000 Hz, not 1"),
        (100_000_000, 0, "baud must be at least 1, not 0"),
    ],
)
def test_impossible_rates(clock_hz, baud, message):
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        divisor(clock_hz, baud)
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        UartChip(ChipConfig(), clock_hz=clock_hz, baud=baud)


def test_parameters():
    with pytest.raises(TypeError, match=r"^baud must be an integer, not 1000000\.0$"):
        UartLink(ChipConfig(), clock_hz=50_000_000, baud=1e6)
    with pytest.raises(TypeError, match=r"^config must be a ChipConfig, not None$"):
        UartLink(None, clock_hz=50_000_000, baud=1_000_000)
    with pytest.raises(ValueError, match=r"^timeout must be 0\.001 to 1, not 2$"):
        UartChip(ChipConfig(), clock_hz=50_000_000, baud=1_000_000, timeout=2)


def simulate(module, clock_hz, *processes):
    """Run until the first process ends."""
    simulator = Simulator(module)
    simulator.add_clock(1 / clock_hz)
    simulator.add_testbench(processes[0])
    for process in processes[1:]:
        simulator.add_testbench(process, background=True)
    simulator.run()


@pytest.mark.parametrize(
    ("clock_hz", "baud", "drift"),
    [
        (12_000_000, 3_000_000, 1.01),
        (12_000_000, 3_000_000, 0.99),
        (15_000_000, 3_000_000, 1.02),
        (25_000_000, 3_000_000, 1.02),
        (25_000_000, 3_000_000, 0.98),
        (27_000_000, 2_000_000, 1.03),
        (50_000_000, 3_000_000, 1.03),
        (50_000_000, 3_000_000, 0.97),
        (33_333_333, 1_000_000, 0.96),
    ],
)
def test_receiver(clock_hz, baud, drift):
    """Bytes at a rate that differs from the receiver's, at any phase of its clock, without pauses and with."""
    random, receiver, received = Random(f"{clock_hz} {drift}"), UartReceiver(clock_hz=clock_hz, baud=baud), []
    sent = [0x00, 0xFF, 0x55, 0xAA, 0x7E, *random.randbytes(60)]

    async def send(context):
        context.set(receiver.rx, 1)
        await context.tick().repeat(20)
        for byte in sent:
            for bit in (0, *(byte >> k & 1 for k in range(8)), 1):
                context.set(receiver.rx, bit)
                await context.delay(drift / baud)
            await context.delay(random.choice((0, 0, random.random())) / baud)
        await context.tick().repeat(20)

    async def receive(context):
        async for _, _, valid, data, broken in context.tick().sample(
            receiver.o.valid, receiver.o.data, receiver.o.broken
        ):
            if valid:
                assert not broken
                received.append(data)

    simulate(receiver, clock_hz, send, receive)
    assert received == sent


def test_receiver_survives_disturbances():
    """Needles of one cycle, start bits that end early, and breaks, between bytes."""
    clock_hz, baud = 25_000_000, 1_000_000
    random, receiver, received, broken = Random(1), UartReceiver(clock_hz=clock_hz, baud=baud), [], []
    sent = list(random.randbytes(30))

    async def send(context):
        context.set(receiver.rx, 1)
        await context.tick().repeat(20)
        for number, byte in enumerate(sent):
            length = (1, 8, 15 * 25)[number % 3]
            context.set(receiver.rx, 0)
            await context.tick().repeat(length)
            context.set(receiver.rx, 1)
            await context.tick().repeat(40)
            for bit in (0, *(byte >> k & 1 for k in range(8)), 1):
                context.set(receiver.rx, bit)
                await context.tick().repeat(clock_hz // baud)
        await context.tick().repeat(20)

    async def receive(context):
        async for _, _, output in context.tick().sample(receiver.o):
            if output.valid:
                (broken if output.broken else received).append(output.data)

    simulate(receiver, clock_hz, send, receive)
    assert received == sent
    assert broken == [0] * 10


@pytest.mark.parametrize(("clock_hz", "baud"), [(12_000_000, 3_000_000), (25_000_000, 3_000_000)])
def test_transmitter(clock_hz, baud):
    """Bits of the right length at every place; a byte takes at most one cycle more than ten bits."""
    transmitter, levels = UartTransmitter(clock_hz=clock_hz, baud=baud), []
    sent = [0x00, 0xFF, 0x55, 0x7E, *Random(1).randbytes(20)]

    async def send(context):
        for byte in sent:
            await stream_put(context, transmitter.i, byte)
        await context.tick().repeat(12 * clock_hz // baud)

    async def record(context):
        async for _, _, level in context.tick().sample(transmitter.tx):
            levels.append(level)

    simulate(transmitter, clock_hz, send, record)
    bit, position = clock_hz / baud, 0
    for byte in sent:
        start = levels.index(0, position)
        assert position == 0 or start - position <= bit / 2 + 2, "pauses cost time"
        for k, expected in enumerate((0, *(byte >> n & 1 for n in range(8)), 1)):
            for place in (0.15, 0.5, 0.85):
                assert levels[int(start + (k + place) * bit)] == expected
        position = int(start + 9.5 * bit)
    assert all(levels[position:])


async def stream_put(context, stream, payload):
    context.set(stream.payload, payload)
    context.set(stream.valid, 1)
    await context.tick().until(stream.ready)
    context.set(stream.valid, 0)


def _contents(random, count):
    values = [FLAG, ESCAPE, FLAG ^ 0x20, ESCAPE ^ 0x20, 0, 255]
    for _ in range(count):
        size = random.choice((0, 1, 3, random.randint(0, 60)))
        yield bytes(random.choice(values) if random.random() < 0.3 else random.randrange(256) for _ in range(size))


def test_frames_of_the_chip_are_those_of_the_host():
    sender, random, line = FrameSender(), Random(2), bytearray()
    frames = [
        Frame(k % 16, random.getrandbits(16), k, 3 * k, content) for k, content in enumerate(_contents(random, 30))
    ]
    contents = [frame.encode() for frame in frames]

    async def send(context):
        for frame in frames:
            header = frame.bits | frame.session << 8 | frame.ack << 24 | frame.position << 36
            header = header.to_bytes(6, "little")
            for byte in header + frame.payload:
                await stream_put(context, sender.i, {"data": byte, "end": 0})
            await stream_put(context, sender.i, {"data": random.randrange(256), "end": 1})
        await context.tick().repeat(100)

    async def receive(context):
        pause = 0
        async for _, _, valid, ready, byte in context.tick().sample(sender.o.valid, sender.o.ready, sender.o.payload):
            if valid and ready:
                line.append(byte)
                pause = random.randint(10, 14)
            pause = max(0, pause - 1)
            context.set(sender.o.ready, not pause)

    simulate(sender, 1e6, send, receive)
    assert bytes(line) == b"".join(contents)


def test_the_chip_finds_the_frames_that_the_host_finds():
    """Frames, whole and damaged in all ways, with garbage between them."""
    receiver, random, found, content = FrameReceiver(), Random(3), [], bytearray()
    line = bytearray()
    for k, payload in enumerate(_contents(random, 80)):
        frame = Frame(k % 16, random.getrandbits(16), k, 3 * k, payload).encode()
        place, kind = random.randrange(len(frame)), random.randrange(8)
        line += {
            0: frame[:place] + frame[place + 1 :],
            1: frame[:place] + bytes([frame[place] ^ 1]) + frame[place + 1 :],
            2: frame[:place] + frame[place:] * 2,
            3: random.randbytes(place) + frame,
            4: frame[place:],
        }.get(kind, frame)
    expected = FrameReader().read(bytes(line))

    async def send(context):
        for byte in line:
            context.set(receiver.i, {"valid": 1, "data": byte, "broken": 0})
            await context.tick()
            context.set(receiver.i, {"valid": 0, "data": random.randrange(256), "broken": random.randrange(2)})
            await context.tick().repeat(random.randint(9, 12))

    async def receive(context):
        async for _, _, data, valid, end, good in context.tick().sample(
            receiver.data, receiver.valid, receiver.end, receiver.good
        ):
            if valid:
                content.append(data)
            if end:
                found.append(bytes(content) if good else None)
                content.clear()

    simulate(receiver, 1e6, send, receive)
    whole = [frame.encode() for frame in expected if frame is not None]
    assert len(whole) > 40
    assert len(found) == len(expected)
    for one, other in zip(found, expected, strict=True):
        assert (one is None) == (other is None)
        if one is not None:
            assert one[6:] == other.payload
            assert one[0] == other.bits


def test_a_byte_without_stop_bit_damages_its_frame():
    module, ends = Module(), []
    module.submodules.receiver = receiver = FrameReceiver()

    async def send(context):
        for broken in (None, 0, 4, None):
            for k, byte in enumerate(Frame(0, 1, 2, 3, b"abc").encode()):
                context.set(receiver.i, {"valid": 1, "data": byte, "broken": k == broken})
                await context.tick()
                context.set(receiver.i.valid, 0)
                await context.tick().repeat(10)

    async def receive(context):
        async for _, _, end, good in context.tick().sample(receiver.end, receiver.good):
            if end:
                ends.append(good)

    simulate(module, 1e6, send, receive)
    assert ends == [1, 0, 0, 1]


def test_link(tmp_path):
    """Chip's and host's end over a line that damages bytes."""
    source = tmp_path / "uart_echo.v"
    source.write_text(to_verilog(UartEcho(), "uart_echo"))
    built = build([source], "uart_echo", tmp_path / "build")
    run(built, "tests.hw.benches.bench_uart_link", seed=default_seed())


def test_a_packet_that_is_too_long_leaves_the_stream_in_step():
    """It comes out in full, for the host link to drop, and the packets after it as they were sent."""
    packets = [[1, 2], list(range(100, 117)), [3], list(range(256)), [0x7E7D0102, 4]]
    stream = b"".join(bytes([len(p) - 1]) + b"".join(w.to_bytes(4, "little") for w in p) for p in packets)
    inbox, found = Inbox(), [[]]

    async def feed(ctx):
        ctx.set(inbox.o.tready, 1)
        for byte in stream:
            ctx.set(inbox.data, byte)
            ctx.set(inbox.valid, 1)
            await ctx.tick()
        ctx.set(inbox.valid, 0)
        ctx.set(inbox.keep, 1)
        await ctx.tick()
        ctx.set(inbox.keep, 0)

    async def take(ctx):
        async for _, _, valid, word, last in ctx.tick().sample(inbox.o.tvalid, inbox.o.tdata, inbox.o.tlast):
            if valid:
                found[-1].append(word)
                if last:
                    found.append([])

    simulator = Simulator(inbox)
    simulator.add_clock(1e-6)
    simulator.add_testbench(feed)
    simulator.add_testbench(take, background=True)
    simulator.run_until(1e-6 * 6 * len(stream))
    assert found == [*packets, []]
