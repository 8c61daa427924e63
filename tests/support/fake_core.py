# SPDX-License-Identifier: Apache-2.0
"""A core at packet level: it follows its tables, term by term, in exact integers."""

from collections import defaultdict
from functools import cache

import numpy as np

from backspike.spec.counters import COUNTERS
from backspike.spec.packets import NO_LABEL, Cause, Kind, Packet
from backspike.spec.tables import (
    DESCRIPTOR,
    DESCRIPTOR_STRIDE,
    EXPECTATIONS,
    FAN_IN,
    FAN_IN_STRIDE,
    ROUTE,
    TAPE_SLOT_STRIDE,
    TAPE_STRIDE,
    Region,
)


@cache
def _units(fmt, pattern):
    return int(np.ldexp(fmt.decode(pattern), -fmt.lsb))


class FakeSlot:
    def __init__(self):
        self.owed = self.markers = 0
        self.label = self.train = None
        self.free()

    def free(self):
        """``inputs``: payload by step and word; ``history``: (spikes, masks) of the steps so far; ``u``: potentials."""
        self.stage, self.inputs, self.history, self.u = "filling", defaultdict(dict), [], None


class FakeSlice:
    def __init__(self, config, need):
        self.need = need
        self.slots = [FakeSlot() for _ in range(config.slots)]
        self.forward = self.backward = 0
        self.update = None

    def accepts(self, slot, step):
        return slot.stage == "filling" and step < self.need["steps"] and not self.complete(slot, step)

    def complete(self, slot, step):
        return len(slot.inputs[step]) == self.need["inputs"]

    @property
    def startable(self):
        """Whether the next step of the sample whose turn it is may start; once it has begun, consumers have room."""
        slot = self.slots[self.forward]
        step = len(slot.history)
        return slot.stage == "filling" and self.complete(slot, step) and (step > 0 or not slot.owed)

    @property
    def idle(self):
        return all(slot.stage == "filling" and not slot.history for slot in self.slots)


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
        values = self.table(DESCRIPTOR, Region.DESCRIPTOR, index * DESCRIPTOR_STRIDE)
        values["channels"] = (values["blocks"] - 1) * self.config.lanes + values["last_lanes"]
        values["outputs"] = values["channels"] * values["out_width"] * values["out_height"]
        for name in (
            "threshold",
            "mask_low",
            "mask_high",
            "kappa",
            "reset",
            "kappa_back",
            "amplitude",
            "loss_scale",
            "minus_rate",
            "momentum",
        ):
            values[name] = self.units(values[name])
        return values

    def units(self, pattern):
        """A stored number as an integer in units of the format's lsb."""
        return _units(self.config.format, pattern)

    def rounded(self, total, scale=2):
        """An exact sum in units of ``lsb ** scale``, rounded to a stored number in units of lsb."""
        fmt, shift = self.config.format, max(0, int(total).bit_length() - 50)
        odd = total >> shift | bool(total & ((1 << shift) - 1))  # cut to 50 bits, rounded to odd
        return int(np.ldexp(fmt.round(np.ldexp(float(odd), shift + scale * fmt.lsb)), -fmt.lsb))

    def pattern(self, units):
        fmt = self.config.format
        return int(fmt.encode(np.ldexp(float(units), fmt.lsb)))

    @property
    def busy(self):
        return not all(own.idle for own in self.slices.values())

    def fault(self, packet, cause):
        tag = {"cause": cause, "from_x": self.x, "from_y": self.y, "link": 0}
        self.post(Kind.FAULT, tag, [packet.words()[0]], host=1)

    def take(self, packet):
        tag, kind = packet.tag, packet.kind
        if kind in (Kind.WRITE, Kind.READ):
            return self.access(packet, tag["region"])
        if kind == Kind.ERROR:
            value, bits = sum(word << 32 * k for k, word in enumerate(packet.payload)), 32 * len(packet.payload)
            value -= (value >> bits - 1) << bits
            self.errors[tag["slot"], tag["neuron"], tag["step"]] += value
            return None
        own = self.slices[tag["slice"]]
        if kind == Kind.UPDATE:
            own.update = 1 + tag["clear"] + tag["velocities"]
            return None
        slot = own.slots[tag["slot"]]
        if kind == Kind.SPIKES:
            if not own.accepts(slot, tag["step"]):
                return self.fault(packet, Cause.STATE)
            assert tag["word"] not in slot.inputs[tag["step"]]
            slot.inputs[tag["step"]][tag["word"]] = packet.payload
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
        if region in (Region.GRADIENT, Region.GRADIENT_HIGH, Region.COUNTER):
            return self.fault(packet, Cause.FIELD)
        for k, word in enumerate(words, start=address):
            self.memory[region][k] = word
            if region == Region.EXPECTATION:
                self.slices[k] = FakeSlice(self.config, self.table(EXPECTATIONS, region, k))
        return None

    def jobs(self):
        for index, own in self.slices.items():
            need = own.need
            if own.startable:
                yield lambda i=index: self.forward(i)
            slot = own.slots[own.backward]
            ready = slot.label is not None if need["label"] else slot.markers == need["errors_done"]
            if slot.stage == "backward" and (ready or not slot.train):
                yield lambda i=index: self.backward(i)
            if (self.x, self.y) not in self.chip.late:
                yield from self.late_jobs()
            if own.update and own.idle:
                yield lambda i=index: self.update(i)

    def late_jobs(self):
        for index, own in self.slices.items():
            if own.slots[own.backward].stage == "gradients":
                yield lambda i=index: self.finish(i)

    def connections(self, d):
        """Of a slice: ``(output pixel, address of a row of weights, input)``; an input is ``(group, its bit)``."""
        blocks, window, seen = d["blocks"], self.config.list_depth, 0
        for entry in range(d["fan_in_base"], d["fan_in_base"] + d["fan_in"]):
            g = self.table(FAN_IN, Region.FAN_IN, entry * FAN_IN_STRIDE)
            places = [(0, 0)] if g["constant"] else list(self.taps(d))
            count = g["channels"] * (1 if g["constant"] else (d["kernel"] * d["pool"]) ** 2)
            seen += count
            assert count <= window
            assert g["neuron"] + g["channels"] * d["in_width"] * d["in_height"] <= 1 << 14
            for pixel in range(d["out_width"] * d["out_height"]):
                for tap, place in [(None, 0)] if g["constant"] else places[pixel]:
                    ky, kx = tap or (0, 0)
                    for channel in range(g["channels"]):
                        row = g["row_base"] + ky * g["row_stride"] + kx * g["tap_stride"] + channel * blocks
                        yield pixel, row % (1 << 17), (entry, place * g["channels"] + channel)
        assert d["kernel"] ** 2 * blocks <= window
        assert d["replay"] == (seen <= window)

    def taps(self, d):
        """For each output pixel, pairs of a tap (ky, kx) and the number of an input pixel under it."""
        kernel, pool = range(d["kernel"]), range(d["pool"])
        for y in range(d["out_height"]):
            for x in range(d["out_width"]):
                found = []
                for ky in kernel:
                    for kx in kernel:
                        above, left = (at * d["stride"] + k - d["padding"] for at, k in ((y, ky), (x, kx)))
                        if 0 <= above < d["in_height"] // d["pool"] and 0 <= left < d["in_width"] // d["pool"]:
                            found += [
                                ((ky, kx), (above * d["pool"] + i) * d["in_width"] + left * d["pool"] + j)
                                for i in pool
                                for j in pool
                            ]
                yield found

    def bit(self, number, slot, where, step, kind):
        """Spike (``kind`` 0) or mask (1) of an input ``(group, bit)`` in one step."""
        entry, bit = where
        g = self.table(FAN_IN, Region.FAN_IN, entry * FAN_IN_STRIDE)
        word = g["tape"] + bit // 32
        if g["constant"]:
            place = number * TAPE_SLOT_STRIDE + step * TAPE_STRIDE + word
            return (self.memory[Region.TAPE][place] >> bit & 1) * (not kind)
        return slot.inputs[step][word][kind] >> bit % 32 & 1

    def bits(self, d, number, slot, where, kind):
        """The same of all steps."""
        return [self.bit(number, slot, where, step, kind) for step in range(d["steps"])]

    def address(self, row, n):
        return (row + n // self.config.lanes) * self.config.lanes + n % self.config.lanes

    def weight(self, row, n):
        return self.units(self.memory[Region.WEIGHT][self.address(row, n)])

    def gradient(self, address):
        low, high = (self.memory[region][address] for region in (Region.GRADIENT, Region.GRADIENT_HIGH))
        return (high << 32 | low) - (high >> 31 << 64)

    def set_gradient(self, address, value):
        bits = self.config.format.fixed_width + (self.config.batch_terms - 1).bit_length()
        assert -1 << bits - 1 <= value < 1 << bits - 1
        self.memory[Region.GRADIENT][address] = value & 0xFFFFFFFF
        self.memory[Region.GRADIENT_HIGH][address] = value >> 32 & 0xFFFFFFFF

    def routes(self, d, which):
        base = d[f"{which}_base"]
        return [self.table(ROUTE, Region.ROUTE, base + k) for k in range(d[which])]

    def forward(self, index):
        """One step of a sample; its spikes are sent at once, so that the next layer may begin."""
        d, own = self.descriptor(index), self.slices[index]
        assert own.need["steps"] == d["steps"]
        number, slot = own.forward, own.slots[own.forward]
        step = len(slot.history)
        if step == 0:
            slot.owed, slot.u = own.need["credits"], [0] * d["outputs"]
        spikes, masks = self.neurons(d, slot, self.currents(d, number, slot, step))
        slot.history.append((spikes, masks))
        for route in self.routes(d, "targets"):
            for k in range(0, d["outputs"], 32):
                words = [sum(b << j for j, b in enumerate(bits[k : k + 32])) for bits in (spikes, masks)]
                tag = {"slice": route["slice"], "slot": number, "step": step, "word": route["word"] + k // 32}
                self.post(
                    Kind.SPIKES, {**tag, "train": slot.train}, words, x=route["x"], y=route["y"], host=route["host"]
                )
        if step + 1 == d["steps"]:
            slot.stage = "backward"
            own.forward = (number + 1) % self.config.slots

    def currents(self, d, number, slot, step):
        """The sums of one step, by output."""
        channels, currents = d["channels"], np.zeros(d["outputs"], dtype=np.int64)
        for pixel, row, where in self.connections(d):
            if self.bit(number, slot, where, step, 0):
                weights = [self.weight(row, n) for n in range(channels)]
                currents[pixel * channels : (pixel + 1) * channels] += weights
        return currents.tolist()

    def neurons(self, d, slot, currents):
        """Spikes and masks of one step; changes the potentials."""
        one = 1 << -self.config.format.lsb
        before = slot.history[-1][0] if slot.history else [0] * d["outputs"]
        for n, (spike, current) in enumerate(zip(before, currents, strict=True)):
            total = one * current
            if d["soft"]:
                total += d["kappa"] * slot.u[n] - d["reset"] * one * spike
            elif not spike:
                total += d["kappa"] * slot.u[n]
            slot.u[n] = self.rounded(total)
        return ([int(u >= d["threshold"]) for u in slot.u], [int(d["mask_low"] <= u <= d["mask_high"]) for u in slot.u])

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
        for route in self.routes(d, "sources"):
            tag = {"slice": route["slice"], "slot": number, "from_x": self.x, "from_y": self.y}
            self.post(Kind.CREDIT, tag, x=route["x"], y=route["y"], host=route["host"])
        slot.free()
        own.backward = (number + 1) % self.config.slots

    def deltas(self, d, number, slot):
        one = 1 << -self.config.format.lsb
        deltas = []
        for n in range(d["outputs"]):
            neuron = d["neuron_base"] + n
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
        channels, sums = d["channels"], defaultdict(lambda: [0] * d["steps"])
        for pixel, row, where in self.connections(d):
            if any(masks := self.bits(d, number, slot, where, 1)):
                for n in range(channels):
                    weight, delta = self.weight(row, n), slot.deltas[pixel * channels + n]
                    sums[where] = [
                        total + weight * value * mask
                        for total, value, mask in zip(sums[where], delta, masks, strict=True)
                    ]
        for (entry, bit), totals in sums.items():
            owner = self.table(FAN_IN, Region.FAN_IN, entry * FAN_IN_STRIDE)
            for t, total in enumerate(totals):
                if total:
                    tag = {"neuron": owner["neuron"] + bit, "step": t, "slot": number}
                    words = [total >> 32 * k & 0xFFFFFFFF for k in range(2 if -1 << 63 <= total < 1 << 63 else 3)]
                    self.post(Kind.ERROR, tag, words, x=owner["x"], y=owner["y"])
        for route in self.routes(d, "sources"):
            self.post(Kind.ERRORS_DONE, {"slice": route["slice"], "slot": number}, x=route["x"], y=route["y"])

    def accumulate(self, d, number, slot):
        channels = d["channels"]
        for pixel, row, where in self.connections(d):
            spikes = self.bits(d, number, slot, where, 0)
            if any(spikes):
                for n, delta in enumerate(slot.deltas[pixel * channels : (pixel + 1) * channels]):
                    total = sum(v for v, s in zip(delta, spikes, strict=True) if s)
                    if total:
                        address = self.address(row, n)
                        self.set_gradient(address, self.gradient(address) + total)

    def update(self, index):
        d, own = self.descriptor(index), self.slices[index]
        one, lanes = 1 << -self.config.format.lsb, self.config.lanes
        base, end = (lanes * (d["weight_base"] + k) for k in (0, d["weight_words"]))
        for address in range(base, end):
            if own.update == 1:
                w, g = self.units(self.memory[Region.WEIGHT][address]), one * self.gradient(address)
                if self.config.momentum:
                    g += d["momentum"] * self.units(self.memory[Region.VELOCITY][address])
                g = self.rounded(g)
                if self.config.momentum:
                    self.memory[Region.VELOCITY][address] = self.pattern(g)
                self.memory[Region.WEIGHT][address] = self.pattern(self.rounded(one * w + d["minus_rate"] * g))
            elif self.config.momentum and own.update == 3:
                self.memory[Region.VELOCITY][address] = 0
            self.set_gradient(address, 0)
        own.update = None
        self.post(Kind.UPDATED, {"slice": index, "from_x": self.x, "from_y": self.y}, host=1)
