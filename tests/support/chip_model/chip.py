# SPDX-License-Identifier: Apache-2.0
"""A whole chip: cores, the host link, and packets on their way.

Packets between two nodes stay in order; everything else happens in random order, but that a look at a core's state
takes longer than the way of a packet. Memory that nobody wrote cannot be read.
"""

import random
from collections import defaultdict, deque

from backspike.spec.config import ChipConfig
from backspike.spec.counters import LINK_COUNTERS
from backspike.spec.packets import HEADER, INPUT_KINDS, Kind, Packet, parse_header
from backspike.spec.tables import Region
from tests.support.chip_model.core import ModelCore
from tests.support.chip_model.host_link import link_cause, link_fault, link_reply

__all__ = ["ModelChip"]

_HOST, _LINK = "host", "link"


class ModelChip:
    """``send(words)`` is the host's side in; ``receive()`` works until there is a packet for the host.

    Parameters
    ----------
    config: ChipConfig
    seed: of the order in which things happen
    late: places of cores that work out gradients only when there is nothing else to do

    Attributes
    ----------
    cores: by place
    sent: words of the packets that the host has sent
    """

    def __init__(self, config: ChipConfig, seed: int = 0, late: tuple = ()):
        self.config, self.random, self.late = config, random.Random(seed), late
        self.sent, self.counters = [], dict.fromkeys(LINK_COUNTERS, 0)
        self._channels = defaultdict(deque)
        places = [(x, y) for y in range(config.rows) for x in range(config.columns)]
        self.cores = {place: ModelCore(config, *place, self._sender(place)) for place in places}

    def _sender(self, place):
        def send(packet):
            if packet.kind == Kind.DATA:
                return self._send_parts(place, packet)
            return self._post(place, packet.words())

        return send

    def _send_parts(self, place, packet):
        """A reply may come in parts."""
        address, *words = packet.payload
        assert None not in words, f"memory that nobody wrote is read: {packet.tag} from {address}"
        while words:
            count = self.random.randint(1, len(words))
            part = Packet(Kind.DATA, packet.tag, (address, *words[:count]), host=1)
            self._post(place, part.words())
            address, words = address + count, words[count:]

    def _post(self, source, words):
        self._channels[source, _place_of(words[0])].append(words)

    def send(self, words: list[int]) -> None:
        """A packet of the host."""
        words = [int(word) for word in words]
        self.sent.append(words)
        self.counters["words_in"] += len(words)
        self.counters["packets_in"] += 1
        if cause := link_cause(self.config, words):
            self.counters["dropped"] += 1
            self._post(_LINK, link_fault(words, cause).words())
        elif words[0] & 15 in INPUT_KINDS:
            for place in self._places(HEADER.unpack(words[0])):
                self._channels[_HOST, place].append(words)
        elif _place_of(words[0]) == _HOST:
            self._post(_LINK, link_reply(words, self.counters).words())
        else:
            self._post(_HOST, words)

    def _places(self, header):
        """The cores that get inputs of the host."""
        place = header["x"], header["y"]
        if not header["host"]:
            return [place]
        if self.config.chain:
            return list(self.cores)[: list(self.cores).index(place) + 1]
        return [(x, y) for x, y in self.cores if x <= place[0] and y <= place[1]]

    def receive(self) -> list[int] | None:
        """The next packet's words for the host, or None where the chip has come to rest."""
        while True:
            ready = [channel for channel, queue in self._channels.items() if queue]
            moves = [channel for channel in ready if not _is_look(self._channels[channel][0])] or ready
            moves += [job for place, core in self.cores.items() for job in self._jobs(place, core)]
            moves = moves or [job for core in self.cores.values() for job in core.jobs()]
            if not moves:
                return None
            move = self.random.choice(moves)
            if callable(move):
                move()
                continue
            words = self._channels[move].popleft()
            if move[1] == _HOST:
                self.counters["words_out"] += len(words)
                self.counters["packets_out"] += 1
                return words
            self.cores[move[1]].take(words)

    def _jobs(self, place, core):
        """What a core may do next; one that is late has other things to do."""
        return core.jobs(gradients=place not in self.late)

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


def _place_of(word):
    """Where a header leads: a core's place, or the host."""
    fields = HEADER.unpack(word)
    return _HOST if fields["host"] else (fields["x"], fields["y"])


def _is_look(words):
    """A READ of a core's state, which may be read at any time."""
    kind, _, tag = parse_header(words[0]) if words[0] & 15 == Kind.READ else (None, None, None)
    return kind is not None and tag["region"] >= Region.CONTROL
