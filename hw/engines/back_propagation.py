# SPDX-License-Identifier: Apache-2.0
"""Back-propagation engine: partial sums of W delta for the inputs whose surrogate mask is set."""

from amaranth.hdl import Cat, Module, Mux, Signal, signed
from amaranth.lib import stream, wiring
from amaranth.lib.data import ArrayLayout, StructLayout

from backspike.hw.arith.lanes import ProductLane
from backspike.hw.blocks import Queue, delay_line, half_rate_register, lockstep_register, pipe_register, skid_buffer
from backspike.hw.engines.group_loop import GroupLoop
from backspike.hw.engines.ports import error_ports, error_result
from backspike.hw.engines.replay import Replay
from backspike.hw.engines.scan import RowScanner, give_rows, list_bits
from backspike.hw.engines.walks import InputWalk
from backspike.hw.engines.windows import OutputRows, bit_row
from backspike.hw.shapes import WORD

__all__ = ["BackwardEngine"]

ROWS_AHEAD = 8
"""Masked inputs that a lane may be ahead of the slowest, and results that may wait."""

AHEAD = 1
"""Words of masks for which lists of deltas are looked up while others are in work."""

RESULTS = 64
"""Results that may wait for the network: inputs that meet few deltas come in bursts."""


class BackwardEngine(wiring.Component):
    """For each step and each input whose mask is set: the exact sum of W delta over the slice's outputs that see it.

    The non-zero deltas that an input pixel meets are listed once for all its channels in a word of masks. Each lane has
    a list of its own outputs; the lanes may be a few inputs apart. The sums of the lanes are added when the slowest has
    finished, and a sum of zero is not sent.

    Parameters
    ----------
    shapes: Shapes

    Members: see :func:`error_ports`; the operands are always enabled.
    """

    def __init__(self, shapes):
        self.shapes = shapes
        lanes = shapes.config.lanes
        self._lanes = [ProductLane(shapes.config.format, shapes.config.list_depth) for _ in range(lanes)]
        self.result_layout = error_result(shapes)
        self.target = self.result_layout["target"].shape
        self.entry = StructLayout({"address": shapes.weight_address, "block": shapes.block, "hit": 1})
        self.info = StructLayout({"address": shapes.weight_address, "start": shapes.block, "step": shapes.step})
        self.input = StructLayout({"address": shapes.weight_address, "step": shapes.step, "masked": 1})
        super().__init__(error_ports(shapes))

    def elaborate(self, platform):
        m = Module()
        m.submodules.groups = groups = GroupLoop(self.shapes)
        m.submodules.targets = targets = Queue(self.target, 2 * ROWS_AHEAD)
        lanes = [self._lane(m, k) for k in range(self.shapes.config.lanes)]
        scanner, masks_waiting = self._masks(m, groups)
        words, outputs_waiting = self._outputs(m, groups, [lane["words"] for lane in lanes])
        inputs_waiting = self._inputs(m, groups, scanner, words, [lane["commands"] for lane in lanes], targets)
        unsent = self._merge(m, [lane["sums"] for lane in lanes], targets)
        m.d.comb += [
            groups.start.eq(self.start),
            groups.descriptor.eq(self.descriptor),
            groups.words.eq(self.group),
            self.group_address.eq(groups.address),
            groups.idle.eq(
                ~(
                    masks_waiting
                    | outputs_waiting
                    | inputs_waiting
                    | targets.o.valid
                    | unsent
                    | Cat(lane["busy"] for lane in lanes).any()
                )
            ),
            self.busy.eq(groups.busy),
            self.group_enable.eq(1),
            self.operand_enable.eq(1),
            self.terms.eq(sum(lane["term"] for lane in lanes)),
            self.result.eq(self.results.valid & self.results.ready),
            self.stalled.eq(Cat(lane["stalled"] for lane in lanes).any()),
        ]
        return m

    def _masks(self, m, groups):
        """Look for masked inputs, pixel by pixel."""
        shapes, group = self.shapes, groups.group
        m.submodules.walk = walk = InputWalk(shapes)
        m.submodules.masked = scanner = RowScanner(
            width=WORD,
            base=shapes.tape_address().size,
            count=shapes.config.tape_words,
            payload=walk.pixel,
            keep_last=False,
        )
        pixel, row, word = walk.pixels.p, Signal(scanner.row), Signal(shapes.tape_word)
        more, advance = Signal(shapes.tape_bit), Signal()
        m.d.sync += more.eq(group.channels - 1)
        m.d.comb += [
            walk.start.eq(groups.begin & ~group.constant),
            walk.descriptor.eq(self.descriptor),
            walk.live.eq(self.live | self.skip_off.replicate(shapes.config.steps)),
            walk.channels.eq(group.channels),
            walk.pixels.ready.eq(advance),
            word.eq(group.tape + pixel.first[5:]),
            row.base.eq(Cat(word, self.slot, pixel.step)),
            *(row[name].eq(value) for name, value in bit_row(pixel.first, more).items()),
            row.final.eq(1),
            row.payload.eq(pixel),
        ]
        _, free = give_rows(m, scanner, walk.pixels.valid, row, "mask_row")
        m.d.comb += [
            advance.eq(free),
            scanner.every.eq(self.skip_off),
            scanner.bits[0].eq(self.masks),
            self.tape_address.eq(scanner.address),
            self.tape_enable.eq(scanner.enable),
        ]
        return scanner, walk.busy | scanner.busy

    def _inputs(self, m, groups, scanner, pixels, commands, targets):
        """Each word of masks asks for one list of deltas, which is played for each masked input of the word."""
        shapes, d, group = self.shapes, self.descriptor, groups.group
        words = stream.Signature(scanner.word).create(path=("mask",))
        bits, listing = list_bits(m, words, scanner.word, AHEAD, "mask")
        m.d.comb += [
            words.p.eq(scanner.words.p),
            words.valid.eq(scanner.words.valid & pixels.ready),
            pixels.valid.eq(scanner.words.valid & words.ready),
            pixels.p.eq(scanner.words.p.payload),
            scanner.words.ready.eq(pixels.ready & words.ready),
        ]
        about = {"masked": 1, "final": 1, "step": shapes.step}
        found = Signal(StructLayout({"number": shapes.tape_bit, "place": shapes.tape_bit, **about}))
        now = Signal(StructLayout({"offset": shapes.weight_address, "neuron": 14, **about}))
        item, pixel = bits.p, bits.p.payload.payload
        place = Cat(item.index, item.payload.index)  # of the bit, counted from the pixel's first word
        room, go, move = Signal(), Signal(), Signal()
        m.d.comb += [
            bits.ready.eq(move),
            found.number.eq(place - pixel.first[:5]),
            found.place.eq(Cat(item.index, item.payload.index + pixel.first[5:])),
            found.masked.eq(item.hits),
            found.final.eq(item.final),
            found.step.eq(pixel.step),
        ]
        one, this = lockstep_register(m, move, bits.valid, found, "found_held")
        m.d.comb += [
            now.offset.eq(this.number * d.blocks),
            now.neuron.eq(group.neuron + this.place),
            *(now[name].eq(this[name]) for name in about),
        ]
        two, this = lockstep_register(m, move, one, now, "input_held")
        m.d.comb += [
            room.eq(targets.i.ready & Cat(command.ready for command in commands).all()),
            go.eq(two & room),
            move.eq(~two | room),
            self.row.eq(go & this.masked),
            targets.i.valid.eq(go),
            targets.i.p.x.eq(group.x),
            targets.i.p.y.eq(group.y),
            targets.i.p.neuron.eq(this.neuron),
            targets.i.p.step.eq(this.step),
        ]
        for command in commands:
            m.d.comb += [
                command.valid.eq(go),
                command.p.final.eq(this.final),
                command.p.payload.address.eq(group.row_base + this.offset),
                command.p.payload.step.eq(this.step),
                command.p.payload.masked.eq(this.masked),
            ]
        return listing | one | two

    def _outputs(self, m, groups, lane_words):
        """Look for the non-zero deltas of the outputs that see a pixel; returns the stream of pixels to look from."""
        shapes, d, group = self.shapes, self.descriptor, groups.group
        m.submodules.output_rows = rows = OutputRows(shapes)
        pixels = stream.Signature(rows.requests.p.shape()).create(path=("pixels",))
        asking, pixel, free = half_rate_register(m, pixels.valid, pixels.p, rows.requests.ready, "pixel_held")
        m.submodules.outputs = scanner = RowScanner(
            width=WORD,
            base=shapes.bitmap_address().size,
            count=shapes.delta_depth,
            payload=self.info,
            banks=shapes.config.lanes,
            keep_last=True,
        )
        row, given = scanner.rows.p, rows.rows.p
        m.d.comb += [
            pixels.ready.eq(free),
            rows.requests.valid.eq(asking),
            rows.requests.p.eq(pixel),
            rows.descriptor.eq(d),
            rows.row_stride.eq(group.row_stride),
            rows.tap_stride.eq(group.tap_stride),
            scanner.rows.valid.eq(rows.rows.valid),
            rows.rows.ready.eq(scanner.rows.ready),
            row.base.eq(Cat(given.word, given.step)),
            row.empty.eq(~given.exists),
            *(row[name].eq(given[name]) for name in ("end", "low", "high", "final")),
            *(row.payload[name].eq(given[name]) for name in ("address", "start", "step")),
            scanner.every.eq(self.skip_off),
            scanner.bits.eq(self.bitmaps),
            self.bitmap_address.eq(scanner.address),
            self.bitmap_enable.eq(scanner.enable),
            scanner.words.ready.eq(Cat(words.ready for words in lane_words).all()),
        ]
        for k, words in enumerate(lane_words):
            word = scanner.words.p
            m.d.comb += [
                words.valid.eq(scanner.words.valid & scanner.words.ready),
                words.p.mask.eq(Mux(self.skip_off, word.mask, word.hits[k])),
                words.p.hits[0].eq(word.hits[k]),
                *(words.p[name].eq(word[name]) for name in ("index", "last", "payload")),
            ]
        return pixels, asking | rows.busy | scanner.busy

    def _lane(self, m, k):
        """Deltas of lane k times their weights; its streams and its signals for the whole engine, by name."""
        shapes, d = self.shapes, self.descriptor
        word = StructLayout(
            {
                "mask": WORD,
                "hits": ArrayLayout(WORD, 1),
                "index": range(max(2, shapes.delta_depth)),
                "last": 1,
                "payload": self.info,
            }
        )
        words = stream.Signature(word).create(path=(f"words_{k}",))
        bits, listing = list_bits(m, words, word, 0, f"delta_{k}")
        m.submodules[f"lists_{k}"] = lists = Replay(self.entry, self.input, shapes.config.list_depth)
        m.submodules[f"inputs_{k}"] = inputs = Queue(lists.command, ROWS_AHEAD)
        m.submodules[f"lane_{k}"] = lane = self._lanes[k]
        m.submodules[f"sums_{k}"] = sums = Queue(signed(lane.sum_width), ROWS_AHEAD)
        wiring.connect(m, inputs.o, lists.commands)
        into, found = lists.items.p, bits.p.payload
        delta = Signal(
            StructLayout(
                {
                    "number": shapes.block,
                    "first": shapes.block,
                    "base": shapes.weight_address,
                    "hit": 1,
                    "none": 1,
                    "last": 1,
                }
            ),
            name=f"found_{k}",
        )
        m.d.comb += [
            delta.number.eq(Cat(bits.p.index, found.index) - found.payload.start[:5]),
            delta.first.eq(d.block_base + found.payload.start),
            delta.base.eq(found.payload.address),
            delta.hit.eq(bits.p.hits),
            delta.none.eq(bits.p.none),
            delta.last.eq(bits.p.final & found.last),
        ]
        full, this, free = skid_buffer(m, bits.valid, delta, lists.items.ready, f"delta_{k}")
        m.d.comb += [
            bits.ready.eq(free),
            lists.items.valid.eq(full),
            into.entry.address.eq(this.base + this.number),
            into.entry.block.eq(this.first + this.number),
            into.entry.hit.eq(this.hit),
            into.none.eq(this.none),
            into.last.eq(this.last),
        ]
        played, go, nonzero = lists.out.p, Signal(name=f"go_{k}"), Signal(name=f"nonzero_{k}")
        under_way = Signal(range(ROWS_AHEAD + 1), name=f"under_way_{k}")  # sums that will be or are in ``sums``
        m.d.comb += [
            lists.out.ready.eq(~played.last | (under_way != ROWS_AHEAD)),
            go.eq(lists.out.valid & lists.out.ready),
            nonzero.eq(~played.none & played.entry.hit & played.payload.masked),
        ]
        m.d.sync += under_way.eq(under_way + (go & played.last) - (sums.o.valid & sums.o.ready))
        issued = Signal(StructLayout({"valid": 1, "last": 1, "nonzero": 1}), name=f"issued_{k}")
        addresses = Signal(
            StructLayout({"weight": shapes.weight_address, "delta": shapes.delta_address()}), name=f"addresses_{k}"
        )
        m.d.sync += [
            issued.valid.eq(go),
            issued.last.eq(played.last),
            issued.nonzero.eq(nonzero),
            addresses.weight.eq(played.payload.address + played.entry.address),
            addresses.delta.block.eq(played.entry.block),
            addresses.delta.step.eq(played.payload.step),
        ]
        at_lane = delay_line(m, issued, 1, f"read_{k}")
        m.d.comb += [
            self.weight_addresses[k].eq(addresses.weight),
            self.delta_addresses[k].eq(addresses.delta),
            lane.valid.eq(at_lane.valid),
            lane.last.eq(at_lane.last),
            lane.nonzero.eq(at_lane.nonzero),
            lane.a.eq(self.weights[k]),
            lane.b.eq(self.deltas[k]),
            sums.i.valid.eq(lane.done),
            sums.i.p.eq(lane.sum),
        ]
        return {
            "words": words,
            "commands": inputs.i,
            "sums": sums.o,
            "busy": listing | full | lists.busy | inputs.o.valid,
            "term": go & nonzero,
            "stalled": lists.out.valid & ~lists.out.ready,
        }

    def _merge(self, m, sums, targets):
        """Add the lanes' sums of one input, and pass on those that are not zero; returns whether some still wait."""
        m.submodules.waiting = waiting = Queue(self.result_layout, RESULTS)
        total = Signal(StructLayout({"target": self.target, "sum": signed(self.shapes.error_sum)}))
        complete = Signal()
        full, result, free = pipe_register(m, complete, total, waiting.i.ready, "total_held")
        m.d.comb += [
            total.target.eq(targets.o.p),
            total.sum.eq(sum(lane.p for lane in sums)),
            complete.eq(targets.o.valid & Cat(lane.valid for lane in sums).all()),
            targets.o.ready.eq(complete & free),
            *(lane.ready.eq(targets.o.ready) for lane in sums),
            waiting.i.valid.eq(full & result.sum.any()),
            waiting.i.p.eq(result),
        ]
        wiring.connect(m, waiting.o, wiring.flipped(self.results))
        return waiting.o.valid | full
