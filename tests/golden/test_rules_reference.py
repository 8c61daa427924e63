# SPDX-License-Identifier: Apache-2.0
"""float64 gradients of the learning rules equal backward passes that are written here by hand, from the papers.

Each recurrence is in the notation of its paper, for fully connected layers with biases, with what docs/numbers.md names
as ours: the rectangular surrogate, and a spiking last layer with the squared error. ``test_rules_autograd.py`` has the
same with PyTorch, for convolutions too, where that is installed.
"""

import numpy as np
import pytest

from backspike.golden import learning
from backspike.golden.arithmetic import Float64
from backspike.golden.network import Network, Training
from backspike.golden.rules import Rule
from backspike.golden.trainer import Trainer

SIZES, STEPS, SAMPLES, SCALE = "11-9-7-4", 6, 5, 0.3
SEEDS = range(6)


def setup(seed, **neuron):
    """A random network with biases, in which neurons of all layers spike; spikes and one-hot targets."""
    network = Network.parse(SIZES, steps=STEPS, bias=True, **{"width": 2.0, **neuron})
    generator = np.random.default_rng(seed)
    weights = [generator.normal(0.08, 0.5, layer.shape) for layer in network.layers]
    spikes = (generator.random((STEPS, SAMPLES, network.inputs)) < 0.5).astype(np.uint8)
    labels = generator.integers(0, network.outputs, SAMPLES)
    return network, weights, spikes, labels, np.eye(network.outputs)[labels]


def gradients(name, network, weights, spikes, labels, **options):
    """Our spikes, deltas and gradients, in the mathematical unit."""
    rule = Rule.parse(name)
    trained = options.pop("trained", None)
    training = Training(rate=0.1, loss_scale=SCALE)
    trainer = Trainer(network, training, weights=weights, rule=rule, arithmetic=Float64(), **options)
    trace = trainer.forward(spikes)
    deltas, _ = trainer.backward(trace, labels, trained)
    sums = learning.accumulate(trainer.network, trace, deltas, trainer.arithmetic, rule=rule)
    return [layer.spikes for layer in trace.layers], deltas, [total / rule.scale(trainer.network) for total in sums]


def with_bias(signal):
    """[..., N] with a last input of 1."""
    return np.concatenate([signal, np.ones((*signal.shape[:-1], 1))], axis=-1)


def lif(weights, x, kappa, *, theta=1.0, fire=1.0, width=2.0):
    """``u[t] = kappa (u[t-1] - theta s[t-1]) + W x[t] + b``, ``s[t] = [u[t] >= fire]``: s and surrogate by layer."""
    layers = []
    for weight in weights:
        u, s, trace = np.zeros((x.shape[1], weight.shape[1])), np.zeros((x.shape[1], weight.shape[1])), []
        for now in with_bias(x):
            u = kappa * (u - theta * s) + now @ weight
            s = (u >= fire).astype(float)
            trace.append((s, (np.abs(u - fire) < width / 2).astype(float)))
        layers.append([np.array(each) for each in zip(*trace, strict=True)])
        x = layers[-1][0]
    return layers


def spatial(weights, layers, targets, passed=None):
    """Deltas within a step: ``d = phi * (W^T d of the layer behind)``, from ``s - y`` of that step."""
    s, phi = layers[-1]
    deltas = [phi * SCALE * (s - targets)]
    for number in reversed(range(len(layers) - 1)):
        errors = deltas[0] @ weights[number + 1][:-1].T if passed is None else deltas[-1] @ passed[number]
        deltas.insert(0, layers[number][1] * errors)
    return deltas


def products(deltas, given):
    """``sum over t and samples of n d^T``, the bias last."""
    return [np.einsum("tbj,tbi->ji", n, d) for n, d in zip(given, deltas, strict=True)]


def traced(x, kappa):
    """``a[t] = kappa a[t-1] + s[t]``."""
    result, a = [], np.zeros(x.shape[1:])
    for s in x:
        a = kappa * a + s
        result.append(a)
    return np.array(result)


def agree(ours, theirs):
    """Within 1e-6 of the largest number; whether there was anything to compare."""
    for mine, reference in zip(ours, theirs, strict=True):
        assert mine.shape == reference.shape
        assert np.abs(mine - reference).max() <= 1e-6 * max(np.abs(reference).max(), 1e-300)
    return all(reference.any() for reference in theirs)


def compared(results):
    """``results``: one flag for each seed."""
    assert sum(results) >= 4, "most of the seeds gave no gradient in some layer: little was compared"


@pytest.mark.parametrize("kappa", [0.5, 0.875, 0.0625])
def test_sltt(kappa):
    """Meng et al. 2023, section 4.1: ``dW = sum_t d[t] s[t]^T``, d without any path through time."""
    results = []
    for seed in SEEDS:
        network, weights, spikes, labels, targets = setup(seed, kappa=kappa)
        layers = lif(weights, spikes, kappa)
        deltas = spatial(weights, layers, targets)
        x = [spikes, *(s for s, _ in layers[:-1])]
        _, our_deltas, ours = gradients("sltt", network, weights, spikes, labels)
        agree(our_deltas, deltas)
        results.append(agree(ours, products(deltas, map(with_bias, x))))
    compared(results)


def test_sltt_k():
    """Meng et al. 2023, section 4.2: K steps drawn, the others give nothing."""
    results = []
    for seed in SEEDS:
        network, weights, spikes, labels, targets = setup(seed)
        drawn = Rule.parse("sltt-k:2").draw(network, np.random.default_rng(seed))
        assert drawn.sum() == 2
        layers = lif(weights, spikes, 0.5)
        deltas = [delta * drawn[:, None, None] for delta in spatial(weights, layers, targets)]
        x = [spikes, *(s for s, _ in layers[:-1])]
        ours = gradients("sltt-k:2", network, weights, spikes, labels, trained=drawn)[2]
        results.append(agree(ours, products(deltas, map(with_bias, x))))
    compared(results)


@pytest.mark.parametrize("kappa", [0.5, 0.75, 0.875])
def test_ottt(kappa):
    """Xiao et al. 2022, section 4.2: ``dW = sum_t d[t] a[t]^T``; as in its code the first layer takes its inputs."""
    results = []
    for seed in SEEDS:
        network, weights, spikes, labels, targets = setup(seed, kappa=kappa)
        layers = lif(weights, spikes, kappa)
        given = [with_bias(spikes), *(with_bias(traced(s, kappa)) for s, _ in layers[:-1])]
        deltas = spatial(weights, layers, targets)
        ours = gradients("ottt", network, weights, spikes, labels)[2]
        results.append(agree(ours, products(deltas, given)))
        # The same sum the other way round: spikes times deltas that leak backward in time.
        filtered = [traced(delta[::-1], kappa)[::-1] for delta in deltas[1:]]
        hidden = products(filtered, [s for s, _ in layers[:-1]])
        agree([total[:-1] for total in ours[1:]], hidden)
    compared(results)


def test_ottt_o():
    """Xiao et al. 2022, section 4.2, OTTT_O: plain gradient descent after every step, with what is left of u and a."""
    kappa, rate, moved = 0.5, 0.05, []
    for seed in SEEDS:
        network, start, spikes, labels, targets = setup(seed, kappa=kappa)
        training = Training(rate=rate, loss_scale=SCALE)
        trainer = Trainer(network, training, weights=start, rule=Rule.parse("ottt-o"), arithmetic=Float64())
        trainer.train_batch(spikes[:, :1], labels[:1])
        weights = [weight.copy() for weight in start]
        u = [np.zeros(weight.shape[1]) for weight in weights]
        s, a = [each.copy() for each in u], [each.copy() for each in u]
        for x in spikes[:, 0].astype(float):
            given, signal, phi = [np.append(x, 1.0)], x, []
            for number, weight in enumerate(weights):
                u[number] = kappa * (u[number] - s[number]) + np.append(signal, 1.0) @ weight
                signal = s[number] = (u[number] >= 1).astype(float)
                a[number] = kappa * a[number] + signal
                phi.append(np.abs(u[number] - 1) < 1)
                given.append(np.append(a[number], 1.0))
            delta, steps = phi[-1] * SCALE * (signal - targets[0]), []
            for number in reversed(range(len(weights))):
                steps.insert(0, np.outer(given[number], delta))
                if number:
                    delta = phi[number - 1] * (weights[number][:-1] @ delta)
            weights = [weight - rate * step for weight, step in zip(weights, steps, strict=True)]
        agree(trainer.weights, weights)
        moved.append(all((a != b).any() for a, b in zip(weights, start, strict=True)))
    compared(moved)


@pytest.mark.parametrize("theta", [1.0, 0.75])
def test_dsr(theta):
    """Meng et al. 2022, section 4: back through ``r = clamp(W r + b, 0, theta)``, r being theta times the spike rate.

    Ours keeps counts ``N = T r / theta``; with an amplitude of 1 / theta its deltas are derivatives by sums of inputs.
    """
    results = []
    for seed in SEEDS:
        network, weights, spikes, labels, targets = setup(seed, theta=theta, amplitude=1 / theta)
        weights = [theta * weight for weight in weights]
        layers = lif(weights, spikes, 1.0, theta=theta, fire=theta / 2)
        counts = [spikes.sum(axis=0), *(s.sum(axis=0) for s, _ in layers)]
        inputs = [np.c_[n, np.full(SAMPLES, STEPS)] for n in counts[:-1]]
        delta = SCALE * (counts[-1] - STEPS * targets) / theta
        deltas = [delta]
        for number in reversed(range(len(weights) - 1)):
            mean = inputs[number] @ weights[number] / STEPS
            inside = (mean >= 0) & (mean <= theta)
            deltas.insert(0, inside * (deltas[0] @ weights[number + 1][:-1].T) / theta)
        our_spikes, our_deltas, ours = gradients("dsr", network, weights, spikes, labels)
        assert all(np.array_equal(a, b[0]) for a, b in zip(our_spikes, layers, strict=True))
        agree([delta[0] for delta in our_deltas], deltas)
        results.append(agree(ours, [n.T @ d for n, d in zip(inputs, deltas, strict=True)]))
    compared(results)


def spide(network, weights, spikes, targets, back_steps):
    """Xiao et al. 2023, section 4.2, with ``R = V_th - u_rest = 1``: spikes, masks and mean ``beta`` of each layer."""
    layers = lif(weights, spikes, 1.0, fire=0.5)
    counts = [s.sum(axis=0) for s, _ in layers]
    masks = [((n > 0) & (n < STEPS)).astype(float) for n in counts[:-1]] + [np.ones(counts[-1].shape)]
    current = SCALE * (counts[-1] - STEPS * targets)
    u = [np.zeros(mask.shape) for mask in masks]
    s, total = [each.copy() for each in u], [each.copy() for each in u]
    for _ in range(back_steps):
        for number in reversed(range(len(weights))):
            given = (
                current
                if number == len(weights) - 1
                else (masks[number + 1] * s[number + 1]) @ weights[number + 1][:-1].T
            )
            u[number] = u[number] + given
            s[number] = (u[number] >= 0.5).astype(float) - (u[number] <= -0.5)
            u[number] = u[number] - s[number]
            total[number] += s[number]
    return layers, masks, [each / back_steps for each in total]


@pytest.mark.parametrize("back_steps", [1, 8, 33])
def test_spide(back_steps):
    """Xiao et al. 2023: ``dW = (m * beta) N^T``; neurons without a mask do not matter."""
    results = []
    for seed in SEEDS:
        network, weights, spikes, labels, targets = setup(seed)
        layers, masks, beta = spide(network, weights, spikes, targets, back_steps)
        deltas = [mask * each for mask, each in zip(masks, beta, strict=True)]
        counts = [spikes.sum(axis=0), *(s.sum(axis=0) for s, _ in layers[:-1])]
        inputs = [np.c_[n, np.full(SAMPLES, STEPS)] for n in counts]
        our_deltas, ours = gradients(f"spide:{back_steps}", network, weights, spikes, labels)[1:]
        agree([delta[0] / back_steps for delta in our_deltas], deltas)
        results.append(agree(ours, [n.T @ d for n, d in zip(inputs, deltas, strict=True)]))
    compared(results)


def test_spide_comes_to_the_gradient_of_its_equilibrium():
    """After many steps back, beta is ``W^T (m * beta)`` of the layer behind, where no neuron spikes at every step."""
    for seed in SEEDS:
        network, weights, spikes, labels, targets = setup(seed)
        weights = [0.4 * weight for weight in weights]
        layers = lif(weights, spikes, 1.0, fire=0.5)
        counts = [s.sum(axis=0) for s, _ in layers]
        deltas = [SCALE / STEPS * (counts[-1] - STEPS * targets)]
        for number in reversed(range(len(weights) - 1)):
            inside = (counts[number] > 0) & (counts[number] < STEPS)
            deltas.insert(0, inside * (deltas[0] @ weights[number + 1][:-1].T))
        trainer = Trainer(
            network,
            Training(rate=0.1, loss_scale=SCALE / STEPS),
            weights=weights,
            rule=Rule.parse("spide:4000"),
            arithmetic=Float64(),
        )
        ours, _ = trainer.backward(trainer.forward(spikes), labels)
        assert max(np.abs(delta).max() for delta in deltas) < 1
        for mine, reference in zip(ours, deltas, strict=True):
            assert np.abs(mine[0] / 4000 - reference).max() < 0.002


def test_dfa():
    """Nokland 2016: ``d = phi * (B d_last)`` with a fixed random B, on the traces of OTTT."""
    results = []
    for seed in SEEDS:
        network, weights, spikes, labels, targets = setup(seed)
        layers = lif(weights, spikes, 0.5)
        given = [with_bias(spikes), *(with_bias(traced(s, 0.5)) for s, _ in layers[:-1])]
        rule = Rule.parse("dfa")
        trainer = Trainer(
            network, Training(rate=0.1), weights=weights, rule=rule, arithmetic=Float64(), feedback_seed=seed
        )
        matrices = trainer.feedback.matrices
        assert [matrix.shape for matrix in matrices] == [(4, 9), (4, 7)]
        assert all(0.3 < np.abs(matrix).max() <= 0.5 for matrix in matrices)
        deltas = spatial(weights, layers, targets, passed=matrices)
        ours = gradients("dfa", network, weights, spikes, labels, feedback_seed=seed)[2]
        results.append(agree(ours, products(deltas, given)))
    compared(results)


def test_opzo():
    """Xiao et al., arXiv 2407.12516: noise moves the fire test; M moves by the mean of ``z d_last^T / alpha``.

    Ours takes the mean over the neurons within their masks.
    """
    moved = []
    for seed in SEEDS:
        network, weights, spikes, labels, targets = setup(seed)
        rule = Rule.parse("opzo")
        options = {"rule": rule, "arithmetic": Float64(), "feedback_seed": seed, "batch": SAMPLES}
        trainer = Trainer(network, Training(rate=0.01, loss_scale=SCALE), weights=weights, **options)
        noise = Trainer(network, Training(rate=0.01), weights=weights, **options).feedback.noise(STEPS, SAMPLES)
        x, layers = spikes, []
        for weight, z in zip(weights, [*noise, np.zeros((STEPS, SAMPLES, 4))], strict=True):
            u, s, kept = np.zeros(z.shape[1:]), np.zeros(z.shape[1:]), []
            for now, moves in zip(with_bias(x), z, strict=True):
                u = 0.5 * (u - s) + now @ weight
                s = (u + 0.25 * moves >= 1).astype(float)
                kept.append((s, (np.abs(u - 1) < 1).astype(float)))
            layers.append([np.array(each) for each in zip(*kept, strict=True)])
            x = layers[-1][0]
        s, phi = layers[-1]
        last = phi * SCALE * (s - targets)
        gain = 0.16 / (0.25 * STEPS * SAMPLES)
        inside = [z * phi for z, (_, phi) in zip(noise, layers, strict=False)]
        matrices = [gain * np.einsum("tbi,tbj->ij", last, z) for z in inside]
        trainer.train_batch(spikes, labels)
        agree(trainer.feedback.matrices, matrices)
        trainer.train_batch(spikes, labels)
        moved.append(all(np.abs(matrix).max() > 1e-3 for matrix in matrices))
    compared(moved)
