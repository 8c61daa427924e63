# SPDX-License-Identifier: Apache-2.0
"""A second, slow model of the trainer in exact fractions, sharing no code with ``backspike.golden``.

Rounding looks the nearest number up in a table of all numbers of the format. Stored numbers are Python floats (so that
-0 exists); every sum is a ``Fraction``. A layer is nothing but a list of links: see ``dense`` and ``convolution``.
"""

from bisect import bisect_left
from fractions import Fraction
from functools import cache


@cache
def table(exponent_bits, mantissa_bits):
    """All numbers of a format from 0 on, and those of the exponent that it does not have: overflow."""
    bias, steps = 2 ** (exponent_bits - 1) - 1, 2**mantissa_bits
    numbers = [Fraction(field, steps) * Fraction(2) ** (1 - bias) for field in range(steps)]
    for code in range(1, 2**exponent_bits):
        numbers += [(1 + Fraction(field, steps)) * Fraction(2) ** (code - bias) for field in range(steps)]
    return numbers


class Rounder:
    """Rounds fractions to a format with the given numbers of exponent and mantissa bits."""

    def __init__(self, exponent_bits, mantissa_bits):
        self.table = table(exponent_bits, mantissa_bits)
        self.count = len(self.table) - 2**mantissa_bits
        self.saturated = False

    def __call__(self, value):
        size = abs(Fraction(value))
        above = bisect_left(self.table, size, 0, self.count + 1)
        if above > self.count:
            nearest = self.count
        elif self.table[above] == size:
            nearest = above
        else:
            down, up = size - self.table[above - 1], self.table[above] - size
            nearest = above if up < down or (up == down and above % 2 == 0) else above - 1
        if nearest >= self.count:
            self.saturated, nearest = True, self.count - 1
        result = float(self.table[nearest])
        return -result if value < 0 else result


def dense(inputs, outputs, bias):
    """For each output, its links ``(input, weight row, weight column)``; the bias is the input after the last."""
    return [[(j, j, i) for j in range(inputs + bias)] for i in range(outputs)]


def convolution(in_map, out_map, kernel, stride, padding, pool, bias):
    """The links of a convolution, from its definition: neurons in the order (channel, y, x)."""
    (channels, height, width), (out_channels, out_height, out_width) = in_map, out_map
    result = []
    for k in range(out_channels):
        for y in range(out_height):
            for x in range(out_width):
                links = []
                for c in range(channels):
                    for tap in range(kernel * kernel):
                        top = (y * stride + tap // kernel - padding) * pool
                        left = (x * stride + tap % kernel - padding) * pool
                        field = [(top + i, left + j) for i in range(pool) for j in range(pool)]
                        links += [
                            ((c * height + row) * width + column, c * kernel * kernel + tap, k)
                            for row, column in field
                            if 0 <= row < height and 0 <= column < width
                        ]
                result.append(links + [(channels * height * width, channels * kernel * kernel, k)] * bias)
    return result


class FractionTrainer:
    """The learning rule, element by element. ``training`` and ``layers``: dicts of constants; layers have ``links``.

    Gradients are fractions: exact, never rounded.
    """

    def __init__(self, rounder, layers, weights, steps, training):
        self.round, self.steps = rounder, steps
        self.rate, self.decay, self.loss_scale = (
            Fraction(rounder(training[name])) for name in ("rate", "decay", "loss_scale")
        )
        self.by_sign = training["update"] != "momentum"
        mu = training["momentum"]
        if mu is None:
            mu = Fraction(63, 64) if self.by_sign else 0
        self.beta = self.mu = Fraction(rounder(mu))
        if training["update"] == "lion":
            beta = training["lookahead"]
            self.beta = Fraction(rounder(7 * (1 - Fraction(mu)) if beta is None else beta))
            self.mu = self.beta + Fraction(rounder(Fraction(mu) - self.beta))
        self.layers = []
        for layer in layers:
            names = ("kappa", "theta", "width", "amplitude")
            constants = {name: Fraction(rounder(layer[name])) for name in names}
            back = layer["kappa"] if layer["kappa_back"] is None else layer["kappa_back"]
            reset = layer["reset_value"]
            constants["back"] = Fraction(rounder(back))
            constants["rr"] = Fraction(rounder(constants["kappa"] * constants["theta"] if reset is None else reset))
            flags = {name: layer[name] for name in ("reset", "strict", "bias", "links")}
            self.layers.append({**constants, **flags})
        self.weights = [[list(map(float, row)) for row in weight] for weight in weights]
        self.velocities = [[[0.0] * len(row) for row in weight] for weight in weights]
        self.gradients = [[[Fraction(0)] * len(row) for row in weight] for weight in weights]
        self.trace = []  # per sample: dict of per-layer, per-step lists

    def train_sample(self, spikes, label=None, errors=None):
        """``spikes[t][j]``; adds to the gradients, and a record to ``trace``."""
        record = {"u": [], "s": [], "m": [], "e": [], "delta": []}
        inputs = []
        for layer, weight in zip(self.layers, self.weights, strict=True):
            presynaptic = [[*row, 1] if layer["bias"] else list(row) for row in spikes]
            inputs.append(presynaptic)
            u, s, m = self._layer_forward(layer, weight, presynaptic)
            for name, value in (("u", u), ("s", s), ("m", m)):
                record[name].append(value)
            spikes = s
        if errors is None:
            errors = self._loss(spikes, label)
        else:
            masks = record["m"][-1]
            errors = [
                [self.round(Fraction(e)) if m else 0.0 for e, m in zip(*rows, strict=True)]
                for rows in zip(errors, masks, strict=True)
            ]
        for number in reversed(range(len(self.layers))):
            delta = self._layer_backward(self.layers[number], record["s"][number], record["m"][number], errors)
            record["e"].insert(0, errors)
            record["delta"].insert(0, delta)
            if number:
                errors = self._errors(self.layers[number], self.weights[number], delta, record["m"][number - 1])
        for layer, gradient, presynaptic, delta in zip(
            self.layers, self.gradients, inputs, record["delta"], strict=True
        ):
            self._accumulate(layer, gradient, presynaptic, delta)
        self.trace.append(record)

    def _layer_forward(self, layer, weight, presynaptic, state=None, thresholds=None):
        """``thresholds[t][i]`` of the fire test, in place of theta."""
        outputs = range(len(layer["links"]))
        potentials, spikes, masks = [], [], []
        last_u, last_s = state or ([0.0 for _ in outputs], [0 for _ in outputs])
        for t, row in enumerate(presynaptic):
            u = []
            for i in outputs:
                total = sum((Fraction(weight[r][k]) for j, r, k in layer["links"][i] if row[j]), Fraction(0))
                if layer["reset"] == "hard":
                    total += 0 if last_s[i] else layer["kappa"] * Fraction(last_u[i])
                else:
                    total += layer["kappa"] * Fraction(last_u[i]) - layer["rr"] * last_s[i]
                u.append(self.round(total))
            above = (lambda a, b: a > b) if layer["strict"] else (lambda a, b: a >= b)
            moved = [layer["theta"] for _ in outputs] if thresholds is None else thresholds[t]
            last_u, last_s = u, [int(above(Fraction(x), y)) for x, y in zip(u, moved, strict=True)]
            potentials.append(last_u)
            spikes.append(last_s)
            masks.append([int(abs(Fraction(x) - layer["theta"]) * 2 < layer["width"]) for x in u])
        return potentials, spikes, masks

    def _loss(self, spikes, label):
        counts = [sum(column) for column in zip(*spikes, strict=True)]
        targets = [self.steps * (i == label) for i in range(len(counts))]
        row = [self.round(self.loss_scale * (c - y)) for c, y in zip(counts, targets, strict=True)]
        return [row] * self.steps

    def _layer_backward(self, layer, spikes, masks, errors):
        deltas, following = [], [0.0] * len(spikes[0])
        for t in reversed(range(len(errors))):
            row = []
            for i, after in enumerate(following):
                total = layer["amplitude"] * Fraction(errors[t][i]) if masks[t][i] else Fraction(0)
                if layer["reset"] == "soft" or not spikes[t][i]:
                    total += layer["back"] * Fraction(after)
                row.append(self.round(total))
            following = row
            deltas.insert(0, row)
        return deltas

    def _errors(self, layer, weight, deltas, masks):
        result = []
        for delta, mask in zip(deltas, masks, strict=True):
            totals = [Fraction(0)] * (len(mask) + 1)
            for links, d in zip(layer["links"], delta, strict=True):
                for j, r, k in links if d else ():
                    totals[j] += Fraction(weight[r][k]) * Fraction(d)
            result.append([self.round(total) if asked else 0.0 for total, asked in zip(totals, mask, strict=False)])
        return result

    def _accumulate(self, layer, gradient, presynaptic, deltas):
        for row, delta in zip(presynaptic, deltas, strict=True):
            for links, d in zip(layer["links"], delta, strict=True):
                for j, r, k in links if d else ():
                    gradient[r][k] += Fraction(d) * row[j]

    def update(self):
        for weight, velocity, gradient in zip(self.weights, self.velocities, self.gradients, strict=True):
            for j, row in enumerate(weight):
                for i, old in enumerate(row):
                    before = Fraction(velocity[j][i])
                    v = self.round(self.mu * before + gradient[j][i])
                    step, looked = Fraction(v), self.beta * before + gradient[j][i]
                    if self.by_sign:
                        step = Fraction((looked > 0) - (looked < 0))
                    velocity[j][i], gradient[j][i] = v, Fraction(0)
                    row[i] = self.round(self.decay * Fraction(old) - self.rate * step)
