# SPDX-License-Identifier: Apache-2.0
"""Cocotb bench of the models of ECP5's block RAM and multiplier, against models of single bits in Python.

Every memory has a port with the inputs of its ports A and B (``INPUTS``) and one with both outputs.
"""

from random import Random

import cocotb
from cocotb.clock import Clock
from cocotb.triggers import FallingEdge

SEED = getattr(cocotb, "RANDOM_SEED", 1)
MEMORIES = (  # widths of the ports A and B, write mode, reset mode
    (18, 18, "NORMAL", "SYNC"),
    (9, 9, "WRITETHROUGH", "SYNC"),
    (18, 4, "READBEFOREWRITE", "SYNC"),
    (1, 9, "NORMAL", "SYNC"),
    (4, 2, "WRITETHROUGH", "SYNC"),
    (36, 36, "NORMAL", "ASYNC"),
    (36, 9, "NORMAL", "SYNC"),
)
INPUTS = {"CE": 1, "WE": 1, "RST": 1, "CS": 3, "AD": 14, "DI": 18}
FACTORS = {"A": 18, "B": 18, "SIGNEDA": 1, "SIGNEDB": 1}
PORT_BITS = sum(INPUTS.values())


def top_module():
    """Verilog of the module ``cells_top`` with all memories and a multiplier."""
    ports, lines = ["input clk", f"input [{sum(FACTORS.values()) - 1}:0] product_i", "output [35:0] product_o"], []
    for number, (width_a, width_b, mode, reset) in enumerate(MEMORIES):
        ports += [f"input [{2 * PORT_BITS - 1}:0] m{number}_i", f"output [35:0] m{number}_o"]
        pins = [f".{name}(m{number}_i[{k}])" for k, name in enumerate(_pins("A", INPUTS) + _pins("B", INPUTS))]
        pins += [f".DO{port}{k}(m{number}_o[{k + 18 * (port == 'B')}])" for port in "AB" for k in range(18)]
        pins += [".CLKA(clk)", ".CLKB(clk)", ".OCEA(1'b0)", ".OCEB(1'b1)"]
        lines.append(
            f'DP16KD #(.DATA_WIDTH_A({width_a}), .DATA_WIDTH_B({width_b}), .WRITEMODE_A("{mode}"), '
            f'.WRITEMODE_B("{mode}"), .RESETMODE("{reset}"), .ASYNC_RESET_RELEASE("{reset}")) '
            f"m{number}({', '.join(pins)});"
        )
    pins = [f".{name}(product_i[{k}])" for k, name in enumerate(_pins("", FACTORS))]
    pins += [f".P{k}(product_o[{k}])" for k in range(36)]
    pins += [f".{name}(1'b0)" for name in ("SOURCEA", "SOURCEB", *(f"C{k}" for k in range(18)))]
    lines.append(f"MULT18X18D product({', '.join(pins)});")
    return "\n".join([f"module cells_top({', '.join(ports)});", *lines, "endmodule", ""])


def _pins(port, fields):
    return [f"{name}{port}{k}" if size > 1 else f"{name}{port}" for name, size in fields.items() for k in range(size)]


def _packed(fields, values):
    result, offset = 0, 0
    for name, size in fields.items():
        assert 0 <= values.get(name, 0) < 1 << size
        result |= values.get(name, 0) << offset
        offset += size
    return result


def _places(width, address):
    """Bits of the row that a port's word has."""
    byte = address >> 3 & 3
    start = {36: 0, 18: 18 * (byte >> 1), 9: 9 * byte}.get(width, 9 * byte + (address & 8 - width))
    return list(range(start, start + width))


class Memory:
    """A block RAM with one port each way that knows which bits it cannot know: those are missing, or ``None``.

    Parameters
    ----------
    widths: of ports A and B
    mode: write mode of both
    """

    def __init__(self, widths, mode):
        self.widths, self.mode = widths, mode
        self.bits = {}
        self.read = [[None] * width for width in widths]
        self.lost = []

    def step(self, inputs):
        """One clock edge with the inputs of both ports."""
        lists, writes = [], []
        for port, pins in enumerate(inputs):
            width, row = self.widths[port], pins["AD"] >> 5
            lists.append([(row, bit) for bit in _places(width, pins["AD"])])
            data = pins["DI"] | (inputs[1]["DI"] << 18 if width == 36 else 0)
            active = pins["CE"] and not pins["CS"] and not pins["RST"] and pins["WE"]
            writes.append(
                {
                    place: data >> k & 1
                    for k, place in enumerate(lists[port])
                    if active and (width < 18 or pins["AD"] >> k // 9 & 1)
                }
            )
        before = dict(self.bits)
        for port in (0, 1):
            for place, bit in writes[port].items():
                self.bits[place] = None if place in writes[1 - port] else bit
        for port, pins in enumerate(inputs):
            active = pins["CE"] and not pins["CS"] and pins["WE"] and not pins["RST"]
            after = {**before, **writes[port]}
            clash = any(place in writes[1 - port] for place in lists[port])
            if pins["RST"]:
                self.read[port] = [0] * self.widths[port]
            elif pins["CE"] and not pins["CS"] and not (active and self.mode == "NORMAL"):
                seen = after if self.mode == "WRITETHROUGH" else before
                self.read[port] = [None if clash else seen.get(place) for place in lists[port]]
                if clash and not active:
                    self.lost.append(
                        (port, *(tuple(bits.get(place) for place in lists[port]) for bits in (before, self.bits)))
                    )


def _random_inputs(random, port, widths, reset):
    pins = {
        "CE": random.random() < 0.8,
        "WE": random.random() < 0.5,
        "RST": reset == "SYNC" and random.random() < 0.03,
        "CS": random.choice((0, 0, 0, 0, 0, 1, 2, 4)),
        "AD": random.choice((0, 5, 511)) << 5 | random.getrandbits(5),
        "DI": random.getrandbits(18),
    }
    if widths[port] < 18:
        pins["DI"] &= (1 << widths[port]) - 1 if widths[0] < 36 else (1 << 18) - 1
    if widths[0] == 36 and port == 1:
        pins["WE"] = 0
    return {name: int(value) for name, value in pins.items()}


async def _driven_clock(dut):
    Clock(dut.clk, 10, unit="ns").start(start_high=False)
    await FallingEdge(dut.clk)


async def _driven(dut):
    dut.product_i.value = 0
    for number in range(len(MEMORIES)):
        getattr(dut, f"m{number}_i").value = 0
    await _driven_clock(dut)


@cocotb.test()
async def memories_hold_what_is_written(dut):
    """Random reads and writes of few rows; what is lost must look neither old nor new, at least sometimes."""
    random = Random(SEED)
    await _driven(dut)
    models = [Memory(case[:2], case[2]) for case in MEMORIES]
    seen = [{"old": 0, "new": 0} for _ in models]
    checked = [0] * len(models)
    for _ in range(3000):
        for number, (model, case) in enumerate(zip(models, MEMORIES, strict=True)):
            inputs = [_random_inputs(random, port, case[:2], case[3]) for port in (0, 1)]
            getattr(dut, f"m{number}_i").value = _packed(INPUTS, inputs[0]) | _packed(INPUTS, inputs[1]) << PORT_BITS
            model.lost.clear()
            model.step(inputs)
        await FallingEdge(dut.clk)
        for number, model in enumerate(models):
            pins = int(getattr(dut, f"m{number}_o").value)
            wide = model.widths[1] == 36
            found = [pins & (1 << 18) - 1, pins if wide else pins >> 18]
            for port in (0, 1):
                if port == 0 and model.widths[0] == 36:
                    continue
                bits = [found[port] >> k & 1 for k in range(model.widths[port])]
                for bit, expected in zip(bits, model.read[port], strict=True):
                    assert expected in (None, bit), f"{MEMORIES[number]}, port {'AB'[port]}"
                    checked[number] += expected is not None
            for port, old, new in model.lost:
                if port == 0 and model.widths[0] == 36:
                    continue
                bits = tuple(found[port] >> k & 1 for k in range(model.widths[port]))
                seen[number]["old"] += bits != old and None not in old
                seen[number]["new"] += bits != new and None not in new
    assert all(count > 3000 for count in checked), checked
    assert all(count > 0 for counts in seen for count in counts.values()), seen


@cocotb.test()
async def products_are_right(dut):
    """Random and extreme factors, signed and not."""
    random = Random(SEED)
    await _driven(dut)
    edges = (0, 1, (1 << 17) - 1, 1 << 17, (1 << 18) - 1)
    for number in range(2000):
        pins = {name: random.getrandbits(1) for name in ("SIGNEDA", "SIGNEDB")}
        pins |= {name: random.choice(edges) if number % 2 else random.getrandbits(18) for name in "AB"}
        dut.product_i.value = _packed(FACTORS, pins)
        await FallingEdge(dut.clk)
        a, b = (pins[name] - (pins[f"SIGNED{name}"] and pins[name] >> 17) * (1 << 18) for name in "AB")
        assert int(dut.product_o.value) == a * b % (1 << 36), pins


async def _set(dut, memory, port, **pins):
    await _driven(dut)
    getattr(dut, f"m{memory}_i").value = _packed(INPUTS, pins) << PORT_BITS * port
    await FallingEdge(dut.clk)


@cocotb.test()
async def asynchronous_reset(dut):
    """Ends the simulation."""
    await _set(dut, 5, 0, RST=1)


@cocotb.test()
async def both_ports_write_with_36_bits(dut):
    """Ends the simulation."""
    await _set(dut, 6, 1, CE=1, WE=1)


@cocotb.test()
async def nothing(dut):
    """Only begins the simulation."""
    await _driven_clock(dut)
