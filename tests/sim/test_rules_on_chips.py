# SPDX-License-Identifier: Apache-2.0
"""Every learning rule and update in co-simulation: few and many cores, both families of engines, mesh and chain."""

import json

import pytest

from backspike.hw.verilog.emit import CHIP_MODULE, TILE_MODULE, emit_chip
from backspike.sim.verilator.runner import build, default_seed, run
from backspike.spec.config import ChipConfig

RULES = ["bptt", "tbptt:2", "sltt", "sltt-k:2", "ottt", "ottt-o", "dsr", "spide:8", "dfa", "opzo"]
SIZES = {
    "steps": 4,
    "slots": 4,
    "operand_bits": 7,
    "noise": True,
    "ternary": True,
    "weights": 8192,
    "neurons": 128,
    "routes": 128,
}
MESHES = {1: {"columns": 1, "rows": 1}, 4: {"columns": 2, "rows": 2}, 20: {"columns": 5, "rows": 4}}
CHIPS = {
    f"{cores}-{'dense' if dense else 'general'}-{'chain' if chain else 'mesh'}": {
        **MESHES[cores],
        **SIZES,
        "dense_only": dense,
        "chain": chain,
    }
    for cores in MESHES
    for dense in (True, False)
    for chain in ((False, True) if cores > 1 else (False,))
}
CONVOLUTIONS = "1x8x8-c16k3p1-c32k3s2p1-32-10"


def train(fields, folder, **asked):
    """Build the simulation of a chip, and train on it what ``bench_rules`` is asked for."""
    paths = emit_chip(ChipConfig.from_dict(fields), folder / "verilog")
    sources = [path for path in paths if path.suffix != ".json"]
    built = build(sources, CHIP_MODULE, folder / "build", blocks=(TILE_MODULE,))
    env = {"BACKSPIKE_CHIP": json.dumps(fields), "BACKSPIKE_RULES": json.dumps(asked)}
    run(built, "tests.hw.benches.bench_rules", seed=default_seed(), env=env)


@pytest.mark.slow
@pytest.mark.parametrize("chip", CHIPS)
def test_each_rule_and_update_trains_as_the_golden_model(chip, tmp_path):
    """64 samples of each rule, a quarter of them with each update; the network fills 20 cores."""
    network = "64-48-32-10" if CHIPS[chip]["columns"] == 5 else "64-24-16-10"
    train(CHIPS[chip], tmp_path, network=network, rules=RULES, batch=16, updates=4, places=2)


@pytest.mark.slow
def test_convolutions_train_as_the_golden_model(tmp_path):
    sizes = {"weights": 16384, "neurons": 1024, "tape_words": 64, "batch_terms": 1 << 18}
    rules = ["bptt", "sltt", "ottt", "dsr"]
    train({**MESHES[4], **SIZES, **sizes}, tmp_path, network=CONVOLUTIONS, rules=rules, batch=4, updates=2, places=1)
