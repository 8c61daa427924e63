# SPDX-License-Identifier: Apache-2.0
"""Small blocks that the engines are composed of: queues, registers of pipelines, reductions.

A pipeline register is a function, which adds registers to a module and returns signals. They hold nothing after reset.
"""

from amaranth.hdl import Array, Cat, Const, Module, Mux, Shape, Signal
from amaranth.lib import fifo, stream, wiring
from amaranth.lib.wiring import In, Out

__all__ = [
    "Queue",
    "find_first",
    "half_rate_register",
    "is_onehot0",
    "lockstep_register",
    "or_reduce",
    "pipe_register",
    "skid_buffer",
]


class Queue(wiring.Component):
    """Typed first-word-fall-through queue between two streams.

    Parameters
    ----------
    shape : ShapeLike
        Of the payload.
    depth : int
        Entries, at least 2: a memory of one word has an address of no bits, which Verilog cannot express.

    Members
    -------
    i : In(Stream(shape))
    o : Out(Stream(shape))
    level : Out(range(depth + 1))
        Number of entries held.

    Latency is one cycle, throughput one payload per cycle. Empty after reset.

    Raises
    ------
    ValueError: ``depth`` is not an integer of at least 2
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


def pipe_register(m, valid, payload, ready, name):
    """A register of a pipeline with back-pressure.

    Parameters
    ----------
    m : Module
    valid : Value(1)
        Whether ``payload`` may enter.
    payload : Value or View
    ready : Value(1)
        Whether what is held may leave.
    name : str
        Of the register; the names of its other signals begin with it.

    Returns
    -------
    full : Value(1)
        Whether it holds a payload.
    held : Value or View
        The payload.
    taking : Value(1)
        Whether a payload may enter in this cycle.

    Latency is one cycle, throughput one payload per cycle. ``taking`` depends on ``ready`` in the same cycle.
    """
    full, taking = Signal(name=f"{name}_full"), Signal(name=f"{name}_taking")
    held = Signal(payload.shape(), name=name)
    m.d.comb += taking.eq(~full | ready)
    with m.If(taking):
        m.d.sync += [full.eq(valid), _raw(held).eq(_raw(payload))]
    return full, held, taking


def skid_buffer(m, valid, payload, ready, name):
    """A ``pipe_register`` with a spare one behind it: a chain of those who wait for each other ends here.

    Parameters and returns are those of ``pipe_register``.

    Latency is one cycle, throughput one payload per cycle. ``free`` comes from a register.
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


def half_rate_register(m, valid, payload, ready, name):
    """A ``pipe_register`` that takes only while it is empty: a chain of those who wait for each other ends here.

    Parameters and returns are those of ``pipe_register``.

    Latency is one cycle, throughput one payload in two cycles. ``free`` comes from a register and costs no logic.
    """
    full, held = Signal(name=f"{name}_full"), Signal(payload.shape(), name=name)
    with m.If(~full):
        m.d.sync += [full.eq(valid), _raw(held).eq(_raw(payload))]
    with m.Elif(ready):
        m.d.sync += full.eq(0)
    return full, held, ~full


def lockstep_register(m, move, valid, payload, name):
    """A register of a pipeline whose registers all move at once.

    The path of ``move`` is as short with many registers as with one; but a gap between two payloads stays.

    Parameters
    ----------
    m : Module
    move : Value(1)
        Whether the pipeline moves in this cycle.
    valid : Value(1)
        Whether ``payload`` is one, and not a gap.
    payload : Value or View
    name : str
        Of the register.

    Returns
    -------
    full : Value(1)
        Whether it holds a payload.
    held : Value or View
        The payload.

    Latency is one cycle in which ``move`` is 1, throughput one payload per such cycle.
    """
    full, held = Signal(name=f"{name}_full"), Signal(payload.shape(), name=name)
    with m.If(move):
        m.d.sync += [full.eq(valid), _raw(held).eq(_raw(payload))]
    return full, held


def or_reduce(words):
    """Bitwise OR of a sequence of equally wide values, at least one, as a tree."""
    words = list(words)
    while len(words) > 1:
        words = [words[k] | words[k + 1] if k + 1 < len(words) else words[k] for k in range(0, len(words), 2)]
    return words[0]


def find_first(m, mask, name):
    """Index of the lowest set bit of ``mask``; any index if there is none.

    Groups of four bits first, then a bit of the group: few and shallow look-up tables in an FPGA.

    Parameters
    ----------
    m : Module
    mask : Value
    name : str
        Of the index; the name of the group's index begins with it.

    Returns
    -------
    Signal(range(max(2, len(mask)))), in the same cycle
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


def is_onehot0(mask):
    """Whether no more than one bit of ``mask`` is set, by halves."""

    def count(bits):
        """Whether there is any bit, and whether there are several."""
        if len(bits) == 1:
            return bits, Const(0, 1)
        (low_any, low_many), (high_any, high_many) = count(bits[: len(bits) // 2]), count(bits[len(bits) // 2 :])
        return low_any | high_any, low_many | high_many | (low_any & high_any)

    return ~count(mask)[1]
