# SPDX-License-Identifier: Apache-2.0
"""Searches for pairs of an input, masked or spiking, and a non-zero delta of an output that sees it."""

from amaranth.hdl import Cat, Module, Mux, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.data import StructLayout
from amaranth.lib.wiring import In, Out

from backspike.hw.blocks import Queue, half_rate_register, lockstep_register, pipe_register, skid_buffer
from backspike.hw.engines.memory import LearningMemory
from backspike.hw.engines.operand_list import OperandList
from backspike.hw.engines.output_rows import OutputRows
from backspike.hw.engines.rows import BitLister, RowLister, RowReader, last_word, part_of_row
from backspike.hw.engines.walks import InputWalk

__all__ = ["USE", "DensePairs", "PixelPairs", "pair", "tracks"]

USE = StructLayout({"masked": 1, "spikes": 1})
"""What an input is used for: its error (its surrogate mask is set), the gradients of its weights (it spikes)."""

INPUTS_AHEAD = 8
"""Inputs that may wait for a lane, and so how far the lanes may be apart."""


def tracks(shapes):
    """Streams of pairs: for dense layers the lanes work in lock step, else each has pairs of its own."""
    return 1 if shapes.config.dense_only else shapes.config.lanes


def pair(shapes):
    """A block of outputs with a non-zero delta, or none, and a masked input and one that spikes, or one of the two.

    row, spike_row, offset: address of the weight of the masked input, and of the gradient of that which spikes, each
    the sum of its row and the offset; block: of the delta memory; hits: lanes with a non-zero delta, maybe none; use:
    which of the inputs there are; input: number of the masked one in the group; last: of these inputs; operand: what
    the input that spikes multiplies deltas with, only where that is more than a spike; minus: it does so with the sign
    changed, only in chips with noise
    """
    return StructLayout(
        {
            "row": shapes.weight_address,
            "spike_row": shapes.weight_address,
            "offset": shapes.weight_address,
            "block": shapes.block,
            "step": shapes.step,
            "use": USE,
            "hits": shapes.config.lanes // tracks(shapes),
            "input": shapes.tape_bit,
            "last": 1,
            **_operand(shapes),
            **_minus(shapes),
        }
    )


def _operand(shapes):
    """The field of an operand, where there is one."""
    return {"operand": shapes.config.operand_bits} if shapes.traced else {}


def _minus(shapes):
    """The field of a sign, where there is one."""
    return {"minus": 1} if shapes.noise else {}


def _ports(shapes):
    """Members of a search for pairs.

    slot, descriptor, skip_off, active_steps: as in the engine
    begin: pulse: there is a new ``group``, the entry of the fan-in table in work, which stays
    no_errors, no_gradients: the masks, the spikes count for nothing; stable like the group
    noise: only in chips with it: every masked input counts as one that spikes too, with operand 1, or -1 where its
        spike is 0; of others the spikes are 0; stable like the group
    tape, bitmaps, presynaptic: as in LearningMemory
    pairs: for each track, a stream of :func:`pair`; at least one for each input
    found: an input has been found, and what for
    busy: pairs are still to come
    """
    memory = LearningMemory(shapes)
    return {
        "slot": In(shapes.slot),
        "descriptor": In(shapes.descriptor),
        "skip_off": In(1),
        "active_steps": In(shapes.config.steps),
        "begin": In(1),
        "group": In(shapes.fan_in_entry),
        "no_errors": In(1),
        "no_gradients": In(1),
        **({"noise": In(1)} if shapes.noise else {}),
        **{name: memory.members[name] for name in ("tape", "bitmaps", "presynaptic") if name in memory.members},
        "pairs": Out(stream.Signature(pair(shapes))).array(tracks(shapes)),
        "found": Out(USE),
        "busy": Out(1),
    }


def _operand_of(m, search, number, enable):
    """The operand of the input whose bit of the tape has this number in its group, in the cycle after.

    It stays while ``enable`` is 0.
    """
    port, d, group = search.presynaptic, search.descriptor, search.group
    given, constant = Signal(port.data.shape()), Signal()  # an operand that stands in no memory
    plain = Mux(group.constant, d.bias, d.one)
    m.d.sync += [
        given.eq(Mux(search.noise, 1, plain) if search.shapes.noise else plain),
        constant.eq(group.constant | ~d.tape_words.any()),
    ]
    m.d.comb += [port.enable.eq(enable), port.address.eq(Cat(number[:5], number[5:] + group.tape))]
    return Mux(constant, given, port.data)


class DensePairs(wiring.Component):
    """For dense layers: the bitmap of deltas is scanned again for each input.

    That costs no cycle as long as the last word of the bitmap is not zero, and needs no lists. All lanes work on one
    block at a time, where at least one of them has a non-zero delta. ``skip_off`` has no effect.

    Parameters
    ----------
    shapes: Shapes

    Members: see :func:`_ports`.
    """

    def __init__(self, shapes):
        self.shapes = shapes
        placed = {"row": shapes.weight_address, "input": shapes.tape_bit, "step": shapes.step, "use": USE}
        placed |= _minus(shapes)
        self._placed, self._row = StructLayout(placed), StructLayout({**placed, **_operand(shapes)})
        super().__init__(_ports(shapes))

    def elaborate(self, platform):
        m = Module()
        inputs, looking = self._inputs(m)
        outputs, waiting = self._outputs(m, inputs)
        m.d.comb += self.busy.eq(looking | inputs.busy | waiting | outputs.busy)
        return m

    def _inputs(self, m):
        """A row of input bits for each active step."""
        shapes, group = self.shapes, self.group
        m.submodules.inputs = bits = RowLister(
            base=shapes.tape_address().size,
            words=shapes.config.tape_words,
            payload=shapes.step,
            banks=2,
            keep_last=False,
        )
        step, looking, active = Signal(shapes.step), Signal(), Signal()
        row = bits.rows.p
        m.d.comb += [
            active.eq(self.active_steps.bit_select(step, 1)),
            bits.rows.valid.eq(looking & active),
            row.base.eq(Cat(group.tape[: shapes.tape_word], self.slot, step)),
            row.end.eq(last_word(group.channels, shapes.tape_bit)),
            row.payload.eq(step),
            bits.off.eq(Cat(self.no_errors, self.no_gradients)),
        ]
        wiring.connect(m, bits.memory, wiring.flipped(self.tape))
        with m.If(self.begin):
            m.d.sync += [looking.eq(1), step.eq(0)]
        with m.Elif(looking & (~active | bits.rows.ready)):
            following = (step + 1)[: len(step)]
            m.d.sync += [step.eq(following), looking.eq(following != self.descriptor.steps[: len(step)])]
        return bits, looking

    def _outputs(self, m, inputs):
        """A row of bits of the deltas for each input."""
        shapes, d = self.shapes, self.descriptor
        m.submodules.outputs = bits = RowLister(
            base=shapes.bitmap_address().size, words=shapes.delta_depth, payload=self._row, banks=shapes.config.lanes
        )
        placed, advance = Signal(self._placed), Signal()
        # An input every other cycle at most: so the chain of those who wait for each other ends here.
        one, this, empty = half_rate_register(m, inputs.items.valid, inputs.items.p, advance, "input_found")
        m.d.comb += [
            inputs.items.ready.eq(empty),
            placed.row.eq(self.group.row_base + this.number * d.blocks),
            placed.input.eq(this.number),
            placed.step.eq(this.payload),
            placed.use.eq(this.hits),
            self.found.eq(Mux(one & advance, placed.use, 0)),
        ]
        if shapes.noise:
            m.d.comb += [
                placed.use.spikes.eq(this.hits[1] | (self.noise & this.hits[0])),
                placed.minus.eq(self.noise & ~this.hits[1]),
            ]
        two, that, free = pipe_register(m, one, placed, bits.rows.ready, "placed")
        if shapes.traced:
            m.d.comb += bits.rows.p.payload.operand.eq(_operand_of(m, self, this.number, free))
        wiring.connect(m, bits.memory, wiring.flipped(self.bitmaps))
        row, item, out = bits.rows.p, bits.items.p, self.pairs[0]
        m.d.comb += [
            advance.eq(free),
            bits.rows.valid.eq(two),
            row.base.eq(Cat(d.delta_base[: shapes.delta_word], that.step)),
            row.end.eq(last_word(d.blocks, max(6, shapes.block))),
            *(row.payload[name].eq(that[name]) for name, _ in self._placed),
            out.valid.eq(bits.items.valid),
            bits.items.ready.eq(out.ready),
            *(out.p[name].eq(item.payload[name]) for name, _ in self._row),
            out.p.spike_row.eq(item.payload.row),
            out.p.offset.eq(item.number),
            out.p.block.eq(d.block_base + item.number),
            out.p.hits.eq(item.hits),
            out.p.last.eq(item.last),
        ]
        return bits, one | two


class PixelPairs(wiring.Component):
    """The non-zero deltas that an input pixel meets are listed once for all its inputs in a word of the tape.

    Each lane has a list of its own outputs, which is played for the masked inputs of the word and for those that spike,
    one of each at a time: as often as the word has of the kind of which it has more. The lanes may be a few inputs
    apart. A constant input is seen by every output: as a kernel of 1 x 1 sees inputs that are all the same.

    Parameters
    ----------
    shapes: Shapes

    Members: see :func:`_ports`.
    """

    def __init__(self, shapes):
        self.shapes = shapes
        self._entry = StructLayout({"offset": shapes.weight_address, "block": shapes.block, "hit": 1})
        rows = dict.fromkeys(("row", "spike_row"), shapes.weight_address)
        self._input = StructLayout(
            {**rows, "input": shapes.tape_bit, "step": shapes.step, "use": USE, **_operand(shapes), **_minus(shapes)}
        )
        super().__init__(_ports(shapes))

    def elaborate(self, platform):
        m = Module()
        shapes = self.shapes
        geometry = Signal(shapes.descriptor)
        m.d.comb += geometry.eq(self.descriptor)
        with m.If(self.group.constant):
            m.d.comb += [
                geometry.in_width.eq(geometry.out_width),
                geometry.in_height.eq(geometry.out_height),
                *(geometry[name].eq(1) for name in ("kernel", "stride", "pool")),
                geometry.padding.eq(0),
            ]
        lanes = [self._lane(m, k) for k in range(shapes.config.lanes)]
        reader, looking = self._words(m, geometry)
        pixels, finding = self._outputs(m, geometry, [bits for bits, _, _ in lanes])
        listing = self._inputs(m, reader, pixels, [commands for _, commands, _ in lanes])
        m.d.comb += self.busy.eq(looking | finding | listing | Cat(busy for _, _, busy in lanes).any())
        return m

    def _words(self, m, geometry):
        """Look for words of inputs, pixel by pixel."""
        shapes, group = self.shapes, self.group
        m.submodules.walk = walk = InputWalk(shapes)
        m.submodules.inputs = reader = RowReader(
            base=shapes.tape_address().size,
            words=shapes.config.tape_words,
            payload=walk.pixel,
            banks=2,
            parts=True,
            keep_last=False,
        )
        pixel, row, word = walk.pixels.p, Signal(reader.row), Signal(shapes.tape_word)
        more = Signal(shapes.tape_bit)
        m.d.sync += more.eq(group.channels - 1)
        m.d.comb += [
            walk.start.eq(self.begin),
            walk.descriptor.eq(geometry),
            walk.active_steps.eq(self.active_steps | self.skip_off.replicate(shapes.config.steps)),
            walk.channels.eq(Mux(group.constant, 0, group.channels)),
            word.eq(group.tape + pixel.first[5:]),
            row.base.eq(Cat(word, self.slot, pixel.step)),
            *(row[name].eq(value) for name, value in part_of_row(pixel.first, more).items()),
            row.final.eq(1),
            row.payload.eq(pixel),
        ]
        full, held, free = pipe_register(m, walk.pixels.valid, row, reader.rows.ready, "row")
        m.d.comb += [
            walk.pixels.ready.eq(free),
            reader.rows.valid.eq(full),
            reader.rows.p.eq(held),
            reader.every.eq(self.skip_off),
            reader.off.eq(Cat(self.no_errors, self.no_gradients)),
        ]
        wiring.connect(m, reader.memory, wiring.flipped(self.tape))
        return reader, walk.busy | full | reader.busy

    def _inputs(self, m, reader, pixels, commands):
        """Each word of inputs asks for one list of deltas, which is played for a masked input and a spike at a time."""
        shapes, d, group, words = self.shapes, self.descriptor, self.group, reader.words
        size, pixel_shape = shapes.config.tape_words, words.p.payload.shape()
        m.submodules.masked_bits = masked = BitLister(words=size, payload=pixel_shape, banks=2)
        m.submodules.spiking_bits = spiking = BitLister(words=size, payload=1, banks=2)
        taken = masked.words.ready & spiking.words.ready
        waits, word, free = half_rate_register(m, words.valid & pixels.ready, words.p, taken, "input_word")
        about = {"use": USE, "final": 1, "step": shapes.step, "input": shapes.tape_bit, **_minus(shapes)}
        place = {"place": shapes.tape_bit} if shapes.traced else {}  # of the one that spikes, as ``input`` of the other
        found = Signal(StructLayout({"masked": shapes.tape_bit, "spiking": shapes.tape_bit, **place, **about}))
        now = Signal(StructLayout({"row": shapes.weight_address, "spike_row": shapes.weight_address, **about}))
        pixel, both, room, go, move = masked.items.p.payload, Signal(), Signal(), Signal(), Signal()
        m.d.comb += [
            words.ready.eq(pixels.ready & free),
            pixels.valid.eq(words.valid & free),
            pixels.p.eq(words.p.payload),
            masked.words.p.payload.eq(word.payload),
            both.eq(masked.items.valid & spiking.items.valid),
            *(
                found[name].eq(Cat(bits.items.p.number[:5], bits.items.p.number[5:] + pixel.first[5:]))
                for name, bits in zip(("input", *place), (masked, spiking), strict=False)
            ),
            found.final.eq(masked.items.p.final & spiking.items.p.final),
            found.step.eq(pixel.step),
        ]
        # Both lists are of the same word: the shorter one waits with its last bit, which is given once.
        for k, (name, bits) in enumerate((("masked", masked), ("spiking", spiking))):
            item, given = bits.items.p, Signal(name=f"{name}_given")
            m.d.comb += [
                bits.words.valid.eq(waits & taken),
                bits.words.p.bits[0].eq(word.bits[k]),
                bits.words.p.bits[1].eq(word.bits[2]),
                bits.words.p.index.eq(word.index),
                bits.items.ready.eq(both & move & (~item.final | found.final)),
                found[name].eq(item.number - pixel.first[:5]),
                found.use.as_value()[k].eq(item.hits[0] & ~item.none & ~given),
            ]
            with m.If(both & move):
                m.d.sync += given.eq(item.final & ~found.final)
        if shapes.noise:
            # Then both lists are of the same inputs.
            with m.If(self.noise):
                m.d.comb += [
                    spiking.words.p.bits[1].eq(word.bits[0] | word.bits[2]),
                    found.use.spikes.eq(found.use.masked),
                    found.minus.eq(~spiking.items.p.hits[0]),
                ]
        one, this = lockstep_register(m, move, both, found, "found_held")
        m.d.comb += [
            now.row.eq(this.masked * d.blocks),
            now.spike_row.eq(this.spiking * d.blocks),
            *(now[name].eq(this[name]) for name in about),
        ]
        operand = _operand_of(m, self, this.place, move) if shapes.traced else None
        two, this = lockstep_register(m, move, one, now, "input_held")
        m.d.comb += [
            room.eq(Cat(command.ready for command in commands).all()),
            go.eq(two & room),
            move.eq(~two | room),
            self.found.eq(Mux(go, this.use, 0)),
        ]
        for command in commands:
            m.d.comb += [
                command.valid.eq(go),
                command.p.final.eq(this.final),
                command.p.payload.row.eq(group.row_base + this.row),
                command.p.payload.spike_row.eq(group.row_base + this.spike_row),
                *(command.p.payload[name].eq(this[name]) for name in ("input", "step", "use", *_minus(shapes))),
                *(command.p.payload[name].eq(operand) for name in _operand(shapes)),
            ]
        return waits | masked.busy | spiking.busy | one | two

    def _outputs(self, m, geometry, lanes):
        """Look for the non-zero deltas of the outputs that see a pixel; returns the stream of pixels to look from."""
        shapes, group = self.shapes, self.group
        m.submodules.output_rows = rows = OutputRows(shapes)
        pixels = stream.Signature(rows.requests.p.shape()).create(path=("pixels",))
        asking, pixel, free = half_rate_register(m, pixels.valid, pixels.p, rows.requests.ready, "pixel_held")
        m.submodules.outputs = reader = RowReader(
            base=shapes.bitmap_address().size,
            words=shapes.delta_depth,
            payload=lanes[0].p.payload.shape(),
            banks=shapes.config.lanes,
            parts=True,
        )
        wiring.connect(m, reader.memory, wiring.flipped(self.bitmaps))
        row, given, words = reader.rows.p, rows.rows.p, reader.words
        m.d.comb += [
            pixels.ready.eq(free),
            rows.requests.valid.eq(asking),
            rows.requests.p.eq(pixel),
            rows.descriptor.eq(geometry),
            rows.row_stride.eq(group.row_stride),
            rows.tap_stride.eq(group.tap_stride),
            reader.rows.valid.eq(rows.rows.valid),
            rows.rows.ready.eq(reader.rows.ready),
            row.base.eq(Cat(given.word, given.step)),
            row.empty.eq(~given.exists),
            *(row[name].eq(given[name]) for name in ("end", "low", "high", "final")),
            *(row.payload[name].eq(given[name]) for name in ("address", "start")),
            reader.every.eq(self.skip_off),
            words.ready.eq(Cat(lane.ready for lane in lanes).all()),
        ]
        for k, lane in enumerate(lanes):
            m.d.comb += [
                lane.valid.eq(words.valid & words.ready),
                lane.p.bits[0].eq(words.p.bits[k]),
                lane.p.bits[1].eq(words.p.bits[shapes.config.lanes]),
                *(lane.p[name].eq(words.p[name]) for name in ("index", "last", "payload")),
            ]
        return pixels, asking | rows.busy | reader.busy

    def _lane(self, m, k):
        """Lists of the deltas of lane k; returns the streams of words and of inputs, and whether any are inside."""
        shapes, d = self.shapes, self.descriptor
        start = StructLayout({"address": shapes.weight_address, "start": shapes.block})
        m.submodules[f"delta_bits_{k}"] = bits = BitLister(words=shapes.delta_depth, payload=start, banks=2)
        m.submodules[f"lists_{k}"] = lists = OperandList(self._entry, self._input, shapes.config.list_depth)
        m.submodules[f"inputs_{k}"] = inputs = Queue(lists.command, INPUTS_AHEAD)
        wiring.connect(m, inputs.o, lists.commands)
        item, into, about = bits.items.p, lists.items.p, {"hit": 1, "none": 1, "last": 1}
        delta = Signal(
            StructLayout({"number": shapes.block, "first": shapes.block, "base": shapes.weight_address, **about}),
            name=f"found_{k}",
        )
        m.d.comb += [
            delta.number.eq(item.number - item.payload.start[:5]),
            delta.first.eq(d.block_base + item.payload.start),
            delta.base.eq(item.payload.address),
            delta.hit.eq(item.hits[0]),
            delta.none.eq(item.none),
            delta.last.eq(item.last),
        ]
        full, this, free = skid_buffer(m, bits.items.valid, delta, lists.items.ready, f"delta_{k}")
        played, out = lists.out.p, self.pairs[k]
        m.d.comb += [
            bits.items.ready.eq(free),
            lists.items.valid.eq(full),
            into.entry.offset.eq(this.base + this.number),
            into.entry.block.eq(this.first + this.number),
            into.entry.hit.eq(this.hit),
            into.none.eq(this.none),
            into.last.eq(this.last),
            out.valid.eq(lists.out.valid),
            lists.out.ready.eq(out.ready),
            *(out.p[name].eq(played.payload[name]) for name, _ in self._input),
            *(out.p[name].eq(played.entry[name]) for name in ("offset", "block")),
            out.p.hits.eq(played.entry.hit & ~played.none),
            out.p.last.eq(played.last),
        ]
        return bits.words, inputs.i, bits.busy | full | lists.busy | inputs.o.valid
