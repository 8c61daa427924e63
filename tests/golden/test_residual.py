# SPDX-License-Identifier: Apache-2.0
"""Layers that take the spikes of several layers, and maximum pooling, in the golden model."""

import numpy as np
import pytest

from backspike.golden.arithmetic import Float64
from backspike.golden.gradients import accumulate
from backspike.golden.initial import balanced_weights
from backspike.golden.layers import MaxPool
from backspike.golden.network import Network
from backspike.golden.presets import default_training
from backspike.golden.rules import Rule
from backspike.golden.trainer import Trainer

RESIDUAL = "1x8x8-c4k3p1-c4k3p1-c4k3p1+1-m2-c6k3p1-c6k3p1-c6k1@4-c6k3p1+6-a2-10+6"


def _samples(network, count=6, seed=1):
    generator = np.random.default_rng(seed)
    spikes = generator.random((network.steps, count, network.inputs)) < 0.3
    return spikes.astype(np.uint8), generator.integers(0, network.outputs, count)


def _trained(network, rule="bptt", engine="numpy", batches=2):
    spikes, labels = _samples(network)
    weights = balanced_weights(network, 1, spikes)
    trainer = Trainer(network, default_training(network), weights=weights, rule=Rule.parse(rule), engine=engine)
    for _ in range(batches):
        trainer.train_batch(spikes, labels)
    return trainer, weights


@pytest.mark.parametrize(
    "text",
    [RESIDUAL, "64-32-32-10+1", "1x8x8-m2-c4k3p1-m2-10", "1x4x4-c4k3p1-c4k3p1-m2+1-10"],
)
def test_a_network_is_written_as_it_is_read(text):
    assert str(Network.parse(text)) == text


def test_the_layer_before_needs_no_name():
    network = Network.parse("8-4-4@1-4@2+1-2")
    assert str(network) == "8-4-4-4+1-2"
    assert network.taken == ((), (0,), (1, 0), (2,))
    assert network.takers == ((1, 2), (2,), (3,), ())
    assert Network.parse("8-4-2@1").sources is None


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("8-4+1-2", "4+1 in 8-4+1-2: the first layer takes the inputs, and so must name no layer"),
        ("8-4-4+3-2", "4+3 in 8-4-4+3-2: a layer before this one must be named, 1 to 1, not 3"),
        (
            "8-4-4-4+2-2",
            "4+2 in 8-4-4-4+2-2: layer 2 must be named once, and the layer before is taken without a name",
        ),
        ("8-4-5-4+1-2", "4+1 in 8-4-5-4+1-2: layers that are added must have equal maps, not 5x1x1 and 4x1x1"),
        ("8-4-4-4@1-2", "the spikes of layers[1] must be taken by a layer behind it, and none does"),
        (
            "1x4x4-c4k3p1-a2-m2-2",
            "m2 in 1x4x4-c4k3p1-a2-m2-2: an average pooling must stand before a layer that learns",
        ),
        ("1x4x4-m3-2", "m3 in 1x4x4-m3-2: in_height must be divisible by pool 3, not 4"),
        ("1x4x4-m2", "the last layer must be a Dense or Conv, whose spikes are the outputs, not a MaxPool"),
    ],
)
def test_misuse_is_refused(text, message):
    with pytest.raises(ValueError) as error:
        Network.parse(text)
    assert str(error.value) == message


def test_a_maximum_pooling_spikes_where_an_input_of_the_field_does():
    network = Network.parse("2x4x6-m2-3", steps=2)
    spikes, _ = _samples(network, 8)
    trace = Trainer(network, default_training(network), seed=1).forward(spikes)
    fields = spikes.reshape(2, 8, 2, 2, 2, 3, 2).max(axis=(4, 6)).reshape(2, 8, -1)
    assert (trace.layers[0].spikes == fields).all()
    assert trace.layers[0].masks.all()


def test_a_shortcut_adds_spikes_and_errors():
    """The same as a layer that sees both, side by side, with the same weights for both."""
    network, wide = Network.parse("8-6-6-3+1", bias=True), Network.parse("12-3", bias=True)
    spikes, labels = _samples(network, seed=4)
    trainer = Trainer(network, default_training(network), seed=3, arithmetic=Float64())
    trace = trainer.forward(spikes)
    both = np.concatenate([trace.layers[1].spikes, trace.layers[0].spikes], axis=2).astype(np.uint8)
    doubled = np.concatenate([trainer.weights[2][:6], trainer.weights[2]])
    last = Trainer(wide, trainer.training, weights=[doubled], arithmetic=Float64())
    seen = last.forward(both)
    assert (seen.layers[0].potentials == trace.layers[2].potentials).all()
    deltas, errors = trainer.backward(trace, labels)
    (same,), _ = last.backward(seen, labels)
    assert (same == deltas[2]).all() and same.any()
    (gradient,) = accumulate(wide, seen, [same], Float64())
    added = np.concatenate([gradient[:6] + gradient[6:12], gradient[12:]])
    np.testing.assert_allclose(accumulate(network, trace, deltas, Float64())[2], added, rtol=1e-12)
    straight, through = same @ trainer.weights[2][:6].T, deltas[1] @ trainer.weights[1][:6].T
    np.testing.assert_allclose(
        errors[0], np.where(trace.layers[0].masks, straight + through, 0), rtol=1e-12, atol=1e-15
    )


@pytest.mark.parametrize("rule", ["bptt", "ottt"])
def test_numpy_and_compiled_loops_give_the_same_bits(rule):
    pytest.importorskip("numba")
    network = Network.parse(RESIDUAL, bias=True)
    trainer, weights = _trained(network, rule)
    other, _ = _trained(network, rule, "compiled")
    assert all((a == b).all() for a, b in zip(trainer.weights, other.weights, strict=True))
    changed = [(a != b).any() for a, b in zip(trainer.weights, weights, strict=True)]
    assert changed == [layer.learns for layer in network.layers]


def test_a_rule_that_needs_a_chain_says_so():
    network = Network.parse("8-4-4-2+1")
    with pytest.raises(ValueError) as error:
        Trainer(network, default_training(network), seed=1, rule=Rule.parse("dfa"))
    assert str(error.value) == (
        "rule dfa must have layers that take the spikes of the layer before, and no maximum pooling, not 8-4-4-2+1: "
        "use bptt, tbptt, sltt, sltt-k, ottt or ottt-o"
    )


def test_weights_of_a_maximum_pooling_are_the_identity():
    network = Network.parse("1x4x4-c2k3p1-m2-3")
    trainer = Trainer(network, default_training(network), seed=1)
    layer = network.layers[1]
    assert isinstance(layer, MaxPool) and (trainer.weights[1] == np.eye(2)).all()
    with pytest.raises(ValueError) as error:
        Trainer(network, trainer.training, weights=[trainer.weights[0], 2 * np.eye(2), trainer.weights[2]])
    assert str(error.value) == "weights[1] must be the identity, as those of all maximum poolings"
