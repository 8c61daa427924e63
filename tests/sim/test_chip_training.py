# SPDX-License-Identifier: Apache-2.0
"""The whole chip in co-simulation, on chips of several shapes."""

import json

import pytest

from backspike.hw.verilog.emit import CHIP_MODULE, TILE_MODULE, emit_chip
from backspike.sim.verilator.runner import build, default_seed, run
from backspike.spec.config import ChipConfig

SMALL = {"weights": 16384, "neurons": 2048, "tape_words": 64, "routes": 64, "slices": 6, "list_depth": 256}
CHIPS = {
    "1x1-1lane": {"columns": 1, "rows": 1, **SMALL},
    "3x3-1lane": {"columns": 3, "rows": 3, **SMALL, "slots": 4, "fan_in": 48, "list_depth": 1024},
    "2x2-4lanes": {"columns": 2, "rows": 2, "lanes": 4, **SMALL, "slots": 8, "steps": 5},
    "2x1-8lanes": {"columns": 2, "rows": 1, "lanes": 8, **SMALL, "slots": 3, "momentum": False},
    "2x1-2lanes-8bit": {
        "columns": 2,
        "rows": 1,
        "lanes": 2,
        "format": {"exponent": 4, "mantissa": 3},
        **SMALL,
        "slots": 7,
        "batch_terms": 1 << 13,
    },
    "2x2-chain-dense": {"columns": 2, "rows": 2, **SMALL, "dense_only": True, "chain": True},
    "2x2-chain-dense-1step": {
        **{"columns": 2, "rows": 2, "chain": True, "dense_only": True, "steps": 1},
        **SMALL | {"slots": 4, "neurons": 64, "weights": 4096},
    },
    "2x1-dense-ternary": {
        **{"columns": 2, "rows": 1, "dense_only": True, "operand_bits": 7, "ternary": True},
        **SMALL | {"slots": 3},
    },
    "2x1-2lanes-1step-options": {
        **{"columns": 2, "rows": 1, "lanes": 2, "steps": 1, "operand_bits": 7, "noise": True, "ternary": True},
        "batch_terms": 1 << 18,
        **SMALL | {"slots": 4},
    },
    "2x1-2lanes-dense": {"columns": 2, "rows": 1, "lanes": 2, **SMALL, "slots": 4, "dense_only": True},
}
DENSE = [
    "same_bits_for_any_placement",
    "same_bits_with_pauses",
    "networks_are_loaded_at_run_time",
    "updates_are_data",
    "evaluation_between_training",
    "errors_from_the_host",
    "saturation_is_flagged",
    "rules_that_train_in_frames",
    "errors_go_back_once_a_sample",
    "ternary_spikes_go_back",
    "same_bits_in_frames_of_any_length",
    "errors_straight_from_the_last_layer",
    "feedback_learns_from_noise",
]
"""Tests that need neither convolutions nor skipping that can be switched off."""
ONE_STEP = [
    "rules_that_train_in_frames",
    "errors_go_back_once_a_sample",
    "ternary_spikes_go_back",
    "maps_in_frames",
    "errors_straight_from_the_last_layer",
    "feedback_learns_from_noise",
    "maps_get_errors_of_the_last_layer",
]
"""Tests of a chip whose slots hold a step."""
EIGHT_BITS = [
    "same_bits_for_any_placement",
    "same_bits_with_pauses",
    "convolutions_train",
    "layers_may_differ",
    "updates_are_data",
    "saturation_is_flagged",
]
"""Tests that do not depend on constants which eight bits cannot hold."""


MINUTES = ["3x3-1lane", "2x2-4lanes", "2x1-8lanes", "2x1-2lanes-dense"]
"""Chips that are simulated by the full tests only. Those of ``make sim`` in the README have 4, 6 and 20 cores."""


@pytest.fixture(
    scope="module",
    params=[pytest.param(name, marks=pytest.mark.slow if name in MINUTES else ()) for name in CHIPS],
    ids=str,
)
def chip(request, tmp_path_factory):
    """A built simulation and the configuration of its chip."""
    fields = CHIPS[request.param]
    directory = tmp_path_factory.mktemp(request.param)
    paths = emit_chip(ChipConfig.from_dict(fields), directory / "verilog")
    sources = [path for path in paths if path.suffix != ".json"]
    return build(sources, CHIP_MODULE, directory / "build", blocks=(TILE_MODULE,)), fields


def _tests(fields):
    """Names of the tests of a chip; None: all."""
    if fields.get("steps") == 1:
        return [name for name in ONE_STEP if name in DENSE] if fields.get("dense_only") else ONE_STEP
    if fields.get("dense_only"):
        return DENSE + ["networks_in_phases"] * (fields.get("lanes", 1) > 1)  # in the full tests
    return EIGHT_BITS if "format" in fields else None


def test_chip_trains_as_the_golden_model(chip):
    built, fields = chip
    run(
        built,
        "tests.hw.benches.bench_learning",
        seed=default_seed(),
        env={"BACKSPIKE_CHIP": json.dumps(fields)},
        only=_tests(fields),
    )


def test_bad_packets_do_no_harm(chip):
    built, fields = chip
    if "format" in fields:
        pytest.skip("the format plays no part in what is dropped")
    run(
        built,
        "tests.hw.benches.bench_bad_packets",
        seed=default_seed(),
        env={"BACKSPIKE_CHIP": json.dumps(fields)},
    )
