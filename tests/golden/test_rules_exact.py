# SPDX-License-Identifier: Apache-2.0
"""Every learning rule gives the very bits of the slow model in fractions, with its noise and feedback."""

from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest

from backspike.golden import clamp, learning
from backspike.golden.arithmetic import BitExact
from backspike.golden.forward import LayerTrace
from backspike.golden.losses import RATE, Loss
from backspike.golden.network import Network, Training
from backspike.golden.rules import NAMES, Rule
from backspike.golden.trainer import Trainer
from backspike.spec.formats import BINARY16
from tests.golden.test_trainer import FP8, compare_trace, links, random_weights, same_bits
from tests.support.fraction_model import Rounder
from tests.support.fraction_rules import ONCE, RuleTrainer, shift_register

SEED, SAMPLES, BATCHES = 20261201, 2, 2
NETWORKS = {"dense": "7-6-5-3", "pooling": "1x4x4-c2k3p1-a2-c3k2-3"}
RULES = {
    "bptt": {},
    "tbptt:2": {},
    "sltt": {},
    "sltt-k:2": {},
    "ottt": {},
    "ottt-o": {},
    "dsr": {},
    "spide:6": {},
    "dfa": {},
    "opzo": {},
    "a loss of each step": {"per_step": True},
    "a loss of each frame": {"frame": 2, "temporal": False},
    "drawn frames": {"frame": 2, "trained": 1},
    "drawn frames, a loss of each step": {"frame": 2, "trained": 1, "per_step": True},
}


def make(network, training, weights, name, *, loss=RATE, batch=SAMPLES):
    """Our trainer and the slow one; ``name`` is that of a rule, or one of ``RULES``."""
    settings = RULES[name]
    rule = Rule(name=name, **settings) if settings else Rule.parse(name)
    ours = Trainer(network, training, weights=weights, rule=rule, loss=loss, batch=batch, feedback_seed=5)
    back = {} if settings.get("temporal", True) else {"kappa_back": 0.0}
    layers = [{**vars(layer.neuron), **back, "bias": layer.bias, "links": links(layer)} for layer in network.layers]
    feedback = ours.feedback
    slow = RuleTrainer(
        Rounder(network.format.exponent, network.format.mantissa),
        layers,
        weights,
        network.steps,
        vars(training),
        rule="bptt" if settings else name,
        frame=settings.get("frame"),
        per_step=settings.get("per_step", rule.per_step),
        last_only=loss.span == "last",
        cross_entropy=loss.kind == "cross-entropy",
        batch=batch,
        matrices=[matrix.tolist() for matrix in feedback.matrices] if feedback else (),
        states=[row.tolist() for row in feedback.states] if feedback and feedback.learned else (),
    )
    return ours, slow


class Recorder:
    """What passes through functions on the way of a batch: calls are noted by name."""

    def __init__(self, monkeypatch):
        self._monkeypatch, self.calls = monkeypatch, {}

    def watch(self, place, name, note):
        function, self.calls[name] = getattr(place, name), []

        def watched(*args, **kwargs):
            result = function(*args, **kwargs)
            self.calls[name].append(note(result))
            return result

        def noted(*args, **kwargs):
            self.calls[name].append(note(None))
            return function(*args, **kwargs)

        self._monkeypatch.setattr(place, name, noted if name == "apply" else watched)


def record(monkeypatch, trainer):
    recorder = Recorder(monkeypatch)
    recorder.watch(learning, "forward", lambda result: result)
    recorder.watch(learning, "backward", lambda result: result)
    recorder.watch(clamp, "clamp_masks", lambda result: result)
    recorder.watch(trainer, "apply", lambda _: [total.integers().tolist() for total in trainer.gradients])
    if trainer.feedback:
        recorder.watch(trainer.feedback, "noise", lambda result: result)
    return recorder.calls


def compare(ours, slow, calls):
    """Everything that a batch has computed."""
    per_call = len(slow.trace) // len(calls["forward"])
    for number, (passed, (deltas, errors)) in enumerate(zip(calls["forward"], calls["backward"], strict=True)):
        compare_trace(passed, deltas, errors, slow.trace[number * per_call : (number + 1) * per_call])
    unit = Fraction(2) ** -ours.network.format.lsb
    sums = [[[[value * unit for value in row] for row in gradient] for gradient in each] for each in slow.summed]
    assert calls["apply"] == sums
    for name in ("weights", "velocities"):
        for layer, expected in enumerate(getattr(slow, name)):
            assert same_bits(getattr(ours, name)[layer], expected), f"{name} of layer {layer}"
    for masks, layer in zip(
        calls["clamp_masks"], reversed(range(len(ours.network.layers) - 1)), strict=bool(calls["clamp_masks"])
    ):
        assert masks.transpose(1, 0, 2).astype(int).tolist() == [record["clamp"][layer] for record in slow.trace]
    if ours.feedback:
        assert all(same_bits(a, b) for a, b in zip(ours.feedback.matrices, slow.matrices, strict=True))
    if slow.states:
        (noise,) = calls["noise"]
        for layer, signs in enumerate(noise):
            assert signs.transpose(1, 0, 2).tolist() == [sample[layer] for sample in slow.noise]
        assert [row.tolist() for row in ours.feedback.states] == slow.states
    assert ours.arithmetic.saturated == slow.round.saturated


def exercise(monkeypatch, network, training, name, *, scale, loss=RATE, batches=BATCHES):
    """Some batches through both models; how often each layer learnt something, and our trainer."""
    generator = np.random.default_rng(SEED)
    ours, slow = make(network, training, random_weights(generator, network, scale), name, loss=loss)
    samples = 1 if ours.rule.step_updates else SAMPLES
    learnt = [0] * len(network.layers)
    for _ in range(batches * SAMPLES // samples):
        spikes = generator.integers(0, 2, (network.steps, samples, network.inputs), dtype=np.uint8)
        labels = generator.integers(0, network.outputs, samples)
        drawn = ours.rule.draw(ours.network, generator)
        with monkeypatch.context() as patch:
            calls = record(patch, ours)
            ours.train_batch(spikes, labels, trained=drawn)
        slow.train_batch(spikes.transpose(1, 0, 2).tolist(), labels.tolist(), drawn)
        compare(ours, slow, calls)
        learnt = [count + np.count_nonzero(v) for count, v in zip(learnt, ours.velocities, strict=True)]
    return learnt, ours


def test_no_rule_is_left_out():
    assert [name.partition(":")[0] for name in NAMES] == [name.partition(":")[0] for name in RULES][: len(NAMES)]


@pytest.mark.parametrize("number_format", [BINARY16, FP8], ids=["binary16", "e4m3"])
@pytest.mark.parametrize("sizes, bias", [("dense", False), ("dense", True), ("pooling", True)])
@pytest.mark.parametrize("name", RULES)
def test_every_number_is_that_of_the_slow_model(monkeypatch, name, sizes, bias, number_format):
    hard = {"reset": "hard", "kappa": 0.8} if bias and name.partition(":")[0] not in ONCE else {}
    network = Network.parse(NETWORKS[sizes], steps=4, format=number_format, bias=bias, width=4.0, **hard)
    training = Training(rate=0.5, momentum=0.8 if bias else 0.0, loss_scale=0.3)
    learnt, _ = exercise(monkeypatch, network, training, name, scale=0.5)
    assert all(learnt), f"some layer learnt nothing, the comparison was empty: {learnt}"


@pytest.mark.parametrize("name", RULES)
def test_odd_constants(monkeypatch, name):
    """Layers with other leaks, of which some round traces at a tie and some are none of a trace; Lion's update."""
    neuron = {"kappa_back": 0.3, "width": 3.3, "reset_value": 0.9, "strict": True}
    if not name.startswith("spide"):
        neuron |= {"theta": 0.8, "amplitude": 0.6}
    network = Network.parse("6-5-4-3", steps=12, bias=True, **neuron)
    cells = [
        replace(layer.neuron, kappa=kappa) for layer, kappa in zip(network.layers, (0.95, 0.7, 0.625), strict=True)
    ]
    network = replace(
        network, layers=[replace(layer, neuron=c) for layer, c in zip(network.layers, cells, strict=True)]
    )
    training = Training(rate=0.03, update="lion", momentum=0.9, decay=0.99, loss_scale=0.07)
    learnt, _ = exercise(monkeypatch, network, training, name, scale=0.4, batches=2)
    assert all(learnt)


@pytest.mark.parametrize("scale", [2.0**-13, 9000.0], ids=["tiny", "saturating"])
@pytest.mark.parametrize("name", RULES)
def test_extreme_numbers(monkeypatch, name, scale):
    """Of the potentials; SPIDE has a fixed threshold, so its weights alone are large or small."""
    neuron = {} if name.startswith("spide") else {"theta": scale, "width": 6 * scale}
    network = Network.parse("7-6-5-3", steps=4, bias=True, **neuron)
    training = Training(rate=0.01, momentum=0.9, loss_scale=min(scale * 3, 9000.0))
    _, ours = exercise(monkeypatch, network, training, name, scale=scale)
    assert ours.saturated == (scale > 1)


@pytest.mark.parametrize("steps", [1, 2, 3])
@pytest.mark.parametrize("name", ["dsr", "spide:6"])
def test_samples_of_few_steps(monkeypatch, name, steps):
    network = Network.parse("7-6-5-3", steps=steps, bias=True)
    learnt, _ = exercise(monkeypatch, network, Training(rate=0.1, loss_scale=0.3), name, scale=0.5, batches=6)
    assert learnt[-1]


@pytest.mark.parametrize("name", ["bptt", "tbptt:2", "sltt", "ottt", "dfa", "opzo", "a loss of each step"])
def test_a_loss_of_the_last_step(monkeypatch, name):
    network = Network.parse("7-6-5-3", steps=4, bias=True, width=4.0)
    training = Training(rate=0.1, momentum=0.8, loss_scale=0.3)
    learnt, _ = exercise(monkeypatch, network, training, name, scale=0.5, loss=Loss(span="last"), batches=6)
    assert all(learnt)


@pytest.mark.parametrize("name", [name for name in RULES if name.partition(":")[0] not in ONCE])
def test_cross_entropy_is_rounded_once_from_sixty_digits(monkeypatch, name):
    network = Network.parse("7-6-5-3", steps=4, bias=True, width=4.0)
    training = Training(rate=0.1, momentum=0.8, loss_scale=0.3)
    learnt, _ = exercise(monkeypatch, network, training, name, scale=0.5, loss=Loss(kind="cross-entropy"), batches=6)
    assert all(learnt)


@pytest.mark.parametrize("name", ["bptt", "ottt"])
def test_cross_entropy_of_the_last_step(monkeypatch, name):
    network = Network.parse("1x4x4-c2k3p1-a2-c3k2-3", steps=4, width=4.0)
    loss = Loss(kind="cross-entropy", span="last")
    training = Training(rate=0.1, update="lion", loss_scale=0.3)
    learnt, _ = exercise(monkeypatch, network, training, name, scale=0.5, loss=loss, batches=6)
    assert all(learnt)


@pytest.mark.parametrize("name, largest", [("ottt", 120), ("dsr", 4)])
def test_the_largest_gradients_are_exact(name, largest):
    """Sums beyond 2**53 units, with terms of one unit."""
    network = Network.parse("2-3-2", steps=4)
    rule, samples = Rule.parse(name), 4000
    spikes = np.ones((4, samples, 3), dtype=bool)
    layers = tuple(LayerTrace(spikes[..., :size] * 1.0, spikes[..., :size], spikes[..., :size]) for size in (3, 2))
    deltas = [np.full((1 if name == "dsr" else 4, samples, size), 65504.0) for size in (3, 2)]
    for each in deltas:
        each[-1, 0] = 2.0**-24
    passed = learning.Trace(spikes[..., :2], layers)
    total = learning.accumulate(network, passed, deltas, BitExact(BINARY16), rule=rule)[1]
    given = [4] if name == "dsr" else [64, 96, 112, 120]
    assert given[-1] == largest
    expected = (sum(given) * samples - largest) * (65504 << 24) + largest
    assert expected > 2**53
    assert total.integers().tolist() == [[expected] * 2] * 3


def test_a_smaller_batch_than_the_feedback_is_made_for(monkeypatch):
    """What noise teaches is divided by the batch of the trainer, whatever a batch has."""
    network = Network.parse("7-6-3", steps=4, width=4.0)
    generator = np.random.default_rng(SEED)
    ours, slow = make(network, Training(rate=0.1), random_weights(generator, network, 0.5), "opzo", batch=16)
    spikes = generator.integers(0, 2, (4, 5, 7), dtype=np.uint8)
    calls = record(monkeypatch, ours)
    ours.train_batch(spikes, np.arange(5) % 3)
    slow.train_batch(spikes.transpose(1, 0, 2).tolist(), [n % 3 for n in range(5)])
    compare(ours, slow, calls)
    assert np.count_nonzero(ours.feedback.matrices[0])


def test_the_noise_passes_through_every_state_but_zero():
    state, seen = 1, set()
    while state not in seen:
        seen.add(state)
        state = shift_register(state)
    assert seen == set(range(1, 1 << 16))
