# SPDX-License-Identifier: Apache-2.0
"""Router: packets between all nodes and the host, in meshes of several shapes."""

import re

import pytest

from backspike.hw.config import ChipConfig
from backspike.hw.noc.flow import FlitMerge
from backspike.hw.noc.router import Router
from backspike.hw.verilog.emit import to_verilog
from backspike.sim.noc_mesh import ROUTER_MODULE, RouterMeshes
from backspike.sim.runner import build, default_seed, run

SHAPES = ("1x1", "3x1", "2x2", "5x4")


@pytest.fixture(scope="module")
def meshes(tmp_path_factory):
    """One simulation with a mesh of each shape."""
    folder = tmp_path_factory.mktemp("router")
    configs = [ChipConfig(columns=int(shape[0]), rows=int(shape[2])) for shape in SHAPES]
    modules = {ROUTER_MODULE: Router(configs[0]), "router_meshes": RouterMeshes(configs)}
    for name, module in modules.items():
        (folder / f"{name}.v").write_text(to_verilog(module, name))
    sources = [folder / f"{name}.v" for name in modules]
    return build(sources, "router_meshes", folder / "build", no_inline=[ROUTER_MODULE])


@pytest.mark.parametrize("shape", SHAPES)
def test_traffic(meshes, shape):
    run(meshes, "backspike.sim.benches.bench_noc", seed=default_seed(), env={"BACKSPIKE_MESH": shape})


def test_config_must_be_a_configuration():
    with pytest.raises(TypeError, match=re.escape("config must be a ChipConfig, not 3")):
        Router(3)


@pytest.mark.parametrize(
    ("inputs", "error", "text"),
    [(0, ValueError, "inputs must be at least 1, not 0"), (2.0, TypeError, "inputs must be an integer, not 2.0")],
)
def test_merge_needs_inputs(inputs, error, text):
    with pytest.raises(error, match=f"^{re.escape(text)}$"):
        FlitMerge(inputs)
