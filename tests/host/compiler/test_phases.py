# SPDX-License-Identifier: Apache-2.0
"""Where networks that do not fit are cut: phases, tiles, what is said about them, and what is refused."""

import re
from dataclasses import replace

import numpy as np
import pytest

from backspike.golden.network import Network, Training
from backspike.golden.rules import Rule
from backspike.host.compiler import compile as compiler
from backspike.host.compiler.capacity import CapacityError
from backspike.host.compiler.compile import compile_network
from backspike.host.compiler.phases import cut
from backspike.host.compiler.phases.cut import check_program, compile_program
from backspike.spec.config import ChipConfig

TRAINING = Training(rate=0.0625, momentum=0.5, loss_scale=0.25)
ONE = {"columns": 1, "rows": 1}


def program(sizes, config, **options):
    return compile_program(Network.parse(sizes), TRAINING, ChipConfig(**config), **options)


def shapes(found):
    return [(phase.first, phase.last, [tile.channels for tile in phase.tiles]) for phase in found.phases]


def test_a_network_that_fits_is_one_phase_and_the_plan_as_ever():
    found = program("64-128-10", {})
    plan = compile_network(Network.parse("64-128-10"), TRAINING, ChipConfig())
    assert found.plan.table_packets() == plan.table_packets()
    assert found.summary() == plan.summary()
    assert shapes(found) == [(0, 1, [10])]


@pytest.mark.parametrize(
    ("sizes", "config", "expected"),
    [
        ("64-128-10", {**ONE, "weights": 2368}, [(0, 0, [32] * 4), (1, 1, [10])]),
        ("64-100-10", {**ONE, "weights": 1200, "lanes": 4}, [(0, 0, [16] * 6 + [4]), (1, 1, [10])]),
        ("20-20-20-20-6", {**ONE, "weights": 900}, [(0, 1, [20]), (2, 3, [6])]),
        ("20-20-20-20-6", {**ONE, "weights": 400}, [(0, 0, [20]), (1, 1, [20]), (2, 2, [20]), (3, 3, [6])]),
        ("1x8x8-c4k3p1-c4k3p1-10", {**ONE, "weights": 300}, [(0, 0, [4]), (1, 1, [4]), (2, 2, [1] * 10)]),
        ("1x8x8-c4k3p1-c4k3p1-10", {**ONE, "weights": 3000, "neurons": 256}, [(0, 0, [4]), (1, 1, [4]), (2, 2, [10])]),
    ],
)
def test_as_few_and_as_large_phases_as_fit(sizes, config, expected):
    assert shapes(program(sizes, config)) == expected


def test_a_large_last_phase_saves_its_weights_a_forward_pass():
    """Two layers of three fit, at either end: in a small batch weights are most of the bytes, in a large one spikes."""
    config = {**ONE, "weights": 840}
    assert shapes(program("4-40-16-12", config, batch=1))[-1][:2] == (1, 2)


def test_tiles_cover_all_channels_and_share_plans():
    found = program("64-100-10", {**ONE, "weights": 1200, "lanes": 4})
    tiles = found.phases[0].tiles
    assert [tile.first for tile in tiles] == [0, 16, 32, 48, 64, 80, 96]
    assert len({id(tile.plan) for tile in tiles}) == 2
    assert np.r_[tuple(tile.neurons for tile in tiles)].tolist() == list(range(100))
    assert found.blocks(0) == [64] and found.blocks(1) == [16] * 6 + [4]


def test_only_phases_behind_the_first_send_errors_to_the_host():
    found = program("64-128-10", {**ONE, "weights": 2368})
    plans = [phase.tiles[0].plan for phase in found.phases]
    assert [[plan.descriptor(part)["errors"] for part in plan.slices] for plan in plans] == [[0], [3]]
    assert [plan.loss for plan in plans] == ["external", "rate"]


def test_the_table_names_every_phase():
    found = program("64-128-10", {**ONE, "weights": 2368})
    head, _, *rows = found.summary().splitlines()
    assert re.match(r"64-128-10, T = 4: 2 phases on 1 core of 2,368 weights, about [\d,]+ cycles per sample", head)
    assert [row.split()[:6] for row in rows] == [
        ["0", "4", "32", "64", "128", "8,192"],
        ["1", "1", "10", "128", "10", "1,280"],
    ]
    values = found.to_dict()
    assert [phase["tiles"] for phase in values["phases"]] == [[32] * 4, [10]]
    assert values["cycles"] > 0


def test_other_constants_leave_the_phases_as_they_are():
    found = program("64-128-10", {**ONE, "weights": 2368})
    other = found.retrained(replace(TRAINING, rate=0.25))
    assert shapes(other) == shapes(found)
    first, second = (each.phases[0].tiles[0].plan for each in (found, other))
    assert first.layers is second.layers and first.descriptor_packets() != second.descriptor_packets()
    assert other.phases[0].tiles[0].plan is other.phases[0].tiles[1].plan
    assert other.phases[1].tiles[0].plan.input_errors


def test_what_is_known_only_when_everything_has_its_place_makes_tiles_smaller(monkeypatch):
    def placed(partition, place, cores):
        if partition.network.layers[-1].out_channels == 32:
            raise CapacityError("no room")
        return original(partition, place, cores)

    original = compiler._place
    monkeypatch.setattr(compiler, "_place", placed)
    found = shapes(program("64-128-10", {**ONE, "weights": 2368}))
    assert found == [(0, 0, [26] * 4 + [24]), (1, 1, [10])]


@pytest.mark.parametrize(
    ("sizes", "config", "rule", "text"),
    [
        ("64-20-10", {**ONE, "weights": 32}, "bptt", "layer 0 needs 64 weights on 1 core of 32: use weights=64"),
        ("20-64-10", {**ONE, "weights": 32}, "bptt", "layer 1 needs 64 weights on 1 core of 32: use weights=64"),
        (
            "64-128-10",
            {**ONE, "weights": 2368, "operand_bits": 7, "steps": 1},
            "ottt",
            "or rule bptt, tbptt:C, sltt or sltt-k:K, which can run in phases",
        ),
        ("64-128-10", {"weights": 64}, "bptt", "layer 1 needs 128 weights on 4 cores of 64: use weights=128"),
    ],
)
def test_what_does_not_fit_in_phases_either_is_refused(sizes, config, rule, text):
    network, rule = Network.parse(sizes), Rule.parse(rule)
    messages = []
    for refuse in (compile_program, check_program):
        with pytest.raises(CapacityError) as refused:
            refuse(network, TRAINING, ChipConfig(**config), rule=rule)
        messages.append(str(refused.value))
    assert messages[0] == messages[1]
    assert text in messages[0]


def test_inputs_get_no_errors_where_they_come_straight_from_the_last_layer():
    network = Network.parse("20-20-6")
    rule = Rule(name="dfa-spikes", frame=1, per_step=True, temporal=False, feedback="fixed")
    with pytest.raises(ValueError, match="input_errors must be False with rule dfa-spikes"):
        compile_network(network, TRAINING, ChipConfig(), rule=rule, input_errors=True)
    with pytest.raises(TypeError, match="input_errors must be True or False, not 1"):
        compile_network(network, TRAINING, ChipConfig(), input_errors=1)
    assert not cut.in_phases(rule) and cut.in_phases(Rule.parse("sltt-k:2"))
