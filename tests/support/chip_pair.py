# SPDX-License-Identifier: Apache-2.0
"""The two forms of a chip side by side: tiles as submodules, and tiles as instances of a Verilog module."""

from amaranth.hdl import Module, Mux, Signal
from amaranth.lib.wiring import Component, In, Out, connect, flipped

from backspike.hw.chip import Chip
from backspike.hw.noc.flit import FlitStream, header_of
from backspike.hw.noc.flow import FlitBuffer
from backspike.hw.noc.host_link import AxiStream
from backspike.hw.verilog.emit import TILE_MODULE
from backspike.spec.config import ChipConfig

__all__ = ["CONFIG", "ChipPair", "EchoCore"]

CONFIG = ChipConfig(columns=3, rows=2)
"""The chip of :class:`ChipPair`."""


class EchoCore(Component):
    """Stands in for a core: sends every packet to the host, with its own coordinates in the header.

    Members are those of :class:`backspike.hw.core.Core`. ``activity`` shows packets coming and going.
    """

    x: In(3)
    y: In(3)
    rx: In(FlitStream)
    tx: Out(FlitStream)
    router_flits: In(3)
    router_stalled: In(3)
    activity: Out(3)

    def __init__(self, config):
        super().__init__()

    def elaborate(self, platform):
        m = Module()
        m.submodules.buffer = buffer = FlitBuffer()
        connect(m, flipped(self.rx), buffer.i)
        first = Signal(init=1)
        with m.If(buffer.o.valid & buffer.o.ready):
            m.d.sync += first.eq(buffer.o.payload.last)
        marked = Signal(32)
        header = header_of(marked)
        m.d.comb += [
            marked.eq(buffer.o.payload.data),
            header.host.eq(1),
            header.x.eq(self.x),
            header.y.eq(self.y),
            self.tx.valid.eq(buffer.o.valid),
            self.tx.payload.data.eq(Mux(first, marked, buffer.o.payload.data)),
            self.tx.payload.last.eq(buffer.o.payload.last),
            buffer.o.ready.eq(self.tx.ready),
            self.activity.eq(self.rx.valid | self.tx.valid << 1),
        ]
        return m


class ChipPair(Component):
    """Both forms of the chip ``CONFIG`` of echo cores, fed with the same words.

    Members
    -------
    s_axis : In(AxiStream)
        To both.
    m_axis : Out(AxiStream)
        From the one with instances.
    differed : Out(1)
        The two have ever put out something different.
    """

    s_axis: In(AxiStream)
    m_axis: Out(AxiStream)
    differed: Out(1)

    def elaborate(self, platform):
        m = Module()
        m.submodules.instances = instances = Chip(CONFIG, tile_module=TILE_MODULE, core=EchoCore)
        m.submodules.submodules = submodules = Chip(CONFIG, core=EchoCore)
        connect(m, flipped(self.s_axis), instances.s_axis)
        connect(m, instances.m_axis, flipped(self.m_axis))
        s, a, b = self.s_axis, instances.m_axis, submodules.m_axis
        m.d.comb += [
            submodules.s_axis.tdata.eq(s.tdata),
            submodules.s_axis.tlast.eq(s.tlast),
            submodules.s_axis.tvalid.eq(s.tvalid),
            b.tready.eq(a.tready),
        ]
        different = (
            (instances.s_axis.tready != submodules.s_axis.tready)
            | (a.tvalid != b.tvalid)
            | (a.tvalid & ((a.tdata != b.tdata) | (a.tlast != b.tlast)))
            | (instances.activity != submodules.activity)
        )
        with m.If(different):
            m.d.sync += self.differed.eq(1)
        return m
