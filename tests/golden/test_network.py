# SPDX-License-Identifier: Apache-2.0
"""Networks from their notation and back, the geometry of layers, and what is said about those that make no sense."""

import re

import pytest

from backspike.golden.network import Conv, Dense, Network, Neuron

GEOMETRY = (
    "in_channels",
    "in_height",
    "in_width",
    "out_channels",
    "out_height",
    "out_width",
    "kernel",
    "stride",
    "padding",
    "pool",
)
DEEP = "1x28x28-c16k3s2p1-c32k3p1-a2-c32k3p1-64-10"


def test_dense_is_a_convolution_of_one_pixel():
    layer = Dense(inputs=30, outputs=7, bias=True)
    assert [getattr(layer, name) for name in GEOMETRY] == [30, 1, 1, 7, 1, 1, 1, 1, 0, 1]
    assert (layer.shape, layer.channels) == ((31, 7), 7)


def test_geometry_of_a_deep_network():
    network = Network.parse(DEEP, steps=2, bias=True, reset="hard")
    assert str(network) == DEEP
    assert (network.inputs, network.outputs) == (784, 10)
    found = [tuple(getattr(layer, name) for name in GEOMETRY) for layer in network.layers]
    assert found == [
        (1, 28, 28, 16, 14, 14, 3, 2, 1, 1),
        (16, 14, 14, 32, 14, 14, 3, 1, 1, 1),
        (32, 14, 14, 32, 7, 7, 3, 1, 1, 2),
        (32 * 49, 1, 1, 64, 1, 1, 1, 1, 0, 1),
        (64, 1, 1, 10, 1, 1, 1, 1, 0, 1),
    ]
    sizes = [(784, 3136), (3136, 6272), (6272, 1568), (1568, 64), (64, 10)]
    assert [(layer.inputs, layer.outputs) for layer in network.layers] == sizes
    assert [layer.shape for layer in network.layers] == [(10, 16), (145, 32), (289, 32), (1569, 64), (65, 10)]
    assert [layer.neuron for layer in network.layers] == [Neuron(reset="hard")] * 4 + [Neuron(reset="hard", width=4)]
    assert [type(layer) for layer in network.layers] == [Conv, Conv, Conv, Dense, Dense]


def test_layers_may_have_different_neurons():
    given = [{"kappa": 0.75, "theta": 2.0}, {"width": 1.0, "reset": "hard"}, {}]
    network = Network.parse("8-6-4-2", neurons=given)
    assert [layer.neuron for layer in network.layers] == [
        Neuron(kappa=0.75, theta=2.0, width=4.0),
        Neuron(width=1.0, reset="hard"),
        Neuron(width=4.0),
    ]
    for wrong in ({"neurons": given[:2]}, {"neurons": given, "kappa": 0.5}):
        with pytest.raises(ValueError, match="neurons must be those of all 3 layers of 8-6-4-2, not "):
            Network.parse("8-6-4-2", **wrong)


@pytest.mark.parametrize(
    "text, kernel, pool, rows",
    [
        ("1x28x28-c16k3s2p1-a2-64-10", 7, 2, 16 * 49),
        ("1x28x28-a2-64-10", 14, 2, 14 * 14),
        ("3x4x4-a4-64-10", 1, 4, 3),
    ],
)
def test_a_dense_layer_behind_a_pooling_is_a_kernel_over_the_whole_map(text, kernel, pool, rows):
    network = Network.parse(text)
    layer = network.layers[-2]
    assert isinstance(layer, Conv) and layer.whole
    assert (layer.kernel, layer.pool, layer.shape, layer.out_map) == (kernel, pool, (rows, 64), (64, 1, 1))
    assert str(network) == text
    assert Network.parse(str(network)) == network


@pytest.mark.parametrize(
    "text, same",
    [
        ("64-128-10", None),
        ("1x8x8-128-10", "64-128-10"),
        ("4x1x1-c3k1-2", None),
        ("2x9x7-c3k7p6-c2k5s4p4-3", None),
        ("1x8x8-c4k3s1p0-3", "1x8x8-c4k3-3"),
        ("1x8x8-a2-c4k4-3", "1x8x8-a2-4-3"),
        ("1x15x15-c4k15-3", None),
    ],
)
def test_notation_comes_back(text, same):
    network = Network.parse(text)
    assert str(network) == (same or text)
    assert str(Network.parse(str(network))) == str(network)


def conv(**changes):
    return Conv(**{"in_channels": 2, "out_channels": 3, "in_height": 8, "in_width": 6, "kernel": 3, **changes})


ERRORS = [
    (lambda: conv(in_channels=0), ValueError, "in_channels must be at least 1, not 0"),
    (lambda: conv(out_channels=2.0), TypeError, "out_channels must be an integer, not 2.0"),
    (lambda: conv(kernel=7), ValueError, "kernel must be at most 6, in_width / pool + 2 * padding, not 7"),
    (lambda: conv(stride=0), ValueError, "stride must be at least 1, not 0"),
    (lambda: conv(stride=True), TypeError, "stride must be an integer, not True"),
    (lambda: conv(padding=3), ValueError, "padding must be 0 to 2, not 3"),
    (lambda: conv(padding=-1), ValueError, "padding must be 0 to 2, not -1"),
    (lambda: conv(pool=0), ValueError, "pool must be at least 1, not 0"),
    (lambda: conv(pool=4), ValueError, "in_width must be divisible by pool 4, not 6"),
    (lambda: conv(neuron=None), TypeError, "neuron must be a Neuron, not None"),
    (lambda: conv(bias=1), TypeError, "bias must be True or False, not 1"),
    (
        lambda: Network(layers=[conv()], steps=2),
        ValueError,
        "the last layer must have one output pixel, not a map of 3 x 6 x 4",
    ),
    (
        lambda: Network(layers=[conv(), conv(in_channels=3)], steps=2),
        ValueError,
        "layers[1] must have inputs of 3 x 6 x 4, not 3 x 8 x 6",
    ),
    (
        lambda: Network(layers=[conv(), Dense(inputs=71, outputs=2)], steps=2),
        ValueError,
        "layers[1].inputs must be 72, not 71",
    ),
    (
        lambda: Network(layers=[Dense(inputs=4, outputs=96), conv()], steps=2),
        ValueError,
        "layers[1] must have inputs of 96 x 1 x 1, not 2 x 8 x 6",
    ),
    (lambda: Network(layers=["conv"], steps=2), TypeError, "layers must be Dense, Conv or MaxPool, not 'conv'"),
    (lambda: Network.parse(784), TypeError, "sizes must be a string, not 784"),
    (
        lambda: Network.parse("1x28x28-c3k3p3-10"),
        ValueError,
        "c3k3p3 in 1x28x28-c3k3p3-10: padding must be 0 to 2, not 3",
    ),
    (
        lambda: Network.parse("1x28x20-a2-10"),
        ValueError,
        "10 in 1x28x20-a2-10: the pooled map before a fully connected layer must be square, not 28 x 20",
    ),
    (
        lambda: Network.parse("1x7x7-a2-10"),
        ValueError,
        "10 in 1x7x7-a2-10: in_height must be divisible by pool 2, not 7",
    ),
]
RULE = (
    "sizes must be two or more items joined by '-': an input (784 or 1x28x28), then layers (128 or c16k3s2p1), "
    "maximum poolings (m2) and average poolings before a layer (a2), not "
)
MALFORMED = [
    "4",
    "4-0",
    "",
    "-",
    "1x28-10",
    "1x28x28-c3-10",
    "1x28x28-a1-10",
    "1x28x28-a2",
    "1x28x28-a2-a2-10",
    "4-3.5",
    "784-10-x",
    "1x28x28-c3k3p1s2-10",
    "٤-3",
]


@pytest.mark.parametrize("call, kind, message", ERRORS, ids=[message for _, _, message in ERRORS])
def test_errors_name_what_is_wrong(call, kind, message):
    with pytest.raises(kind, match="^" + re.escape(message)):
        call()


@pytest.mark.parametrize("text", MALFORMED)
def test_malformed_notation_is_refused_with_the_rule(text):
    with pytest.raises(ValueError, match=re.escape(RULE + repr(text))):
        Network.parse(text)
