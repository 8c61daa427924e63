# SPDX-License-Identifier: Apache-2.0
"""A chip of sequential cores as a model: its program runs on models of the processor, and packets pass between them."""

from random import Random

from backspike.host.packets import parse_packet
from backspike.host.protocol import HEADER, LINK_COUNTERS, Kind, Packet
from backspike.hw.sequential.model import ProcessorModel
from backspike.hw.sequential.program import make_program

__all__ = ["ModelChip"]

_TURN = 50
"""Most instructions of a core until another has its turn."""


class ModelChip:
    """Has the coroutines of :class:`backspike.sim.transport.ChipTransport`, so that a ``Session`` can use it.

    Cores take turns of random lengths; memories begin with random contents. What is not modelled are the host link's
    checks and counters, and time.

    Parameters
    ----------
    config: ChipConfig, with ``sequential``
    seed: of all that is random
    patience: rounds of turns without a packet until an operation is given up
    """

    def __init__(self, config, *, seed=0, patience=200_000):
        self.random, self.patience = Random(seed), patience
        program = make_program(config)
        self.cores = {
            (x, y): ProcessorModel(
                program.code, [self.random.getrandbits(16) for _ in range(program.map.size)],
                program.map.gradient_words, config.format, x | y << 3)
            for x in range(config.columns) for y in range(config.rows)}
        self._received = []

    async def start(self):
        """Nothing is to be done."""

    async def send(self, words):
        """A packet of the host."""
        packet = parse_packet(words)
        if packet.host:
            tag = {"region": packet.tag["region"], "from_x": 0, "from_y": 0, "link": 1}
            counters = range(min(packet.tag["count"], len(LINK_COUNTERS)))
            self._received.append(Packet(Kind.DATA, tag, (packet.payload[0], *counters), host=1).words())
        else:
            self._deliver(words)

    async def receive(self):
        """Words of the next packet for the host; ``TimeoutError`` where none comes."""
        for _ in range(self.patience):
            if self._received:
                return self._received.pop(0)
            for core in self.cores.values():
                core.run(self.random.randrange(_TURN))
                core.blocked = self.random.random() < 0.3
                for words in core.packets:
                    self._deliver(words)
                core.packets.clear()
        raise TimeoutError(f"no packet from the chip within {self.patience} rounds")

    async def run(self, operation):
        """Run one operation of the driver to its end; returns its result."""
        while not operation.done:
            words = operation.next_packet()
            if words is not None:
                await self.send(words)
            else:
                operation.receive(await self.receive())
        return operation.result

    def _deliver(self, words):
        header = HEADER.unpack(words[0])
        if header["host"]:
            self._received.append(words)
        else:
            last = len(words) - 1
            self.cores[header["x"], header["y"]].arrived += [(word, int(k == last)) for k, word in enumerate(words)]
