# SPDX-License-Identifier: Apache-2.0
"""Lists of operands that are found once and used several times."""

from amaranth.hdl import Module, Mux, Signal
from amaranth.lib import memory, stream, wiring
from amaranth.lib.data import StructLayout
from amaranth.lib.wiring import In, Out

from backspike.hw.blocks import Queue, pipe_register

__all__ = ["OperandList"]

LISTS = 8
"""Complete lists that may wait."""


class OperandList(wiring.Component):
    """Stores lists of entries, and plays the oldest one once for each command.

    An entry can be played as soon as it is stored. While a list is played for the last time, its entries make room one
    by one, so that a list that is played only once may be longer than the memory.

    Parameters
    ----------
    entry: shape of an entry
    payload: shape of what a command adds to each entry that it plays
    depth: entries of the memory, a power of two; a list that is played several times must not be longer

    Members
    -------
    items: stream of {entry, none, last}; ``none``: no entry, but maybe the end of the list
    commands: stream of {payload, final}: play the list; ``final``: for the last time
    out: stream of {entry, payload, none, last}; an empty list gives one element ``none``, and so does a list that turns
        out to have ended with the element before
    busy: something is inside
    """

    def __init__(self, entry, payload, depth):
        if depth < 2 or depth & (depth - 1):
            raise ValueError(f"depth must be a power of two, at least 2, not {depth!r}")
        self.entry, self.payload, self.depth = entry, payload, depth
        self.item = StructLayout({"entry": entry, "none": 1, "last": 1})
        self.command = StructLayout({"payload": payload, "final": 1})
        self.played = StructLayout({"entry": entry, "payload": payload, "none": 1, "last": 1})
        super().__init__(
            {
                "items": In(stream.Signature(self.item)),
                "commands": In(stream.Signature(self.command)),
                "out": Out(stream.Signature(self.played)),
                "busy": Out(1),
            }
        )

    def elaborate(self, platform):
        m = Module()
        m.submodules.entries = entries = memory.Memory(shape=self.entry, depth=self.depth, init=[])
        store, load = entries.write_port(), entries.read_port()
        pointer = range(2 * self.depth)  # one bit more than an address, so that full and empty differ
        written, base, position = Signal(pointer), Signal(pointer), Signal(pointer)
        m.submodules.ends = ends = Queue(len(written), LISTS)  # for each complete list, the position after it
        free, play, ended, pop = Signal(), Signal(), Signal(), Signal()
        commanded, command, taking = pipe_register(m, self.commands.valid, self.commands.p, ended, "command")
        ending = Signal(StructLayout({"end": len(written), "last": len(written)}))
        m.d.comb += [ending.end.eq(ends.o.p), ending.last.eq(ends.o.p - 1)]
        complete, oldest_end, fetching = pipe_register(m, ends.o.valid, ending, pop, "oldest_end")
        end = oldest_end.end
        self._store(m, store, written, Mux(command.final & commanded, position, base), ends)

        visible = Signal.like(written)  # an entry is played when it is known whether it is its list's last
        m.d.sync += visible.eq(written)
        following = (position + 1)[: len(position)]
        at_end = complete & (oldest_end.last == position)
        beyond = complete & (end == position)
        told = StructLayout({"payload": command.payload.shape(), "none": 1, "last": 1})
        loading, now = Signal(), Signal(told)  # what the memory puts out
        m.d.comb += [
            free.eq(~self.out.valid | self.out.ready),
            play.eq(free & commanded & ((position != visible) | beyond)),
            ended.eq(play & (at_end | beyond)),
            pop.eq(ended & command.final),
            self.commands.ready.eq(taking),
            ends.o.ready.eq(fetching),
            load.addr.eq(position),
            load.en.eq(free),
            self.busy.eq(
                self.out.valid | loading | (base != written) | ends.o.valid | complete | commanded | self.commands.valid
            ),
        ]
        # A block RAM is late: its word stands in a register before anybody looks at it.
        with m.If(free):
            m.d.sync += [
                loading.eq(play),
                now.payload.eq(command.payload),
                now.none.eq(beyond),
                now.last.eq(at_end | beyond),
                self.out.valid.eq(loading),
                self.out.p.entry.eq(load.data),
                *(self.out.p[name].eq(now[name]) for name in ("payload", "none", "last")),
            ]
        with m.If(ended & command.final):
            m.d.sync += [base.eq(end), position.eq(end)]
        with m.Elif(ended):
            m.d.sync += position.eq(base)
        with m.Elif(play):
            m.d.sync += position.eq(following)
        return m

    def _store(self, m, store, written, oldest, ends):
        item = self.items.p
        room, go = Signal(), Signal()
        following = (written + ~item.none)[: len(written)]
        # How full the memory is, a cycle ago and at most; then one more entry may have come.
        used, before, full, one_left, grown = (
            Signal(self.depth.bit_length(), name="used"),
            Signal.like(oldest),
            Signal(),
            Signal(),
            Signal(),
        )
        m.d.sync += [
            before.eq(oldest),
            full.eq(used[-1]),
            one_left.eq(used[:-1].all()),
            grown.eq(go & ~item.none),
        ]
        m.d.comb += [
            used.eq(written - before),
            room.eq(~full & ~(one_left & grown)),
            go.eq(self.items.valid & self.items.ready),
            self.items.ready.eq((room | item.none) & (ends.i.ready | ~item.last)),
            store.addr.eq(written),
            store.data.eq(item.entry),
            store.en.eq(go & ~item.none),
            ends.i.p.eq(following),
            ends.i.valid.eq(go & item.last),
        ]
        with m.If(go):
            m.d.sync += written.eq(following)
