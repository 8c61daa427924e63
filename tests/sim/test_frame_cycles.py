# SPDX-License-Identifier: Apache-2.0
"""Cycles of a training in frames of one step, and of the same network in frames of a sample."""

import json

import pytest

from backspike.hw.verilog.emit import CHIP_MODULE, TILE_MODULE, emit_chip
from backspike.sim.verilator.runner import build, default_seed, run
from backspike.spec.config import ChipConfig


@pytest.mark.slow
@pytest.mark.parametrize("slots", [2, 4])
def test_frames_of_one_step_take_as_long_as_samples(slots, tmp_path):
    fields = {"columns": 2, "rows": 2, "slots": slots, "dense_only": True}
    paths = emit_chip(ChipConfig.from_dict(fields), tmp_path / "verilog")
    sources = [path for path in paths if path.suffix != ".json"]
    built = build(sources, CHIP_MODULE, tmp_path / "build", blocks=(TILE_MODULE,))
    environment = {"BACKSPIKE_CHIP": json.dumps(fields)}
    run(built, "tests.hw.benches.bench_frame_cycles", seed=default_seed(), env=environment)
    log = (built.build_dir / "tests.hw.benches.bench_frame_cycles.log").read_text()
    print(*(line.strip() for line in log.splitlines() if "cycles a sample" in line), sep="\n")
