# SPDX-License-Identifier: Apache-2.0
"""Router: packets between all nodes and the host, in meshes and chains of several shapes."""

import re

import pytest

from backspike.hw.noc.flow import FlitMerge
from backspike.hw.noc.router import Router
from backspike.hw.verilog.emit import to_verilog
from backspike.sim.verilator.runner import build, default_seed, run
from backspike.spec.config import ChipConfig
from tests.support.noc_mesh import RouterMeshes, mesh_name, router_module

CONFIGS = [
    *(ChipConfig(columns=columns, rows=rows) for columns, rows in ((1, 1), (3, 1), (2, 2), (5, 4))),
    *(ChipConfig(columns=columns, rows=rows, chain=True) for columns, rows in ((1, 1), (2, 1), (3, 4), (5, 4))),
]


@pytest.fixture(scope="module")
def meshes(tmp_path_factory):
    """One simulation with a mesh or chain of each shape."""
    folder = tmp_path_factory.mktemp("router")
    modules = {router_module(config): Router(config) for config in CONFIGS} | {"router_meshes": RouterMeshes(CONFIGS)}
    for name, module in modules.items():
        (folder / f"{name}.v").write_text(to_verilog(module, name))
    sources = [folder / f"{name}.v" for name in modules]
    routers = sorted(modules.keys() - {"router_meshes"})
    return build(sources, "router_meshes", folder / "build", no_inline=routers)


@pytest.mark.parametrize("name", [mesh_name(config) for config in CONFIGS])
def test_traffic(meshes, name):
    run(meshes, "tests.hw.benches.bench_noc", seed=default_seed(), env={"BACKSPIKE_MESH": name})


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
