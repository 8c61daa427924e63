# SPDX-License-Identifier: Apache-2.0
"""The conversations of which the driver's operations consist.

An exchange has a generator ``packets()``, which yields a packet to send, or ``None`` while nothing may be sent, and
returns when all is said; and ``accept(packet)``, which takes a received packet and tells whether it was expected.
``missing()`` says in words what is still to come, or is empty.
"""

from collections import deque

from backspike.spec.counters import COUNTERS, LINK_COUNTERS
from backspike.spec.packets import MAX_PAYLOAD, Kind, Packet
from backspike.spec.tables import Region

__all__ = ["LINK", "Reads", "Updates", "Writes", "control_reads", "counter_reads"]

LINK = "link"
"""Stands for the host link where else a core's coordinates stand."""


class Writes:
    """Send packets that have no answer."""

    def __init__(self, packets):
        self._packets = packets

    def packets(self):
        yield from self._packets

    def accept(self, packet):
        return False

    def missing(self):
        return ""


class Reads:
    """Fetch memory words: one ``READ`` at a time per core, all cores at the same time.

    The words of a ``READ`` come in order, in one or several ``DATA`` packets. ``reads`` maps a core, or ``LINK``, to
    its ``READ`` packets. ``memory[core][address]`` has the result.
    """

    def __init__(self, reads):
        self._todo = {core: deque(packets) for core, packets in reads.items()}
        self._open = {}
        self.memory = {core: {} for core in reads}

    def packets(self):
        while True:
            for core, queue in self._todo.items():
                if queue and core not in self._open:
                    request = queue.popleft()
                    self._open[core] = (request.tag["region"], request.payload[0], request.tag["count"])
                    yield request
            if not self._open and not any(self._todo.values()):
                return self.memory
            if all(core in self._open or not queue for core, queue in self._todo.items()):
                yield None

    def accept(self, packet):
        if packet.kind != Kind.DATA:
            return False
        core = LINK if packet.tag["link"] else (packet.tag["from_x"], packet.tag["from_y"])
        if core not in self._open:
            return False
        region, expected, left = self._open[core]
        address, *words = packet.payload
        if (packet.tag["region"], address) != (region, expected) or len(words) > left:
            return False
        self.memory[core].update(enumerate(words, start=address))
        if len(words) == left:
            del self._open[core]
        else:
            self._open[core] = (region, expected + len(words), left - len(words))
        return True

    def missing(self):
        return f"DATA from {_names(self._open)}" if self._open else ""


class Updates:
    """Update the weights of all slices, or only clear gradients (and velocities); wait for all answers."""

    def __init__(self, slices, *, clear=False, velocities=False):
        self._slices, self._actions = slices, {"clear": clear, "velocities": velocities}
        self._open = {(part.x, part.y, part.index) for part in slices}

    def packets(self):
        for part in self._slices:
            yield Packet(Kind.UPDATE, {"slice": part.index, **self._actions}, (), part.x, part.y)
        while self._open:
            yield None

    def accept(self, packet):
        if packet.kind != Kind.UPDATED:
            return False
        key = (packet.tag["from_x"], packet.tag["from_y"], packet.tag["slice"])
        if key not in self._open:
            return False
        self._open.remove(key)
        return True

    def missing(self):
        return f"UPDATED from {_names((x, y) for x, y, _ in sorted(self._open))}" if self._open else ""


class Remains:
    """Accepts what a failed operation has left on its way."""

    def packets(self):
        yield from ()

    def accept(self, packet):
        return packet.kind in (Kind.SPIKES, Kind.CREDIT, Kind.DATA, Kind.UPDATED)

    def missing(self):
        return ""


def _names(cores):
    return ", ".join("the host link" if core == LINK else f"core {core}" for core in cores)


def control_reads(cores):
    """For ``Reads``: the control word of each core."""
    tag = {"region": Region.CONTROL, "count": 1}
    return {core: [Packet(Kind.READ, tag, (0,), *core)] for core in cores}


def activity_reads(cores):
    """For ``Reads``: the control word of each core at address 0, and from 1 on the counters of what it does.

    They stand still in a core without work, unlike those of what it waits for.
    """
    reads = control_reads(cores)
    tag = {"region": Region.COUNTER, "count": COUNTERS.index("delta_busy") - COUNTERS.index("fp_busy") + 1}
    for core, packets in reads.items():
        packets.append(Packet(Kind.READ, tag, (COUNTERS.index("fp_busy"),), *core))
    return reads


def counter_reads(cores):
    """For ``Reads``: all counters of each core and of the host link."""
    reads = {}
    for core, names in [(LINK, LINK_COUNTERS), *((core, COUNTERS) for core in cores)]:
        place = {"host": 1} if core == LINK else {"x": core[0], "y": core[1]}
        reads[core] = [
            Packet(Kind.READ, {"region": Region.COUNTER, "count": min(MAX_PAYLOAD - 1, len(names) - k)}, (k,), **place)
            for k in range(0, len(names), MAX_PAYLOAD - 1)
        ]
    return reads
