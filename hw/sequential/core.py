# SPDX-License-Identifier: Apache-2.0
"""The sequential core: a processor, one lane, one memory, and a program that does all that a core does."""

from amaranth.hdl import Cat, Module
from amaranth.lib import memory, wiring

from backspike.hw.config import ChipConfig
from backspike.hw.core.interface import CORE_MEMBERS
from backspike.hw.sequential.instructions import WORD_BITS
from backspike.hw.sequential.lane import Lane
from backspike.hw.sequential.memory_map import MemoryMap
from backspike.hw.sequential.packet_buffer import PacketBuffer
from backspike.hw.sequential.processor import Processor
from backspike.hw.sequential.program import make_program

__all__ = ["SequentialCore"]


class SequentialCore(wiring.Component):
    """Trains the layer slices that are loaded into it, one job after the other; see docs/sequential.md.

    It understands the same packets as :class:`backspike.hw.core.Core`, and gives the same bits. It takes packets in
    between two jobs, and while it waits to send one.

    Parameters
    ----------
    config: ChipConfig, with ``sequential``
    code: words of another program; None: the core's

    Members
    -------
    as of :class:`backspike.hw.core.Core`; what the router has sent is not counted

    Raises
    ------
    TypeError, ValueError: ``config`` is not one, or not that of a sequential core
    """

    def __init__(self, config, *, code=None):
        if not isinstance(config, ChipConfig):
            raise TypeError(f"config must be a ChipConfig, not {config!r}")
        if not config.sequential:
            raise ValueError("config must be that of a sequential core (sequential=True)")
        self.config, self.code = config, code
        super().__init__(CORE_MEMBERS)

    def elaborate(self, platform):
        m = Module()
        memory_map, fmt = MemoryMap(self.config), self.config.format
        code = make_program(self.config).code if self.code is None else self.code
        m.submodules.processor = processor = Processor(code, memory_map.gradient_words, int(fmt.encode(1.0)))
        m.submodules.lane = lane = Lane(fmt)
        m.submodules.packet_buffer = buffer = PacketBuffer()
        m.submodules.memory = words = memory.Memory(
            shape=WORD_BITS, depth=memory_map.size, init=[], attrs={"no_rw_check": 1})
        read, write = words.read_port(), words.write_port()
        wiring.connect(m, wiring.flipped(self.rx), processor.flits)
        wiring.connect(m, buffer.flits, wiring.flipped(self.tx))
        m.d.comb += [
            read.addr.eq(processor.address),
            read.en.eq(~processor.write),  # one port for both
            write.addr.eq(processor.address),
            write.data.eq(processor.written),
            write.en.eq(processor.write),
            processor.read.eq(read.data),
            processor.place.eq(Cat(self.x, self.y)),
            self.activity.eq(processor.activity),
            buffer.half.eq(processor.half),
            buffer.write.eq(processor.half_write),
            buffer.send.eq(processor.send),
            processor.sending.eq(buffer.busy),
            lane.a.eq(processor.a),
            lane.b.eq(processor.b),
            lane.term.eq(processor.term),
            lane.word.eq(processor.word),
            lane.place.eq(processor.part_place),
            lane.clear.eq(processor.clear),
            lane.round.eq(processor.round),
            processor.lane_busy.eq(lane.busy),
            processor.part.eq(lane.part),
            processor.rounded.eq(lane.done),
            processor.value.eq(lane.value),
            processor.saturated.eq(lane.saturated),
        ]
        return m
