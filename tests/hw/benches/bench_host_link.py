# SPDX-License-Identifier: Apache-2.0
"""Bench of the host link: good and bad packets of the host, packets of the mesh, faults, counters."""

from collections import deque
from random import Random

import cocotb
from cocotb.clock import Clock
from cocotb.triggers import ClockCycles, FallingEdge, with_timeout
from cocotbext.axi import AxiStreamBus, AxiStreamSink, AxiStreamSource

from backspike.spec.counters import LINK_COUNTERS
from backspike.spec.packets import MAX_PAYLOAD, Cause, Kind, Packet, header, parse_header
from backspike.spec.tables import Region
from tests.support.handshake import HandshakeMonitor
from tests.support.host_packets import bad_packet, cause_of, good_packet, random_words

_COUNTERS = len(LINK_COUNTERS)
TIMEOUT = (200, "us")  # of everything that is awaited: 20000 cycles


class Bench:
    """The host on one side of the link and the mesh on the other, both random in their rates.

    Parameters
    ----------
    dut: simulation of ``HostLink(CONFIG)``
    idle: chance that a side pauses in a cycle
    """

    def __init__(self, dut, idle=0.0):
        self.dut, self.idle = dut, idle
        self.random = Random(cocotb.RANDOM_SEED)
        self.cycle = 0
        self.into_mesh = []  # packets that came out on the mesh's side
        self.last_into_mesh = 0  # cycle of the last of their words
        self.from_mesh = deque()  # flits to send from the mesh's side

    async def start(self):
        """Clock, reset, drivers, monitors."""
        dut = self.dut
        for pin in (dut.to_mesh__ready, dut.from_mesh__valid, dut.from_mesh__payload):
            pin.value = 0
        dut.rst.value = 1
        cocotb.start_soon(Clock(dut.clk, 10, unit="ns").start())
        self.source = AxiStreamSource(AxiStreamBus.from_prefix(dut, "s_axis"), dut.clk, dut.rst, byte_lanes=4)
        self.sink = AxiStreamSink(AxiStreamBus.from_prefix(dut, "m_axis"), dut.clk, dut.rst, byte_lanes=4)
        await ClockCycles(dut.clk, 5)
        dut.rst.value = 0
        await ClockCycles(dut.clk, 2)
        if self.idle:
            for end in (self.source, self.sink):
                end.set_pause_generator(iter(lambda: self.random.random() < self.idle, None))
        self.monitors = {}
        for name, valid, ready, payload in (
            ("s_axis", "_tvalid", "_tready", ("_tdata", "_tlast")),
            ("to_mesh", "__valid", "__ready", ("__payload",)),
            ("m_axis", "_tvalid", "_tready", ("_tdata", "_tlast")),
            ("from_mesh", "__valid", "__ready", ("__payload",)),
        ):
            pins = [getattr(dut, name + part) for part in (valid, ready, *payload)]
            self.monitors[name] = HandshakeMonitor(dut.clk, dut.rst, pins[0], pins[1], pins[2:], name=name)
        cocotb.start_soon(self._mesh())

    async def _mesh(self):
        """The mesh's side, one step per cycle in the low phase of the clock; its pins depend on registers only."""
        dut, arriving, offered = self.dut, [], None
        while True:
            await FallingEdge(dut.clk)
            self.cycle += 1
            taking = self.random.random() >= self.idle
            dut.to_mesh__ready.value = taking
            if taking and int(dut.to_mesh__valid.value):
                flit = int(dut.to_mesh__payload.value)
                arriving.append(flit & 0xFFFFFFFF)
                self.last_into_mesh = self.cycle
                if flit >> 32 & 1:
                    self.into_mesh.append(tuple(arriving))
                    arriving = []
            if offered is None and self.from_mesh and self.random.random() >= self.idle:
                offered = self.from_mesh.popleft()
            dut.from_mesh__valid.value = offered is not None
            if offered is not None:
                dut.from_mesh__payload.value = offered
                if int(dut.from_mesh__ready.value):
                    offered = None

    def send(self, words):
        """Queue a packet of the host."""
        self.source.send_nowait(b"".join(word.to_bytes(4, "little") for word in words))

    def send_from_mesh(self, words):
        """Queue a packet of the mesh."""
        self.from_mesh.extend((n == len(words) - 1) << 32 | word for n, word in enumerate(words))

    async def receive(self):
        """The next packet that the host gets, as words."""
        data = bytes((await with_timeout(self.sink.recv(), *TIMEOUT)).tdata)
        return tuple(int.from_bytes(data[n : n + 4], "little") for n in range(0, len(data), 4))

    async def settle(self):
        """Waits until all that was queued has gone through; packets to the host stay in the sink."""
        await with_timeout(self.source.wait(), *TIMEOUT)
        quiet, before = 0, None
        while quiet < 50 + 20 * (self.idle > 0):
            await ClockCycles(self.dut.clk, 5)
            now = [monitor.transfers for monitor in self.monitors.values()]
            quiet = quiet + 5 if now == before and not self.from_mesh else 0
            before = now

    async def received(self):
        """Everything that has come for the host, when nothing moves any more."""
        await self.settle()
        return [await self.receive() for _ in range(self.sink.count())]

    async def read_counters(self, address=0, count=_COUNTERS):
        """Counters of the link, by its own reply; nothing else may be on its way to the host."""
        self.send(counter_request(address, count))
        kind, fields, tag = parse_header((reply := await self.receive())[0])
        assert (kind, fields["host"]) == (Kind.DATA, 1)
        assert tag == {"region": Region.COUNTER, "from_x": 0, "from_y": 0, "link": 1}
        assert reply[1] == address
        return dict(zip(LINK_COUNTERS[address : address + count], reply[2:], strict=True))


def counter_request(address, count):
    """Words of a READ of the link's counters."""
    return Packet(Kind.READ, {"region": Region.COUNTER, "count": count}, (address,), host=1).words()


def fault(words, cause):
    """Words of the report of a dropped packet."""
    return (header(Kind.FAULT, host=1, cause=cause, from_x=0, from_y=0, link=1), words[0])


async def _new_bench(dut, idle=0.0):
    bench = Bench(dut, idle)
    await bench.start()
    return bench


@cocotb.test()
@cocotb.parametrize(idle=[0.0, 0.2, 0.7])
async def random_packets(dut, idle):
    """Good, bad and meaningless packets in any order: the good ones pass unharmed, the others are counted."""
    bench = await _new_bench(dut, idle)
    passed, dropped = [], []
    words_in = 0
    for _ in range(200):
        make = bench.random.choice((good_packet, good_packet, bad_packet, random_words))
        words = make(bench.random)
        cause = cause_of(words)
        if cause:
            dropped.append(fault(words, cause))
        else:
            passed.append(tuple(words))
        words_in += len(words)
        bench.send(words)
    replies = [tuple(good_packet(bench.random)) for _ in range(60)]
    for words in replies:
        bench.send_from_mesh(words)
    got = await bench.received()
    assert bench.into_mesh == passed
    reports = [words for words in got if words[0] >> 0 & 0xF == Kind.FAULT]
    assert [words for words in got if words[0] & 0xF != Kind.FAULT] == replies
    remaining = iter(dropped)
    assert all(report in remaining for report in reports), "a report of no dropped packet, or out of order"
    assert reports[:1] == dropped[:1]
    counters = await bench.read_counters()
    sent = sum(map(len, got))
    assert sent <= counters.pop("words_out") <= sent + 3  # some words of the reply itself
    assert counters == {
        "words_in": words_in + 2,
        "packets_in": 201,
        "packets_out": len(got),
        "dropped": len(dropped),
    }


@cocotb.test()
async def every_fault_is_reported(dut):
    """One bad packet of each sort at a time: the cause and the header come back, and a good packet passes after it."""
    bench = await _new_bench(dut, 0.2)
    good = good_packet(bench.random)
    for cause in Cause:
        for _ in range(0 if cause == Cause.STATE else 12):
            words = bad_packet(bench.random, cause)
            bench.send(words)
            bench.send(good)
            assert await bench.receive() == fault(words, cause)
    await bench.settle()
    assert bench.into_mesh == [tuple(good)] * 48
    assert bench.sink.empty()


@cocotb.test()
async def reports_do_not_pile_up(dut):
    """While the host takes nothing, bad packets are counted without a report for each, and good ones still pass."""
    bench = await _new_bench(dut)
    bench.sink.pause = True
    bad = [bad_packet(bench.random) for _ in range(20)]
    for words in bad:
        bench.send(words)
    good = good_packet(bench.random)
    bench.send(good)
    await bench.settle()
    assert bench.into_mesh == [tuple(good)]
    bench.sink.pause = False
    reports = await bench.received()
    assert 1 <= len(reports) <= 3
    assert reports[0] == fault(bad[0], cause_of(bad[0]))
    assert (await bench.read_counters())["dropped"] == 20


@cocotb.test()
async def counters_are_read_in_parts(dut):
    """Every range of counters can be read, none beyond the last, and nothing else of the link."""
    bench = await _new_bench(dut, 0.2)
    size = _COUNTERS
    dropped = 0
    for address in (*range(size + 1), 7, 8, 1 << 31):
        for count in range(MAX_PAYLOAD + 1):
            if count and address + count <= size:
                assert (await bench.read_counters(address, count)).get("dropped", dropped) == dropped
            else:
                bench.send(request := counter_request(address, count))
                assert await bench.receive() == fault(request, Cause.ADDRESS)
                dropped += 1
    assert bench.into_mesh == []


@cocotb.test()
async def second_read_is_refused(dut):
    """A READ of the link's counters that comes before the answer to the last one is dropped."""
    bench = await _new_bench(dut)
    bench.sink.pause = True
    request = counter_request(0, 5)
    bench.send(request)
    bench.send(request)
    await bench.settle()
    bench.sink.pause = False
    first, second = await bench.received()
    assert first[0] & 0xF == Kind.DATA
    assert second == fault(request, Cause.STATE)


@cocotb.test()
@cocotb.parametrize(length=[0, 2, 15])
async def one_word_per_cycle(dut, length):
    """Both directions sustain a word per cycle."""
    bench = await _new_bench(dut)
    kind = {0: Kind.CREDIT, 2: Kind.SPIKES, 15: Kind.WRITE}[length]
    words = good_packet(bench.random, kind, length)
    count = 40
    for _ in range(count):
        bench.send(words)
        bench.send_from_mesh(words)
    start = bench.cycle
    await bench.settle()
    assert bench.into_mesh == [tuple(words)] * count
    assert bench.sink.count() == count
    assert bench.last_into_mesh - start <= count * len(words) + len(words) + 8
    assert bench.monitors["m_axis"].transfers == count * len(words)
