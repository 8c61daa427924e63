# SPDX-License-Identifier: Apache-2.0
"""Weight-gradient engine: adds delta s to the gradients."""

from amaranth.hdl import Cat, Module, Mux, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.data import ArrayLayout, StructLayout

from backspike.hw.blocks import Queue, pipe_register
from backspike.hw.engines.gradient_lane import GradientLane
from backspike.hw.engines.ports import gradient_ports
from backspike.hw.engines.replay import Replay
from backspike.hw.engines.scan import RowScanner, give_rows, list_bits
from backspike.hw.engines.walks import PLACE, OutputWalk
from backspike.hw.engines.windows import SpikeWindow, bit_row
from backspike.hw.shapes import WORD

__all__ = ["GradientEngine"]

WORDS = 4
"""Words of deltas that the search for spikes may be behind, or a lane's work."""


class GradientEngine(wiring.Component):
    """G += delta s for every output with a non-zero delta, and every spike that its pixel sees in the same step.

    For each group of inputs, step and output pixel with any non-zero delta, the spikes that the pixel sees are listed
    once; each lane plays its list for each of its own non-zero deltas. Gradients are exact sums, so the order does not
    matter.

    Parameters
    ----------
    shapes: Shapes

    Members: see :func:`gradient_ports`; ``rows`` are non-zero deltas.
    """

    def __init__(self, shapes):
        self.shapes = shapes
        self.info = StructLayout({"step": shapes.step, "group": shapes.fan_in, **PLACE, "start": shapes.block})
        super().__init__(gradient_ports(shapes))

    def elaborate(self, platform):
        m = Module()
        m.submodules.window = window = SpikeWindow(self.shapes)
        scanner, scanning = self._deltas(m)
        m.submodules.requests = requests = Queue(window.request, WORDS)
        wiring.connect(m, requests.o, window.requests)
        lanes = [self._lane(m, k, window) for k in range(self.shapes.config.lanes)]
        self._fork(m, scanner, requests, [lane["words"] for lane in lanes])
        items = [lane["items"] for lane in lanes]
        m.d.comb += window.items.ready.eq(Cat(item.ready for item in items).all())
        for item in items:
            m.d.comb += [item.valid.eq(window.items.valid & window.items.ready), item.p.eq(window.items.p)]
        window.connect_job(m, self)
        m.d.comb += [
            window.groups.eq(1),
            self.busy.eq(scanning | requests.o.valid | window.busy | Cat(lane["busy"] for lane in lanes).any()),
            self.terms.eq(sum(lane["term"] for lane in lanes)),
            self.rows.eq(sum(lane["row"] for lane in lanes)),
            self.stalled.eq(Cat(lane["stalled"] for lane in lanes).any()),
        ]
        return m

    def _deltas(self, m):
        """Look for pixels with non-zero deltas, in all lanes at once."""
        shapes, d = self.shapes, self.descriptor
        m.submodules.walk = walk = OutputWalk(shapes)
        m.submodules.deltas = scanner = RowScanner(
            width=WORD,
            base=shapes.bitmap_address().size,
            count=shapes.delta_depth,
            payload=self.info,
            banks=shapes.config.lanes,
            keep_last=False,
        )
        first, more = Signal(shapes.block), Signal(shapes.block)  # number of the pixel's first block
        pixel, row, advance = walk.pixels.p, Signal(scanner.row), Signal()
        word = Signal(shapes.delta_word, name="delta_word")
        m.d.sync += more.eq(d.blocks - 1)
        m.d.comb += [
            walk.start.eq(self.start),
            walk.descriptor.eq(d),
            walk.live.eq(self.live | self.skip_off.replicate(shapes.config.steps)),
            walk.rounds.eq(d.fan_in),
            walk.first_step.eq(0),
            walk.steps.eq(d.steps),
            walk.times.eq(1),
            walk.pixels.ready.eq(advance),
            word.eq(d.delta_base + first[5:]),
            row.base.eq(Cat(word, pixel.step)),
            *(row[name].eq(value) for name, value in bit_row(first, more).items()),
            row.final.eq(1),
            row.payload.group.eq(pixel.round),
            row.payload.start.eq(first),
            *(row.payload[name].eq(pixel[name]) for name in ("step", *PLACE)),
        ]
        with m.If(walk.pixels.valid & advance):
            m.d.sync += first.eq(first + d.blocks)
            with m.If(pixel.last):
                m.d.sync += first.eq(0)
        _, free = give_rows(m, scanner, walk.pixels.valid, row, "row")
        m.d.comb += [
            advance.eq(free),
            scanner.every.eq(self.skip_off),
            scanner.bits.eq(self.bitmaps),
            self.bitmap_address.eq(scanner.address),
            self.bitmap_enable.eq(scanner.enable),
        ]
        return scanner, walk.busy | scanner.busy

    def _fork(self, m, scanner, requests, lane_words):
        """A word of deltas asks for one list of spikes, and goes to all lanes, each of which plays that list."""
        word = scanner.words.p
        go = scanner.words.valid & scanner.words.ready
        m.d.comb += [
            scanner.words.ready.eq(requests.i.ready & Cat(words.ready for words in lane_words).all()),
            requests.i.valid.eq(go),
            *(requests.i.p[name].eq(word.payload[name]) for name in ("step", "group", *PLACE)),
        ]
        for k, words in enumerate(lane_words):
            m.d.comb += [
                words.valid.eq(go),
                words.p.mask.eq(Mux(self.skip_off, word.mask, word.hits[k])),
                words.p.hits[0].eq(word.hits[k]),
                words.p.index.eq(word.index),
                words.p.payload.step.eq(word.payload.step),
                words.p.payload.start.eq(word.payload.start),
            ]

    def _lane(self, m, k, window):
        """Gradients of lane k; its streams and its signals for the whole engine, by name."""
        shapes, d = self.shapes, self.descriptor
        info = StructLayout({"step": shapes.step, "start": shapes.block})
        word = StructLayout(
            {
                "mask": WORD,
                "hits": ArrayLayout(WORD, 1),
                "index": range(max(2, shapes.delta_depth)),
                "last": 1,
                "payload": info,
            }
        )
        words = stream.Signature(word).create(path=(f"words_{k}",))
        bits, listing = list_bits(m, words, word, WORDS, f"delta_{k}")
        m.submodules[f"lane_{k}"] = lane = GradientLane(shapes, window.entry)
        m.submodules[f"lists_{k}"] = lists = Replay(window.entry, lane.delta_place, shapes.config.list_depth)
        wiring.connect(m, lists.out, lane.terms)
        found, command = bits.p.payload, lists.commands.p
        delta = Signal(
            StructLayout(
                {"block": shapes.block, "first": shapes.block, "step": shapes.step, "hit": 1, "final": 1, "none": 1}
            ),
            name=f"found_{k}",
        )
        m.d.comb += [
            delta.block.eq(Cat(bits.p.index, found.index) - found.payload.start[:5]),
            delta.first.eq(d.block_base + found.payload.start),
            delta.step.eq(found.payload.step),
            delta.hit.eq(bits.p.hits),
            delta.final.eq(bits.p.final),
            delta.none.eq(bits.p.none),
        ]
        full, this, free = pipe_register(m, bits.valid, delta, lists.commands.ready, f"delta_{k}")
        m.d.comb += [
            bits.ready.eq(free),
            lists.commands.valid.eq(full),
            command.payload.block.eq(this.block),
            command.payload.address.block.eq(this.first + this.block),
            command.payload.address.step.eq(this.step),
            command.payload.hit.eq(this.hit),
            command.final.eq(this.final),
            command.skip.eq(this.none),
            self.delta_addresses[k].eq(lane.delta_address),
            self.delta_enables[k].eq(lane.delta_enable),
            lane.delta.eq(self.deltas[k]),
            self.read_addresses[k].eq(lane.read_address),
            self.read_enables[k].eq(lane.read_enable),
            lane.gradient.eq(self.gradients[k]),
            self.write_addresses[k].eq(lane.write_address),
            self.write_enables[k].eq(lane.write_enable),
            self.sums[k].eq(lane.sum),
        ]
        return {
            "words": words,
            "items": lists.items,
            "busy": words.valid | listing | full | lists.busy | lane.busy,
            "term": lane.term,
            "stalled": lane.stalled,
            "row": full & lists.commands.ready & ~this.none,
        }
