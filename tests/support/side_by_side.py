# SPDX-License-Identifier: Apache-2.0
"""Many copies of one pipelined unit, driven with one case per copy and clock cycle.

Waking Python in every cycle is what a bench's time goes into, so all inputs of all copies are one wide port, and all
outputs are another. Their bits are laid out as numpy structured arrays: element ``[cycle, copy]`` of a stimulus array
is what a copy gets in a cycle.
"""

from dataclasses import dataclass

import numpy as np
from amaranth.hdl import Shape
from amaranth.lib.wiring import Flow
from cocotb.clock import Clock
from cocotb.triggers import FallingEdge

from backspike.hw.verilog.emit import to_verilog

__all__ = ["Ports", "from_integers", "stream", "to_integers", "write_side_by_side"]

_PERIOD = 10  # ns


@dataclass(frozen=True)
class Ports:
    """The ports of one direction of a unit: name -> ``(width, signed)``, padded to sizes that numpy knows."""

    fields: dict

    @classmethod
    def of(cls, component, flow):
        """The ports of ``component`` that have the direction ``flow``."""
        shapes = {
            name: Shape.cast(member.shape)
            for name, member in component.signature.members.items()
            if member.flow == flow
        }
        return cls({name: (shape.width, shape.signed) for name, shape in shapes.items()})

    def size(self, name):
        """Bytes of a port: 1, 2, 4, 8 or 16."""
        width = self.fields[name][0]
        if width > 128:
            raise ValueError(f"width of {name} must be at most 128, not {width!r}")
        return 1 << max((width - 1) // 8, 0).bit_length()

    @property
    def dtype(self):
        """numpy type of one case; ports of 16 bytes are two 64-bit limbs, low limb first."""
        kinds = {name: "i" if signed else "u" for name, (_, signed) in self.fields.items()}
        return np.dtype(
            [
                (name, "<u8", (2,)) if self.size(name) == 16 else (name, f"<{kinds[name]}{self.size(name)}")
                for name in self.fields
            ]
        )


def write_side_by_side(component, copies, path):
    """Write Verilog with the module ``side_by_side`` (ports clk, rst, stimulus, response) and return the path."""
    wires, connections = [], ["    .clk(clk)", "    .rst(rst)"]
    totals = {}
    for flow, port in ((Flow.In, "stimulus"), (Flow.Out, "response")):
        ports, offset = Ports.of(component, flow), 0
        totals[port] = ports.dtype.itemsize * 8
        for name, (width, signed) in ports.fields.items():
            bits = 8 * ports.size(name)
            position = f"{port}[k * {totals[port]} + {offset} +: "
            if flow == Flow.In:
                connections.append(f"    .{name}({position}{width}])")
            else:
                connections.append(f"    .{name}(of_{name})")
                wires.append(f"    wire [{width - 1}:0] of_{name};")
                top = f"of_{name}[{width - 1}]" if signed else "1'b0"
                padding = f"{{{bits - width}{{{top}}}}}, " if bits > width else ""
                wires.append(f"    assign {position}{bits}] = {{{padding}of_{name}}};")
            offset += bits
    header = [
        "module side_by_side(",
        "  input clk, input rst,",
        f"  input [{copies * totals['stimulus'] - 1}:0] stimulus,",
        f"  output [{copies * totals['response'] - 1}:0] response",
        ");",
        f"  for (genvar k = 0; k < {copies}; k = k + 1) begin : copy",
    ]
    connected = ",\n".join(connections)
    text = "\n".join([*header, *wires, f"    unit one(\n{connected}\n    );", "  end", "endmodule", ""])
    path.write_text(to_verilog(component, "unit") + "\n" + text)
    return path


def from_integers(values):
    """64-bit limbs (a new last axis of 2, low first) of an object array of integers of at most 128 bits."""
    values = np.asarray(values, dtype=object)
    limbs = np.empty((*values.shape, 2), dtype=np.uint64)
    limbs[..., 0] = (values & (2**64 - 1)).astype(np.uint64)
    limbs[..., 1] = ((values >> 64) & (2**64 - 1)).astype(np.uint64)
    return limbs


def to_integers(values, name):
    """Field ``name`` of a structured array as exact integers (an object array if it is wider than 64 bits, signed)."""
    field = values[name]
    if field.ndim == values.ndim:
        return field
    return field[..., 1].astype(np.int64).astype(object) * 2**64 + field[..., 0].astype(object)


async def stream(dut, stimulus, response_dtype, latency, *, idle=4):
    """Drive all copies of a unit, one row of ``stimulus`` per cycle, after a reset during which the first row is given.

    Returns
    -------
    ``(response, stray)``: the responses in the order of the stimuli (what came ``latency`` cycles later), and
    the responses of ``latency`` cycles before the first stimulus and ``idle`` cycles after the last
    """
    Clock(dut.clk, _PERIOD, unit="ns").start()
    rows = [int.from_bytes(row.tobytes(), "little") for row in stimulus]
    count = stimulus.shape[1] * response_dtype.itemsize
    dut.rst.value = 1
    dut.stimulus.value = rows[0]
    for _ in range(3):
        await FallingEdge(dut.clk)
    dut.rst.value = 0
    collected = []
    for row in (*rows, *[0] * (latency + idle)):
        dut.stimulus.value = row
        await FallingEdge(dut.clk)
        collected.append(int(str(dut.response.value), 2).to_bytes(count, "little"))
    response = np.frombuffer(b"".join(collected), dtype=response_dtype).reshape(-1, stimulus.shape[1])
    begin, end = latency - 1, latency - 1 + len(stimulus)
    return response[begin:end], np.concatenate([response[:begin], response[end:]])
