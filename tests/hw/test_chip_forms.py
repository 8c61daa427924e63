# SPDX-License-Identifier: Apache-2.0
"""Chip: the mesh with its host link, as submodules and as instances."""

import re

import pytest

from backspike.hw.chip import Chip, Tile
from backspike.hw.verilog.emit import TILE_MODULE, to_verilog
from backspike.sim.verilator.runner import build, default_seed, run
from backspike.spec.config import ChipConfig
from tests.support.chip_pair import CONFIG, ChipPair, EchoCore


def test_both_forms_are_the_same_circuit(tmp_path):
    sources = []
    for name, module in {TILE_MODULE: Tile(CONFIG, core=EchoCore), "chip_pair": ChipPair()}.items():
        sources.append(tmp_path / f"{name}.v")
        sources[-1].write_text(to_verilog(module, name))
    built = build(sources, "chip_pair", tmp_path / "build", no_inline=[TILE_MODULE])
    run(built, "tests.hw.benches.bench_chip_forms", seed=default_seed())


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        ({"config": 1}, "config must be a ChipConfig, not 1"),
        ({"config": ChipConfig(), "core": 2}, "core must be callable, not 2"),
        ({"config": ChipConfig(), "tile_module": 3}, "tile_module must be a string or None, not 3"),
    ],
)
def test_parameters_are_checked(arguments, text):
    with pytest.raises(TypeError, match=f"^{re.escape(text)}$"):
        Chip(**arguments)
