# SPDX-License-Identifier: Apache-2.0
"""Integers as inputs: a current of the first layer, exact as all sums; refused where only spikes will do."""

import re
from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest

from backspike.golden import learning
from backspike.golden.engines import bit_exact
from backspike.golden.initial import balanced_weights, initial_weights
from backspike.golden.network import Network
from backspike.golden.presets import default_training
from backspike.golden.rules import Rule
from backspike.golden.trainer import Trainer
from backspike.host.compiler.capacity import CapacityError
from backspike.host.compiler.compile import check_fit
from backspike.spec.config import ChipConfig

BITS = 4


def network(sizes="6-5-3", steps=3):
    return replace(Network.parse(sizes, steps=steps), input_bits=BITS)


def samples(net, count=7):
    generator = np.random.default_rng(3)
    values = generator.integers(0, 1 << BITS, (count, net.inputs), dtype=np.uint8)
    return np.broadcast_to(values, (net.steps, *values.shape)).copy(), generator.integers(0, net.outputs, count)


@pytest.mark.parametrize("engine", ["numpy", "auto"])
def test_potentials_and_gradients_are_the_rounded_sums_of_fractions(engine):
    net = network()
    inputs, labels = samples(net)
    trainer = Trainer(
        net, default_training(net), weights=initial_weights(net, 1), arithmetic=bit_exact(net.format, engine)
    )
    trace = trainer.forward(inputs)
    weight = trainer.weights[0]
    for sample in range(inputs.shape[1]):
        for output in range(5):
            total = sum(Fraction(weight[j, output]) * int(inputs[0, sample, j]) for j in range(6))
            exact = Fraction(float(net.format.round(np.array([float(total)]))[0]))
            assert trace.layers[0].potentials[0, sample, output] == exact
    deltas, _ = trainer.backward(trace, labels)
    sums = learning.accumulate(net, trace, deltas, trainer.arithmetic, rule=trainer.rule)
    expected = np.einsum("tbj,tbi->ji", inputs.astype(np.float64), deltas[0]) / 2.0**net.format.lsb
    assert (np.array(sums[0].integers(), dtype=np.float64) == expected).all()


def test_the_bits_of_the_integers_with_tied_weights_give_the_same_potentials():
    """What the encoder ``bits`` can represent on a chip."""
    net, plain = network("6-5-3"), Network.parse(f"{6 * BITS}-5-3", steps=3)
    inputs, _ = samples(net)
    weights = balanced_weights(net, 1, inputs)
    tied = np.concatenate([weights[0] * 2.0**bit for bit in range(BITS)])
    planes = np.concatenate([inputs >> bit & 1 for bit in range(BITS)], axis=2)
    arithmetic = bit_exact(net.format)
    whole = learning.forward(net, weights, inputs, arithmetic)
    split = learning.forward(plain, [tied, weights[1]], planes, arithmetic)
    for one, other in zip(whole.layers, split.layers, strict=True):
        assert np.array_equal(one.potentials, other.potentials)


def test_convolutions_train_with_the_same_bits_in_both_engines():
    net = network("2x6x6-c4k3p1-a2-4", steps=2)
    inputs, labels = samples(net)
    results = []
    for engine in ("numpy", "auto"):
        trainer = Trainer(
            net,
            default_training(net),
            weights=balanced_weights(net, 2, inputs),
            arithmetic=bit_exact(net.format, engine),
        )
        trainer.train(inputs, labels, epochs=3, batch=4)
        results.append(trainer.weights)
    assert all(np.array_equal(one, other) for one, other in zip(*results, strict=True))
    assert not np.array_equal(results[0][0], balanced_weights(net, 2, inputs)[0])


def test_what_takes_spikes_alone_says_so():
    net = network()
    inputs, _ = samples(net)
    with pytest.raises(ValueError, match=r"^spikes must be 0 to 15, not 16$"):
        learning.check_spikes(net, inputs + np.uint8(16) * (inputs == 0))
    with pytest.raises(ValueError, match=r"^spikes must be 0 or 1, not 15$"):
        learning.check_spikes(replace(net, input_bits=1), np.full((3, 1, 6), 15, dtype=np.uint8))
    text = (
        "rule ottt must have spikes as inputs, of which it keeps traces or counts, not integers of 4 bits: use encoder "
    )
    with pytest.raises(ValueError, match=f"^{text}bits:4, or rule sltt$"):
        Rule.parse("ottt").check(net)
    text = "the network's inputs are integers of 4 bits and a chip takes spikes: use encoder bits:4, which "
    with pytest.raises(CapacityError, match=f"^{re.escape(text)}"):
        check_fit(net, default_training(net), ChipConfig(columns=1, rows=1))
    with pytest.raises(ValueError, match=r"^input_bits must be 1 to 8, not 9$"):
        replace(net, input_bits=9)
