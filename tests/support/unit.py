# SPDX-License-Identifier: Apache-2.0
"""Benches of single units: every unit behind one wide port each way, agents for its streams and memories.

A bench module has a function ``units()`` that returns ``{name: component}``. All of them are built into one simulation
(:func:`check_bench`); a test takes one of them with :class:`Bench`.
"""

import importlib
import os
from random import Random

import cocotb
import numpy as np
from amaranth.hdl import Cat, Module, Value
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import Component, In, Out
from cocotb.clock import Clock
from cocotb.triggers import First, RisingEdge, Timer
from cocotb.utils import get_sim_time

from backspike.hw.core.update.elementwise_arbiter import Arithmetic, request_layout
from backspike.hw.verilog.emit import to_verilog
from backspike.hw.verilog.ports import instance_of
from backspike.sim.verilator.runner import build, default_seed, run
from tests.support.codec import Codec

__all__ = ["Bench", "Memory", "Others", "Sink", "Source", "WithArithmetic", "check_bench"]

TOP = "unit_top"
_PERIOD = 10  # ns


class _Top(Component):
    """Units side by side, each with all its inputs in port ``<name>_i`` and all outputs in ``<name>_o``.

    An output ``awake`` of a unit is also the port ``<name>_awake``, on which Python can wait.
    """

    def __init__(self, units):
        self.units, members = units, {}
        for name, unit in units.items():
            inputs, outputs = (_fields(unit, direction) for direction in (In, Out))
            members |= {f"{name}_i": In(_width(inputs)), f"{name}_o": Out(_width(outputs))}
            members |= {f"{name}_awake": Out(1)} if "awake" in outputs else {}
        super().__init__(members)

    def elaborate(self, platform):
        m = Module()
        for name, unit in self.units.items():
            pins = instance_of(m, name, unit.signature, f"unit_{name}")
            pins = {port: value for port, (_, value, _) in _members(pins, unit.signature).items()}
            into, out_of = getattr(self, f"{name}_i"), getattr(self, f"{name}_o")
            for port, (offset, codec) in _fields(unit, In).items():
                m.d.comb += pins[port].eq(into[offset : offset + codec.width])
            m.d.comb += out_of.eq(Cat(pins[port] for port in _fields(unit, Out)))
            if "awake" in pins:
                m.d.comb += getattr(self, f"{name}_awake").eq(pins["awake"])
        return m


def _members(interface, signature):
    """``{name: (shape, value, flow)}`` of all members; parts of a path are joined with two underscores."""
    return {
        "__".join(map(str, path)): (member.shape, Value.cast(value), member.flow)
        for path, member, value in signature.flatten(interface)
    }


def _fields(unit, direction):
    """``{port: (offset, Codec)}`` of all ports of one direction, in their order in the wide port."""
    fields, offset = {}, 0
    for port, (shape, value, flow) in _members(unit, unit.signature).items():
        if flow == direction:
            fields[port] = offset, Codec(shape)
            offset += len(value)
    return fields


def _width(fields):
    return sum(codec.width for _, codec in fields.values())


class WithArithmetic(Component):
    """A unit that uses the core's elementwise unit, together with it.

    Parameters
    ----------
    unit: with the member ``result`` and those of ``sides``
    shapes: Shapes
    sides: ``{member: side}``: which request is connected to which side of the elementwise unit

    Members
    -------
    those of the unit but ``result`` and its requests; and
    other: requests of somebody else: of the delta update beside those of a neuron update, else of a neuron update
    used, saturated: of the elementwise unit
    """

    def __init__(self, unit, shapes, sides):
        self.unit, self.shapes, self.sides = unit, shapes, sides
        self.kept = {name: member for name, member in unit.signature.members.items() if name not in (*sides, "result")}
        super().__init__(
            self.kept | {"other": In(stream.Signature(request_layout(shapes))), "used": Out(1), "saturated": Out(1)}
        )

    def elaborate(self, platform):
        m = Module()
        m.submodules.unit = unit = self.unit
        m.submodules.arithmetic = arithmetic = Arithmetic(self.shapes)
        for name, side in self.sides.items():
            wiring.connect(m, getattr(unit, name), getattr(arithmetic, side))
        others = "delta" if "neuron" in self.sides.values() else "neuron"
        wiring.connect(m, wiring.flipped(self.other), getattr(arithmetic, others))
        m.d.comb += [
            unit.result.eq(arithmetic.result),
            self.used.eq(arithmetic.used),
            self.saturated.eq(arithmetic.saturated),
        ]
        for name, member in self.kept.items():
            outside, inside = getattr(self, name), getattr(unit, name)
            if member.is_signature:
                wiring.connect(m, wiring.flipped(outside), inside)
            else:
                m.d.comb += inside.eq(outside) if member.flow == In else outside.eq(inside)
        return m


class Others:
    """Random work of others for the elementwise unit.

    Parameters
    ----------
    bench: Bench of a :class:`WithArithmetic`
    clients: whose work it may be
    idle: chance of a pause
    """

    def __init__(self, bench, clients, idle):
        self.bench, self.clients, self.idle = bench, clients, idle
        self.codec = bench.inputs["other__payload"][1]
        tag = self.codec.shape["tag"]
        self.client = tag.offset + tag.shape["client"].offset, Codec(tag.shape["client"].shape).mask
        self.waiting = False
        bench.agents.append(self)

    def drive(self):
        bench, random = self.bench, self.bench.random
        if not self.waiting:
            payload, (offset, mask) = random.getrandbits(self.codec.width), self.client
            bench.set("other__payload", payload & ~(mask << offset) | int(random.choice(self.clients)) << offset)
            self.valid = random.random() >= self.idle
            bench.set("other__valid", self.valid)

    def sample(self):
        self.waiting = self.valid and not self.bench.bits("other__ready")


LONG = "BACKSPIKE_LONG" in os.environ

long_test = cocotb.test(skip=not LONG)
"""A test of a bench that takes too long for every change: it runs with ``check_bench(..., long=True)``."""


def check_bench(module, folder, *, long=False):
    """Build the units of a bench module into one simulation, and run its tests with the default seed.

    Parameters
    ----------
    module: importable name of the bench module
    folder: for what is built; benches with the same parent folder share Verilator's run-time library
    long: whether the tests that take too long for every change run too
    """
    units = importlib.import_module(module).units()
    folder.mkdir(parents=True, exist_ok=True)
    sources = []
    for name, unit in {**{f"unit_{name}": unit for name, unit in units.items()}, TOP: _Top(units)}.items():
        sources.append(folder / f"{name}.v")
        sources[-1].write_text(to_verilog(unit, name, checks=True))
    built = build(sources, TOP, folder / "build", no_inline=[f"unit_{name}" for name in units])
    run(built, module, seed=default_seed(), env={"BACKSPIKE_LONG": "1"} if long else None)


class Bench:
    """Drives one unit, cycle by cycle: inputs change after a rising edge of the clock, outputs are read at the next.

    At the edge they are what they were before it, and what is written then takes effect after it: Python wakes once a
    cycle.

    Parameters
    ----------
    dut: handle of the top
    name: of the unit
    unit: the component, for its ports

    Attributes
    ----------
    random, rng: random numbers (of Python and of numpy) from the bench's seed
    cycle: number of cycles since reset
    watchers: functions that are called in every cycle when the outputs have settled, after all agents
    inputs, outputs: ``{port: (offset, Codec)}`` in the wide ports
    given: bits of each input, at its offset
    """

    def __init__(self, dut, name, unit):
        self.dut = dut
        self.into, self.out_of = getattr(dut, f"{name}_i"), getattr(dut, f"{name}_o")
        self.awake = getattr(dut, f"{name}_awake", None)
        self.inputs, self.outputs = _fields(unit, In), _fields(unit, Out)
        self.random = Random(f"{cocotb.RANDOM_SEED} {name}")
        self.rng = np.random.default_rng(self.random.getrandbits(32))
        self.given = dict.fromkeys(self.inputs, 0)
        self.driven, self.driving = 0, None  # what the inputs are to be; what they are
        self.seen = 0
        self.agents, self.watchers = [], []
        self.cycle = 0

    def set(self, port, value):
        """Give an input a value (see :class:`Codec`) from now on."""
        offset, codec = self.inputs[port]
        bits = codec.pack(value) << offset
        self.driven ^= self.given[port] ^ bits
        self.given[port] = bits

    def bits(self, port):
        """The bits of an output in this cycle."""
        offset, codec = self.outputs[port]
        return self.seen >> offset & codec.mask

    def get(self, port):
        """An output in this cycle, unpacked."""
        offset, codec = self.outputs[port]
        return codec.unpack(self.seen >> offset)

    async def start(self):
        """Clock and reset."""
        cocotb.start_soon(Clock(self.dut.clk, _PERIOD, unit="ns").start())
        await self.reset()

    async def reset(self):
        """Reset alone; inputs of agents are driven from the first cycle on."""
        self.dut.rst.value = 1
        self.driving = None
        for port in self.dut:
            if port._name.endswith("_i"):
                port.value = 0
        for _ in range(3):
            await RisingEdge(self.dut.clk)
        self.dut.rst.value = 0

    async def step(self, cycles=1):
        """Let cycles pass."""
        edge = RisingEdge(self.dut.clk)
        for _ in range(cycles):
            self._drive()
            await edge
            self._sample()
            self.cycle += 1

    async def sleep(self, cycles):
        """Let at most so many cycles pass, 2 or more, the last of them one in which the output ``awake`` is 1.

        It was 0 in the cycle before. Agents are asked in the first cycle, and told of the last one alone. Returns how
        many have passed.
        """
        begin = get_sim_time("ns")
        self._drive()
        await First(RisingEdge(self.awake), Timer(cycles * _PERIOD - _PERIOD // 2, "ns"))
        await RisingEdge(self.dut.clk)
        self._sample()
        passed = round((get_sim_time("ns") - begin) / _PERIOD)
        self.cycle += passed
        return passed

    def _drive(self):
        for agent in self.agents:
            agent.drive()
        if self.driven != self.driving:
            self.into.value = self.driving = self.driven

    def _sample(self):
        self.seen = int(self.out_of.value)
        for agent in self.agents:
            agent.sample()
        for watcher in self.watchers:
            watcher()

    async def until(self, condition, limit=50_000):
        """Let cycles pass until ``condition()`` holds after one; more than ``limit`` are an error."""
        end = self.cycle + limit
        while True:
            await self.step()
            if condition():
                return
            assert self.cycle < end, f"nothing came to an end within {limit} cycles"

    async def pulse(self, port):
        """Set a one-bit input in one cycle."""
        self.set(port, 1)
        await self.step()
        self.set(port, 0)


class Source:
    """Offers items on an input stream, with random pauses; between them the payload is garbage."""

    def __init__(self, bench, name, idle=0.0):
        self.bench, self.name, self.idle = bench, name, idle
        self.codec = bench.inputs[f"{name}__payload"][1]
        self.items, self.offered = [], None
        self.taken = 0
        bench.agents.append(self)

    def send(self, *values):
        """Queue items."""
        self.items += [self.codec.pack(value) for value in values]

    @property
    def empty(self):
        return not self.items and self.offered is None

    def drive(self):
        bench = self.bench
        if self.offered is None:
            if self.items and bench.random.random() >= self.idle:
                self.offered = self.items.pop(0)
            payload = bench.random.getrandbits(self.codec.width) if self.offered is None else self.offered
            bench.set(f"{self.name}__payload", payload)
            bench.set(f"{self.name}__valid", self.offered is not None)

    def sample(self):
        if self.offered is not None and self.bench.bits(f"{self.name}__ready"):
            self.offered = None
            self.taken += 1


class Sink:
    """Takes items of an output stream, with random pauses, and holds the rules of the handshake.

    Attributes
    ----------
    items: what came, unpacked; cycles: when
    """

    def __init__(self, bench, name, idle=0.0):
        self.bench, self.name, self.idle = bench, name, idle
        self.items, self.cycles = [], []
        self.waiting = None
        bench.agents.append(self)

    def drive(self):
        self.ready = self.bench.random.random() >= self.idle
        self.bench.set(f"{self.name}__ready", self.ready)

    def sample(self):
        bench, name = self.bench, self.name
        valid = bench.bits(f"{name}__valid")
        payload = bench.bits(f"{name}__payload") if valid else None
        if self.waiting is not None:
            assert valid, f"{name}: valid was withdrawn before ready"
            assert payload == self.waiting, f"{name}: the payload changed while it waited"
        self.waiting = None if self.ready else payload
        if valid and self.ready:
            self.items.append(bench.get(f"{name}__payload"))
            self.cycles.append(bench.cycle)


class Memory:
    """One bank for each lane behind read ports with one cycle of latency, which hold their output while not enabled.

    Parameters
    ----------
    bench: Bench
    address, data: names of the ports; each holds one part for every lane
    banks: for each lane, a list or dict by address, or a function of the address; other addresses read as garbage
    enable: name of the port with one enable for each lane, or one for all, if there is one
    shared: while not enabled, others use the port, and the output is garbage
    """

    def __init__(self, bench, address, data, banks, enable=None, *, shared=False):
        self.bench, self.address, self.data, self.enable, self.banks = bench, address, data, enable, banks
        self.shared = shared
        self.lanes = len(banks)
        self.address_bits = bench.outputs[address][1].width // self.lanes
        self.data_bits = bench.inputs[data][1].width // self.lanes
        self.words = [bench.random.getrandbits(self.data_bits) for _ in banks]
        bench.agents.append(self)

    @classmethod
    def behind(cls, bench, port, banks):
        """The memory behind a ReadPort of the unit."""
        return cls(bench, f"{port}__address", f"{port}__data", banks, f"{port}__enable")

    def drive(self):
        self.bench.set(self.data, sum(word << self.data_bits * k for k, word in enumerate(self.words)))

    def sample(self):
        bench = self.bench
        enables = bench.bits(self.enable) if self.enable else -1
        if self.enable and bench.outputs[self.enable][1].width == 1:
            enables = -enables
        addresses = bench.bits(self.address)
        for k, bank in enumerate(self.banks):
            if enables >> k & 1:
                self.words[k] = self._read(bank, addresses >> self.address_bits * k & (1 << self.address_bits) - 1)
            elif self.shared:
                self.words[k] = bench.random.getrandbits(self.data_bits)

    def _read(self, bank, address):
        if callable(bank):
            return bank(address)
        held = address in bank if isinstance(bank, dict) else address < len(bank)
        return int(bank[address]) if held else self.bench.random.getrandbits(self.data_bits)
