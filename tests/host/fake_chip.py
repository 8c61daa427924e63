# SPDX-License-Identifier: Apache-2.0
"""A chip at packet level for tests of the compiler and the driver: it knows only packets and what was written.

Packets between two nodes stay in order; everything else happens in random order. Memory that nobody wrote cannot be
read.
"""

import random
from collections import defaultdict, deque
from functools import cache

import numpy as np

from backspike.host.packets import parse_packet
from backspike.host.protocol import (
    CHUNK_HIGH,
    CHUNK_LOW,
    COUNTERS,
    DESCRIPTOR,
    LINK_COUNTERS,
    NEED,
    NO_LABEL,
    PEER,
    TAPE_STRIDE,
    Cause,
    Kind,
    Packet,
    Region,
)

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


@cache
def _units(fmt, pattern):
    return int(np.ldexp(fmt.decode(pattern), -fmt.lsb))


class FakeSlot:
    def __init__(self):
        self.stage, self.owed = "filling", 0
        self.arrived, self.markers, self.label, self.train = 0, 0, None, None
        self.inputs, self.history = {}, None

    def free(self):
        self.stage, self.arrived, self.inputs = "filling", 0, {}


class FakeSlice:
    def __init__(self, config, need):
        self.need = need
        self.slots = [FakeSlot() for _ in range(config.slots)]
        self.forward = self.backward = 0
        self.update = None


class FakeCore:
    def __init__(self, chip, x, y):
        self.chip, self.config, self.x, self.y = chip, chip.config, x, y
        self.memory = defaultdict(dict)
        self.memory[Region.CONTROL] = {0: 0, 1: 0}
        self.memory[Region.COUNTER] = dict.fromkeys(range(len(COUNTERS)), 7)
        self.slices = {}
        self.errors = defaultdict(int)

    def post(self, kind, tag, payload=(), **to):
        self.chip.post((self.x, self.y), Packet(kind, tag, tuple(payload), **to))

    def table(self, fields, region, address):
        words = [self.memory[region][address + k] for k in range(fields.word_count)]
        return fields.unpack(sum(word << 32 * k for k, word in enumerate(words)))

    def descriptor(self, index):
        values = self.table(DESCRIPTOR, Region.DESCRIPTOR, index * 16)
        for name in ("threshold", "mask_low", "mask_high", "kappa", "reset", "kappa_back", "amplitude", "loss_scale",
                     "minus_rate", "momentum"):  # fmt: skip
            values[name] = self.units(values[name])
        return values

    def units(self, pattern):
        """A stored number as an integer in units of the format's lsb."""
        return _units(self.config.format, pattern)

    def rounded(self, total, scale=2):
        """An exact sum in units of ``lsb ** scale``, rounded to a stored number in units of lsb."""
        fmt = self.config.format
        assert abs(total) < 1 << 53
        return int(np.ldexp(fmt.round(np.ldexp(float(total), scale * fmt.lsb)), -fmt.lsb))

    def pattern(self, units):
        fmt = self.config.format
        return int(fmt.encode(np.ldexp(float(units), fmt.lsb)))

    @property
    def busy(self):
        return any(slot.stage != "filling" for own in self.slices.values() for slot in own.slots)

    def fault(self, packet, cause):
        tag = {"cause": cause, "from_x": self.x, "from_y": self.y, "link": 0}
        self.post(Kind.FAULT, tag, [packet.words()[0]], host=1)

    def take(self, packet):
        tag, kind = packet.tag, packet.kind
        if kind in (Kind.WRITE, Kind.READ):
            return self.access(packet, tag["region"])
        if kind == Kind.ERROR:
            value = sum(word << 32 * k for k, word in enumerate(packet.payload))
            value -= (value >> 95) << 96
            self.errors[tag["slot"], tag["neuron"], tag["step"]] += value
            return None
        own = self.slices[tag["slice"]]
        if kind == Kind.UPDATE:
            own.update = 1 + tag["clear"] + tag["velocities"]
            return None
        slot = own.slots[tag["slot"]]
        if kind == Kind.SPIKES:
            if slot.stage != "filling" or slot.arrived == own.need["inputs"]:
                return self.fault(packet, Cause.STATE)
            assert (tag["word"], tag["step"]) not in slot.inputs
            slot.inputs[tag["word"], tag["step"]] = packet.payload
            slot.arrived += 1
            slot.train = tag["train"]
        elif kind == Kind.ERRORS_DONE:
            slot.markers += 1
        elif kind == Kind.CREDIT:
            assert slot.owed
            slot.owed -= 1
        elif kind == Kind.LABEL:
            slot.label = tag["label"]
        return None

    def access(self, packet, region):
        if self.busy and region < Region.CONTROL:
            return self.fault(packet, Cause.STATE)
        address, *words = packet.payload
        if packet.kind == Kind.READ:
            self.memory[Region.CONTROL][0] = self.memory[Region.CONTROL][0] & 5 | self.busy << 1
            words = [self.memory[region][address + k] for k in range(packet.tag["count"])]
            tag = {"region": region, "from_x": self.x, "from_y": self.y, "link": 0}
            while words:
                count = self.chip.random.randint(1, len(words))
                self.post(Kind.DATA, tag, [address, *words[:count]], host=1)
                address, words = address + count, words[count:]
            return None
        for k, word in enumerate(words, start=address):
            self.memory[region][k] = word
            if region == Region.NEED:
                self.slices[k] = FakeSlice(self.config, self.table(NEED, region, k))
        return None

    def jobs(self):
        for index, own in self.slices.items():
            slot = own.slots[own.forward]
            need = own.need
            if slot.stage == "filling" and slot.arrived == need["inputs"] and not slot.owed:
                yield lambda i=index: self.forward(i)
            slot = own.slots[own.backward]
            ready = slot.label is not None if need["label"] else slot.markers == need["markers"]
            if slot.stage == "backward" and (ready or not slot.train):
                yield lambda i=index: self.backward(i)
            if (self.x, self.y) not in self.chip.late:
                yield from self.late_jobs()
            if own.update and all(slot.stage == "filling" for slot in own.slots):
                yield lambda i=index: self.update(i)

    def late_jobs(self):
        for index, own in self.slices.items():
            if own.slots[own.backward].stage == "gradients":
                yield lambda i=index: self.finish(i)

    def rows(self, d, number, inputs):
        """Per weight row of a slice: address of its word 0, error owner, spikes and masks by step."""
        for word in range(d["tape_base"], d["tape_base"] + d["tape_words"]):
            low = self.table(CHUNK_LOW, Region.CHUNK_LOW, word)
            high = self.table(CHUNK_HIGH, Region.CHUNK_HIGH, word)
            constant = self.memory[Region.TAPE].get(number * TAPE_STRIDE + word)
            steps = [inputs.get((word, t), (constant, 0)) for t in range(d["steps"])]
            for bit in range(low["count"]):
                spikes, masks = ([pair[k] >> bit & 1 for pair in steps] for k in range(2))
                yield low["row_base"] + bit * d["blocks"], {**high, "neuron": high["neuron"] + bit}, spikes, masks

    def address(self, row, n):
        return (row + n // self.config.lanes) * self.config.lanes + n % self.config.lanes

    def weight(self, row, n, region=Region.WEIGHT):
        return self.units(self.memory[region][self.address(row, n)])

    def outputs(self, d):
        return (d["blocks"] - 1) * self.config.lanes + d["last_lanes"]

    def peers(self, d, which):
        base = d[f"{which}_base"]
        return [self.table(PEER, Region.PEER, base + k) for k in range(d[which])]

    def forward(self, index):
        d, own = self.descriptor(index), self.slices[index]
        number, slot = own.forward, own.slots[own.forward]
        one = 1 << -self.config.format.lsb
        count = self.outputs(d)
        u, s = [0] * count, [0] * count
        rows = list(self.rows(d, number, slot.inputs))
        slot.history = []
        for t in range(d["steps"]):
            for n in range(count):
                total = one * sum(self.weight(row, n) for row, _, spikes, _ in rows if spikes[t])
                if d["soft"]:
                    total += d["kappa"] * u[n] - d["reset"] * one * s[n]
                elif not s[n]:
                    total += d["kappa"] * u[n]
                u[n] = self.rounded(total)
                s[n] = int(u[n] >= d["threshold"])
            slot.history.append((list(s), [int(d["mask_low"] <= value <= d["mask_high"]) for value in u]))
            for peer in self.peers(d, "targets"):
                for k in range(0, count, 32):
                    words = [sum(b << j for j, b in enumerate(bits[k : k + 32])) for bits in slot.history[-1]]
                    tag = {"slice": peer["slice"], "slot": number, "step": t, "word": peer["word"] + k // 32}
                    self.post(Kind.SPIKES, {**tag, "train": slot.train}, words,
                              x=peer["x"], y=peer["y"], host=peer["host"])  # fmt: skip
        slot.stage, slot.owed = "backward", own.need["credits"]
        own.forward = (number + 1) % self.config.slots

    def backward(self, index):
        """Deltas and errors; the gradients follow in a job of their own, so that errors may be far ahead of them."""
        d, own = self.descriptor(index), self.slices[index]
        number, slot = own.backward, own.slots[own.backward]
        if slot.train:
            slot.deltas = self.deltas(d, number, slot)
            slot.markers, slot.label = 0, None
            if d["errors"]:
                self.propagate(d, number, slot)
        slot.stage = "gradients"

    def finish(self, index):
        d, own = self.descriptor(index), self.slices[index]
        number, slot = own.backward, own.slots[own.backward]
        if slot.train:
            self.accumulate(d, number, slot)
        for peer in self.peers(d, "sources"):
            tag = {"slice": peer["slice"], "slot": number, "from_x": self.x, "from_y": self.y}
            self.post(Kind.CREDIT, tag, x=peer["x"], y=peer["y"], host=peer["host"])
        slot.free()
        own.backward = (number + 1) % self.config.slots

    def deltas(self, d, number, slot):
        one = 1 << -self.config.format.lsb
        deltas = []
        for n in range(self.outputs(d)):
            neuron = d["block_base"] * self.config.lanes + n
            column = [(spikes[n], masks[n]) for spikes, masks in slot.history]
            difference = sum(s for s, _ in column) - (d["steps"] if slot.label == n else 0)
            delta, result = 0, []
            for t in reversed(range(d["steps"])):
                spike, mask = column[t]
                error = self.errors.pop((number, neuron, t), 0)
                error = self.rounded(d["loss_scale"] * one * difference) if d["loss"] else self.rounded(error)
                total = d["amplitude"] * error * mask
                if d["soft"] or not spike:
                    total += d["kappa_back"] * delta
                delta = self.rounded(total)
                result.insert(0, delta)
            deltas.append(result)
        assert not d["loss"] or slot.label == NO_LABEL or slot.label < len(deltas)
        return deltas

    def propagate(self, d, number, slot):
        for row, owner, _, masks in self.rows(d, number, slot.inputs):
            for t in range(d["steps"]):
                total = sum(self.weight(row, n) * delta[t] for n, delta in enumerate(slot.deltas)) if masks[t] else 0
                if total:
                    tag = {"neuron": owner["neuron"], "step": t, "slot": number}
                    words = [total >> 32 * k & 0xFFFFFFFF for k in range(3)]
                    self.post(Kind.ERROR, tag, words, x=owner["x"], y=owner["y"])
        for peer in self.peers(d, "sources"):
            self.post(Kind.ERRORS_DONE, {"slice": peer["slice"], "slot": number}, x=peer["x"], y=peer["y"])

    def accumulate(self, d, number, slot):
        one = 1 << -self.config.format.lsb
        for row, _, spikes, _ in self.rows(d, number, slot.inputs):
            for n, delta in enumerate(slot.deltas):
                total = sum(v for v, s in zip(delta, spikes, strict=True) if s)
                if total:
                    gradient = self.rounded(one * (self.weight(row, n, Region.GRADIENT) + total))
                    self.memory[Region.GRADIENT][self.address(row, n)] = self.pattern(gradient)

    def update(self, index):
        d, own = self.descriptor(index), self.slices[index]
        one, lanes = 1 << -self.config.format.lsb, self.config.lanes
        base, end = (lanes * (d["weight_base"] + k) for k in (0, d["weight_words"]))
        for address in range(base, end):
            if own.update == 1:
                w, g = (self.units(self.memory[region][address]) for region in (Region.WEIGHT, Region.GRADIENT))
                if self.config.momentum:
                    g = self.rounded(d["momentum"] * self.units(self.memory[Region.VELOCITY][address]) + one * g)
                    self.memory[Region.VELOCITY][address] = self.pattern(g)
                self.memory[Region.WEIGHT][address] = self.pattern(self.rounded(one * w + d["minus_rate"] * g))
            elif self.config.momentum and own.update == 3:
                self.memory[Region.VELOCITY][address] = 0
            self.memory[Region.GRADIENT][address] = 0
        own.update = None
        self.post(Kind.UPDATED, {"slice": index, "from_x": self.x, "from_y": self.y}, host=1)
