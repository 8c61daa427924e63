# SPDX-License-Identifier: Apache-2.0
"""One core: what each packet does, why it is dropped, and which jobs follow."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from backspike.spec.config import ChipConfig
from backspike.spec.counters import COUNTERS
from backspike.spec.packets import (
    HEADER,
    HOST_KINDS,
    INPUT_KINDS,
    MAX_PAYLOAD,
    TAGS,
    Cause,
    Kind,
    Packet,
    payload_range,
)
from backspike.spec.tables import EXPECTATIONS_STRIDE, Region
from tests.support.chip_model.learning import Learning
from tests.support.chip_model.memory import Memory
from tests.support.chip_model.slots import Slice

__all__ = ["ModelCore", "Unspecified"]


class Unspecified(Exception):
    """What the contract leaves open has happened.

    An ERROR came behind those that say that all have come: it counts for the frame whose errors were complete, or for
    the next one in its slot. Or the first frame of a slice goes on with a sample: its potentials are undefined.
    """


@dataclass(frozen=True)
class _Moment:
    """All on which it depends whether a packet is wanted.

    ``working``: a job is to be done, ``erasing``: what is left of samples before a restart, ``reading``: a READ is
    being answered, of ``memory`` that jobs use or of something else.
    """

    slices: list
    working: bool = False
    erasing: bool = False
    reading: bool = False
    memory: bool = False

    def wants(self, kind, tag):
        """Whether a well-formed packet is taken; else its cause is STATE."""
        if kind in (Kind.READ, Kind.WRITE):
            closed = tag["region"] < Region.CONTROL and (self.working or self.memory)
            return not closed and not (kind == Kind.READ and self.reading)
        if kind == Kind.UPDATE:
            return self.slices[tag["slice"]].takes(kind, tag)
        return not self.erasing and (kind == Kind.ERROR or self.slices[tag["slice"]].takes(kind, tag))


class ModelCore:
    """Takes packets, and does its jobs when it is told to.

    A core that does every job at once is the fastest there can be. Hardware is somewhere behind it, and the rule is
    that nothing else differs: a packet has the same effect, or it is dropped with cause STATE because of something that
    the fastest core has behind it already (:meth:`follow`).

    Parameters
    ----------
    config: ChipConfig
    x, y: its place
    send: called with each ``Packet`` that leaves

    Attributes
    ----------
    memory: Memory
    slices: their samples
    counters: of ``COUNTERS``, those that count packets; those of busy engines count jobs, the others stay 0
    """

    def __init__(self, config: ChipConfig, x: int, y: int, send: Callable):
        self.config, self.x, self.y, self.send = config, x, y, send
        self.memory = Memory(config)
        self.learning = Learning(config, self.memory)
        self.slices = [Slice(config) for _ in range(config.slices)]
        self.erasing = True
        self.counters = self.memory.words[Region.COUNTER]
        self._past = []

    # Packets

    def take(self, words: list[int]) -> Cause | None:
        """A packet comes: it acts, or it is dropped and reported. Returns the cause."""
        cause = self.cause(words)
        if cause:
            self._drop(words, cause)
        else:
            self._act(words)
        return cause

    def follow(self, words: list[int], dropped: bool) -> Cause | None:
        """The same with a packet that hardware has dropped or not, after which all jobs are done.

        ``AssertionError`` where the contract does not allow that.
        """
        cause = self.cause(words)
        if dropped and not cause:
            kind, tag = _parse(words)
            late = any(not moment.wants(kind, tag) for moment in self._past)
            assert late, f"{kind.name} {tag} was dropped, and there is no reason to"
            cause = Cause.STATE
        assert dropped or not cause, f"{_parse(words)} was taken, and should be dropped: {cause!r}"
        if cause:
            self._drop(words, cause)
        else:
            self._check_order(words)
            self._act(words)
        self._past.append(self._moment(words))
        while job := next(self.jobs(), None):
            self._past.append(self._moment())
            job()
        return cause

    def _check_order(self, words):
        """Of an ERROR: none of the jobs since the rest was the taking of errors of its neuron and slot."""
        if words[0] & 15 == Kind.ERROR:
            tag = _parse(words)[1]
            for moment in self._past:
                for index, own in enumerate(moment.slices):
                    if own.backward == tag["slot"] and own.ready_backward and self._owns(index, tag["neuron"]):
                        raise Unspecified

    def _owns(self, index, neuron):
        d = self.memory.descriptor(index)
        return d["neuron"] <= neuron < d["neuron"] + d["outputs"]

    def rest(self) -> None:
        """Hardware has nothing left to do either."""
        self._past = []

    def cause(self, words: list[int]) -> Cause | None:
        """Why a packet is dropped now, or None; the first cause that applies, and of a WRITE its first wrong word's."""
        code, length = words[0] & 15, len(words) - 1
        if code not in HOST_KINDS or (code == Kind.BACK and not self.config.ternary):
            return Cause.KIND
        kind, tag = _parse(words)
        low, high = payload_range(kind)
        if not low <= length <= high:
            return Cause.LENGTH
        limits = {
            "slice": self.config.slices,
            "slot": self.config.slots,
            "step": self.config.steps,
            "word": self.config.tape_words,
            "neuron": self.config.neurons,
        }
        ignored = self._ignores(words)
        if not ignored and any(tag[name] >= limit for name, limit in limits.items() if name in tag):
            return Cause.FIELD
        if kind == Kind.WRITE:
            return self._write_cause(tag, words)[0]
        if kind == Kind.READ and not self.memory.readable(tag["region"], words[1], tag["count"]):
            return Cause.FIELD
        return None if ignored or self._now().wants(kind, tag) else Cause.STATE

    def _ignores(self, words):
        """Whether a packet brings inputs for other cores only."""
        kind, tag = _parse(words)
        if kind not in INPUT_KINDS or not HEADER.unpack(words[0])["host"]:
            return False
        return tag["slice"] >= len(self.slices) or not self.slices[tag["slice"]].need["shared"]

    def _write_cause(self, tag, words):
        """Cause, and how many words are written before it."""
        wanted = self._now().wants(Kind.WRITE, tag)
        for n in range(len(words) - 2):
            if not self.memory.writable(tag["region"], words[1] + n & 0xFFFFFFFF):
                return Cause.FIELD, n
            if not wanted:
                return Cause.STATE, 0
        return None, len(words) - 2

    def _drop(self, words, cause):
        self._count("dropped")
        if words[0] & 15 == Kind.WRITE and cause in (Cause.FIELD, Cause.LENGTH):
            self._write(words)
        tag = {"cause": cause, "from_x": self.x, "from_y": self.y, "link": 0}
        self.send(Packet(Kind.FAULT, tag, (words[0],), host=1))

    def _act(self, words):
        self._count("packets_in")
        if self._ignores(words):
            return
        kind, tag = _parse(words)
        payload = words[1:]
        match kind:
            case Kind.WRITE:
                self._write(words)
            case Kind.READ:
                self._answer(tag, payload[0])
            case Kind.ERROR:
                self._add_error(tag, payload)
            case Kind.UPDATE:
                self.slices[tag["slice"]].update = tag["clear"], tag["velocities"]
            case Kind.SPIKES | Kind.MORE | Kind.BACK:
                self._add_inputs(kind, tag, payload)
            case Kind.ERRORS_DONE:
                self.slices[tag["slice"]].slots[tag["slot"]].markers += 1
            case Kind.CREDIT:
                self.slices[tag["slice"]].slots[tag["slot"]].owed -= 1
            case Kind.LABEL:
                self.slices[tag["slice"]].slots[tag["slot"]].label = tag["label"]

    def _write(self, words):
        """The words before the first wrong one."""
        _, tag = _parse(words)
        count = self._write_cause(tag, words[: MAX_PAYLOAD + 1])[1]
        for address, word in enumerate(words[2 : 2 + count], start=words[1]):
            self.memory.write(tag["region"], address, word)
            if tag["region"] == Region.EXPECTATION:
                self.slices[address // EXPECTATIONS_STRIDE].write(address % EXPECTATIONS_STRIDE, word)
                self._restart()

    def _restart(self):
        for own in self.slices:
            own.restart()
        self.memory.errors.clear()
        self.erasing = True

    def _answer(self, tag, address):
        if tag["region"] == Region.CONTROL:
            busy = self.erasing or self._working
            self.memory.words[Region.CONTROL][0] = self.memory.words[Region.CONTROL][0] & ~2 | busy << 1
        words = [self.memory.read(tag["region"], address + k) for k in range(tag["count"])]
        place = {"region": tag["region"], "from_x": self.x, "from_y": self.y, "link": 0}
        self.send(Packet(Kind.DATA, place, (address, *words), host=1))

    def _add_error(self, tag, payload):
        value, bits = sum(word << 32 * k for k, word in enumerate(payload)), 32 * len(payload)
        value -= (value >> bits - 1) << bits
        place = tag["slot"], tag["neuron"], tag["step"]
        total = self.memory.errors.get(place, 0) + value
        self.memory.errors[place] = (total + (1 << 95)) % (1 << 96) - (1 << 95)

    def _add_inputs(self, kind, tag, payload):
        slot = self.slices[tag["slice"]].slots[tag["slot"]]
        slot.arrived.add((tag["step"], tag["word"]))
        if tag["step"] == 0:
            slot.kind, slot.train = kind, tag["train"]
        place = tag["slot"], tag["step"], tag["word"]
        self.memory.spikes[place], self.memory.masks[place] = payload

    # Jobs

    @property
    def _working(self):
        return not self.erasing and next(self.jobs(), None) is not None

    def _now(self):
        return _Moment(self.slices, self._working, self.erasing)

    def _moment(self, words=(0,)):
        """What is now, to be kept; ``words``: of the packet that has just been taken."""
        reading = words[0] & 15 == Kind.READ
        memory = reading and _parse(words)[1]["region"] < Region.CONTROL
        return _Moment([own.copy() for own in self.slices], self._working, self.erasing, reading, memory)

    def jobs(self, gradients: bool = True) -> Iterator[Callable]:
        """What could be done next; without ``gradients``, those of a sample are not."""
        if self.erasing:
            yield self.erase
            return
        for index, own in enumerate(self.slices):
            if own.startable:
                yield lambda n=index: self.forward(n)
            if own.ready_backward:
                yield lambda n=index: self.backward(n)
            if own.finishing and gradients:
                yield lambda n=index: self.finish(n)
            if own.updatable:
                yield lambda n=index: self.update(n)

    def erase(self) -> None:
        """After a restart, and after reset."""
        self.erasing = False

    def forward(self, index: int) -> None:
        """One step of a frame; its spikes are sent at once, so that the next layer may begin."""
        self._count("fp_busy")
        d, own = self.memory.descriptor(index), self.slices[index]
        number, slot = own.forward, own.slots[own.forward]
        step = slot.steps
        if step == 0:
            slot.owed = own.need["credits"]
        begins = slot.kind == Kind.SPIKES and step == 0
        if not begins and index not in self.learning.potentials:
            raise Unspecified
        if slot.kind == Kind.BACK:
            spikes, masks, noise = self.learning.rest(index, number)
        else:
            spikes, masks, noise = self.learning.forward(index, number, step, begins, slot.train)
        for route in self.memory.routes(d["targets_base"], d["targets"]):
            for k in range(0, d["outputs"], 32):
                sent = noise if self.config.noise and route["noise"] else spikes
                words = [sum(b << j for j, b in enumerate(bits[k : k + 32])) for bits in (sent, masks)]
                tag = {"slice": route["slice"], "slot": number, "step": step, "word": route["word"] + k // 32}
                self._send(slot.kind, route, {**tag, "train": slot.train}, *words)
        slot.steps += 1
        if slot.steps == own.need["steps"]:
            slot.stage = "backward"
            own.forward = (number + 1) % self.config.slots

    def backward(self, index: int) -> None:
        """Deltas and errors; the gradients follow in a job of their own, so that errors may be far ahead of them."""
        self._count("delta_busy")
        d, own = self.memory.descriptor(index), self.slices[index]
        number, slot = own.backward, own.slots[own.backward]
        if self.config.operand_bits > 1:
            self.learning.trace(index, number, slot.kind == Kind.SPIKES)
        back = slot.kind == Kind.BACK and slot.train
        if not back:
            self.learning.charges.pop(index, None)
        if slot.train:
            find = self.learning.find_spikes if back else self.learning.find_deltas
            find(index, number, slot.label)
            slot.markers, slot.label = 0, None
            for x, y, neuron, step, total in self.learning.errors(index, number):
                words = [total >> 32 * k & 0xFFFFFFFF for k in range(2 if -1 << 63 <= total < 1 << 63 else 3)]
                tag = {"neuron": neuron, "step": step, "slot": number}
                self._send(Kind.ERROR, {"x": x, "y": y, "host": int(d["errors"] == 3)}, tag, *words)
            if d["errors"]:
                for route in self.memory.routes(d["sources_base"], d["sources"]):
                    self._send(Kind.ERRORS_DONE, route, {"slice": route["slice"], "slot": number})
        slot.stage = "gradients"

    def finish(self, index: int) -> None:
        """The gradients of a frame, and its slot is free."""
        self._count("wg_busy")
        d, own = self.memory.descriptor(index), self.slices[index]
        number, slot = own.backward, own.slots[own.backward]
        if slot.train:
            self.learning.accumulate(index, number)
        slot.free()
        own.backward = (number + 1) % self.config.slots
        for route in self.memory.routes(d["sources_base"], d["sources"]):
            tag = {"slice": route["slice"], "slot": number, "from_x": self.x, "from_y": self.y}
            self._send(Kind.CREDIT, route, tag)

    def update(self, index: int) -> None:
        """The end of a batch for a slice."""
        own = self.slices[index]
        clear, velocities = own.update
        own.update = None
        self.learning.update(index, clear, velocities)
        self._send(Kind.UPDATED, {"x": 0, "y": 0, "host": 1}, {"slice": index, "from_x": self.x, "from_y": self.y})

    def _count(self, name):
        self.counters[COUNTERS.index(name)] += 1

    def _send(self, kind, to, tag, *payload):
        self._count("packets_out")
        self.send(Packet(kind, tag, payload, to["x"], to["y"], to["host"]))


def _parse(words):
    """Kind and tag fields of a packet of a known kind."""
    kind = Kind(words[0] & 15)
    return kind, TAGS[kind].unpack(HEADER.unpack(words[0])["tag"])
