# SPDX-License-Identifier: Apache-2.0
"""Bench of the packet output: whole packets, none lost, in turns, a flit each cycle."""

import cocotb

from backspike.hw.core.packets import PacketOutput
from backspike.hw.shapes import Shapes
from backspike.sim.jobs import CONFIGS
from backspike.sim.unit import Bench, Sink, Source

SOURCES = (2, 3, 5)
_BITS = 12  # of the header: which source, which packet


def units():
    return {f"output_{sources}": PacketOutput(Shapes(CONFIGS[1]), sources) for sources in SOURCES}


class Run:
    """A bench with random packets from every source."""

    def __init__(self, dut, sources, idle, stalls):
        self.bench = bench = Bench(dut, f"output_{sources}", PacketOutput(Shapes(CONFIGS[1]), sources))
        self.sources = [Source(bench, f"packets__{n}", idle) for n in range(sources)]
        self.sink = Sink(bench, "flits", stalls)
        self.sent = [[] for _ in range(sources)]
        self.taken = 0
        bench.watchers.append(self._count)

    def _count(self):
        self.taken += self.bench.bits("sent")

    def send(self, n, length):
        words = [self.bench.random.getrandbits(32) for _ in range(3)]
        header = n << _BITS | len(self.sent[n])
        self.sources[n].send({"header": header, "words": words, "length": length})
        self.sent[n].append([header, *words[:length]])

    async def finish(self):
        """Wait for all packets; returns them in the order in which they came out."""
        await self.bench.start()
        await self.bench.until(lambda: all(source.empty for source in self.sources))
        await self.bench.step()
        await self.bench.until(lambda: not self.bench.bits("busy"))
        await self.bench.step(5)
        assert not self.bench.bits("flits__valid") and not self.bench.bits("busy")
        packets, words = [], []
        for item in self.sink.items:
            words.append(item["data"])
            if item["last"]:
                packets.append(words)
                words = []
        assert not words, "a packet without an end"
        for n, sent in enumerate(self.sent):
            assert [packet for packet in packets if packet[0] >> _BITS == n] == sent
        assert self.taken == len(packets) == sum(map(len, self.sent))
        return packets


@cocotb.test()
@cocotb.parametrize(sources=SOURCES, idle=[0.0, 0.5, 0.95], stalls=[0.0, 0.6])
async def random_packets(dut, sources, idle, stalls):
    run = Run(dut, sources, idle, stalls)
    for _ in range(40 * sources):
        run.send(run.bench.random.randrange(sources), run.bench.random.randrange(4))
    await run.finish()


@cocotb.test()
@cocotb.parametrize(sources=SOURCES, length=[0, 1, 3])
async def in_turns_without_gaps(dut, sources, length):
    """Sources that always have packets are served one after the other, a flit each cycle."""
    run = Run(dut, sources, 0.0, 0.0)
    for n in range(sources):
        for _ in range(20):
            run.send(n, length)
    packets = await run.finish()
    order = [packet[0] >> _BITS for packet in packets]
    assert all(sorted(order[k:k + sources]) == list(range(sources)) for k in range(0, len(order), sources))
    assert run.sink.cycles[-1] - run.sink.cycles[0] == len(run.sink.items) - 1
