# SPDX-License-Identifier: Apache-2.0
"""Small blocks that the engines are composed of: queues, registers of pipelines, reductions."""

from amaranth.hdl import Array, Cat, Const, Module, Mux, Shape, Signal
from amaranth.lib import fifo, stream, wiring
from amaranth.lib.wiring import In, Out

__all__ = [
    "Queue",
    "any_of",
    "at_most_one",
    "lowest_bit",
    "moved",
    "relay",
    "skid",
    "stage",
]


class Queue(wiring.Component):
    """Typed first-word-fall-through queue between two streams.

    Parameters
    ----------
    shape: payload shape
    depth: entries, at least 2 (a memory of one word has an address of no bits, which Verilog cannot express)

    Members
    -------
    i: stream in
    o: stream out; a payload appears one cycle after it was taken in
    level: number of entries held
    """

    def __init__(self, shape, depth):
        if not isinstance(depth, int) or depth < 2:
            raise ValueError(f"depth must be an integer of at least 2, not {depth!r}")
        self.shape, self.depth = shape, depth
        super().__init__(
            {
                "i": In(stream.Signature(shape)),
                "o": Out(stream.Signature(shape)),
                "level": Out(range(depth + 1)),
            }
        )

    def elaborate(self, platform):
        m = Module()
        m.submodules.fifo = queue = fifo.SyncFIFO(width=Shape.cast(self.shape).width, depth=self.depth)
        m.d.comb += [
            queue.w_data.eq(self.i.p),
            queue.w_en.eq(self.i.valid),
            self.i.ready.eq(queue.w_rdy),
            _raw(self.o.p).eq(queue.r_data),
            self.o.valid.eq(queue.r_rdy),
            queue.r_en.eq(self.o.ready),
            self.level.eq(queue.level),
        ]
        return m


def _raw(view):
    return view.as_value() if hasattr(view, "as_value") else view


def stage(m, valid, payload, ready, name):
    """A register in a pipeline with back-pressure.

    Parameters
    ----------
    valid, payload: what may enter; ready: whether what it holds may leave

    Returns
    -------
    whether it holds something, what it holds, and whether something may enter in this cycle
    """
    full, taking = Signal(name=f"{name}_full"), Signal(name=f"{name}_taking")
    held = Signal(payload.shape(), name=name)
    m.d.comb += taking.eq(~full | ready)
    with m.If(taking):
        m.d.sync += [full.eq(valid), _raw(held).eq(_raw(payload))]
    return full, held, taking


def skid(m, valid, payload, ready, name):
    """A pipeline register as ``stage``, with a spare one behind it: whether something may enter is known at once.

    So a chain of those who wait for each other ends here, at full rate.
    """
    full, spare_full = Signal(name=f"{name}_full"), Signal(name=f"{name}_spare_full")
    held, spare = Signal(payload.shape(), name=name), Signal(payload.shape(), name=f"{name}_spare")
    free = ~spare_full
    with m.If(~full | ready):
        m.d.sync += [
            full.eq(valid | spare_full),
            spare_full.eq(0),
            _raw(held).eq(Mux(spare_full, _raw(spare), _raw(payload))),
        ]
    with m.Elif(free):
        m.d.sync += spare_full.eq(valid)
    with m.If(free):
        m.d.sync += _raw(spare).eq(_raw(payload))
    return full, held, free


def relay(m, valid, payload, ready, name):
    """A pipeline register as ``stage`` that takes only while it is empty: at half the rate.

    So a chain of those who wait for each other ends here, and it costs no logic.
    """
    full, held = Signal(name=f"{name}_full"), Signal(payload.shape(), name=name)
    with m.If(~full):
        m.d.sync += [full.eq(valid), _raw(held).eq(_raw(payload))]
    with m.Elif(ready):
        m.d.sync += full.eq(0)
    return full, held, ~full


def moved(m, move, valid, payload, name):
    """A register of a pipeline whose registers all move at once, whenever ``move`` is 1.

    The path of ``move`` is as short with many registers as with one; but a gap between two payloads stays.

    Returns
    -------
    whether it holds something, and what it holds
    """
    full, held = Signal(name=f"{name}_full"), Signal(payload.shape(), name=name)
    with m.If(move):
        m.d.sync += [full.eq(valid), _raw(held).eq(_raw(payload))]
    return full, held


def any_of(words):
    """Bitwise OR of a sequence of equally wide values."""
    words = list(words)
    while len(words) > 1:
        words = [words[k] | words[k + 1] if k + 1 < len(words) else words[k] for k in range(0, len(words), 2)]
    return words[0]


def lowest_bit(m, mask, name):
    """Index of the lowest set bit of ``mask``; any index if there is none.

    Groups of four bits first, then a bit of the group: few and shallow look-up tables in an FPGA.
    """
    index = Signal(range(max(2, len(mask))), name=name)
    groups = [Cat(mask[k : k + 4], Const(0, 3))[:4] for k in range(0, len(mask), 4)]
    group = Signal(range(max(2, len(groups))), name=f"{name}_group")
    for k in reversed(range(len(groups))):
        with m.If(groups[k].any()):
            m.d.comb += group.eq(k)
    within = Array(Cat(~bits[0] & (bits[1] | ~bits[2]), ~bits[:2].any()) for bits in groups)[group]
    m.d.comb += index.eq(Cat(within, group))
    return index


def at_most_one(mask):
    """Whether no more than one bit of ``mask`` is set, by halves."""

    def count(bits):
        """Whether there is any bit, and whether there are several."""
        if len(bits) == 1:
            return bits, Const(0, 1)
        (low_any, low_many), (high_any, high_many) = count(bits[: len(bits) // 2]), count(bits[len(bits) // 2 :])
        return low_any | high_any, low_many | high_many | (low_any & high_any)

    return ~count(mask)[1]
