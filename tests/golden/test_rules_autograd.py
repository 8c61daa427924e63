# SPDX-License-Identifier: Apache-2.0
"""float64 gradients of the learning rules equal PyTorch's autograd, detached where the rule says so.

Everything here is SKIPPED where PyTorch is missing: then nothing is compared with autograd, and the recurrences of
``test_rules_reference.py`` are all that is. ``pip install .[reference]`` installs it.
"""

from dataclasses import replace

import numpy as np
import pytest

from backspike.golden import learning
from backspike.golden.arithmetic import Float64
from backspike.golden.losses import RATE, Loss
from backspike.golden.network import Network, Training
from backspike.golden.rules import Rule
from backspike.golden.trainer import Trainer

WITHOUT = "SKIPPED without the extra 'reference': PyTorch is missing, and no rule was compared with autograd"
torch = pytest.importorskip("torch", reason=WITHOUT)

from tests.golden.test_reference import NETWORKS, current  # noqa: E402 - it needs PyTorch, too

STEPS, SAMPLES, SCALE = 4, 5, 0.3
SIZES = {name: NETWORKS[name] for name in ("dense", "kernels, padding, flatten", "stride, pooling")}
ONLINE = ("sltt", "sltt-k:2", "ottt", "dfa")


class Fire(torch.autograd.Function):
    """Spikes from a fire test's distance; the gradient passes within the rectangle."""

    @staticmethod
    def forward(ctx, distance, half_width):
        ctx.save_for_backward(distance)
        ctx.half_width = half_width
        return (distance >= 0).to(distance)

    @staticmethod
    def backward(ctx, gradient):
        (distance,) = ctx.saved_tensors
        return gradient * (distance.abs() < ctx.half_width), None


def instead(value, derivative):
    """The value of one expression, with the derivatives of another."""
    return value.detach() + (derivative - derivative.detach())


class Neurons:
    """A layer of neurons. ``cut(t)`` says whether nothing goes back from step t to the step before."""

    def __init__(self, layer, weight, cut, traced):
        self.layer, self.weight, self.cut, self.traced = layer, weight, cut, traced
        self.potential = self.spikes = self.trace = None

    def step(self, t, signal):
        """``signal``: spikes [B, N] of the layer before."""
        neuron, given = self.layer.neuron, signal
        if self.traced:
            self.trace = signal.detach() if self.trace is None else neuron.kappa * self.trace + signal.detach()
            given = instead(self.trace, signal)
        x = instead(current(self.layer, self.weight, signal), current(self.layer, self.weight, given))
        if self.potential is None:
            self.potential = x
        else:
            before = self.potential.detach() if self.cut(t) else self.potential
            hard = neuron.reset == "hard"
            left = neuron.kappa * before * (1 - self.spikes.detach()) if hard else neuron.kappa * before
            self.potential = left - neuron.rr * self.spikes.detach() + x
        self.spikes = Fire.apply(self.potential - neuron.theta, neuron.width / 2)
        return self.spikes


def loss_of(outputs, labels, frame, loss, drawn):
    """The loss of outputs [T, B, N]: a sum over the frames that are drawn, or the last step's."""
    total, parts = torch.zeros((), dtype=torch.float64), outputs.split(frame)
    if loss.span == "last":
        parts, drawn = [outputs[-1:]], [True]
    for part, wanted in zip(parts, drawn, strict=True):
        counts = part.sum(0)
        if wanted and loss.kind == "cross-entropy":
            total = total + torch.nn.functional.cross_entropy(counts, labels, reduction="sum")
        elif wanted:
            targets = len(part) * torch.nn.functional.one_hot(labels, outputs.shape[2])
            total = total + ((counts - targets) ** 2).sum() / 2
    return SCALE * total


def online(kind, frame, network, weights, spikes, labels, *, loss, drawn, matrices):
    """The loss whose gradients are those of a rule that goes back at every step."""
    layers = [
        Neurons(layer, weight, lambda t: t % frame == 0, traced=kind in ("ottt", "dfa") and number > 0)
        for number, (layer, weight) in enumerate(zip(network.layers, weights, strict=True))
    ]
    outputs, potentials, hidden = [], [], [[] for _ in matrices]
    for t, now in enumerate(spikes):
        signal = now
        for number, layer in enumerate(layers):
            signal = layer.step(t, signal.detach() if matrices else signal)
            if number < len(matrices):
                hidden[number].append(signal)
        outputs.append(signal)
        potentials.append(layers[-1].potential)
    total = loss_of(torch.stack(outputs), labels, frame, loss, drawn)
    if matrices:
        top = torch.autograd.grad(total, potentials, retain_graph=True)
        for matrix, signals in zip(matrices, hidden, strict=True):
            total = total + sum((s * (d @ torch.tensor(matrix))).sum() for s, d in zip(signals, top, strict=True))
    return total


def once(network, weights, spikes, labels):
    """The loss whose gradients are those of DSR: spike counts, with the derivatives of a clamped sum of inputs."""
    counts = spikes.sum(0)
    for number, (layer, weight) in enumerate(zip(network.layers, weights, strict=True)):
        theta = layer.neuron.theta
        cell = replace(layer.neuron, kappa=1.0, theta=theta / 2, reset_value=theta)
        neurons = Neurons(replace(layer, neuron=cell), weight.detach(), lambda _: True, traced=False)
        spikes = torch.stack([neurons.step(t, signal) for t, signal in enumerate(spikes)])
        rows = len(weight) - layer.bias
        total = current(layer, torch.cat([weight[:rows], STEPS * weight[rows:]]), counts)
        within = total if number == len(weights) - 1 else total.clamp(0, STEPS * theta)
        counts = instead(spikes.sum(0), within / theta)
    return SCALE / 2 * ((counts - STEPS * torch.nn.functional.one_hot(labels, counts.shape[1])) ** 2).sum()


def compare(name, sizes, bias, *, loss=RATE, **neuron):
    """Our gradients and autograd's, for some random networks."""
    rule, kind = Rule.parse(name), name.partition(":")[0]
    network = Network.parse(sizes, steps=STEPS, bias=bias, **neuron)
    compared = 0
    for seed in range(8):
        generator = np.random.default_rng(seed)
        weights = []
        for layer in network.layers:
            fan = layer.shape[0] * layer.pool**2 / 11
            weights.append(generator.normal(0.08 / fan, 0.5 / np.sqrt(fan), layer.shape))
        spikes = generator.integers(0, 2, (STEPS, SAMPLES, network.inputs), dtype=np.uint8)
        labels = generator.integers(0, network.outputs, SAMPLES)
        drawn = rule.draw(network, generator)
        frame = {"bptt": STEPS, "tbptt": 2}.get(kind, 1)
        training = Training(rate=0.1, loss_scale=SCALE)
        trainer = Trainer(network, training, weights=weights, rule=rule, loss=loss, arithmetic=Float64())
        trace = trainer.forward(spikes)
        deltas, _ = trainer.backward(trace, labels, drawn)
        sums = learning.accumulate(trainer.network, trace, deltas, trainer.arithmetic, rule=rule)
        ours = [total / rule.scale(network) for total in sums]
        theirs = [torch.tensor(weight, requires_grad=True) for weight in weights]
        given = theirs, torch.tensor(spikes, dtype=torch.float64), torch.tensor(labels)
        if kind == "dsr":
            total = once(network, *given)
        else:
            matrices = trainer.feedback.matrices if trainer.feedback else ()
            wanted = [True] * (STEPS // frame) if drawn is None else drawn
            total = online(kind, frame, network, *given, loss=loss, drawn=wanted, matrices=matrices)
        total.backward()
        references = [weight.grad.numpy() for weight in theirs]
        for mine, reference in zip(ours, references, strict=True):
            assert np.abs(mine - reference).max() <= 1e-6 * np.abs(reference).max()
        compared += all(reference.any() for reference in references)
    assert compared >= 4, "most of the seeds gave no gradient in some layer: little was compared"


@pytest.mark.parametrize("reset", ["soft", "hard"])
@pytest.mark.parametrize("kappa", [0.5, 0.875])
@pytest.mark.parametrize("name", ["bptt", "tbptt:2", *ONLINE])
@pytest.mark.parametrize("sizes, bias", SIZES.values(), ids=SIZES)
def test_gradients_equal_autograd(sizes, bias, name, kappa, reset):
    compare(name, sizes, bias, kappa=kappa, reset=reset, theta=0.8, width=1.4)


@pytest.mark.parametrize("theta", [1.0, 0.75])
@pytest.mark.parametrize("sizes, bias", SIZES.values(), ids=SIZES)
def test_dsr(sizes, bias, theta):
    compare("dsr", sizes, bias, theta=theta, amplitude=1 / theta)


LOSSES = [Loss(span="last"), Loss(kind="cross-entropy"), Loss(kind="cross-entropy", span="last")]


@pytest.mark.parametrize("loss", LOSSES, ids=str)
@pytest.mark.parametrize("name", ["bptt", "tbptt:2", "sltt", "ottt"])
def test_losses(name, loss):
    compare(name, *SIZES["dense"], loss=loss)
