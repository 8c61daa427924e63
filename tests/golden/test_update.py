# SPDX-License-Identifier: Apache-2.0
"""The update of a batch: every bit that of exact fractions, Lion's steps those of the paper's formula."""

import re
from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest

from backspike.golden.arithmetic import BitExact, Float64
from backspike.golden.constants import UPDATES, Training
from backspike.golden.exact import Exact
from backspike.golden.network import Network
from backspike.golden.presets import default_training
from backspike.golden.trainer import Trainer
from backspike.golden.update import update
from backspike.spec.formats import BINARY16, Format
from tests.support.fraction_model import FractionTrainer, Rounder

FORMATS = {"binary16": BINARY16, "e4m3": Format(exponent=4, mantissa=3), "e5m2": Format(exponent=5, mantissa=2)}
TRAININGS = {
    "momentum": Training(rate=2.0**-3, momentum=0.75),
    "momentum, decay": Training(rate=0.03, momentum=0.3, decay=0.9),
    "no momentum, decay": Training(rate=0.03, decay=0.5),
    "lion": Training(rate=2.0**-5, update="lion"),
    "lion, decay": Training(rate=0.03, update="lion", momentum=0.9, lookahead=0.1, decay=0.9),
    "lion, odd constants": Training(rate=0.7, update="lion", momentum=0.3, lookahead=0.77, decay=0.1),
    "lion, nothing kept": Training(rate=0.01, update="lion", momentum=0.0, lookahead=0.5, decay=0.0),
    "lion, no lookahead": Training(rate=0.01, update="lion", momentum=0.9, lookahead=0.0),
    "lion, largest factors": Training(rate=1.0, update="lion", momentum=1.0, lookahead=1.0),
    "sign": Training(rate=2.0**-5, update="sign", momentum=0.9, decay=0.9),
    "sign, nothing kept": Training(rate=2.0**-5, update="sign", momentum=0.0),
}


def bits(array):
    return np.asarray(array, dtype=np.float64).view(np.int64).tolist()


def extremes(number_format, generator, size):
    """Numbers of every size: zeros of both signs, the smallest, the largest, and any."""
    patterns = generator.integers(0, 1 << (number_format.width - 1), size)
    top = int(number_format.encode(number_format.max_finite))
    special = generator.choice([0, 1, 2, top - 1, top], size)
    patterns = np.where(generator.random(size) < 0.5, np.minimum(patterns, top), special)
    return number_format.decode(patterns | generator.integers(0, 2, size) << (number_format.width - 1))


def sums(number_format, generator, velocity, factors):
    """Exact gradients: any, none, and such that a factor of the velocity is met, or missed by one unit."""
    unit = number_format.lsb
    total = extremes(number_format, generator, velocity.shape) * generator.integers(-3, 4, velocity.shape)
    for factor in factors:
        met = np.floor(np.ldexp(-factor * velocity, -unit)) + generator.integers(0, 2, velocity.shape)
        total = np.where(generator.random(velocity.shape) < 0.3, np.ldexp(met, unit), total)
    return np.where(generator.random(velocity.shape) < 0.1, 0.0, total)


@pytest.mark.parametrize("number_format", FORMATS.values(), ids=FORMATS)
@pytest.mark.parametrize("training", TRAININGS.values(), ids=TRAININGS)
def test_every_number_is_that_of_exact_fractions(training, number_format):
    generator = np.random.default_rng(20261201)
    shape = (16, 25)
    rounder = Rounder(number_format.exponent, number_format.mantissa)
    weight, velocity = extremes(number_format, generator, shape), extremes(number_format, generator, shape)
    slow = FractionTrainer(rounder, [], [weight], 1, vars(training))
    slow.velocities = [velocity.tolist()]
    arithmetic = BitExact(number_format)
    constants = arithmetic.constants(training)
    signs = set()
    for _ in range(4):
        gradient = sums(number_format, generator, velocity, (constants.mu, constants.beta))
        slow.gradients = [[[Fraction(x) for x in row] for row in gradient.tolist()]]
        signs |= set(arithmetic.sign((constants.beta, velocity), total=Exact((gradient,), number_format.lsb)).flat)
        slow.update()
        given = [weight], [velocity], [Exact((gradient,), number_format.lsb)]
        (weight,), (velocity,) = update(*given, training, arithmetic)
        assert bits(velocity) == bits(slow.velocities[0])
        assert bits(weight) == bits(slow.weights[0])
        assert arithmetic.saturated == rounder.saturated
    assert signs == {-1.0, 0.0, 1.0}, "some sign did not occur"


@pytest.mark.parametrize("b1, b2", [(7 / 8, 63 / 64), (0.9, 0.99), (0.95, 0.98), (0.5, 0.5)])
def test_lion_takes_the_steps_of_the_normalised_formula(b1, b2):
    """Chen et al., arXiv 2302.06675, algorithm 2, whose momentum is a moving average: it is ``(1 - b2)`` times ours."""
    generator = np.random.default_rng(3)
    rate, weight_decay = 2.0**-7, 0.3
    beta = b1 * (1 - b2) / (1 - b1)
    training = Training(rate=rate, update="lion", momentum=b2, lookahead=beta, decay=1 - rate * weight_decay)
    weight = generator.normal(0, 1, 500)
    theta, average, velocity = weight.copy(), np.zeros(500), np.zeros(500)
    for _ in range(200):
        gradient = generator.normal(0.1, 1, 500)
        looked = b1 * average + (1 - b1) * gradient
        theta = theta - rate * (np.sign(looked) + weight_decay * theta)
        average = b2 * average + (1 - b2) * gradient
        (weight,), (velocity,) = update([weight], [velocity], [gradient], training, Float64())
        assert np.abs(looked).min() > 1e-9, "the sign is decided by the rounding of float64"
        assert np.abs((1 - b2) * velocity - average).max() < 1e-9
        assert np.abs(weight - theta).max() < 1e-9


def test_the_defaults_of_lion_are_seven_eighths_and_63_of_64():
    b1, b2 = Fraction(7, 8), Fraction(63, 64)
    lion = Training(rate=0.5, update="lion")
    assert lion.mu == b2 and lion.beta == b1 * (1 - b2) / (1 - b1)
    for number_format in FORMATS.values():
        held = lion.rounded(number_format)
        assert (held.momentum, held.lookahead) == (63 / 64, 7 / 64), "eight bits hold them exactly"


@pytest.mark.parametrize("sizes", ["64-128-10", "784-128-10", "1x8x8-c4k3p1-10"])
def test_the_default_step_of_both_signs_is_the_same(sizes):
    for kind in ("lion", "sign"):
        training = default_training(Network.parse(sizes), update=kind, decay=0.5)
        assert (training.update, training.mu, training.decay) == (kind, 63 / 64, 0.5)
        assert training.rate == default_training(Network.parse(sizes)).rate
    assert default_training(Network.parse(sizes), update="momentum").mu == 7 / 8


@pytest.mark.parametrize("arithmetic", [Float64(), BitExact(BINARY16)], ids=["float64", "bit-exact"])
def test_sign_is_lion_that_looks_as_far_as_it_keeps(arithmetic):
    network = Network.parse("12-9-4", steps=3)
    generator = np.random.default_rng(5)
    spikes, labels = generator.integers(0, 2, (3, 40, 12), dtype=np.uint8), generator.integers(0, 4, 40)
    ends = []
    for training in (
        Training(rate=2.0**-6, update="sign", momentum=0.96875),
        Training(rate=2.0**-6, update="lion", momentum=0.96875, lookahead=0.96875),
        Training(rate=2.0**-6, update="lion", momentum=0.96875),
    ):
        trainer = Trainer(network, training, seed=3, arithmetic=arithmetic)
        trainer.train(spikes, labels, epochs=2, batch=7)
        ends.append([bits(array) for array in (*trainer.weights, *trainer.velocities)])
    assert ends[0] == ends[1] != ends[2]


def test_a_sign_is_taken_before_the_rounding_and_does_not_saturate():
    arithmetic = BitExact(BINARY16)
    smallest, largest = 2.0**-24, 65504.0
    velocity = np.array([smallest, -smallest, -0.0, largest, largest])
    gradient = Exact((np.array([0.0, 0.0, 0.0, largest, -4 * largest]),), BINARY16.lsb)
    assert arithmetic.sign((2.0**-6, velocity), total=gradient).tolist() == [1.0, -1.0, 0.0, 1.0, -1.0]
    assert not arithmetic.saturated
    assert arithmetic.combine((2.0**-6, velocity), total=gradient).tolist()[:3] == [0.0, 0.0, 0.0]
    assert arithmetic.saturated


def test_a_step_of_lion_does_not_depend_on_the_size_of_the_gradient():
    weight, velocity = np.zeros(5), np.zeros(5)
    gradient = Exact((np.array([2.0**-24, -65504.0 * 99, 1.0, 0.0, -3.5]),), BINARY16.lsb)
    training = Training(rate=0.125, update="lion", decay=0.5)
    (moved,), _ = update([weight + 1.0], [velocity], [gradient], training, BitExact(BINARY16))
    assert moved.tolist() == [0.375, 0.625, 0.375, 0.5, 0.625]


def test_constants_of_lion_are_two_numbers_of_the_format():
    generator = np.random.default_rng(8)
    for number_format in FORMATS.values():
        step = 2.0 ** -(number_format.mantissa + 1)
        cases = [(1.0, 0.25), (1.0, step / 64), (1 - step / 16, step / 16), (step / 64, 1.0), (0.0, 0.0), (1.0, 1.0)]
        for mu, beta in [*cases, *generator.random((300, 2)).tolist()]:
            if beta and not number_format.round(beta):
                continue
            training = Training(rate=0.5, update="lion", momentum=mu, lookahead=beta)
            held = training.rounded(number_format)
            assert held.lookahead == number_format.round(beta)
            number_format.encode([held.lookahead, held.momentum - held.lookahead])
            assert abs(held.momentum - mu) <= step and 0 <= held.momentum <= 1
            assert held.momentum < 1 or mu == 1, "a velocity that fades must not stay"
            assert held.rounded(number_format) == held


@pytest.mark.parametrize("kind", UPDATES)
def test_weights_fade_without_gradients(kind):
    training = Training(rate=0.5, update=kind, decay=0.75)
    trainer = Trainer(Network.parse("2-2"), training, weights=[[[1.0, -1.0], [0.5, -0.0]]])
    trainer.apply()
    assert bits(trainer.weights[0]) == bits([[0.75, -0.75], [0.375, 0.0]])


ERRORS = [
    ({"update": 1}, TypeError, "update must be a string, not 1"),
    ({"update": "adam"}, ValueError, "update must be one of ('momentum', 'lion', 'sign'), not 'adam'"),
    ({"lookahead": 0.5}, ValueError, "lookahead must be None with update='momentum', not 0.5"),
    ({"update": "sign", "lookahead": 0.5}, ValueError, "lookahead must be None with update='sign', not 0.5"),
    ({"update": "lion", "lookahead": 1.5}, ValueError, "lookahead must be at least 0 and at most 1, not 1.5"),
    ({"update": "lion", "momentum": 1.5}, ValueError, "momentum must be at least 0 and at most 1, not 1.5"),
    ({"decay": 1.5}, ValueError, "decay must be at least 0 and at most 1, not 1.5"),
    ({"decay": None}, TypeError, "decay must be a number, not None"),
]


@pytest.mark.parametrize("constants, kind, message", ERRORS, ids=[message for *_, message in ERRORS])
def test_errors_name_what_is_wrong(constants, kind, message):
    with pytest.raises(kind, match="^" + re.escape(message) + "$"):
        Training(rate=0.5, **constants)


@pytest.mark.parametrize("name", ["momentum", "decay"])
def test_a_share_below_1_must_not_become_1(name):
    instead = f"{name}=0.99951171875 or {name}=1"
    message = f"{name} must not round to 1 in {BINARY16}, but 0.9999 does: use {instead}"
    with pytest.raises(ValueError, match="^" + re.escape(message) + "$"):
        Training(rate=0.5, **{name: 0.9999}).rounded(BINARY16)
    for works in (0.99951171875, 1):
        assert getattr(Training(rate=0.5, **{name: works}).rounded(BINARY16), name) == works


def test_a_changed_update_changes_its_defaults():
    training = Training(rate=0.5)
    assert (training.mu, replace(training, update="lion").mu, replace(training, update="sign").beta) == (
        0,
        63 / 64,
        63 / 64,
    )


@pytest.mark.parametrize("kind", UPDATES)
def test_gradients_in_smaller_units_give_the_same_weights(kind):
    training = Training(rate=2.0**-4, update=kind, momentum=0.5)
    ends = []
    for scale in (1, 8):
        generator = np.random.default_rng(9)
        weight, velocity = generator.normal(0, 1, 50), np.zeros(50)
        for _ in range(5):
            gradient = scale * generator.normal(0, 1, 50)
            given = [weight], [velocity], [gradient]
            (weight,), (velocity,) = update(*given, training.for_gradients(scale), Float64())
        ends.append(bits(weight))
    assert ends[0] == ends[1]
