# SPDX-License-Identifier: Apache-2.0
"""The Verilator runner: what it builds, and how it says that something failed."""

import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from backspike.sim.verilator import build_cache
from backspike.sim.verilator.runner import build, default_seed, run

COUNTER = """
module counter(input clk, input rst, output reg [7:0] count, output [7:0] never_set);
  reg [7:0] memory [0:3];
  assign never_set = memory[count[1:0]];
  always @(posedge clk) if (rst) count <= 0; else count <= count + 1;
  always @(posedge clk) if (count == 255) memory[0] <= 1;
endmodule
"""
PAIR = """
module pair(input clk, input rst, output [7:0] count, output [7:0] second, output [15:0] never_set);
  counter a(.clk(clk), .rst(rst), .count(count), .never_set(never_set[7:0]));
  counter b(.clk(clk), .rst(count[2]), .count(second), .never_set(never_set[15:8]));
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


@pytest.fixture(scope="module", autouse=True)
def cache(tmp_path_factory):
    """A cache of these tests alone, empty at first."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("BACKSPIKE_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield build_cache.cache_folder()


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


def test_instances_of_a_block_share_one_library_and_start_from_contents_of_their_own(tmp_path, counter, bench):
    sources = [tmp_path / "counter.v", tmp_path / "pair.v"]
    for source, text in zip(sources, (COUNTER, PAIR), strict=True):
        source.write_text(text)
    built = build(sources, "pair", tmp_path / "pair", blocks=["counter"])
    assert (built.build_dir / "Vcounter" / "libcounter.a").is_file()

    def contents(seed):
        run(built, bench, seed=seed, only="counts")
        return int(re.search(r"contents (\d+)", (built.build_dir / "bench_counter.log").read_text())[1])

    seen = [contents(seed) for seed in range(1, 6)]
    assert seen[0] == contents(1)
    assert len(set(seen)) > 1
    assert any(value % 256 != value // 256 for value in seen)

    sources[0].write_text(COUNTER.replace("count + 1", "count + 2"))
    build(sources, "pair", tmp_path / "pair", blocks=["counter"])
    with pytest.raises(RuntimeError, match="counts"):
        run(built, bench, seed=1, only="counts")


def test_a_top_module_that_is_not_there_is_an_error(tmp_path):
    source = tmp_path / "counter.v"
    source.write_text(COUNTER)
    with pytest.raises(RuntimeError, match="no source has a module missing"):
        build([source], "missing", tmp_path / "missing")


def test_the_seed_comes_from_the_environment(monkeypatch):
    monkeypatch.setenv("BACKSPIKE_SEED", "42")
    assert default_seed() == 42


def log_of(built):
    return (built.build_dir / "build.log").read_text()


def test_the_run_time_library_is_compiled_once(tmp_path, counter):
    """A second design takes its objects from the cache."""
    source = tmp_path / "counter.v"
    source.write_text(COUNTER.replace("count + 1", "count + 3"))
    other = build([source], "counter", tmp_path / "build", waves=True)
    assert "verilated.cpp" in log_of(counter)
    assert "verilated.cpp" not in log_of(other) and "verilator.cpp" in log_of(other)


def test_the_same_verilog_is_built_once(tmp_path, counter, bench):
    """In another folder, the program runs there; of other Verilog or with other options, it is another one."""
    sources = [tmp_path / "copy" / "counter.v", tmp_path / "other" / "counter.v"]
    for source, text in zip(sources, (COUNTER, COUNTER.replace("count + 1", "count + 2")), strict=True):
        source.parent.mkdir()
        source.write_text(text)
    same = build(sources[:1], "counter", tmp_path / "same", waves=True)
    assert log_of(same).startswith("the program is that of ")
    assert same.seconds == counter.seconds
    run(same, bench, seed=1, only="counts")
    assert sorted(path.name for path in same.build_dir.iterdir() if "bench" not in path.name) == [
        "build.log",
        "counter",
    ]
    other = build(sources[1:], "counter", tmp_path / "same", waves=True)
    assert not log_of(other).startswith("the program is that of ")
    with pytest.raises(RuntimeError, match="counts"):
        run(other, bench, seed=1, only="counts")
    back = build(sources[:1], "counter", tmp_path / "same", waves=True)
    run(back, bench, seed=1, only="counts")


def test_another_program_in_the_folder_is_not_taken_for_this_one(tmp_path, counter, bench, cache):
    """The entry has gone, the folder holds a newer program of another design, and objects of this one."""
    source = tmp_path / "counter.v"
    texts = COUNTER, COUNTER.replace("count + 1", "count + 4")
    for text in (*texts, texts[0]):
        source.write_text(text)
        if text is texts[0]:
            for entry in cache.glob("program-*/"):
                for file in entry.iterdir():
                    file.unlink()
                entry.rmdir()
        built = build([source], "counter", tmp_path / "build", waves=True)
    run(built, bench, seed=1, only="counts")


def test_the_environments_python_is_used(tmp_path, monkeypatch, bench):
    """Another ``python`` comes first on PATH, which fails, as does ``python3``."""
    for name in ("python", "python3"):
        program = tmp_path / "bin" / name
        program.parent.mkdir(exist_ok=True)
        program.write_text("#!/bin/sh\necho the wrong python >&2\nexit 9\n")
        program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}{os.pathsep}{os.environ['PATH']}")
    source = tmp_path / "counter.v"
    source.write_text(COUNTER.replace("255", "254"))
    built = build([source], "counter", tmp_path / "build", waves=True)
    assert f"{sys.executable} " in log_of(built)
    run(built, bench, seed=1, only="counts")


def working_in(folder):
    """Commands other than shells that run with the folder in their arguments or as their working directory."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            words = (process / "cmdline").read_text()
            if str(folder) in words or (words and str(folder) in os.readlink(process / "cwd")):
                found.append(words.split("\0")[0])
        except OSError:  # it has just ended, or is somebody else's
            continue
    return found


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="processes are found in /proc")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("stage", ["cc1plus", "counter"])
def test_an_interrupted_command_leaves_nothing_running(number, stage, tmp_path, cache):
    """While the C++ compiler works, or the simulation; after that, the same folder is built as ever."""
    source, folder = tmp_path / "counter.v", tmp_path / "build"
    source.write_text(COUNTER.replace("255", f"{100 + number}") + f"// {stage}\n")
    (tmp_path / "bench_counter.py").write_text(BENCH.replace('1, timeout_unit="us"', '1, timeout_unit="sec"'))
    program = (
        "from backspike.sim.verilator.runner import build, run\n"
        f"built = build([{str(source)!r}], 'counter', {str(folder)!r}, waves=True)\n"
        "run(built, 'bench_counter', seed=1, only='hangs')\n"
    )
    environment = {**os.environ, "PYTHONPATH": str(tmp_path)}
    parent = subprocess.Popen(
        [sys.executable, "-c", program], env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    end = time.monotonic() + 200
    while not any(Path(command).name == stage for command in working_in(folder)):
        assert parent.poll() is None and time.monotonic() < end, f"no {stage} was seen"
        time.sleep(0.02)
    parent.send_signal(number)
    assert parent.wait(30) == -number
    end = time.monotonic() + 10
    while working_in(tmp_path):
        assert time.monotonic() < end, working_in(tmp_path)
        time.sleep(0.05)
    assert build([source], "counter", folder, waves=True).top == "counter"
    assert not (folder / "unfinished").exists()
