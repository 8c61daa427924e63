# SPDX-License-Identifier: Apache-2.0
"""Bench of the sequential core's hardware: random programs, which do the same as in the model."""

import itertools

import cocotb

from backspike.golden.formats import BINARY16, Format
from backspike.hw.config import ChipConfig
from backspike.hw.sequential import SequentialCore
from backspike.hw.sequential.memory_map import MemoryMap
from backspike.hw.sequential.model import ProcessorModel
from backspike.sim.random_program import random_program
from backspike.sim.unit import Bench, Sink, Source

_PLACE = {"x": 5, "y": 3}


def _config(fmt, batch_terms):
    return ChipConfig(
        dense_only=True, sequential=True, weights=64, neurons=16, tape_words=2, groups=2, peers=2, slices=1,
        format=fmt, batch_terms=batch_terms)


CONFIGS = {
    "binary16": _config(BINARY16, 1 << 10),
    "long": _config(BINARY16, 1 << 23),
    "e4m3": _config(Format(exponent=4, mantissa=3), 64),
}
STEPS = 250


def _program(name):
    """Program, flits that it waits for, and the packets that it sends, as the model says."""
    config = CONFIGS[name]
    words = MemoryMap(config).gradient_words
    program, flits = random_program(config.format, words, STEPS, name)
    model = ProcessorModel(program.code, [0] * 128, words, config.format, _PLACE["x"] | _PLACE["y"] << 3)
    model.registers = [0xDEAD] * 32
    model.arrived = list(flits)
    before = None
    while (model.pc, len(model.packets)) != before:
        before = model.pc, len(model.packets)
        model.step()
    return program, flits, model.packets


def units():
    return {name: SequentialCore(config, code=_program(name)[0].code) for name, config in CONFIGS.items()}


@cocotb.test()
@cocotb.parametrize(name=list(CONFIGS), idle=[0.0, 0.9], stalls=[0.0, 0.9])
async def random_programs(dut, name, idle, stalls):
    program, flits, expected = _program(name)
    bench = Bench(dut, name, SequentialCore(CONFIGS[name], code=program.code))
    source, sink = Source(bench, "rx", idle), Sink(bench, "tx", stalls)
    source.send(*({"data": word, "last": last} for word, last in flits))
    for port, value in _PLACE.items():
        bench.set(port, value)
    await bench.start()
    count = sum(map(len, expected))
    assert count > 200
    await bench.until(lambda: len(sink.items) >= count, 20 * len(program) + 100 * count)
    items = iter(sink.items)
    for words in expected:
        found = list(itertools.islice(items, len(words)))
        assert [item["data"] for item in found] == words
        assert [item["last"] for item in found] == [0] * (len(words) - 1) + [1]
