# SPDX-License-Identifier: Apache-2.0
"""The bit-exact trainer gives the very bits of the slow model in fractions, and refuses what makes no sense."""

import itertools
import re

import numpy as np
import pytest

from backspike.golden import learning
from backspike.golden.arithmetic import BitExact
from backspike.golden.initial import balanced_weights, initial_weights
from backspike.golden.network import Dense, Network, Neuron, Training
from backspike.golden.trainer import Trainer
from backspike.spec.formats import BINARY16, Format
from tests.support.fraction_model import FractionTrainer, Rounder, convolution, dense

FP8 = Format(exponent=4, mantissa=3)
E5M2 = Format(exponent=5, mantissa=2)
SIZES, STEPS, SAMPLES = (6, 7, 5, 3), 3, 4
NEURONS = {
    "soft": {},
    "soft, snnTorch's reset, strict": {"reset_value": 1.0, "strict": True, "kappa": 0.9},
    "hard": {"reset": "hard"},
    "hard, strict, odd constants": {
        "reset": "hard",
        "strict": True,
        "kappa": 0.7,
        "theta": 0.8,
        "width": 1.7,
        "amplitude": 0.6,
        "kappa_back": 0.3,
    },
    "soft, no leak back": {"kappa_back": 0.0, "amplitude": 3.3},
}


def same_bits(ours, theirs):
    """Equal as bit patterns: -0 is not +0."""
    ours, theirs = np.asarray(ours, dtype=np.float64), np.array(theirs, dtype=np.float64)
    return ours.shape == theirs.shape and np.array_equal(ours.view(np.int64), theirs.view(np.int64))


def build(neuron, bias, number_format):
    cell = Neuron(**neuron)
    layers = [Dense(inputs=a, outputs=b, neuron=cell, bias=bias) for a, b in itertools.pairwise(SIZES)]
    return Network(layers=layers, steps=STEPS, format=number_format)


def random_weights(generator, network, scale):
    """Weights with a bias towards firing, some of them tiny, some +0 and some -0."""
    weights = []
    for layer in network.layers:
        weight = scale * generator.normal(0.3, 1.0, layer.shape)
        weight *= generator.choice([0.0, -0.0, 2.0**-12, 1.0], layer.shape, p=[0.05, 0.05, 0.1, 0.8])
        weights.append(network.format.round(weight))
    return weights


def links(layer):
    if isinstance(layer, Dense):
        return dense(layer.inputs, layer.outputs, layer.bias)
    geometry = (layer.kernel, layer.stride, layer.padding, layer.pool)
    return convolution(layer.in_map, layer.out_map, *geometry, layer.bias)


def pair(network, training, weights):
    """Our trainer and the slow one."""
    number_format = network.format
    rounder = Rounder(number_format.exponent, number_format.mantissa)
    layers = [{**vars(layer.neuron), "bias": layer.bias, "links": links(layer)} for layer in network.layers]
    slow = FractionTrainer(rounder, layers, weights, network.steps, vars(training))
    return Trainer(network, training, weights=weights), slow


def compare_trace(trace, deltas, errors, records):
    for layer in range(len(trace.layers)):
        for name, array in (
            ("u", trace.layers[layer].potentials),
            ("s", trace.layers[layer].spikes),
            ("m", trace.layers[layer].masks),
            ("e", errors[layer]),
            ("delta", deltas[layer]),
        ):
            expected = np.array([record[name][layer] for record in records], dtype=np.float64).transpose(1, 0, 2)
            assert same_bits(array, expected), f"{name} of layer {layer}"


def compare_gradients(ours, slow):
    unit = 2**-ours.network.format.lsb
    for layer, (total, expected) in enumerate(zip(ours.gradients, slow.gradients, strict=True)):
        assert total.unit == ours.network.format.lsb
        in_units = [[value * unit for value in row] for row in expected]
        assert total.integers().tolist() == in_units, f"gradients of layer {layer}"


def run_both(ours, slow, spikes, *, labels=None, errors=None):
    """One batch through both, every number compared."""
    slow.trace.clear()
    for sample in range(spikes.shape[1]):
        label = None if labels is None else labels[sample]
        given = None if errors is None else errors[:, sample].tolist()
        slow.train_sample(spikes[:, sample].tolist(), label, given)
    network, arithmetic = ours.network, ours.arithmetic
    trace = ours.forward(spikes)
    deltas, used = learning.backward(
        network, ours.weights, trace, ours.training, arithmetic, labels=labels, errors=errors
    )
    compare_trace(trace, deltas, used, slow.trace)
    ours.gradients = learning.accumulate(network, trace, deltas, arithmetic, ours.gradients)
    compare_gradients(ours, slow)
    ours.apply()
    slow.update()
    compare_gradients(ours, slow)
    for name in ("weights", "velocities"):
        for layer, expected in enumerate(getattr(slow, name)):
            assert same_bits(getattr(ours, name)[layer], expected), f"{name} of layer {layer}"
    assert ours.saturated == slow.round.saturated


@pytest.mark.parametrize("number_format", [BINARY16, FP8, E5M2], ids=["binary16", "e4m3", "e5m2"])
@pytest.mark.parametrize("neuron", NEURONS.values(), ids=NEURONS)
@pytest.mark.parametrize("bias, momentum", [(False, 0.0), (True, 0.9)], ids=["plain", "bias and momentum"])
def test_every_number_is_that_of_the_slow_model(number_format, neuron, bias, momentum):
    generator = np.random.default_rng(20240607)
    network = build(neuron, bias, number_format)
    training = Training(rate=0.03, momentum=momentum, loss_scale=0.3)
    ours, slow = pair(network, training, random_weights(generator, network, 0.6))
    moved = 0
    for _ in range(3):
        spikes = generator.integers(0, 2, (STEPS, SAMPLES, SIZES[0]), dtype=np.uint8)
        run_both(ours, slow, spikes, labels=generator.integers(0, SIZES[-1], SAMPLES))
        moved += np.count_nonzero(ours.velocities[0])
    assert moved, "nothing was learnt: the comparison was empty"


@pytest.mark.parametrize("reset", ["soft", "hard"])
@pytest.mark.parametrize("scale", [2.0**-20, 2.0**-13, 3.0, 9000.0], ids=["subnormal", "tiny", "large", "saturating"])
def test_extreme_numbers(scale, reset):
    generator = np.random.default_rng(7)
    network = build({"reset": reset, "theta": scale, "width": 4 * scale}, True, BINARY16)
    ours, slow = pair(network, Training(rate=0.01, momentum=0.9), random_weights(generator, network, scale))
    for _ in range(3):
        spikes = generator.integers(0, 2, (STEPS, SAMPLES, SIZES[0]), dtype=np.uint8)
        size = scale * generator.choice([1.0, 2.0**-10, 2.0**6], (STEPS, SAMPLES, SIZES[-1]))
        errors = BINARY16.round(size * generator.normal(0, 1, size.shape))
        run_both(ours, slow, spikes, errors=errors)
    assert ours.saturated == (scale > 1000)


def test_gradients_are_not_rounded_and_do_not_depend_on_the_order_of_samples():
    deltas = np.array([2048.0, 1.0, 2.0**-24, -1.0]).reshape(1, 4, 1)
    arithmetic = BitExact(BINARY16)
    network = Network(layers=[Dense(inputs=1, outputs=1)], steps=1)
    for order in itertools.permutations(range(4)):
        trace = learning.Trace(np.ones((1, 4, 1), dtype=np.uint8), ())
        (total,) = learning.accumulate(network, trace, [deltas[:, order]], arithmetic)
        assert total.integers().tolist() == [[(2048 << 24) + 1]]
    parts = [
        learning.accumulate(network, learning.Trace(np.ones((1, 2, 1), dtype=bool), ()), [deltas[:, half]], arithmetic)
        for half in (slice(0, 2), slice(2, 4))
    ]
    assert arithmetic.add(parts[0][0], parts[1][0]).integers().tolist() == [[(2048 << 24) + 1]]


def test_the_largest_gradients_are_exact():
    samples = 3000
    deltas = np.full((1, samples, 2), 65504.0)
    deltas[0, 0] = [2.0**-24, -(2.0**-24)]
    network = Network(layers=[Dense(inputs=3, outputs=2)], steps=1)
    trace = learning.Trace(np.ones((1, samples, 3), dtype=np.uint8), ())
    arithmetic = BitExact(BINARY16)
    sums = learning.accumulate(network, trace, [deltas], arithmetic)
    for _ in range(9):
        sums = learning.accumulate(network, trace, [deltas], arithmetic, sums)
    large = 10 * (samples - 1) * (65504 << 24)
    assert large > 2**53
    assert sums[0].integers().tolist() == [[large + 10, large - 10]] * 3
    velocity = arithmetic.combine(total=sums[0])
    assert velocity.tolist() == [[65504.0, 65504.0]] * 3 and arithmetic.saturated


def test_a_sum_that_no_mask_asks_for_does_not_saturate():
    arithmetic = BitExact(BINARY16)
    total = arithmetic.matmul(np.full((1, 2), 300.0), np.full((2, 2), 300.0))
    masked = arithmetic.masked(total, np.zeros((1, 2), dtype=bool))
    assert masked.tolist() == [[0, 0]] and not arithmetic.saturated
    masked = arithmetic.masked(total, np.array([[False, True]]))
    assert masked.tolist() == [[0, 65504]] and arithmetic.saturated


def test_training_twice_gives_the_same_bits():
    network = Network.parse("12-9-4", steps=3)
    generator = np.random.default_rng(5)
    spikes, labels = generator.integers(0, 2, (3, 40, 12), dtype=np.uint8), generator.integers(0, 4, 40)
    results = []
    for _ in range(2):
        trainer = Trainer(network, Training(rate=2.0**-6), seed=3)
        trainer.train(spikes, labels, epochs=2, batch=7)
        results.append(trainer.weights)
    assert all(same_bits(a, b) for a, b in zip(*results, strict=True))


def test_initial_weights_are_numbers_of_the_format_and_depend_on_the_seed_only():
    network = Network.parse("12-9-4", steps=3, format=FP8, bias=True)
    weights = initial_weights(network, 3)
    assert [weight.shape for weight in weights] == [(13, 9), (10, 4)]
    assert all(same_bits(FP8.decode(FP8.encode(weight)), weight) for weight in weights)
    assert all(same_bits(a, b) for a, b in zip(weights, initial_weights(network, 3), strict=True))
    assert not same_bits(weights[0], initial_weights(network, 4)[0])
    assert not weights[0][-1].any()
    assert weights[0].min() < 0 and weights[1].min() >= 0, "the last layer starts with weights of one sign"


@pytest.mark.parametrize(
    "sizes, neuron",
    [
        ("1x8x8-c16k3p1-a2-c16k3p1-c16k3p1-c16k3p1-c16k3p1-c16k3p1-10", {}),
        ("64-50-40-40-40-40-40-40-10", {"reset": "hard", "theta": 0.3, "width": 0.6, "bias": True}),
    ],
)
def test_balanced_weights_keep_spikes_in_every_layer_of_a_deep_network(sizes, neuron):
    network = Network.parse(sizes, steps=4, **neuron)
    spikes = np.random.default_rng(1).random((4, 80, 64)) < 0.2
    weights = balanced_weights(network, 3, spikes[:, :40])
    assert all(same_bits(BINARY16.decode(BINARY16.encode(weight)), weight) for weight in weights)
    assert all(same_bits(a, b) for a, b in zip(weights, balanced_weights(network, 3, spikes[:, :40]), strict=True))
    assert not same_bits(weights[0], balanced_weights(network, 4, spikes[:, :40])[0])
    layers = Trainer(network, Training(rate=0.1), weights=weights).forward(spikes[:, 40:]).layers
    assert all(0.1 < layer.spikes.mean() < 0.25 for layer in layers[:-1])
    assert layers[-1].masks.mean() > 0.5, "outputs must start near the threshold"
    by_formula = Trainer(network, Training(rate=0.1), seed=3).forward(spikes[:, 40:]).layers
    assert by_formula[-2].spikes.mean() < 0.05, "a network in which the formula will do shows nothing"


ERRORS = [
    (lambda: Neuron(kappa="half"), TypeError, "kappa must be a number, not 'half'"),
    (lambda: Neuron(kappa=1.5), ValueError, "kappa must be at least 0 and at most 1, not 1.5"),
    (lambda: Neuron(theta=0.0), ValueError, "theta must be more than 0, not 0.0"),
    (lambda: Neuron(width=float("nan")), ValueError, "width must be more than 0, not nan"),
    (lambda: Neuron(reset="zero"), ValueError, "reset must be 'soft' or 'hard', not 'zero'"),
    (lambda: Neuron(reset=1), TypeError, "reset must be a string, not 1"),
    (lambda: Neuron(reset="hard", reset_value=1.0), ValueError, "reset_value must be None with a hard reset, not 1.0"),
    (lambda: Neuron(strict=1), TypeError, "strict must be True or False, not 1"),
    (lambda: Dense(inputs=0, outputs=3), ValueError, "inputs must be at least 1, not 0"),
    (lambda: Dense(inputs=2.0, outputs=3), TypeError, "inputs must be an integer, not 2.0"),
    (lambda: Dense(inputs=2, outputs=3, bias=None), TypeError, "bias must be True or False, not None"),
    (lambda: Network(layers=[], steps=2), ValueError, "layers must be at least one Dense or Conv, not ()"),
    (
        lambda: Network(layers=[Dense(inputs=2, outputs=3), Dense(inputs=2, outputs=3)], steps=2),
        ValueError,
        "layers[1].inputs must be 3, not 2",
    ),
    (lambda: Network.parse("4-3", steps=True), TypeError, "steps must be an integer, not True"),
    (
        lambda: Network.parse("4-3", theta=1e-9),
        ValueError,
        f"theta must not round to zero in {BINARY16}, but 1e-09 does",
    ),
    (
        lambda: Network.parse("4-3", theta=1e9),
        ValueError,
        f"theta must be at most 65504 in {BINARY16}, not 1000000000.0",
    ),
    (lambda: Training(rate=0), ValueError, "rate must be more than 0, not 0"),
    (lambda: Training(rate=0.1, momentum=2), ValueError, "momentum must be at least 0 and at most 1, not 2"),
    (
        lambda: Trainer(Network.parse("4-3"), Training(rate=1e-9), seed=0),
        ValueError,
        f"rate must not round to zero in {BINARY16}, but 1e-09 does",
    ),
    (
        lambda: Trainer(Network.parse("4-3"), Training(rate=0.1)),
        ValueError,
        "exactly one of weights and seed must be given",
    ),
    (
        lambda: Trainer(Network.parse("4-3"), Training(rate=0.1), weights=[np.zeros((3, 4))]),
        ValueError,
        "weights[0] must be [4, 3], not [3, 4]",
    ),
    (
        lambda: Trainer(Network.parse("4-3"), Training(rate=0.1), weights=[np.full((4, 3), 0.1)]),
        ValueError,
        "weights[0] must be numbers of the format",
    ),
    (
        lambda: small().forward(np.zeros((4, 2, 5), dtype=np.uint8)),
        ValueError,
        "spikes must be [4, B, 4], not [4, 2, 5]",
    ),
    (lambda: small().forward(np.full((4, 2, 4), 2, dtype=np.uint8)), ValueError, "spikes must be 0 or 1, not 2"),
    (lambda: small().forward(np.zeros((4, 2, 4))), TypeError, "spikes must be an array of uint8 or bool, not float64"),
    (lambda: small().train_batch(np.zeros((4, 2, 4), dtype=bool), [0, 3]), ValueError, "labels must be 0 to 2, not 3"),
    (lambda: small().train_batch(np.zeros((4, 2, 4), dtype=bool), [0]), ValueError, "labels must be [2], not [1]"),
    (
        lambda: small().train_batch(np.zeros((4, 2, 4), dtype=bool), [0.0, 1.0]),
        TypeError,
        "labels must be an array of integers, not float64",
    ),
    (lambda: train(labels=[0]), ValueError, "labels must be [2], not [1]"),
    (lambda: train(labels=[0, 3]), ValueError, "labels must be 0 to 2, not 3"),
    (lambda: train(batch=-1), ValueError, "batch must be at least 1, not -1"),
    (lambda: train(batch=0), ValueError, "batch must be at least 1, not 0"),
    (lambda: train(batch=2.0), TypeError, "batch must be an integer, not 2.0"),
    (lambda: train(epochs=-1), ValueError, "epochs must be at least 0, not -1"),
    (lambda: small().classify(np.zeros((4, 2, 4), dtype=bool), batch=0), ValueError, "batch must be at least 1, not 0"),
]


def small():
    return Trainer(Network.parse("4-3"), Training(rate=0.1), seed=0)


def train(*, labels=(0, 1), **options):
    """A training of two samples, which must not change anything where it is refused."""
    trainer = small()
    before = trainer.weights[0].copy()
    try:
        trainer.train(np.ones((4, 2, 4), dtype=bool), np.array(labels), **options)
    except (TypeError, ValueError):
        assert same_bits(trainer.weights[0], before)
        raise


@pytest.mark.parametrize("call, kind, message", ERRORS, ids=[message for _, _, message in ERRORS])
def test_errors_name_what_is_wrong(call, kind, message):
    with pytest.raises(kind, match="^" + re.escape(message)):
        call()


def test_host_errors_must_be_finite_and_exclude_labels():
    trainer = small()
    trace = trainer.forward(np.ones((4, 1, 4), dtype=bool))
    arguments = (trainer.network, trainer.weights, trace, trainer.training, trainer.arithmetic)
    with pytest.raises(ValueError, match=r"^errors must be finite, not inf"):
        learning.backward(*arguments, errors=np.full((4, 1, 3), np.inf))
    with pytest.raises(ValueError, match=re.escape("errors must be [4, 1, 3], not [1, 3]")):
        learning.backward(*arguments, errors=np.zeros((1, 3)))
    with pytest.raises(ValueError, match=r"^exactly one of labels and errors must be given"):
        learning.backward(*arguments)
