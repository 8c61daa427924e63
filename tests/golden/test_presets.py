# SPDX-License-Identifier: Apache-2.0
"""The default constants follow their rule; ``test_accuracy`` shows that it is a good one."""

import pytest

from backspike.golden.network import Network
from backspike.golden.presets import default_epochs, default_rate, default_schedule, default_training

DIGITS = Network.parse("64-128-10")
DEEP = Network.parse("1x28x28-c12k5s2p2-c16k3s2p1-10", steps=4)


def test_a_whole_training_moves_potentials_equally_far_whatever_it_is_made_of():
    """0.18 = rate * sqrt(active * updates), to a power of two."""
    known = {"updates": 1800, "density": 0.29}
    assert default_rate(DIGITS, **known) == 2.0**-10  # active: the mean of 64 * 0.29 and 128 * 0.15
    assert default_rate(DIGITS, updates=1800 // 16, density=0.29) == 2.0**-8
    assert default_rate(DIGITS, updates=1800 * 16, density=0.29) == 2.0**-12
    assert default_rate(Network.parse("1024-2048-10"), **known) == 2.0**-12
    assert default_rate(Network.parse("64-128-10", theta=4.0), **known) == 2.0**-8
    assert default_rate(Network.parse("64-128-10", steps=32), **known) == 2.0**-10
    assert default_rate(Network.parse("8-8-2"), updates=100, density=0.0) == 2.0**-6  # as if one were active
    assert default_rate(DEEP, updates=4700, density=0.13) == 2.0**-11


def test_the_rate_falls_in_the_second_half():
    schedule = default_schedule(DIGITS, 20, updates=1800, density=0.29)
    assert {training.update for training in schedule} == {"lion"}
    assert [training.rate for training in schedule[:11]] == [2.0**-10] * 11
    assert [training.rate for training in schedule[11:]] == [2.0**-e for e in (11, 11, 11, 12, 12, 13, 13, 14, 14)]
    assert [training.rate for training in default_schedule(DIGITS, 1, updates=90)] == [default_rate(DIGITS, updates=90)]


def test_few_samples_are_taken_more_often():
    assert [default_epochs(samples) for samples in (1437, 480, 464, 40, 1)] == [20, 20, 21, 200, 600]
    assert default_epochs(40, batch=4) == 60


def test_momentum_has_constants_of_its_own():
    assert default_training(DIGITS, momentum=0.0).update == "momentum"
    training = default_training(DEEP, update="momentum")
    assert (training.rate, training.momentum, training.loss_scale) == (2.0**-13, 0.875, 0.25)
    assert default_training(Network.parse(str(DEEP), steps=2), update="momentum").rate == 2.0**-12
    assert default_training(Network.parse("1x8x8-c12k3p1-a2-c16k3p1-10", steps=4), momentum=0.0).rate == 2.0**-9
    assert default_training(Network.parse("784-128-10", steps=4), update="momentum").rate == 2.0**-12
    rates = [default_training(Network.parse("64-128-10", steps=t), momentum=0.0).rate for t in (2, 4, 16)]
    assert rates == [2.0**-5, 2.0**-6, 2.0**-8]
    assert default_training(DIGITS, momentum=1.0).rate == 2.0**-24


def test_a_window_covers_a_silent_output():
    assert [layer.neuron.width for layer in Network.parse("64-32-32-10", theta=0.5).layers] == [1.0, 1.0, 2.0]
    assert [layer.neuron.width for layer in Network.parse("64-32-10", width=3.0).layers] == [3.0, 3.0]
    assert [layer.neuron.width for layer in Network.parse("64-10").layers] == [4.0]


@pytest.mark.parametrize(
    ("error", "text", "options"),
    [
        (ValueError, "batch must be at least 1, not 0", {"batch": 0}),
        (TypeError, "batch must be an integer, not 1.0", {"batch": 1.0}),
        (ValueError, "updates must be at least 1, not 0", {"updates": 0}),
        (ValueError, "density must be at least 0, not -1", {"density": -1}),
    ],
)
def test_what_is_no_number_of_a_training_is_refused(error, text, options):
    with pytest.raises(error, match=f"^{text}"):
        default_training(DIGITS, **options)
    with pytest.raises(error, match=f"^{text}"):
        default_schedule(DIGITS, 3, **options)
