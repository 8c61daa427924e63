# SPDX-License-Identifier: Apache-2.0
"""Rules by name, what they refuse, and what follows from their definitions alone."""

import re
from dataclasses import replace

import numpy as np
import pytest

from backspike.golden import learning
from backspike.golden.arithmetic import BitExact
from backspike.golden.losses import Loss
from backspike.golden.network import Network, Training
from backspike.golden.rules import BPTT, NAMES, Rule
from backspike.golden.trainer import Trainer

STEPS = 4
EXAMPLES = ["bptt", "tbptt:2", "sltt", "sltt-k:2", "ottt", "ottt-o", "dsr", "spide:8", "dfa", "opzo"]


def data(steps=STEPS, samples=6, inputs=12, outputs=4, seed=0):
    generator = np.random.default_rng(seed)
    spikes = (generator.random((steps, samples, inputs)) < 0.4).astype(np.uint8)
    return spikes, generator.integers(0, outputs, samples)


def trained(rule, sizes="12-9-7-4", steps=STEPS, seed=1, batches=3, **options):
    """Weights after some batches."""
    network = Network.parse(sizes, steps=steps)
    scale = 1 / rule.frame_steps(steps) if not rule.per_step else 1.0
    trainer = Trainer(network, Training(rate=2.0**-5, momentum=0.5, loss_scale=scale), seed=seed, rule=rule, **options)
    generator = np.random.default_rng(seed)
    for number in range(batches):
        spikes, labels = data(steps, samples=1 if rule.step_updates else 6, seed=number)
        trainer.train_batch(spikes, labels, trained=rule.draw(trainer.network, generator))
    return trainer


def same(a, b):
    return all(np.array_equal(x, y) for x, y in zip(a.weights, b.weights, strict=True))


def test_every_name_has_an_example():
    assert [name.partition(":")[0] for name in NAMES] == [text.partition(":")[0] for text in EXAMPLES]
    for text in EXAMPLES:
        assert str(Rule.parse(text)) == text
    assert Rule.parse("bptt") == BPTT


@pytest.mark.parametrize("text", EXAMPLES)
def test_every_rule_changes_every_layer(text):
    start = trained(Rule.parse(text), batches=0)
    end = trained(Rule.parse(text), batches=8)
    assert all((a != b).mean() > 0.02 for a, b in zip(start.weights, end.weights, strict=True))
    assert same(end, trained(Rule.parse(text), batches=8))


def test_rules_differ():
    ends = [trained(Rule.parse(text)) for text in EXAMPLES if text != "ottt-o"]
    assert not any(same(a, b) for n, a in enumerate(ends) for b in ends[:n])


def test_sltt_gives_the_same_bits_in_frames_of_any_length():
    ends = [trained(Rule.parse("sltt").framed(frame)) for frame in (1, 2, 4)]
    assert same(ends[0], ends[1]) and same(ends[0], ends[2])


def test_truncation_at_the_whole_sample_is_bptt():
    assert same(trained(Rule.parse(f"tbptt:{STEPS}")), trained(BPTT))
    assert not same(trained(Rule.parse("tbptt:1")), trained(BPTT))


def test_all_frames_drawn_is_sltt():
    assert same(trained(Rule.parse(f"sltt-k:{STEPS}")), trained(Rule.parse("sltt")))


def test_a_trace_without_leak_is_sltt():
    """Without a leak of the neurons, traces are spikes; the rate makes up for their unit."""
    ottt, sltt = Rule.parse("ottt"), Rule.parse("sltt")
    network = Network.parse("12-9-7-4", steps=STEPS, kappa=0.0)
    ends = []
    for rule in (ottt, sltt):
        trainer = Trainer(network, Training(rate=2.0**-5, momentum=0.5, loss_scale=1.0), seed=1, rule=rule)
        for number in range(3):
            trainer.train_batch(*data(seed=number))
        ends.append(trainer)
    assert ottt.one(network) == 64
    assert same(*ends)
    assert all(np.array_equal(64 * b, a) for a, b in zip(ends[0].velocities, ends[1].velocities, strict=True))


def test_frames_that_are_not_drawn_teach_nothing():
    rule = Rule.parse("sltt-k:1")
    network = rule.adapted(Network.parse("12-9-7-4", steps=STEPS))
    spikes, labels = data()
    arithmetic = BitExact(network.format)
    weights = Trainer(network, Training(rate=0.1), seed=1).weights
    trace = learning.forward(network, weights, spikes, arithmetic)
    chosen = np.array([False, False, True, False])
    deltas, _ = learning.backward(
        network, weights, trace, Training(rate=0.1), arithmetic, labels=labels, rule=rule, trained=chosen
    )
    for delta in deltas:
        assert [bool(step.any()) for step in delta] == chosen.tolist()


def test_noise_is_balanced_and_goes_on_from_sample_to_sample():
    rule = Rule.parse("opzo")
    network = Network.parse("12-40-4", steps=STEPS)

    def noise(*samples):
        trainer = Trainer(network, Training(rate=0.1), seed=1, rule=rule, feedback_seed=3)
        return np.concatenate([trainer.feedback.noise(STEPS, count)[0] for count in samples], axis=1)

    assert np.array_equal(noise(500), noise(100, 1, 399))
    values = noise(500)
    assert set(np.unique(values)) == {-1.0, 1.0}
    assert abs(values.mean()) < 0.02
    assert abs((values[1:] * values[:-1]).mean()) < 0.02


@pytest.mark.parametrize(
    "text, message",
    [
        ("sgd", "rule must be one of bptt, tbptt:C, sltt, sltt-k:K, ottt, ottt-o, dsr, spide:TB, dfa, opzo, not 'sgd'"),
        ("tbptt", "rule must be such as 'tbptt:4', not 'tbptt'"),
        ("sltt:4", "rule must be such as 'sltt', not 'sltt:4'"),
        ("sltt-k:0", "rule must end in an integer from 1 on, such as 'sltt-k:2', not 'sltt-k:0'"),
        ("tbptt:-1", "rule must end in an integer from 1 on, such as 'tbptt:4', not 'tbptt:-1'"),
    ],
)
def test_names_that_are_none_are_refused(text, message):
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        Rule.parse(text)


@pytest.mark.parametrize(
    "text, options, message",
    [
        ("tbptt:3", {}, "rule tbptt:3 must have frames that divide the 4 steps, not 3: 2 does"),
        ("sltt-k:5", {}, "rule sltt-k:5 must train at most the 4 steps of a sample: use sltt-k:4"),
        ("dsr", {"reset": "hard"}, "rule dsr must have neurons with a soft reset, not a hard one"),
        ("spide:8", {"theta": 0.5}, "rule spide:8 must have neurons with theta 1, not 0.5"),
        ("dsr", {"steps": 200}, "rule dsr counts to 127: use as many steps at most, not 200"),
        ("dfa", {"sizes": "12-4"}, "rule dfa must have a hidden layer to bring errors to: 12-4 has none; use ottt"),
    ],
)
def test_networks_that_a_rule_cannot_train_are_refused(text, options, message):
    network = Network.parse(options.pop("sizes", "12-9-4"), **{"steps": STEPS, **options})
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        Rule.parse(text).check(network)


def test_losses_that_a_rule_has_not_are_refused():
    with pytest.raises(ValueError, match=r"^rule dsr has the rate loss of all steps only: use another rule, or loss"):
        Loss(kind="cross-entropy").check(Rule.parse("dsr"))
    with pytest.raises(ValueError, match=r"^loss kind must be 'rate' or 'cross-entropy', not 'hinge'"):
        Loss(kind="hinge")


def test_adapting_twice_is_adapting_once():
    for text in EXAMPLES:
        rule = Rule.parse(text)
        once = rule.adapted(Network.parse("12-9-4", steps=STEPS, theta=1.0))
        assert rule.adapted(once) == once


def test_a_loss_of_the_last_step_and_cross_entropy_teach():
    for loss in (Loss(span="last"), Loss(kind="cross-entropy"), Loss(kind="cross-entropy", span="last")):
        start, end = trained(BPTT, batches=0, loss=loss), trained(BPTT, loss=loss)
        assert not same(start, end)
        assert not same(end, trained(BPTT))


def test_frames_are_not_changed_where_that_would_be_another_rule():
    with pytest.raises(ValueError, match=r"^frame must be left to rule bptt, not 2; sltt takes any"):
        BPTT.framed(2)
    assert replace(BPTT, name="x").frames(4) == 1
