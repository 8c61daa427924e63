# SPDX-License-Identifier: Apache-2.0
"""The learning rules in exact fractions, sharing no code with ``backspike.golden``: see ``fraction_model``.

Everything is written out neuron by neuron, step by step and sample by sample, as docs/numbers.md defines it.
"""

from decimal import Decimal, localcontext
from fractions import Fraction

from tests.support.fraction_model import FractionTrainer

MOST = 127  # of a trace or a count
NOISE = Fraction(1, 4)
ONLINE = ("sltt", "sltt-k", "ottt", "ottt-o", "dfa", "opzo")
TRACED = ("ottt", "ottt-o", "dfa", "opzo")
ONCE = ("dsr", "spide")


def trace(leak, one, spikes):
    """The values after each step of a trace of one input's spikes."""
    values, value = [], 0
    for spike in spikes:
        value = min(MOST, round(Fraction(leak * value, 256)) + one * spike)
        values.append(value)
    return values


def shares(counts):
    """The softmax of integers, to 60 digits."""
    with localcontext(prec=60):
        powers = [Decimal(count).exp() for count in counts]
        return [Fraction(power / sum(powers)) for power in powers]


def shift_register(state):
    """The next state of a noise generator, bit by bit: three times a word is added to itself, shifted, modulo 2."""
    bits = [state >> n & 1 for n in range(16)]
    bits = [bit ^ (bits[n - 7] if n >= 7 else 0) for n, bit in enumerate(bits)]
    bits = [bit ^ (bits[n + 9] if n + 9 < 16 else 0) for n, bit in enumerate(bits)]
    bits = [bit ^ (bits[n - 8] if n >= 8 else 0) for n, bit in enumerate(bits)]
    return sum(bit << n for n, bit in enumerate(bits))


class RuleTrainer(FractionTrainer):
    """A trainer with one of the rules.

    ``rule`` is its name; ``frame`` and ``per_step`` are those of a rule without one. ``batch`` is that of the learned
    feedback; ``matrices[layer][output][neuron]`` and ``states[layer][neuron]`` are what feedback and noise start from.

    ``summed`` has the gradients before each update of the last batch.
    """

    def __init__(
        self,
        rounder,
        layers,
        weights,
        steps,
        training,
        *,
        rule,
        frame=None,
        per_step=False,
        last_only=False,
        cross_entropy=False,
        batch=1,
        matrices=(),
        states=(),
    ):
        self.kind, _, number = rule.partition(":")
        self.number, self.last_only, self.cross_entropy = int(number or 0), last_only, cross_entropy
        online = self.kind in ONLINE
        self.frame = 1 if online else self.number if self.kind == "tbptt" else steps
        self.frame = frame or self.frame
        self.loss_frame = 1 if online or per_step else self.frame
        if online:
            layers = [{**layer, "kappa_back": 0.0} for layer in layers]
        if self.kind in ONCE:
            layers = [
                {**layer, "kappa": 1.0, "theta": layer["theta"] / 2, "reset_value": layer["theta"]} for layer in layers
            ]
        self.leaks = [0, *(round(Fraction(layer["kappa"]) * 256) for layer in layers[1:])]
        self.one = self._unit(steps) if self.kind in TRACED else 1
        scale = self.number if self.kind == "spide" else self.one
        rate = training["rate"] / (scale if training["update"] == "momentum" else 1)
        super().__init__(rounder, layers, weights, steps, {**training, "rate": rate})
        self.host_scale = Fraction(training["loss_scale"])
        self.matrices = [[list(row) for row in matrix] for matrix in matrices]
        self.states = [list(row) for row in states]
        self.kept = Fraction(rounder(Fraction(99, 100)))
        self.learnt = Fraction(rounder(Fraction(16, 100) / (NOISE * steps * batch)))
        self.summed, self.noise = [], []

    def _unit(self, steps):
        """The largest power of two with which no trace, of spikes at all steps, would be more than ``MOST``."""
        fitting = [1]
        for power in range(1, 7):
            values = [0] * len(self.leaks)
            for _ in range(steps):
                values = [round(Fraction(leak * v, 256)) + 2**power for leak, v in zip(self.leaks, values, strict=True)]
                if max(values[1:], default=0) > MOST:
                    break
            else:
                fitting.append(2**power)
        return fitting[-1]

    def train_batch(self, samples, labels, trained=None):
        """``samples[b][t][j]``; ``trained`` has a flag for each frame. Records are as those of ``train_sample``."""
        self.trained = [True] * (self.steps // self.frame) if trained is None else trained
        self.trace.clear()
        self.summed.clear()
        self.noise.clear()
        for spikes, label in zip(samples, labels, strict=True):
            if self.kind == "ottt-o":
                self._sample_by_steps(spikes, label)
            else:
                self._sample(spikes, label)
        if self.kind == "opzo":
            self._learn_feedback()
        if self.kind != "ottt-o":
            self._finish()

    def _finish(self):
        self.summed.append([[list(row) for row in gradient] for gradient in self.gradients])
        self.update()

    def _sample(self, spikes, label):
        record, inputs = self._all_forward(spikes)
        if self.kind in ONCE:
            back = self._clamp_back if self.kind == "dsr" else self._ternary_back
            back(record, inputs, label)
            given = [[[*map(sum, zip(*rows, strict=True))]] for rows in inputs]
        else:
            self._all_backward(record, self._loss(record["s"][-1], label))
            given = [self._operands(number, rows) for number, rows in enumerate(inputs)]
        self._all_gradients(given, record["delta"])
        self.trace.append(record)

    def _sample_by_steps(self, spikes, label):
        """An update after each step; only potentials, spikes and traces are kept."""
        states, seen = [None] * len(self.layers), [[] for _ in self.layers]
        for row in spikes:
            record, inputs = self._all_forward([row], states)
            states = [(u[-1], s[-1]) for u, s in zip(record["u"], record["s"], strict=True)]
            self._all_backward(record, self._loss(record["s"][-1], label))
            for before, now in zip(seen, inputs, strict=True):
                before.extend(now)
            self._all_gradients([self._operands(n, rows)[-1:] for n, rows in enumerate(seen)], record["delta"])
            self.trace.append(record)
            self._finish()

    def _all_forward(self, spikes, states=None):
        record = {"u": [], "s": [], "m": [], "e": [], "delta": []}
        inputs, noise = [], []
        for number, (layer, weight) in enumerate(zip(self.layers, self.weights, strict=True)):
            presynaptic = [[*row, 1] if layer["bias"] else list(row) for row in spikes]
            inputs.append(presynaptic)
            thresholds = None
            if self.kind == "opzo" and number < len(self.states):
                noise.append([self._next_noise(number) for _ in spikes])
                thresholds = [
                    [Fraction(self.round((1 - NOISE * z) * layer["theta"])) for z in row] for row in noise[-1]
                ]
            state = None if states is None else states[number]
            u, s, m = self._layer_forward(layer, weight, presynaptic, state, thresholds)
            for name, value in (("u", u), ("s", s), ("m", m)):
                record[name].append(value)
            spikes = s
        self.noise.append(noise)
        return record, inputs

    def _next_noise(self, number):
        noise = [1 if state % 2 else -1 for state in self.states[number]]
        self.states[number] = [shift_register(state) for state in self.states[number]]
        return noise

    def _rate_row(self, spikes, label):
        counts = map(sum, zip(*spikes, strict=True))
        return [self.round(self.loss_scale * (count - len(spikes) * (i == label))) for i, count in enumerate(counts)]

    def _loss(self, spikes, label):
        row = self._entropy_row if self.cross_entropy else self._host_row if self.last_only else self._rate_row
        if self.last_only:
            return [[0.0] * len(spikes[-1])] * (self.steps - 1) + [row(spikes[-1:], label)]
        errors = []
        for start in range(0, len(spikes), self.loss_frame):
            errors += [row(spikes[start : start + self.loss_frame], label)] * self.loss_frame
        return errors

    def _host_row(self, spikes, label):
        return [self.round(self.host_scale * (s - (i == label))) for i, s in enumerate(spikes[0])]

    def _entropy_row(self, spikes, label):
        """Of the softmax of the counts, with a scale that is not rounded."""
        each = enumerate(shares([sum(column) for column in zip(*spikes, strict=True)]))
        return [self.round(self.host_scale * (share - (i == label))) for i, share in each]

    def _all_backward(self, record, errors):
        if self.last_only or self.cross_entropy:  # the host's errors count within the window only
            masks = record["m"][-1]
            errors = [[e if m else 0.0 for e, m in zip(*rows, strict=True)] for rows in zip(errors, masks, strict=True)]
        top = None
        for number in reversed(range(len(self.layers))):
            delta = self._frames_back(self.layers[number], record["s"][number], record["m"][number], errors)
            record["e"].insert(0, errors)
            record["delta"].insert(0, delta)
            top = delta if top is None else top
            if not number:
                break
            below = record["m"][number - 1]
            if self.matrices:
                errors = [self._fed_back(self.matrices[number - 1], *rows) for rows in zip(top, below, strict=True)]
            else:
                errors = self._errors(self.layers[number], self.weights[number], delta, below)

    def _frames_back(self, layer, spikes, masks, errors):
        frame, deltas = min(self.frame, len(errors)), []
        for index, start in enumerate(range(0, len(errors), frame)):
            part = slice(start, start + frame)
            if self.trained[index]:
                deltas += self._layer_backward(layer, spikes[part], masks[part], errors[part])
            else:
                deltas += [[0.0] * len(spikes[0])] * frame
        return deltas

    def _fed_back(self, matrix, delta, mask):
        sums = (
            sum((Fraction(m) * Fraction(d) for m, d in zip(column, delta, strict=True)), Fraction(0))
            for column in zip(*matrix, strict=True)
        )
        return [self.round(total) if asked else 0.0 for total, asked in zip(sums, mask, strict=True)]

    def _learn_feedback(self):
        """The correlation of noise, where a mask is set, and deltas of the last layer; ``noise[b][layer][t][j]``."""
        for number, matrix in enumerate(self.matrices):
            for i, row in enumerate(matrix):
                for j, old in enumerate(row):
                    total = Fraction(0)
                    for noise, record in zip(self.noise, self.trace, strict=True):
                        rows = zip(noise[number], record["m"][number], record["delta"][-1], strict=True)
                        total += sum(z[j] * m[j] * Fraction(delta[i]) for z, m, delta in rows)
                    row[j] = self.round(self.kept * Fraction(old) + self.learnt * Fraction(self.round(total)))

    def _operands(self, number, rows):
        """What the inputs of a layer give at each step; the bias gives ``one``."""
        if self.kind not in TRACED:
            return rows
        bias = self.layers[number]["bias"]
        columns = [*zip(*rows, strict=True)]
        traced = [trace(self.leaks[number], self.one, column) for column in columns[: len(columns) - bias]]
        return [list(row) for row in zip(*traced, *[[self.one] * len(rows)] * bias, strict=True)]

    def _all_gradients(self, given, deltas):
        for layer, gradient, rows, delta in zip(self.layers, self.gradients, given, deltas, strict=True):
            self._accumulate(layer, gradient, rows, delta)

    def _clamp_back(self, record, inputs, label):
        errors = [self._rate_row(record["s"][-1], label)]
        masks = [[1] * len(errors[0])]
        record["clamp"] = []
        for number in reversed(range(len(self.layers))):
            amplitude = self.layers[number]["amplitude"]
            delta = [self.round(amplitude * Fraction(e) * m) for e, m in zip(errors[0], masks[0], strict=True)]
            record["e"].insert(0, errors)
            record["delta"].insert(0, [delta])
            if number:
                masks = [self._clamp(number - 1, record, inputs[number - 1])]
                record["clamp"].insert(0, masks)
                errors = self._errors(self.layers[number], self.weights[number], [delta], masks)

    def _clamp(self, number, record, rows):
        """Whether what a neuron received in all steps lies within 0 and what T spikes would take."""
        layer, weight, u, s = self.layers[number], self.weights[number], record["u"][number], record["s"][number]
        masks, bound = [], self.round(layer["rr"] * self.steps)
        for i, links in enumerate(layer["links"]):
            total = sum((Fraction(weight[r][k]) for j, r, k in links if rows[-1][j]), Fraction(0))
            if self.steps > 1:
                taken = sum(s[t][i] for t in range(self.steps - 2))
                total += layer["kappa"] * Fraction(u[-2][i]) + layer["rr"] * taken
            masks.append(int(0 <= self.round(total) <= bound))
        return masks

    def _ternary_back(self, record, inputs, label):
        half, sizes = Fraction(1, 2), [len(layer["links"]) for layer in self.layers]
        counts = [list(map(sum, zip(*spikes, strict=True))) for spikes in record["s"]]
        masks = [[int(0 < n < self.steps) for n in row] for row in counts[:-1]] + [[1] * sizes[-1]]
        wrong = [n - self.steps * (i == label) for i, n in enumerate(counts[-1])]
        p, q, b = ([[0.0] * size for size in sizes] for _ in range(3))
        for _ in range(self.number):
            given = [self.loss_scale * each for each in wrong]
            for number in reversed(range(len(self.layers))):
                for i in range(sizes[number]):
                    if masks[number][i]:
                        p[number][i] = self.round(Fraction(p[number][i]) - Fraction(q[number][i]) + given[i])
                        q[number][i] = (p[number][i] >= half) - (p[number][i] <= -half)
                        b[number][i] += q[number][i]
                given = [Fraction(0)] * len(inputs[number][0])
                for links, spike in zip(self.layers[number]["links"], q[number], strict=True):
                    for j, r, k in links:
                        given[j] += spike * Fraction(self.weights[number][r][k])
        record["e"] = [[row] for row in p]
        record["delta"] = [[row] for row in b]
