# SPDX-License-Identifier: Apache-2.0
"""NIR files of others, and graphs of every kind of node, run like NIR's equations in float64."""

import itertools
from pathlib import Path

import nir
import numpy as np
import pytest

from backspike.golden.arithmetic import BitExact, Float64
from backspike.golden.forward import forward
from backspike.golden.network import Network
from backspike.host.exchange.nir_graph import ordered, read_graph
from backspike.host.exchange.nir_import import import_nir
from backspike.host.exchange.nir_neuron import Steps
from backspike.host.training.checkpoint import read_spec, read_weights
from tests.support.nir_equations import run_nodes

FILES = Path(__file__).parents[2] / "data" / "nir"
STEPS, SAMPLES = 24, 2


def spikes_of(found, inputs, arithmetic=None):
    """Spikes of each layer of an imported network: with the weights of the file in float64, or as the chip."""
    network = found.network(len(inputs))
    weights = found.weights if isinstance(arithmetic, BitExact) else found.exact
    flat = inputs.reshape(*inputs.shape[:2], -1)
    trace = forward(network, weights, flat, arithmetic or Float64())
    return [layer.spikes for layer in trace.layers]


def expected(graph, inputs, steps):
    found = run_nodes(ordered(graph), inputs, dt=steps.dt, reset=steps.reset or "hard", fire=steps.fire or ">")
    return [spikes.reshape(*spikes.shape[:2], -1) for spikes in found]


def same(found, wanted):
    return len(found) == len(wanted) and all(np.array_equal(a, b) for a, b in zip(found, wanted, strict=True))


def random_inputs(shape, seed=1, steps=STEPS, density=0.5):
    return (np.random.default_rng(seed).random((steps, SAMPLES, *shape)) < density).astype(np.uint8)


@pytest.mark.parametrize(
    "steps", [Steps(), Steps(reset="subtract"), Steps(dt=5e-4, reset="subtract-delayed", fire=">=")]
)
@pytest.mark.parametrize("name", ["lif_norse", "lif_rockpool", "two_lif_neurons"])
def test_files_of_others_run_like_the_equations(name, steps):
    """Every spike of 1,000 steps is equal in float64."""
    path = FILES / f"{name}.nir"
    inputs = random_inputs((1,), steps=1000)
    wanted = expected(read_graph(path), inputs, steps)
    assert wanted[0].any()
    assert same(spikes_of(import_nir(path, steps), inputs), wanted)


@pytest.mark.parametrize("name", ["braille_noDelay_bias_zero", "braille_noDelay_noBias_subtract"])
def test_recurrent_files_are_refused_by_the_name_of_a_node(name):
    text = r"node 'lif1\.\w+' is part of a loop \(lif1\.\w+ -> lif1\.\w+ -> lif1\.\w+\): recurrent networks cannot be"
    with pytest.raises(ValueError, match=text):
        import_nir(FILES / f"{name}.nir")


def lif(shape, *, tau=5e-4, r=5.0, leak=0.0, threshold=1.0, reset=0.0):
    values = [np.full(shape, float(value)) for value in (tau, r, leak, threshold)]
    return nir.LIF(*values, v_reset=np.full(shape, float(reset)))


def conv(generator, inputs, outputs, side, *, stride=1, padding=0, groups=1, scale=1.0):
    weight = generator.normal(0, scale, (outputs, inputs // groups, side, side))
    bias = generator.normal(0, 0.1, outputs)
    return nir.Conv2d(None, weight, stride, padding, 1, groups, bias)


def pool(kind, side):
    return getattr(nir, kind)(*(np.array(pair) for pair in ((side, side), (side, side), (0, 0))))


def graph_of(shape, *nodes):
    names = ["input", *(f"n{number}" for number in range(len(nodes))), "output"]
    ends = [nir.Input(np.array(shape)), *nodes, nir.Output(np.array([1]))]
    edges = list(itertools.pairwise(names))
    return nir.NIRGraph(dict(zip(names, ends, strict=True)), edges, type_check=False)


def graphs():
    """Graphs of all kinds of nodes, by name."""
    g = np.random.default_rng(3)

    def affine(inputs, outputs):
        return nir.Affine(g.normal(0, 1.5 / inputs**0.5, (outputs, inputs)), g.normal(0, 0.2, outputs))

    def linear(inputs, outputs):
        return nir.Linear(g.normal(0, 2 / inputs**0.5, (outputs, inputs)))

    rows = g.uniform(0.5, 2, 12)
    mixed = nir.LIF(np.full(12, 4e-4), rows * 4, rows / 5, rows, v_reset=np.zeros(12))
    return {
        "affine, linear": graph_of([20], affine(20, 12), lif(12), linear(12, 5), lif(5)),
        "a leak to somewhere": graph_of([20], affine(20, 12), lif(12, leak=0.4), linear(12, 5), lif(5, leak=-0.2)),
        "potentials from v_reset": graph_of(
            [20], affine(20, 12), lif(12, leak=-0.5, reset=-0.5), linear(12, 5), lif(5)
        ),
        "r, v_leak, v_threshold by neuron": graph_of([20], affine(20, 12), mixed, linear(12, 5), lif(5)),
        "IF, Threshold": graph_of(
            [20],
            linear(20, 12),
            nir.IF(np.full(12, 1e4), np.ones(12)),
            linear(12, 5),
            nir.Threshold(np.full(5, 0.5)),
        ),
        "scales": graph_of(
            [20],
            nir.Scale(g.uniform(0.5, 2, 20)),
            affine(20, 12),
            nir.Scale(g.uniform(1, 2, 12)),
            lif(12),
            linear(12, 5),
            lif(5),
        ),
        "linear maps in a row": graph_of([20], affine(20, 8), linear(8, 12), affine(12, 6), lif(6)),
        "neurons in a row": graph_of([6], lif(6, r=20), nir.Scale(np.full(6, 3.0)), lif(6, threshold=0.7)),
        "convolutions": graph_of(
            [2, 7, 6],
            conv(g, 2, 4, 3, padding=1, stride=2),
            lif((4, 4, 3)),
            conv(g, 4, 3, 2, scale=0.8),
            lif((3, 3, 2)),
            nir.Flatten({"input": np.array([3, 3, 2])}, 0, -1),
            linear(18, 5),
            lif(5),
        ),
        "groups": graph_of(
            [4, 5, 5], conv(g, 4, 8, 3, groups=4), lif((8, 3, 3)), nir.Flatten(None, 0, -1), linear(72, 5), lif(5)
        ),
        "pooling before kernels": graph_of(
            [2, 8, 8],
            pool("AvgPool2d", 2),
            conv(g, 2, 4, 3, padding=1),
            lif((4, 4, 4)),
            nir.Scale(np.array([1.0, 2, 3, 0.5]).reshape(4, 1, 1)),
            pool("SumPool2d", 2),
            nir.Flatten(None, 0, -1),
            linear(16, 5),
            lif(5),
        ),
        "pooling behind kernels": graph_of(
            [2, 9, 8],
            conv(g, 2, 4, 3, padding=1, scale=2.0),
            nir.Scale(np.array([1.0, 2, 3, 0.5]).reshape(4, 1, 1)),
            pool("AvgPool2d", 2),
            lif((4, 4, 4)),
            conv(g, 4, 3, 2, stride=1, scale=0.3),
            pool("SumPool2d", 3),
            lif((3, 1, 1), threshold=4),
        ),
        "neurons behind a pooling": graph_of(
            [2, 4, 4], pool("AvgPool2d", 2), lif((2, 2, 2), r=10), nir.Flatten(None, 0, -1), linear(8, 5), lif(5)
        ),
    }


GRAPHS = graphs()


@pytest.mark.parametrize("steps", [Steps(), Steps(reset="subtract", fire=">="), Steps(reset="subtract-delayed")])
@pytest.mark.parametrize("name", GRAPHS)
def test_every_kind_of_node_runs_like_the_equations(name, steps):
    graph = GRAPHS[name]
    shape = tuple(graph.nodes["input"].input_type["input"])
    if name == "IF, Threshold" and steps.reset:
        steps = Steps(fire=steps.fire)  # a threshold keeps nothing, so that nothing is taken from it
    inputs = random_inputs(shape)
    wanted = expected(graph, inputs, steps)
    assert all(0 < spikes.mean() < 1 for spikes in wanted)
    found = import_nir(graph, steps)
    assert same(spikes_of(found, inputs), wanted)
    assert Network.parse(found.notation, bias=found.layers[0].layer.bias).inputs == np.prod(shape)


def test_the_chip_runs_a_file_whose_numbers_it_has_like_the_equations():
    """Potentials without a leak are sums of weights, which the format holds: no spike may differ."""
    generator = np.random.default_rng(2)
    one, two = (np.round(generator.normal(0, 1, shape) * 8) / 16 for shape in ((12, 20), (5, 12)))
    neurons = [nir.IF(np.full(count, 1e4), np.ones(count)) for count in (12, 5)]
    graph = graph_of([20], nir.Linear(one), neurons[0], nir.Linear(two), neurons[1])
    found = import_nir(graph)
    assert [layer.moved for layer in found.layers] == [0, 0]
    inputs = random_inputs((20,))
    bit_exact = spikes_of(found, inputs, BitExact(found.format))
    wanted = expected(graph, inputs, Steps())
    assert wanted[-1].any() and same(bit_exact, wanted)


def test_exact_steps_follow_the_solution_of_the_equation():
    """A constant current: v(t) = r I (1 - exp(-t / tau)) until the threshold."""
    found = import_nir(graph_of([1], lif(1, tau=1e-3, r=1.0, threshold=0.5)), Steps(method="exact"))
    spikes = spikes_of(found, np.ones((20, 1, 1), dtype=np.uint8))
    first = int(np.argmax(spikes[0][:, 0, 0]))
    assert first + 1 == int(np.ceil(1e-3 * np.log(2) / 1e-4))


def test_numbers_that_went_through_single_precision_are_taken_for_those_that_were_meant():
    tau = np.full(4, np.float32(1e-4) / (1 - np.float32(0.75)), dtype=np.float32)
    layer = import_nir(graph_of([4], nir.LIF(tau, tau / np.float32(1e-4), tau * 0, tau * 0 + 1))).layers[0]
    assert layer.layer.neuron.kappa == 0.75
    assert np.array_equal(layer.exact, np.eye(4))


def test_a_file_of_ours_is_what_training_loads(tmp_path):
    found = import_nir(GRAPHS["affine, linear"], Steps(reset="subtract"))
    spec = found.save(tmp_path / "net.npz", steps=7)
    assert spec == read_spec(tmp_path / "net.npz")
    assert (spec.network, spec.steps, spec.bias) == ("20-12-5", 7, True)
    assert spec.model == found.network(7)
    assert [layer.neuron.strict for layer in spec.model.layers] == [True, True]
    weights, moved = read_weights(tmp_path / "net.npz", spec.model)
    assert moved == 0 and all(np.array_equal(a, b) for a, b in zip(weights, found.weights, strict=True))


def test_the_report_names_nodes_and_the_largest_move():
    found = import_nir(GRAPHS["pooling before kernels"])
    text = "\n".join(found.report())
    assert "layer 0: n0 + n1 + n2: fields of 2 x 2, kernel 3 x 3, stride 1, padding 1, 128 inputs, 64 neurons" in text
    assert "leak 0.8, threshold 1, reset to 0, fires at u > threshold" in text
    moved = np.abs(found.layers[0].exact - found.layers[0].weights).max()
    assert f"largest move of a weight {moved:.3g} thresholds; leak -0.000195, threshold +0" in text


SYNAPTIC = nir.CubaLIF(*(np.full(3, value) for value in (2e-4, 2e-4, 2.0, 0.0, 1.0)))
WEIGHT = nir.Linear(np.eye(3))
ODD = np.array([1e-3, 2e-3, 1e-3])


def branching():
    nodes = {
        "input": nir.Input(np.array([3])),
        "a": WEIGHT,
        "b": WEIGHT,
        "c": lif(3),
        "output": nir.Output(np.array([3])),
    }
    edges = [("input", "a"), ("input", "b"), ("a", "c"), ("b", "c"), ("c", "output")]
    return nir.NIRGraph(nodes, edges, type_check=False)


@pytest.mark.parametrize(
    "graph, text",
    [
        (
            graph_of([3], WEIGHT, SYNAPTIC),
            "node 'n1' of kind CubaLIF cannot be expressed: a neuron has no synaptic current",
        ),
        (
            graph_of([3], WEIGHT, nir.LI(ODD, ODD, ODD)),
            "node 'n1' of kind LI cannot be expressed: the outputs of a chip",
        ),
        (graph_of([3], nir.Delay(ODD), lif(3)), "node 'n0' of kind Delay cannot be expressed: spikes arrive"),
        (graph_of([3], WEIGHT, nir.LIF(ODD, ODD, ODD * 0, ODD)), "node 'n1': tau must be the same for all its neurons"),
        (graph_of([3], WEIGHT, lif(3, tau=5e-5)), "node 'n1': dt must be at most its smallest tau, 5e-05, not 0.0001"),
        (graph_of([3], WEIGHT, lif(3, threshold=0)), "node 'n1': v_threshold must be more than v_reset, not 0.0 more"),
        (graph_of([3], lif(3), WEIGHT), "node 'n1' must have neurons behind it, as the outputs of a chip are spikes"),
        (graph_of([4], WEIGHT, lif(3)), "node 'n0': weight must be [outputs, 4], not [3, 3]"),
        (graph_of([3], nir.Linear(np.eye(3) * 1e6), lif(3)), "node 'n0': weights must be at most 65504 in"),
        (graph_of([3], WEIGHT, lif(3, threshold=1e-9)), "node 'n1': theta must not round to zero"),
        (branching(), "node 'input' must have one node behind it, not ['a', 'b']: networks with branches"),
        (
            graph_of([1, 4, 4], nir.Conv2d(None, np.ones((2, 1, 2, 3)), 1, 0, 1, 1, np.zeros(2)), lif((2, 3, 2))),
            "node 'n0': weight must be [outputs, 1, K, K], a square kernel, not [2, 1, 2, 3]",
        ),
        (
            graph_of([1, 5, 5], pool("AvgPool2d", 2), lif((1, 2, 2))),
            "node 'n0': kernel_size must divide the map of 5 x 5, not 2: choose another size",
        ),
        (
            graph_of([1, 4, 4], nir.Conv2d(None, np.ones((1, 1, 1, 1)), 1, 0, 1, 1, np.zeros(1)), lif((1, 4, 4))),
            "node 'n1' must give one pixel, as the last layer, not a map of 1 x 4 x 4: end with Flatten",
        ),
        (
            graph_of([16], nir.Conv2d(None, np.ones((1, 1, 1, 1)), 1, 0, 1, 1, np.zeros(1)), lif(16)),
            "node 'n0': what comes in must be channels, height and width, not [16]: export the network with",
        ),
        (
            graph_of([1, 2, 2], nir.Scale(np.arange(4.0)), pool("SumPool2d", 2), lif((1, 1, 1))),
            "node 'n1': the scale before it must be the same for all neurons of a channel",
        ),
    ],
)
def test_what_cannot_be_expressed_is_named(graph, text):
    with pytest.raises(ValueError) as caught:
        import_nir(graph)
    assert text in str(caught.value)


@pytest.mark.parametrize(
    "given, text",
    [
        ({"dt": 0}, "dt must be more than 0, not 0"),
        ({"reset": "soft"}, "reset must be one of ['hard', 'subtract', 'subtract-delayed'], not 'soft'"),
        ({"fire": "="}, "fire must be one of ['>', '>='], not '='"),
        ({"method": None}, "method must be one of ['euler', 'exact'], not None"),
    ],
)
def test_steps_are_checked(given, text):
    with pytest.raises(ValueError) as caught:
        Steps(**given)
    assert str(caught.value) == text


def test_kernels_that_are_added_without_neurons_are_named():
    weight = {"a": nir.Linear(np.eye(3)), "b": nir.Linear(np.eye(3)), "c": nir.Linear(np.eye(3))}
    nodes = {
        "input": nir.Input(np.array([3])),
        **weight,
        "lif": lif(3),
        "end": lif(3),
        "output": nir.Output(np.array([3])),
    }
    edges = [("input", "a"), ("a", "lif"), ("lif", "b"), ("lif", "c"), ("b", "end"), ("c", "end"), ("end", "output")]
    with pytest.raises(ValueError) as caught:
        import_nir(nir.NIRGraph(nodes, edges, type_check=False))
    assert str(caught.value) == (
        "node 'end' must take spikes of neurons alone, as it takes several inputs, not 'b': put neurons behind 'b', "
        "whose spikes can be added (ADD of SEW-ResNet)"
    )
