# SPDX-License-Identifier: Apache-2.0
"""Memories and the signatures of their ports."""

from amaranth.hdl import Module, Mux, ShapeLike, Signal
from amaranth.lib import memory, wiring
from amaranth.lib.wiring import In, Out

__all__ = ["Ram", "ReadPort", "WritePort"]


class ReadPort(wiring.Signature):
    """A read port as the reader sees it.

    Parameters
    ----------
    address : ShapeLike
    data : ShapeLike

    Members
    -------
    address : Out(address)
    enable : Out(1)
        Reads in this cycle.
    data : In(data)
        The word, one cycle after ``enable``; it stays while ``enable`` is 0.
    """

    def __init__(self, address: ShapeLike, data: ShapeLike):
        super().__init__({"address": Out(address), "enable": Out(1), "data": In(data)})


class WritePort(wiring.Signature):
    """A write port as the writer sees it.

    Parameters
    ----------
    address : ShapeLike
    data : ShapeLike or None
        None where there is but one word to write.
    parts : int
        Parts of a word that are written apart, 1 or the length of an array shape.

    Members
    -------
    address : Out(address)
    enable : Out(parts)
        Writes in this cycle, by part.
    data : Out(data)
    """

    def __init__(self, address: ShapeLike, data: ShapeLike | None, *, parts: int = 1):
        super().__init__(
            {"address": Out(address), "enable": Out(parts), **({} if data is None else {"data": Out(data)})}
        )


class Ram(wiring.Component):
    """A memory with one write port and some read ports, without contents after reset.

    A word that is read in the cycle in which it is written is undefined: nothing may rely on it, and a block RAM would
    need logic around it.

    Parameters
    ----------
    address : ShapeLike
    data : ShapeLike
    depth : int
        Words.
    readers : sequence of str
        Names of the read ports.
    parts : int
        Parts of a word that are written apart: 1, or the length of ``data``, an array shape.
    style : str or None
        How an FPGA should make it, ``"block"`` or ``"distributed"``, where its tools would choose the other.
    shared : str or None
        A reader that is not used while the memory is written. It shares its address with the write port, so that a
        block RAM with two ports has room for another reader.

    Members
    -------
    write : In(WritePort)
    <reader> : In(ReadPort)

    Latency of a read: one cycle. Throughput: a word a cycle and port. Reset: the contents stay.
    """

    def __init__(self, address, data, depth, readers, *, parts=1, style=None, shared=None):
        self.data, self.depth, self.readers = data, depth, tuple(readers)
        self.parts, self.style, self.shared = parts, style, shared
        super().__init__(
            {
                "write": In(WritePort(address, data, parts=parts)),
                **{reader: In(ReadPort(address, data)) for reader in self.readers},
            }
        )

    def elaborate(self, platform):
        m = Module()
        attributes = {"no_rw_check": 1} | ({"ram_style": self.style} if self.style else {})
        m.submodules.ram = ram = memory.Memory(shape=self.data, depth=self.depth, init=[], attrs=attributes)
        write = ram.write_port(granularity=None if self.parts == 1 else 1)
        address = Signal.like(write.addr, name="shared_address")
        m.d.comb += [
            write.addr.eq(self.write.address if self.shared is None else address),
            write.en.eq(self.write.enable),
            write.data.eq(self.write.data),
        ]
        for reader in self.readers:
            outside, port = getattr(self, reader), ram.read_port()
            m.d.comb += [
                port.addr.eq(address if reader == self.shared else outside.address),
                port.en.eq(outside.enable),
                outside.data.eq(port.data),
            ]
            if reader == self.shared:
                m.d.comb += address.eq(Mux(self.write.enable.any(), self.write.address, outside.address))
        return m
