# SPDX-License-Identifier: Apache-2.0
"""A very small chip trains in Icarus Verilog, with memories of unknown contents, as it does in Verilator."""

import json
import shutil

import pytest
from cocotb_tools.runner import Icarus

from backspike.hw.verilog.emit import CHIP_MODULE, TILE_MODULE, emit_chip
from backspike.sim.verilator.runner import build, run
from backspike.spec.config import ChipConfig

BENCH = "tests.hw.benches.bench_portable"
FIELDS = {
    "columns": 1,
    "rows": 1,
    "weights": 256,
    "neurons": 32,
    "tape_words": 4,
    "peers": 8,
    "groups": 8,
    "slices": 2,
    "window": 32,
    "steps": 2,
}

pytestmark = pytest.mark.skipif(
    shutil.which("iverilog") is None, reason="Icarus Verilog is not installed (Debian's package iverilog)"
)


@pytest.fixture(scope="module")
def sources(tmp_path_factory):
    paths = emit_chip(ChipConfig.from_dict(FIELDS), tmp_path_factory.mktemp("icarus"))
    return [path for path in paths if path.suffix == ".v"]


@pytest.fixture(scope="module")
def replies_of_verilator(sources):
    folder = sources[0].parent / "verilator"
    run(build(sources, CHIP_MODULE, folder, blocks=()), BENCH, seed=1, env=environment(folder))
    return replies(folder)


def environment(folder):
    return {"BACKSPIKE_CHIP": json.dumps(FIELDS), "BACKSPIKE_REPLIES": str(folder / "replies.json")}


def replies(folder):
    """What the chip has said, and when, counted from its first word on."""
    found = json.loads((folder / "replies.json").read_text())
    return [[time - found[0][0], words] for time, words in found]


@pytest.mark.parametrize("language", ["2005", "2012"])
def test_icarus_and_verilator_hear_the_same(language, sources, replies_of_verilator):
    """In Verilog and in SystemVerilog: words and cycles are equal; the bench compares weights with the golden model."""
    folder = sources[0].parent / language
    runner = Icarus()
    runner.build(
        sources=sources,
        hdl_toplevel=CHIP_MODULE,
        build_dir=folder,
        build_args=[f"-g{language}"],
        timescale=("1ns", "1ps"),
        always=True,
    )
    runner.test(
        BENCH,
        hdl_toplevel=CHIP_MODULE,
        hdl_toplevel_lang="verilog",
        build_dir=folder,
        seed=1,
        extra_env=environment(folder),
        log_file=folder / "run.log",
        results_xml=str(folder / "results.xml"),
    )
    found = replies(folder)
    assert len(found) > 50
    assert found == replies_of_verilator


def test_memories_start_unknown(sources):
    """The text gives them no contents, so that Icarus Verilog takes them for unknown."""
    text = next(path for path in sources if path.stem == TILE_MODULE).read_text()
    assert text.count("initial ") == text.count("initial always_once = 1'h0;")
