# SPDX-License-Identifier: Apache-2.0
"""The conversations of which the driver's operations consist; ``operation.Transaction`` says what their methods do."""

from collections import deque
from collections.abc import Iterable, Mapping, Sequence

from backspike.host.compiler.geometry import Core
from backspike.host.driver.operation import Script, Transaction
from backspike.spec.counters import COUNTERS, LINK_COUNTERS
from backspike.spec.packets import INPUT_KINDS, LINK, MAX_PAYLOAD, Kind, Packet, Place
from backspike.spec.tables import Region

__all__ = ["DrainLate", "Reads", "Updates", "Writes", "activity_reads", "control_reads", "counter_reads"]


class Writes(Transaction[None]):
    """Send packets that have no answer.

    Parameters
    ----------
    packets : sequence of Packet
        In order.
    """

    def __init__(self, packets: Sequence[Packet]) -> None:
        self._packets = packets

    def packets(self) -> Script[None]:
        yield from self._packets

    def accept(self, packet: Packet) -> bool:
        return False

    def missing(self) -> str:
        return ""


class Reads(Transaction[dict[Place, dict[int, int]]]):
    """Fetch memory words: one ``READ`` at a time per core, all cores at the same time.

    The words of a ``READ`` come in order, in one or several ``DATA`` packets.

    Parameters
    ----------
    reads : mapping of (int, int) or LINK to sequence of Packet
        ``READ`` packets of each core, or of the host link.

    Attributes
    ----------
    memory : dict
        ``memory[core][address]`` is a word that has come; returned when all have come.
    """

    def __init__(self, reads: Mapping[Place, Sequence[Packet]]) -> None:
        self._todo = {core: deque(packets) for core, packets in reads.items()}
        self._open: dict[Place, tuple[int, int, int]] = {}
        self.memory: dict[Place, dict[int, int]] = {core: {} for core in reads}

    def packets(self) -> Script[dict[Place, dict[int, int]]]:
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

    def accept(self, packet: Packet) -> bool:
        if packet.kind != Kind.DATA:
            return False
        core: Place = LINK if packet.tag["link"] else (packet.tag["from_x"], packet.tag["from_y"])
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

    def missing(self) -> str:
        return f"DATA from {_names(self._open)}" if self._open else ""


class Updates(Transaction[None]):
    """Update the weights of slices, or only clear gradients (and velocities); wait for all answers.

    Parameters
    ----------
    slices : sequence of (int, int, int)
        Column, row and number of each.
    clear : bool
        Clear the gradients instead of an update.
    velocities : bool
        Clear the velocities, too.
    """

    def __init__(
        self, slices: Sequence[tuple[int, int, int]], *, clear: bool = False, velocities: bool = False
    ) -> None:
        self._slices, self._actions = slices, {"clear": clear, "velocities": velocities}
        self._open = set(slices)

    def packets(self) -> Script[None]:
        for x, y, index in self._slices:
            yield Packet(Kind.UPDATE, {"slice": index, **self._actions}, (), x, y)
        while self._open:
            yield None

    def accept(self, packet: Packet) -> bool:
        if packet.kind != Kind.UPDATED:
            return False
        key = (packet.tag["from_x"], packet.tag["from_y"], packet.tag["slice"])
        if key not in self._open:
            return False
        self._open.remove(key)
        return True

    def missing(self) -> str:
        return f"UPDATED from {_names((x, y) for x, y, _ in sorted(self._open))}" if self._open else ""


class DrainLate(Transaction[None]):
    """Accepts what a failed operation has left on its way."""

    def packets(self) -> Script[None]:
        yield from ()

    def accept(self, packet: Packet) -> bool:
        return packet.kind in (*INPUT_KINDS, Kind.CREDIT, Kind.DATA, Kind.UPDATED, Kind.ERROR, Kind.ERRORS_DONE)

    def missing(self) -> str:
        return ""


def _names(cores: Iterable[Place]) -> str:
    return ", ".join("the host link" if core == LINK else f"core {core}" for core in cores)


def control_reads(cores: Iterable[Core]) -> dict[Place, list[Packet]]:
    """For ``Reads``: the control word of each core."""
    tag = {"region": Region.CONTROL, "count": 1}
    return {(x, y): [Packet(Kind.READ, tag, (0,), x, y)] for x, y in cores}


def activity_reads(cores: Sequence[Core]) -> dict[Place, list[Packet]]:
    """For ``Reads``: the control word of each core at address 0, and from 1 on the counters of what it does.

    They stand still in a core without work, unlike those of what it waits for.
    """
    reads = control_reads(cores)
    tag = {"region": Region.COUNTER, "count": COUNTERS.index("delta_busy") - COUNTERS.index("fp_busy") + 1}
    for x, y in cores:
        reads[x, y].append(Packet(Kind.READ, tag, (COUNTERS.index("fp_busy"),), x, y))
    return reads


def counter_reads(cores: Sequence[Core]) -> dict[Place, list[Packet]]:
    """For ``Reads``: all counters of each core and of the host link."""
    reads: dict[Place, list[Packet]] = {}
    places: list[Place] = [LINK, *cores]
    for core in places:
        names = LINK_COUNTERS if core == LINK else COUNTERS
        place = {"host": 1} if core == LINK else {"x": core[0], "y": core[1]}
        reads[core] = [
            Packet(Kind.READ, {"region": Region.COUNTER, "count": min(MAX_PAYLOAD - 1, len(names) - k)}, (k,), **place)
            for k in range(0, len(names), MAX_PAYLOAD - 1)
        ]
    return reads
