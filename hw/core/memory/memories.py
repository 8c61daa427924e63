# SPDX-License-Identifier: Apache-2.0
"""The memories of a core and their ports."""

from types import SimpleNamespace

from amaranth.hdl import Mux, Signal, signed
from amaranth.lib import memory
from amaranth.lib.data import ArrayLayout

from backspike.hw.core.update.neuron import OWN_BITS
from backspike.hw.shapes import WORD

__all__ = ["Memories", "Ram"]


class Ram:
    """A memory with one write port and named read ports, all with one cycle of latency.

    A word that is read in the cycle in which it is written is undefined: nothing relies on it, and a block RAM would
    need logic around it.

    Parameters
    ----------
    m: module that gets the memory as a submodule
    name: of the submodule
    shape, depth: of the memory
    readers: names of the read ports
    parts: write enable for each element of an array shape instead of one for the word
    style: how an FPGA should make it, "block" or "distributed", where its tools would choose the other
    shared: a reader that is not used while the memory is written; it shares its address with the write port, so that a
        block RAM with two ports has room for another reader
    """

    def __init__(self, m, name, shape, depth, readers, *, parts=False, style=None, shared=None):
        self.depth = depth
        attributes = {"no_rw_check": 1} | ({"ram_style": style} if style else {})
        m.submodules[name] = ram = memory.Memory(shape=shape, depth=depth, init=[], attrs=attributes)
        self.write = write = ram.write_port(granularity=1 if parts else None)
        self.read = {reader: ram.read_port() for reader in readers}
        if shared:
            read = self.read[shared]
            self.write = _own_address(write, "write_address")
            self.read[shared] = _own_address(read, "read_address")
            address = Signal.like(write.addr, name=f"{name}_address")
            m.d.comb += [
                address.eq(Mux(write.en, self.write.addr, self.read[shared].addr)),
                write.addr.eq(address),
                read.addr.eq(address),
            ]


def _own_address(port, name):
    """The port with another address signal."""
    return SimpleNamespace(addr=Signal.like(port.addr, name=name), en=port.en, data=port.data)


class Memories:
    """All memories of a core. Those in lists have one bank for each lane.

    Parameters
    ----------
    m: module of the core
    shapes: Shapes
    """

    def __init__(self, m, shapes):
        config = shapes.config
        number, lanes = shapes.number, range(config.lanes)
        engines = ("errors",) if config.dense_only else ("errors", "gradient")  # for dense layers they are one
        tape_depth = 1 << shapes.tape_address().size
        delta_depth = 1 << shapes.delta_address().size

        def banks(name, *details, **options):
            return [Ram(m, f"{name}_{k}", *details, **options) for k in lanes]

        self.weights = banks("weights", number, shapes.weight_depth, ("forward", "errors"), shared="errors")
        self.gradients = banks("gradients", signed(shapes.gradient_sum), shapes.weight_depth, ("gradient",))
        self.velocities = banks("velocities", number, shapes.weight_depth, ("update",)) if config.momentum else []
        self.deltas = banks("deltas", number, delta_depth, engines)
        self.bitmaps = banks("bitmaps", WORD, 1 << shapes.bitmap_address().size, engines)
        self.groups = Ram(m, "groups", shapes.group_words, config.groups, ("forward", *engines), parts=True)
        # The description of a slice is read before its engines start: it lies behind the spikes that they read.
        self.spikes = Ram(m, "spikes", WORD, shapes.descriptors + shapes.tables, ("forward", "gradient"))
        self.masks = Ram(m, "masks", WORD, tape_depth, ("errors",))
        self.laps = Ram(m, "laps", 1, tape_depth, ("arrived",))
        self.own = Ram(
            m,
            "own",
            ArrayLayout(OWN_BITS, config.steps),
            1 << shapes.own_address().size,
            ("delta",),
            parts=True,
            style="block",
        )
        self.potentials = Ram(m, "potentials", number + 1, config.neurons, ("forward",), style="block")
        self.error_sums = Ram(m, "error_sums", shapes.error_word(), 1 << shapes.error_address().size, ("any",))
        self.peers = Ram(m, "peers", shapes.peer_entry.size, config.peers, ("targets", "sources"))
