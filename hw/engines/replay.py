# SPDX-License-Identifier: Apache-2.0
"""Lists of operands that are found once and used several times."""

from amaranth.hdl import Module, Mux, Signal
from amaranth.lib import memory, stream, wiring
from amaranth.lib.data import StructLayout
from amaranth.lib.wiring import In, Out

from backspike.hw.blocks import Queue

__all__ = ["Replay"]

LISTS = 8
"""Complete lists that may wait."""


class Replay(wiring.Component):
    """Stores lists of entries, and plays the oldest one once for each command.

    An entry can be played as soon as it is stored. While a list is played for the last time, its entries make room one
    by one, so that a list that is played only once may be longer than the memory.

    Parameters
    ----------
    entry: shape of an entry
    payload: shape of what a command adds to each entry that it plays
    depth: entries of the memory, a power of two; a list that is skipped or played several times must not be longer

    Members
    -------
    items: stream of {entry, none, last}; ``none``: no entry, but maybe the end of the list
    commands: stream of {payload, final, skip}: play the list; ``final``: for the last time; ``skip``: do not play it at
        all, which needs ``final`` too
    out: stream of {entry, payload, none, first, last}; an empty list gives one element ``none``, and so does a list
        that turns out to have ended with the element before
    busy: something is inside
    """

    def __init__(self, entry, payload, depth):
        if depth < 2 or depth & (depth - 1):
            raise ValueError(f"depth must be a power of two, at least 2, not {depth!r}")
        self.entry, self.payload, self.depth = entry, payload, depth
        self.item = StructLayout({"entry": entry, "none": 1, "last": 1})
        self.command = StructLayout({"payload": payload, "final": 1, "skip": 1})
        self.played = StructLayout({"entry": entry, "payload": payload, "none": 1, "first": 1, "last": 1})
        super().__init__({
            "items": In(stream.Signature(self.item)),
            "commands": In(stream.Signature(self.command)),
            "out": Out(stream.Signature(self.played)),
            "busy": Out(1),
        })

    def elaborate(self, platform):
        m = Module()
        m.submodules.entries = entries = memory.Memory(shape=self.entry, depth=self.depth, init=[])
        store, load = entries.write_port(), entries.read_port()
        pointer = range(2 * self.depth)  # one bit more than an address, so that full and empty differ
        written, base, position = Signal(pointer), Signal(pointer), Signal(pointer)
        m.submodules.ends = ends = Queue(len(written), LISTS)  # for each complete list, the position after it
        self._store(m, store, written, Mux(self.commands.p.final & self.commands.valid, position, base), ends)

        command = self.commands.p
        following = (position + 1)[:len(position)]
        at_end = ends.o.valid & (ends.o.p == following)
        beyond = ends.o.valid & (ends.o.p == position)
        free, play, skip, ended = Signal(), Signal(), Signal(), Signal()
        fresh = Signal(init=1)  # nothing of the list has been played for this command
        m.d.comb += [
            free.eq(~self.out.valid | self.out.ready),
            play.eq(free & self.commands.valid & ~command.skip & ((position != written) | beyond)),
            skip.eq(self.commands.valid & command.skip & ends.o.valid),
            ended.eq(play & (at_end | beyond)),
            self.commands.ready.eq(ended | skip),
            ends.o.ready.eq((ended & command.final) | skip),
            load.addr.eq(position),
            load.en.eq(free),
            self.out.p.entry.eq(load.data),
            self.busy.eq(self.out.valid | (base != written) | ends.o.valid | self.commands.valid),
        ]
        with m.If(free):
            m.d.sync += [
                self.out.valid.eq(play),
                self.out.p.payload.eq(command.payload),
                self.out.p.none.eq(beyond),
                self.out.p.first.eq(fresh),
                self.out.p.last.eq(at_end | beyond),
            ]
        with m.If(play):
            m.d.sync += fresh.eq(ended)
        with m.If(skip | (ended & command.final)):
            m.d.sync += [base.eq(ends.o.p), position.eq(ends.o.p)]
        with m.Elif(ended):
            m.d.sync += position.eq(base)
        with m.Elif(play):
            m.d.sync += position.eq(following)
        return m

    def _store(self, m, store, written, oldest, ends):
        item = self.items.p
        room = Signal()
        go = self.items.valid & self.items.ready
        following = (written + ~item.none)[:len(written)]
        m.d.comb += [
            room.eq((written - oldest)[:len(written)] != self.depth),
            self.items.ready.eq((room | item.none) & (ends.i.ready | ~item.last)),
            store.addr.eq(written),
            store.data.eq(item.entry),
            store.en.eq(go & ~item.none),
            ends.i.p.eq(following),
            ends.i.valid.eq(go & item.last),
        ]
        with m.If(go):
            m.d.sync += written.eq(following)
