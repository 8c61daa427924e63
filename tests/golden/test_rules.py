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
from backspike.golden.operands import operands
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
        (
            "spide:8",
            {"theta": 0.5},
            "rule spide:8 must have neurons that spike at 0.5 and lose 1, which theta 1 gives, not at 0.25 losing 0.5",
        ),
        (
            "spide:8",
            {"kappa": 1.0, "kappa_back": 0.0, "reset_value": 1.0},
            "rule spide:8 must have neurons that spike at 0.5 and lose 1, which theta 1 gives, not at 1.0 losing 1.0",
        ),
        ("spide:8", {"amplitude": 0.5}, "rule spide:8 must have neurons with amplitude 1, not 0.5"),
        (
            "dsr",
            {"theta": 30000.0},
            "rule dsr must have neurons that lose at most 16376, a share of the largest number of "
            "Format(exponent=5, mantissa=10), not 30000.0",
        ),
        (
            "opzo",
            {"theta": 60000.0},
            "rule opzo must have neurons with theta at most 52403.2, as noise adds to it, not 60000.0",
        ),
        ("dsr", {"steps": 200}, "rule dsr counts to 127: use as many steps at most, not 200"),
        ("dfa", {"sizes": "12-4"}, "rule dfa must have a hidden layer to bring errors to: 12-4 has none; use ottt"),
    ],
)
def test_networks_that_a_rule_cannot_train_are_refused(text, options, message):
    network = Network.parse(options.pop("sizes", "12-9-4"), **{"steps": STEPS, **options})
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        Rule.parse(text).check(network)


@pytest.mark.parametrize(
    "settings, kind, message",
    [
        ({"operand": "spikes"}, ValueError, "operand of rule x must be one of spike, trace, count, not 'spikes'"),
        ({"feedback": "random"}, ValueError, "feedback of rule x must be one of weights, fixed, learned, not 'random'"),
        ({"temporal": 0}, TypeError, "temporal of rule x must be True or False, not 0"),
        ({"frame": 0}, ValueError, "frame of rule x must be at least 1, not 0"),
        ({"trained": 2.0}, TypeError, "trained of rule x must be an integer, not 2.0"),
        ({"back_steps": 8}, ValueError, "back_steps of rule x must be 0 with backward 'surrogate', not 8"),
        ({"backward": "ternary"}, ValueError, "back_steps of rule x must be 1 to 4096, not 0"),
        ({"operand": "trace"}, ValueError, "temporal of rule x must be False with operand 'trace', not True"),
        (
            {"operand": "count", "temporal": False},
            ValueError,
            "backward of rule x must be 'clamp' or 'ternary' with operand 'count', not 'surrogate'",
        ),
        (
            {"backward": "clamp", "temporal": False},
            ValueError,
            "operand of rule x must be 'count' with backward 'clamp', not 'spike'",
        ),
        (
            {"backward": "clamp", "temporal": False, "operand": "count", "frame": 2},
            ValueError,
            "frame of rule x must be None with backward 'clamp', not 2",
        ),
        ({"step_updates": True}, ValueError, "frame of rule x must be 1 with step_updates True, not None"),
        (
            {"step_updates": True, "frame": 1, "feedback": "learned"},
            ValueError,
            "step_updates of rule x must be False with feedback 'learned', not True",
        ),
    ],
)
def test_settings_that_do_not_go_together_are_refused(settings, kind, message):
    with pytest.raises(kind, match=f"^{re.escape(message)}$"):
        Rule(name="x", **settings)


@pytest.mark.parametrize(
    "steps, kappa, one", [(4, 0.5, 64), (7, 0.5, 64), (8, 0.5, 32), (16, 0.875, 16), (200, 1.0, 1)]
)
def test_the_unit_of_a_trace_is_the_largest_that_does_not_saturate(steps, kappa, one):
    """A spike at every step of 8 with leak 1/2 would reach 128 in units of 1/64: 127.5 rounded."""
    network = Network.parse("12-9-4", steps=steps, kappa=kappa)
    assert Rule.parse("ottt").one(network) == one
    spikes = np.ones((steps, 1, 1), dtype=bool)
    leak = round(256 * kappa)
    assert operands(spikes, leak=leak, one=one, bits=7)[1].saturated == (steps * one > 127 and kappa == 1)
    assert one == 64 or operands(spikes, leak=leak, one=2 * one, bits=7)[1].saturated


def test_losses_that_a_rule_has_not_are_refused():
    with pytest.raises(ValueError, match=r"^rule dsr has the rate loss of all steps only: use another rule, or loss"):
        Loss(kind="cross-entropy").check(Rule.parse("dsr"))
    with pytest.raises(ValueError, match=r"^rule ottt-o learns from the loss of each step: use ottt with"):
        Loss(span="last").check(Rule.parse("ottt-o"))
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


def small(text, rate=0.1, **options):
    """A trainer, and what it is to train on."""
    network, training = Network.parse("12-9-4", steps=STEPS), Training(rate=rate)
    return Trainer(network, training, seed=1, rule=Rule.parse(text), **options), data()


def go_back(text, **arguments):
    trainer, (spikes, labels) = small(text)
    trace = trainer.forward(spikes)
    arguments = {"labels": labels, **arguments}
    rule = Rule.parse(text)
    learning.backward(
        trainer.network, trainer.weights, trace, trainer.training, trainer.arithmetic, rule=rule, **arguments
    )


def train_more(batch, **arguments):
    trainer, (spikes, labels) = small("opzo", batch=8)
    before = trainer.feedback.states[0].copy()
    try:
        trainer.train(spikes, labels, batch=batch, **arguments)
    except ValueError:
        assert np.array_equal(before, trainer.feedback.states[0])
        raise


MISUSES = [
    (
        lambda: Trainer(Network.parse("4-3"), Training(rate=0.1), seed=0, rule="sltt"),
        TypeError,
        "rule must be a Rule, such as Rule.parse('sltt'), not 'sltt'",
    ),
    (
        lambda: Trainer(Network.parse("4-3"), Training(rate=0.1), seed=0, loss="rate"),
        TypeError,
        "loss must be a Loss, not 'rate'",
    ),
    (
        lambda: small("ottt", 2.0**-22),
        ValueError,
        f"rate must be at least {2.0**-18!r} in Format(exponent=5, mantissa=10) with rule ottt, whose gradients are 64 "
        f"times as large, not {2.0**-22!r}",
    ),
    (
        lambda: small("spide:16", 2.0**-22),
        ValueError,
        f"rate must be at least {2.0**-20!r} in Format(exponent=5, mantissa=10) with rule spide:16, whose gradients "
        f"are 16 times as large, not {2.0**-22!r}",
    ),
    (
        lambda: small("opzo", batch=10**8),
        ValueError,
        "batch must be less in Format(exponent=5, mantissa=10), where 1.6e-09 rounds to zero, not 100000000",
    ),
    (lambda: train_more(16), ValueError, "batch must be 8 as in the trainer, not 16"),
    (
        lambda: go_back("dsr", labels=None, errors=np.zeros((STEPS, 6, 4))),
        ValueError,
        "labels must be given with rule dsr, which has no errors of a step",
    ),
    (
        lambda: go_back("sltt-k:1", trained=np.ones(3, dtype=bool)),
        ValueError,
        "trained must be bool [4], not bool [3]",
    ),
    (lambda: go_back("sltt", trained=np.ones(4)), ValueError, "trained must be bool [4], not float64 [4]"),
    (lambda: go_back("dfa"), ValueError, "feedback must be 1 arrays with rule dfa, not 0"),
    (
        lambda: go_back("bptt", feedback=[np.zeros((4, 9))]),
        ValueError,
        "feedback must be 0 arrays with rule bptt, not 1",
    ),
    (
        lambda: small("ottt-o")[0].train_batch(*data()),
        ValueError,
        "batch must be 1 with rule ottt-o, which updates after each step, not 6: use batch=1, or rule ottt",
    ),
    (
        lambda: small("ottt-o")[0].train_batch(*data(samples=1), trained=np.ones(4, dtype=bool)),
        ValueError,
        "trained must be None with rule ottt-o, which trains every step",
    ),
]


@pytest.mark.parametrize("call, kind, message", MISUSES, ids=[message for _, _, message in MISUSES])
def test_misuse_is_refused(call, kind, message):
    with pytest.raises(kind, match=f"^{re.escape(message)}$"):
        call()
