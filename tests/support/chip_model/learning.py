# SPDX-License-Identifier: Apache-2.0
"""What a core computes for one slice, term by term, in exact integers."""

from collections import defaultdict
from fractions import Fraction

import numpy as np

from backspike.spec.config import ChipConfig
from backspike.spec.packets import NO_LABEL
from backspike.spec.tables import Region
from tests.support.chip_model.memory import Memory

__all__ = ["Learning"]


class Learning:
    """Forward step, deltas, errors, gradients and update of the slices of a core.

    Parameters
    ----------
    config: ChipConfig
    memory: Memory of the core

    Attributes
    ----------
    potentials: by slice: (potential, spike, spikes before that) that the last step has left, by output
    history: by slice and slot: (spikes, masks, all spikes of the sample) of the steps so far
    deltas: by slice: of the frame whose errors are known, by output and step
    charges: by slice: the potentials of ternary spikes that the last frame has left, by output
    operands: by tape word: of its 32 inputs, after the last frame
    """

    def __init__(self, config: ChipConfig, memory: Memory):
        self.config, self.memory, self.numbers = config, memory, memory.numbers
        self.potentials, self.history, self.deltas, self.operands = {}, defaultdict(list), {}, {}
        self.charges = {}

    def forward(self, index: int, number: int, step: int, begins: bool, train: int) -> tuple[list, list, list]:
        """Spikes, masks and noise of all outputs in one step of the frame in slot ``number``.

        ``begins``: it is the first step of a sample; others go on from what the step before has left. ``train``: the
        frame is for training.
        """
        d, numbers, u, masked = self.memory.descriptor(index), self.numbers, [], []
        if step == 0:
            self.history[index, number] = []
        clamp = self.config.operand_bits > 1 and d["clamp"] and train
        state = [(0, 0, 0)] * d["outputs"] if begins else self.potentials[index]
        for (potential, spike, count), current in zip(state, self._currents(d, number, step), strict=True):
            total = numbers.one * current
            if d["soft"] or not spike:
                total += d["kappa"] * potential
            lost = d["reset"] * numbers.one * spike if d["soft"] else 0
            u.append(numbers.rounded(total - lost))
            masked.append(numbers.rounded(total + d["reset"] * numbers.one * count) if clamp else u[-1])
        bits = [0] * d["outputs"]
        thresholds = [d["threshold"]] * d["outputs"]
        if self.config.noise and train:
            bits = [self._noise_bit(d["neuron"] + n) for n in range(d["outputs"])]
            thresholds = [d["threshold_lowered" if bit else "threshold_raised"] for bit in bits]
        spikes = [int(value >= threshold) for value, threshold in zip(u, thresholds, strict=True)]
        masks = [int(d["mask_low"] <= value <= d["mask_high"]) for value in masked]
        counts = [(count + spike) % (1 << self.config.operand_bits) for _, spike, count in state]
        self.potentials[index] = list(zip(u, spikes, counts, strict=True))
        whole = [count + spike for count, spike in zip(counts, spikes, strict=True)]
        self.history[index, number].append((spikes, masks, whole))
        return spikes, masks, [bit & mask for bit, mask in zip(bits, masks, strict=True)]

    def _noise_bit(self, neuron):
        """The low bit of a neuron's generator, which goes on: Marsaglia's xorshift of 16 bits, by 7, 9 and 8."""
        states = self.memory.words[Region.NOISE]
        state = given = states.get(neuron, 0)
        for shift in (7, -9, 8):
            state ^= (state << shift if shift > 0 else state >> -shift) & 0xFFFF
        if neuron in states:
            states[neuron] = state
        return given & 1

    def rest(self, index: int, number: int) -> tuple[list, list, list]:
        """The same in a frame in which errors go back: neurons stay as they are."""
        d = self.memory.descriptor(index)
        counts = [(count + spike) % (1 << self.config.operand_bits) for _, spike, count in self.potentials[index]]
        spikes = [0] * d["outputs"]
        masks = [int(d["loss"] > 0 or (count != 0 and count != d["sample"])) for count in counts]
        self.history[index, number] = [(spikes, masks, counts)]
        return spikes, masks, spikes

    def _currents(self, d, number, step):
        channels, currents = d["channels"], np.zeros(d["outputs"], dtype=np.int64)
        for pixel, row, where in self._connections(d):
            if self._bit(number, where, step, 0):
                weights = [self._weight(row, n) for n in range(channels)]
                currents[pixel * channels : (pixel + 1) * channels] += weights
        return currents.tolist()

    def find_deltas(self, index: int, number: int, label: int | None) -> None:
        """From the error sums, which are cleared, or from the label."""
        d, numbers, deltas = self.memory.descriptor(index), self.numbers, []
        for n in range(d["outputs"]):
            place = number, d["neuron"] + n
            column = [(spikes[n], masks[n], whole[n]) for spikes, masks, whole in self.history[index, number]]
            delta, result = 0, []
            for t in reversed(range(d["steps"])):
                spike, mask, _ = column[t]
                error = numbers.rounded(self._error(d, place, column, t, label == n))
                total = d["amplitude"] * error * mask
                if d["soft"] or not spike:
                    total += d["kappa_back"] * delta
                delta = numbers.rounded(total)
                result.insert(0, delta)
            deltas.append(result)
        assert label is None or label == NO_LABEL or label < NO_LABEL
        self.deltas[index] = deltas

    def find_spikes(self, index: int, number: int, label: int | None) -> None:
        """The same of a frame in which ternary spikes go back: deltas are those spikes."""
        d, numbers, half = self.memory.descriptor(index), self.numbers, self.numbers.one // 2
        charges = self.charges.setdefault(index, [0] * d["outputs"])
        for n, old in enumerate(charges):
            column = [(spikes[n], masks[n], whole[n]) for spikes, masks, whole in self.history[index, number]]
            given = self._error(d, (number, d["neuron"] + n), column, 0, label == n) * column[0][1]
            spike = (old >= half) - (old <= -half)
            charges[n] = numbers.rounded((old - spike * numbers.one) * numbers.one + given)
        self.deltas[index] = [[((new >= half) - (new <= -half)) * numbers.one] for new in charges]

    def _error(self, d, place, column, t, labelled):
        """The error of an output in a step, not rounded; its sum is cleared."""
        if not d["loss"]:
            return self.memory.errors.pop((*place, t), 0)
        count, (spike, _, whole) = sum(s for s, _, _ in column), column[t]
        spikes, steps = {1: (count, d["steps"]), 2: (spike, 1), 3: (whole, d["sample"])}[d["loss"]]
        difference = spikes - steps * labelled
        if d["loss"] == 3:
            most = 1 << self.config.operand_bits
            difference = -(-difference % most) if labelled else difference % most
        return d["loss_scale"] * self.numbers.one * difference

    def errors(self, index: int, number: int) -> list[tuple]:
        """(owner's x, y, its neuron, step, exact sum) of the masked inputs; sums of 0 are left out."""
        d, sums = self.memory.descriptor(index), defaultdict(lambda: [0] * 16)
        if not d["errors"]:
            return []
        asking = self._feedback(d)
        if d["errors"] != 2:
            assert d["groups"] == d["fan_in"]
            asking = (own for own in self._connections(d) if not self.memory.group(own[2][0])["constant"])
        for pixel, row, where in asking:
            if any(masks := self._bits(d, number, where, 1)):
                for n in range(d["channels"]):
                    weight, delta = self._weight(row, n), self.deltas[index][pixel * d["channels"] + n]
                    for t, mask in enumerate(masks):
                        sums[where][t] += weight * delta[t] * mask
        found = []
        for (entry, bit), totals in sums.items():
            owner = self.memory.group(entry)
            found += [(owner["x"], owner["y"], owner["neuron"] + bit, t, v) for t, v in enumerate(totals) if v]
        return found

    def trace(self, index: int, number: int, begins: bool) -> None:
        """The operands of the inputs after a frame; then the tape says which of them are not zero.

        ``begins``: the frame is the first of a sample.
        """
        d, most = self.memory.descriptor(index), (1 << self.config.operand_bits) - 1
        for word in range(d["tape"], d["tape"] + d["tape_words"]):
            spikes = self.memory.spikes[number, 0, word]
            before = [0] * 32 if begins else self.operands[word]
            self.operands[word] = operands = [
                min(most, round(Fraction(d["leak"] * n, 256)) + d["one"] * (spikes >> bit & 1))
                for bit, n in enumerate(before)
            ]
            self.memory.spikes[number, 0, word] = sum(bool(n) << bit for bit, n in enumerate(operands))

    def _operand(self, d, where):
        """What an input that is not zero multiplies deltas with."""
        g = self.memory.group(where[0])
        if self.config.operand_bits == 1:
            return 1
        if g["constant"] or not d["tape_words"]:
            return d["bias"] if g["constant"] else d["one"]
        return self.operands[g["tape"] + where[1] // 32][where[1] % 32]

    def accumulate(self, index: int, number: int) -> None:
        """Add the frame's terms to the gradients."""
        d = self.memory.descriptor(index)
        channels, gradients = d["channels"], self.memory.gradients
        for pixel, row, where in self._connections(d):
            spikes = self._bits(d, number, where, 0)
            if any(spikes):
                operand = self._operand(d, where)
                for n, delta in enumerate(self.deltas[index][pixel * channels : (pixel + 1) * channels]):
                    total = sum(v for v, s in zip(delta, spikes, strict=True) if s)
                    if total:
                        address = self._address(row, n)
                        gradients[address] += operand * total
                        self._check_range(gradients[address])
        if self.config.noise and d["learning"]:
            self._accumulate_noise(d, index, number)

    def _accumulate_noise(self, d, index, number):
        """Of what brings errors to other slices: deltas times noise, +1 or -1, where a mask is set."""
        for _, row, where in self._feedback(d):
            noise, masks = (self._bits(d, number, where, kind) for kind in (0, 1))
            signs = [mask * (2 * bit - 1) for bit, mask in zip(noise, masks, strict=True)]
            for n, delta in enumerate(self.deltas[index][: d["channels"]]):
                address, total = self._address(row, n), sum(v * z for v, z in zip(delta, signs, strict=True))
                if total:
                    self.memory.gradients[address] += total
                    self._check_range(self.memory.gradients[address])

    def _check_range(self, value):
        bits = self.config.format.fixed_width + (self.config.batch_terms - 1).bit_length()
        assert -1 << bits - 1 <= value < 1 << bits - 1, "a gradient has more terms than batch_terms"

    def update(self, index: int, clear: bool, velocities: bool) -> None:
        """V, W and G = 0; or only G = 0, or V = G = 0."""
        d, numbers, lanes = self.memory.descriptor(index), self.numbers, self.config.lanes
        weights, moved = self.memory.words[Region.WEIGHT], self.memory.words[Region.VELOCITY]
        first = lanes * d["weight_base"]
        for address in range(first, first + lanes * d["weight_words"]):
            if not clear:
                total = numbers.one * self.memory.gradients[address]
                if self.config.momentum and d["momentum"]:
                    total += d["momentum"] * numbers.units(moved[address])
                sign = (total > 0) - (total < 0)
                if self.config.momentum and d["sign"]:
                    total += d["rest"] * numbers.units(moved[address])
                velocity = numbers.rounded(total)
                if self.config.momentum:
                    moved[address] = numbers.pattern(velocity)
                step = numbers.one * sign if d["sign"] else velocity
                new = d["decay"] * numbers.units(weights[address]) + d["minus_rate"] * step
                weights[address] = numbers.pattern(numbers.rounded(new))
            elif self.config.momentum and velocities:
                moved[address] = 0
            self.memory.gradients[address] = 0

    def _connections(self, d):
        """(output pixel, address of a row of weights, input); an input is (group, its bit)."""
        blocks, list_depth, seen = d["blocks"], self.config.list_depth, 0
        for entry in range(d["fan_in_base"], d["fan_in_base"] + d["fan_in"]):
            g = self.memory.group(entry)
            count = g["channels"] * (1 if g["constant"] else (d["kernel"] * d["pool"]) ** 2)
            seen += count
            assert count <= list_depth
            assert g["neuron"] + g["channels"] * d["in_width"] * d["in_height"] <= 1 << 14
            fields = [[(0, 0, 0)]] * d["out_width"] * d["out_height"] if g["constant"] else _taps(d)
            for pixel, taps in enumerate(fields):
                for ky, kx, place in taps:
                    for channel in range(g["channels"]):
                        row = g["row_base"] + ky * g["row_stride"] + kx * g["tap_stride"] + channel * blocks
                        yield pixel, row % (1 << 17), (entry, place * g["channels"] + channel)
        assert d["kernel"] ** 2 * blocks <= list_depth
        assert self.config.dense_only or d["replay"] == (seen <= list_depth)

    def _feedback(self, d):
        """The same of the inputs that only get errors."""
        for entry in range(d["fan_in_base"] + d["fan_in"], d["fan_in_base"] + d["groups"]):
            g = self.memory.group(entry)
            assert g["constant"]
            assert d["out_width"] == d["out_height"] == 1
            assert g["neuron"] + g["channels"] <= 1 << 14
            yield from ((0, g["row_base"] + n * d["blocks"], (entry, n)) for n in range(g["channels"]))

    def _bit(self, number, where, step, kind):
        """Spike (``kind`` 0) or mask (1) of an input in one step; constants have no masks."""
        entry, bit = where
        place = number, step, self.memory.group(entry)["tape"] + bit // 32
        return (self.memory.masks if kind else self.memory.spikes)[place] >> bit % 32 & 1

    def _bits(self, d, number, where, kind):
        return [self._bit(number, where, step, kind) for step in range(d["steps"])]

    def _address(self, row, n):
        return (row + n // self.config.lanes) * self.config.lanes + n % self.config.lanes

    def _weight(self, row, n):
        return self.numbers.units(self.memory.words[Region.WEIGHT][self._address(row, n)])


def _taps(d):
    """For each output pixel, (ky, kx, input pixel) of what it sees."""
    for y in range(d["out_height"]):
        for x in range(d["out_width"]):
            found = []
            for ky in range(d["kernel"]):
                for kx in range(d["kernel"]):
                    above, left = y * d["stride"] + ky - d["padding"], x * d["stride"] + kx - d["padding"]
                    if 0 <= above < d["in_height"] // d["pool"] and 0 <= left < d["in_width"] // d["pool"]:
                        pixels = [
                            (above * d["pool"] + i) * d["in_width"] + left * d["pool"] + j
                            for i in range(d["pool"])
                            for j in range(d["pool"])
                        ]
                        found += [(ky, kx, pixel) for pixel in pixels]
            yield found
