# SPDX-License-Identifier: Apache-2.0
"""Searches of the feed-forward engine: which weights belong to each sum."""

from amaranth.hdl import Cat, Module, Mux, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.data import StructLayout
from amaranth.lib.wiring import In, Out

from backspike.hw.blocks import Queue, lockstep_register, pipe_register
from backspike.hw.engines.replay import Replay
from backspike.hw.engines.rows import RowLister, last_word
from backspike.hw.engines.walks import PLACE, OutputWalk
from backspike.hw.engines.weight_sum import spike_term
from backspike.hw.engines.windows import SpikeWindow
from backspike.hw.shapes import WORD

__all__ = ["DenseSpikes", "PixelSpikes"]

PIXELS = 8
"""Output pixels that the search for spikes may be ahead."""


def _ports(shapes):
    """Members of a search for spikes.

    start: pulse; slot, step, descriptor and skip_off stay stable until ``busy`` falls
    group_address, group_enable, group: group table, one cycle of latency
    tape_address, tape_enable, tape: spikes of a tape word, one cycle of latency
    spikes: stream of :func:`spike_term`, at least one for each block of each output pixel
    busy: spikes are still to come
    """
    return {
        "start": In(1),
        "slot": In(shapes.slot),
        "step": In(shapes.step),
        "descriptor": In(shapes.descriptor),
        "skip_off": In(1),
        "group_address": Out(shapes.groups),
        "group_enable": Out(1),
        "group": In(shapes.group_words),
        "tape_address": Out(shapes.tape_address()),
        "tape_enable": Out(1),
        "tape": In(WORD),
        "spikes": Out(stream.Signature(spike_term(shapes))),
        "busy": Out(1),
    }


class PixelSpikes(wiring.Component):
    """The spikes that each output pixel sees are listed once, and played for each block, if the list has room for them.

    Parameters
    ----------
    shapes: Shapes

    Members: see :func:`_ports`.
    """

    def __init__(self, shapes):
        self.shapes = shapes
        super().__init__(_ports(shapes))

    def elaborate(self, platform):
        m = Module()
        m.submodules.window = window = SpikeWindow(self.shapes)
        block = StructLayout({"block": self.shapes.block, "block_last": 1, "step_last": 1})
        m.submodules.lists = lists = Replay(window.entry, block, self.shapes.config.window)
        wiring.connect(m, window.items, lists.items)
        item, out = lists.out.p, self.spikes.p
        m.d.comb += [
            *(getattr(window, name).eq(getattr(self, name)) for name in ("slot", "step", "descriptor", "skip_off")),
            *(getattr(window, name).eq(getattr(self, name)) for name in ("group", "tape")),
            self.group_address.eq(window.group_address),
            self.group_enable.eq(window.group_enable),
            self.tape_address.eq(window.tape_address),
            self.tape_enable.eq(window.tape_enable),
            self.spikes.valid.eq(lists.out.valid),
            lists.out.ready.eq(self.spikes.ready),
            out.base.eq(item.entry.address),
            out.offset.eq(item.payload.block),
            out.nonzero.eq(~item.none & item.entry.spike),
            out.last.eq(item.last),
            out.block_last.eq(item.payload.block_last),
            out.step_last.eq(item.payload.step_last),
        ]
        walking = self._pixels(m, window, lists.commands)
        m.d.comb += self.busy.eq(walking | window.busy | lists.busy)
        return m

    def _pixels(self, m, window, commands):
        """Ask for the spikes of each pixel, and play them for each of its blocks; returns whether any are to come."""
        d = self.descriptor
        m.submodules.walk = walk = OutputWalk(self.shapes)
        m.submodules.asked = asked = Queue(StructLayout({"block": self.shapes.block, "last": 1}), PIXELS)
        seen, now, command = walk.pixels.p, asked.o.p, commands.p
        played, last_block = Signal(self.shapes.block), Signal(self.shapes.block)
        m.d.sync += last_block.eq(d.blocks - 1)
        m.d.comb += [
            walk.start.eq(self.start),
            walk.descriptor.eq(d),
            walk.times.eq(Mux(d.replay, 1, d.blocks)),
            walk.pixels.ready.eq(window.requests.ready & asked.i.ready),
            window.requests.valid.eq(walk.pixels.valid & asked.i.ready),
            *(window.requests.p[name].eq(seen[name]) for name in PLACE),
            asked.i.valid.eq(walk.pixels.valid & window.requests.ready),
            asked.i.p.block.eq(seen.time),
            asked.i.p.last.eq(seen.last),
            command.payload.block.eq(Mux(d.replay, played, now.block)),
            command.payload.block_last.eq(command.payload.block == last_block),
            command.payload.step_last.eq(now.last),
            command.final.eq(command.payload.block_last | ~d.replay),
            commands.valid.eq(asked.o.valid),
            asked.o.ready.eq(commands.ready & command.final),
        ]
        with m.If(commands.valid & commands.ready):
            m.d.sync += played.eq(Mux(command.final, 0, played + 1))
        return walk.busy | asked.o.valid


class DenseSpikes(wiring.Component):
    """For dense layers: the spikes of the step are scanned again for each block, group by group.

    That costs no cycle as long as no word of a group is zero, and needs no lists. ``skip_off`` has no effect.

    Parameters
    ----------
    shapes: Shapes

    Members: see :func:`_ports`.
    """

    def __init__(self, shapes):
        self.shapes = shapes
        super().__init__(_ports(shapes))

    def elaborate(self, platform):
        m = Module()
        shapes = self.shapes
        payload = StructLayout({"row": shapes.weight_address, "end": 1, "last": 1})
        m.submodules.bits = bits = RowLister(
            base=shapes.tape_address().size, words=shapes.config.tape_words, payload=payload
        )
        walking = self._rows(m, bits)
        run, item, out = self.spikes.ready, bits.items.p, self.spikes.p
        place = Signal(
            StructLayout({"number": item.number.shape(), **{name: out[name].shape() for name in _KEPT}}), name="place"
        )
        end = Signal()
        m.d.comb += [
            end.eq(item.last & item.payload.end),
            place.number.eq(item.number),
            place.base.eq(item.payload.row),
            place.nonzero.eq(~item.none),
            place.last.eq(end),
            place.block_last.eq(item.payload.last),
            bits.items.ready.eq(run),
        ]
        # A row without spikes counts only as the end of the sum.
        full, held = lockstep_register(m, run, bits.items.valid & (~item.none | end), place, "held")
        m.d.comb += [
            self.tape_address.eq(bits.address),
            self.tape_enable.eq(bits.enable),
            bits.bits[0].eq(self.tape),
            self.spikes.valid.eq(full),
            *(out[name].eq(held[name]) for name in _KEPT),
            out.offset.eq(held.number * self.descriptor.blocks),
            out.step_last.eq(1),
            self.busy.eq(walking | bits.busy | full),
        ]
        return m

    def _rows(self, m, bits):
        """For each block, a row of each group; the table puts out the row's group, once its address has settled."""
        shapes, d = self.shapes, self.descriptor
        group = shapes.group(self.group.as_value()[: shapes.group.size])
        index, block = Signal(shapes.groups), Signal(shapes.block)
        walking, settled = Signal(), Signal()
        last_group, last_block, word, row = Signal(), Signal(), Signal(shapes.tape_word), Signal(bits.row)
        m.d.comb += [
            self.group_address.eq(d.groups_base + index),
            self.group_enable.eq(1),
            # From 1 to as many as the indices can tell: the lower bits are enough.
            last_group.eq((index + 1)[: len(index)] == d.groups[: len(index)]),
            last_block.eq((block + 1)[: len(block)] == d.blocks[: len(block)]),
            row.base.eq(Cat(group.tape[: len(word)], self.slot, self.step)),
            row.end.eq(last_word(group.channels, shapes.tape_bit)),
            row.payload.row.eq(group.row_base + block),
            row.payload.end.eq(last_group),
            row.payload.last.eq(last_block),
        ]
        valid, held, free = pipe_register(m, walking & settled, row, bits.rows.ready, "row")
        m.d.comb += [bits.rows.valid.eq(valid), bits.rows.p.eq(held)]
        with m.If(self.start):
            m.d.sync += [walking.eq(1), settled.eq(0), index.eq(0), block.eq(0)]
        with m.Elif(walking & settled & free):
            m.d.sync += [index.eq(Mux(last_group, 0, index + 1)), settled.eq(last_group & (index == 0))]
            with m.If(last_group):
                m.d.sync += [block.eq(block + 1), walking.eq(~last_block)]
        with m.Else():
            m.d.sync += settled.eq(walking)
        return walking


_KEPT = ("base", "nonzero", "last", "block_last")
