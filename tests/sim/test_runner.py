# SPDX-License-Identifier: Apache-2.0
"""The Verilator runner: what it builds, and how it says that something failed."""

import re

import pytest

from backspike.sim.runner import build, default_seed, run

COUNTER = """
module counter(input clk, input rst, output reg [7:0] count, output [7:0] never_set);
  reg [7:0] memory [0:3];
  assign never_set = memory[count[1:0]];
  always @(posedge clk) if (rst) count <= 0; else count <= count + 1;
  always @(posedge clk) if (count == 255) memory[0] <= 1;
endmodule
"""
BENCH = """
import cocotb
from cocotb.clock import Clock
from cocotb.triggers import ClockCycles, FallingEdge

@cocotb.test(timeout_time=1, timeout_unit="us")
async def counts(dut):
    Clock(dut.clk, 10, unit="ns").start()
    dut.rst.value = 1
    await ClockCycles(dut.clk, 2)
    dut.rst.value = 0
    await FallingEdge(dut.clk)
    before = int(dut.count.value)
    await ClockCycles(dut.clk, 5)
    await FallingEdge(dut.clk)
    assert int(dut.count.value) == before + 5
    print("contents", int(dut.never_set.value))

@cocotb.test(timeout_time=1, timeout_unit="us")
async def fails(dut):
    assert int(dut.rst.value) == 2, "reset is not two"

@cocotb.test(timeout_time=1, timeout_unit="us")
async def hangs(dut):
    Clock(dut.clk, 10, unit="ns").start()
    while True:
        await FallingEdge(dut.clk)
"""


@pytest.fixture(scope="module")
def counter(tmp_path_factory):
    folder = tmp_path_factory.getbasetemp() / "runner"
    folder.mkdir(exist_ok=True)
    (folder / "counter.v").write_text(COUNTER)
    (folder / "bench_counter.py").write_text(BENCH)
    return build([folder / "counter.v"], "counter", folder / "counter", waves=True)


@pytest.fixture
def bench(counter, monkeypatch):
    monkeypatch.syspath_prepend(counter.build_dir.parent)
    return "bench_counter"


def test_a_passing_bench_passes_and_records_waves(counter, bench):
    run(counter, bench, seed=default_seed(), only="counts", waves=True)
    assert (counter.build_dir / "dump.vcd").stat().st_size > 0


def test_memories_start_from_contents_that_the_seed_decides(counter, bench):
    def contents(seed):
        run(counter, bench, seed=seed, only="counts")
        return re.search(r"contents (\d+)", (counter.build_dir / "bench_counter.log").read_text())[1]

    assert contents(1) == contents(1)
    assert len({contents(seed) for seed in range(1, 6)}) > 1


def test_a_failing_bench_is_an_error_that_names_the_test_the_reason_and_the_seed(counter, bench):
    with pytest.raises(RuntimeError, match=r"(?s)on counter with seed 7 failed:.*fails: .*reset is not two"):
        run(counter, bench, seed=7, only="fails")


def test_a_hanging_bench_is_ended_by_its_watchdog(counter, bench):
    with pytest.raises(RuntimeError, match=r"(?s)failed:.*hangs: .*[Tt]ime"):
        run(counter, bench, seed=1, only="hangs")


def test_a_bench_that_cannot_be_imported_is_an_error(counter, bench):
    with pytest.raises(RuntimeError, match="no_such_bench on counter with seed 1"):
        run(counter, "no_such_bench", seed=1)


def test_a_bench_without_the_wanted_test_is_an_error(counter, bench):
    with pytest.raises(RuntimeError, match="bench_counter on counter with seed 1"):
        run(counter, bench, seed=1, only="no_such_test")


def test_a_warning_of_verilator_is_an_error(tmp_path):
    source = tmp_path / "bad.v"
    source.write_text("module bad(input a, output b);\n  assign b = a & missing;\nendmodule\n")
    with pytest.raises(RuntimeError, match=r"(?s)^the simulation of bad could not be built .*missing"):
        build([source], "bad", tmp_path / "bad")


def test_the_seed_comes_from_the_environment(monkeypatch):
    monkeypatch.setenv("BACKSPIKE_SEED", "42")
    assert default_seed() == 42
