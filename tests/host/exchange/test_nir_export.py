# SPDX-License-Identifier: Apache-2.0
"""Networks to NIR: as the equations, and back to the same bits."""

import nir
import numpy as np
import pytest

from backspike.golden.arithmetic import Float64
from backspike.golden.forward import forward
from backspike.golden.initial import initial_weights
from backspike.golden.network import Network
from backspike.host.exchange.nir_export import export_nir, to_nir
from backspike.host.exchange.nir_graph import ordered
from backspike.host.exchange.nir_import import import_nir
from tests.support.nir_equations import run_nodes

NETWORKS = {
    "64-32-10": {},
    "1x12x12-c4k3s2p1-a2-10": {"bias": True, "reset": "hard", "strict": True},
    "2x8x6-c4k3-6": {"kappa": 1.0},
    "1x8x8-a2-c4k3p1-a2-16-10": {"theta": 2.0, "reset_value": 2.0},
    "1x8x8-c10k8": {"kappa": 0.0, "reset": "hard"},
    "20-12-12-12+1-5": {"bias": True},
    "1x8x8-c3k3p1-c3k3p1-m2+1-c4k3p1-c4k1@3-6+4": {"reset": "hard"},
    "2x4x4-m2-c4k2-3": {"bias": True, "strict": True},
    "20-12-5": {"neurons": [{"kappa": 0.75, "strict": True}, {"theta": 0.5, "reset": "hard"}]},
}


@pytest.mark.parametrize("text", NETWORKS)
def test_a_network_comes_back_from_a_file_with_every_bit(text, tmp_path):
    network = Network.parse(text, **NETWORKS[text])
    weights = initial_weights(network, 1)
    export_nir(tmp_path / "new" / "net.nir", network, weights)
    found = import_nir(tmp_path / "new" / "net.nir")
    assert found.network(network.steps) == network
    assert all(np.array_equal(a, b) for a, b in zip(weights, found.weights, strict=True))


@pytest.mark.parametrize("text", [text for text, given in NETWORKS.items() if "neurons" not in given])
def test_the_graph_runs_like_the_network(text):
    network = Network.parse(text, steps=12, **NETWORKS[text])
    neuron = network.layers[-1].neuron
    reset, value, strict = neuron.reset, neuron.reset_value, neuron.strict
    weights = initial_weights(network, 2)
    nodes = ordered(to_nir(network, weights))
    shape = tuple(nodes[0][1].input_type["input"])
    inputs = (np.random.default_rng(1).random((12, 3, *shape)) < 0.5).astype(np.uint8)
    way = "hard" if reset == "hard" else "subtract" if value is None else "subtract-delayed"
    wanted = run_nodes(nodes, inputs, reset=way, fire=">" if strict else ">=")
    trace = forward(network, weights, inputs.reshape(12, 3, -1), Float64())
    for found, spikes in zip(trace.layers, wanted, strict=True):
        assert np.array_equal(found.spikes, spikes.reshape(*spikes.shape[:2], -1))


def test_what_nir_has_no_word_for_is_told_or_refused():
    network = Network.parse("4-2", reset="hard")
    node = to_nir(network, initial_weights(network, 1)).nodes["lif0"]
    assert node.metadata == {"reset": "hard", "fire": ">="}
    network = Network.parse("4-2", reset_value=0.25)
    with pytest.raises(ValueError, match=r"reset_value must be the threshold 1\.0, or None, for NIR, not 0\.25"):
        to_nir(network, initial_weights(network, 1))
    with pytest.raises(ValueError, match="dt must be more than 0, not -1"):
        to_nir(network, initial_weights(network, 1), dt=-1)


def test_metadata_of_others_are_checked():
    network = Network.parse("4-2")
    graph = to_nir(network, initial_weights(network, 1))
    assert isinstance(graph, nir.NIRGraph)
    graph.nodes["lif0"].metadata["reset"] = "zero"
    with pytest.raises(ValueError, match=r"node 'lif0': its metadata must have a reset of .* not 'zero'"):
        import_nir(graph)
