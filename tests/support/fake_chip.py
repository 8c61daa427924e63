# SPDX-License-Identifier: Apache-2.0
"""A chip at packet level for tests of the compiler and the driver: it knows only packets and what was written.

Packets between two nodes stay in order; everything else happens in random order. Memory that nobody wrote cannot be
read.
"""

import random
from collections import defaultdict, deque

from backspike.host.driver.packet_decoder import parse_packet
from backspike.spec.counters import LINK_COUNTERS
from backspike.spec.packets import Kind, Packet
from tests.support.fake_core import FakeCore

HOST = "host"


class FakeChip:
    """``send(words)`` is the host's side in; ``receive()`` works until there is a packet for the host.

    ``late``: cores that work out gradients only when there is nothing else to do.
    """

    def __init__(self, config, seed=0, late=()):
        self.config, self.random = config, random.Random(seed)
        self.channels = defaultdict(deque)
        self.cores = {(x, y): FakeCore(self, x, y) for x in range(config.columns) for y in range(config.rows)}
        self.sent, self.late = [], late

    def send(self, words):
        packet = parse_packet(words)
        self.sent.append(packet)
        if packet.host:
            tag = {"region": packet.tag["region"], "from_x": 0, "from_y": 0, "link": 1}
            words = range(packet.payload[0], packet.payload[0] + packet.tag["count"])
            assert max(words) < len(LINK_COUNTERS)
            self.post("link", Packet(Kind.DATA, tag, (packet.payload[0], *words), host=1))
        else:
            self.post(HOST, packet)

    def post(self, source, packet):
        packet = parse_packet(packet.words())
        self.channels[source, HOST if packet.host else (packet.x, packet.y)].append(packet)

    def receive(self):
        """The next packet's words for the host, or ``None`` where the chip has come to rest."""
        while True:
            moves = [channel for channel, queue in self.channels.items() if queue]
            moves += [(core, job) for core in self.cores.values() for job in core.jobs()]
            moves = moves or [(core, job) for core in self.cores.values() for job in core.late_jobs()]
            if not moves:
                return None
            first, second = self.random.choice(moves)
            if isinstance(first, FakeCore):
                second()
                continue
            packet = self.channels[first, second].popleft()
            if second == HOST:
                return packet.words()
            self.cores[second].take(packet)

    def run(self, operation):
        """The result of an operation of the driver; where possible, receives before everything is sent."""
        while not operation.done:
            send = self.random.random() < 0.8
            words = operation.next_packet() if send else None
            if words is not None:
                self.send(words)
            elif not operation.done and (words := self.receive()) is not None:
                operation.receive(words)
            elif send and not operation.done:
                raise AssertionError(f"the chip rests, but the driver waits for {operation.waiting_for()}")
        return operation.result
