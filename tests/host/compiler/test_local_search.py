# SPDX-License-Identifier: Apache-2.0
"""How well work is spread, what the estimate is made of, and that the search keeps to the chip's limits."""

from dataclasses import replace

import numpy as np
import pytest

from backspike.golden.network import Conv, Dense, Network, Training
from backspike.golden.presets import default_training
from backspike.golden.rules import BPTT, Rule
from backspike.golden.trainer import Trainer, initial_weights
from backspike.host.compiler.activity import measure_densities
from backspike.host.compiler.compile import compile_network
from backspike.host.compiler.core_assignment import assign_cores, flits
from backspike.host.compiler.cost_model import CostModel, Density, layer_densities
from backspike.host.compiler.partition import Partition, Piece
from backspike.host.compiler.plan import Plan
from backspike.host.compiler.strategies import balanced, path
from backspike.spec.config import ChipConfig, mesh_shape

TRAINING = Training(rate=0.5)
SPIKES = Rule(name="dfa-spikes", frame=1, per_step=True, temporal=False, feedback="fixed")
NOISE = replace(SPIKES, name="opzo-spikes", feedback="learned")
"""Direct feedback, of which a spike is the operand."""

DEEP = "1x28x28-c12k3s2p1-c16k3p1-a2-c24k3p1-c24k3p1-c32k3s2p1-c32k3p1-c32k3p1-10"
LARGE = {"weights": 65536, "neurons": 16384, "tape_words": 512, "fan_in": 128, "routes": 128, "slices": 8}


def compiled(sizes, cores, **options):
    columns, rows = mesh_shape(cores)
    config = ChipConfig(columns=columns, rows=rows, **{**LARGE, **options})
    return compile_network(Network.parse(sizes), TRAINING, config)


@pytest.mark.parametrize(
    ("sizes", "cores", "balance", "slices"),
    [(DEEP, 1, 1, 8), (DEEP, 4, 0.95, 10), (DEEP, 9, 0.95, 16), (DEEP, 20, 0.85, 30), ("784-256-128-10", 20, 0.95, 23)],
)
def test_work_is_spread_over_the_cores(sizes, cores, balance, slices):
    plan = compiled(sizes, cores)
    report = plan.to_dict()
    assert report["balance"] >= balance
    assert len(plan.slices) <= slices
    assert report["cycles"] == max(core["load"]["cycles"] for core in report["cores"])
    assert len(plan.cores) == cores


def test_the_link_does_not_limit_the_slices_of_the_first_layer():
    """One copy of 784 inputs, 300 flits in 4 steps, does for all of them, also with 64 cores."""
    plan = compiled("784-256-10", 64)
    report = plan.to_dict()
    assert report["link"] == 300
    assert len(plan.layers[0]) > 60


def test_the_cost_of_a_convolution():
    """By hand: 2 channels of 4 x 4 inputs, 3 x 3 kernel, padding 1: of 144 taps 100 are inside."""
    layers = [
        Conv(in_channels=2, in_height=4, in_width=4, kernel=3, padding=1, out_channels=4),
        Conv(in_channels=4, in_height=4, in_width=4, kernel=2, pool=2, out_channels=3),
    ]
    network = Network(layers=layers, steps=2)
    densities = (Density(spikes=0.5, deltas=1), Density(spikes=0.25, masks=0.5, deltas=1))
    slices = np.array([[1, 1], [0, 1]])
    blocks = np.array([[1, 3], [0, 3]])
    cost = CostModel(network, ChipConfig(), densities)
    forward, errors, gradients, deltas = cost.engines(blocks, blocks, slices)
    assert forward[0].tolist() == [2 * 100 * 2 * 0.5 + 2 * 16, 3 * (2 * 100 * 2 * 0.5 + 2 * 16)]
    assert forward[1].tolist() == [0, 2 * 64 * 0.25 * 3 + 2 * 3]
    assert gradients[0, 0] == 2 * 100 * 2 * 0.5
    assert errors[0].tolist() == [0, 0]
    assert errors[1, 1] == max(3 * 64, 64 + 64 * 3)  # 2 * 64 * 0.5 errors of three deltas each
    assert deltas.tolist() == [[2 * 2 * 16, 2 * 2 * 16 * 3], [0, 2 * 2 * 3]]
    inward, outward = cost.ports(blocks, slices)
    assert inward[0].tolist() == [3 * 2 * 1 + 3 * 2 * 16 * 0.5, 3 * 2 * 1 + 3 * 2 * 16 * 0.5 * 3]
    assert inward[1].tolist() == [0, 3 * 2 * 2]
    assert outward[1, 1] == 3 * 64 + 3 * 2 * 3 / 32
    assert cost.link(slices) == 2 * 3  # one copy, though two cores have a slice of the first layer


def test_engines_for_dense_layers_find_an_input_once_for_both():
    """Of 32 inputs a quarter is masked, and half of all spike: 20 are of use, and in the first layer 32 of 64."""
    network = Network.parse("64-32-10", steps=3)
    densities = (Density(spikes=0.5, deltas=1), Density(spikes=0.5, masks=0.25, deltas=1))
    cost = CostModel(network, ChipConfig(dense_only=True), densities)
    _, errors, gradients, _ = cost.engines(np.array([[32], [10]]), np.array([[32], [10]]), np.ones((2, 1)))
    assert gradients.ravel().tolist() == [3 * 32 * 32, 3 * 20 * 10]
    assert errors.ravel().tolist() == [3 * 32 * 32, 3 * 20 * 10]


def test_deltas_of_zero_send_no_errors():
    network = Network.parse("64-32-10")
    cost = CostModel(network, ChipConfig(), layer_densities(network, Density(deltas=0.0)))
    _, outward = cost.ports(np.array([[32], [10]]), np.ones((2, 1)))
    assert outward.ravel().tolist() == [3 * 4 * 32 / 32, 3 * 4 * 10 / 32]


@pytest.mark.parametrize("rule", [BPTT, SPIKES, NOISE])
def test_the_matrix_of_a_cut_needs_what_its_layout_uses(rule):
    """For single slices on each core; where slices have fewer channels than lanes, the matrix may say more."""
    network = Network.parse("2x9x9-c10k3-a7-c33k1-20-10", bias=True)
    for lanes in (1, 4):
        config = ChipConfig(columns=3, rows=2, lanes=lanes, noise=rule.feedback == "learned", **LARGE)
        how = {"feedback": rule.feedback != "weights", "learned": rule.feedback == "learned"}
        densities = layer_densities(network, None)
        partition = Partition(network, config, densities, **how)
        draw = np.random.default_rng(lanes)
        for _ in range(20):
            cut = np.array([draw.multinomial(count, [1 / 6] * 6) for count in partition.counts])
            cores = path(3, 2)
            plan = compile_network(network, TRAINING, config, strategy=partition.pieces(cut, cores), rule=rule)
            assert isinstance(plan, Plan)
            needs, counts, _ = partition.needs(cut)
            assert counts.tolist() == [len(own) for own in plan.layers]
            used = plan.core_use()
            for column, core in enumerate(cores):
                for name, values in needs.items():
                    found = used.get(core, {}).get(name, 0)
                    slack = (
                        2 * int(partition.slices(cut).sum()) if name in ("tape_words", "fan_in") and lanes > 1 else 0
                    )
                    assert found <= values[column] <= found + slack
            assert partition.excess(cut) == 0
            tight = {name: max(1, values.max() - 1) for name, values in needs.items()}
            for name in ("tape_words", "fan_in", "routes", "slices"):
                small = replace(config, **{name: max(2, int(tight[name]))})
                changed = Partition(network, small, densities, **how)
                assert (changed.excess(cut) > 0) == (needs[name].max() > max(2, tight[name]))


def test_assigning_cores_shortens_the_ways_and_keeps_the_pieces():
    network, config = Network.parse("784-256-128-10"), ChipConfig(columns=5, rows=4, weights=32768)
    cores, partition = path(5, 4), Partition(network, config, layer_densities(network, None))
    before = [
        replace(p, x=cores[(7 * n) % 20][0], y=cores[(7 * n) % 20][1]) for n, p in enumerate(balanced(partition, cores))
    ]
    after = assign_cores(partition, before, cores)
    pairs = [[(p, q) for p in own for q in own if q.layer == p.layer + 1] for own in (before, after)]
    ways = [sum(flits(partition, p, q) * (abs(p.x - q.x) + abs(p.y - q.y)) for p, q in own) for own in pairs]
    assert ways[1] < 0.9 * ways[0]
    assert [(p.layer, p.first, p.channels) for p in after] == [(p.layer, p.first, p.channels) for p in before]
    moved = {((p.x, p.y), (q.x, q.y)) for p, q in zip(before, after, strict=True)}
    assert len(moved) == len({core for core, _ in moved}) == len({core for _, core in moved})


def test_the_cost_of_feedback():
    """By hand: the last layer sends the errors of all 3 + 4 hidden neurons, through each of its slices."""
    network = Network(
        layers=[Dense(inputs=9, outputs=3), Dense(inputs=3, outputs=4), Dense(inputs=4, outputs=2)], steps=2
    )
    densities = [Density(spikes=0.5, deltas=0.25), Density(spikes=0, masks=0.5), Density(masks=0.75, deltas=0.5)]
    cost = CostModel(network, ChipConfig(), densities, feedback=True)
    blocks = np.array([[3, 0], [0, 4], [1, 1]])
    slices = np.array([[1, 0], [0, 1], [1, 1]])
    _, backward, *_ = cost.engines(blocks, blocks, slices)
    asked, share = 2 * (3 * 0.5 + 4 * 0.75), 1 - 0.5
    assert backward == pytest.approx(np.array([[0, 0], [0, 0], [3 * asked * share] * 2]))
    inward, outward = cost.ports(blocks, slices)
    errors = [2 * share * 3 * 2 * count for count in (3 * 0.5, 4 * 0.75)]
    assert inward.sum(axis=1) == pytest.approx([3 * 2 + errors[0], 3 * 2 + errors[1], 2 * 3 * 2 * 2])
    # Spikes to the next layer, and to both slices of the last one; errors of that
    spikes = 3 * 2 / 32
    assert outward.sum(axis=1) == pytest.approx([3 * spikes * 3, 4 * spikes * 2, 2 * spikes + 2 * 3 * asked * share])
    # If it learns, the noise of the layer before the last one comes in packets of its own; each error has a gradient
    learned = CostModel(network, ChipConfig(), densities, feedback=True, learned=True)
    more = [new - old for new, old in zip(learned.ports(blocks, slices), (inward, outward), strict=True)]
    assert more[0].sum(axis=1) == pytest.approx([0, 0, 2 * 3 * 2])
    assert more[1].sum(axis=1) == pytest.approx([0, 4 * spikes * 2, 0])
    assert (learned.engines(blocks, blocks, slices)[2] - cost.engines(blocks, blocks, slices)[2])[:2].tolist() == [
        [0, 0]
    ] * 2


def test_measured_densities():
    network = Network.parse("2x6x6-c4k3p1-a2-8-4", steps=3)
    training, draw = default_training(network), np.random.default_rng(0)
    weights = initial_weights(network, 0)
    spikes = (draw.random((3, 5, network.inputs)) < 0.3).astype(np.uint8)
    labels = draw.integers(0, 4, 5)
    trainer = Trainer(network, training, weights=weights)
    first, *others = densities = measure_densities(trainer, spikes, labels)
    trace = trainer.forward(spikes)
    assert first.spikes == spikes.mean()
    assert first.masks == 0
    for density, layer in zip(others, trace.layers, strict=False):
        assert density.spikes == layer.spikes.mean()
        assert density.masks == layer.masks.mean()
    assert all(0 < density.deltas <= 1 for density in densities)
    assert compile_network(network, training, ChipConfig(neurons=512), density=densities).densities == densities


def test_one_density_for_each_layer():
    network = Network.parse("6-5-4")
    pieces = [Piece(0, 0, 0, 0, 5), Piece(1, 1, 0, 0, 4)]
    densities = [Density(spikes=1), Density(spikes=0)]
    plan = compile_network(network, TRAINING, ChipConfig(), strategy=pieces, density=densities)
    forward = [core["load"]["forward"] for core in plan.to_dict()["cores"]]
    assert forward == [4 * 6 * 5 + 4 * 5, round(4 * (5 / 32 + 31 / 32)) + 4 * 4]


def test_finding_spikes_is_the_least_that_forward_takes():
    """Without any spike: 65 inputs lie in 65 / 32 + 31 / 32 words, found once, or for each of 3 blocks."""
    network = Network(layers=[Dense(inputs=65, outputs=3)], steps=2)
    for window, scans in ((128, 1), (64, 3)):
        cost = CostModel(network, ChipConfig(list_depth=window), layer_densities(network, Density(spikes=0)))
        forward, *_ = cost.engines(np.array([[3]]), np.array([[3]]), np.array([[1]]))
        assert forward.item() == 2 * 3 * scans + 2 * 3
