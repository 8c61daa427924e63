# SPDX-License-Identifier: Apache-2.0
"""Delta update: errors from sums or from the label, then deltas from the last step to the first."""

from amaranth.hdl import Array, Cat, Const, Module, Mux, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.data import StructLayout
from amaranth.lib.wiring import In, Out

from backspike.hw.arith.numbers import of_count
from backspike.hw.core.update.delta_memory import DeltaMemory
from backspike.hw.core.update.elementwise_arbiter import Client, request_layout, result_latency, result_layout
from backspike.hw.shapes import WORD

__all__ = ["DeltaUpdate"]


class DeltaUpdate(wiring.Component):
    """e = round(error sum), round(loss_scale (count - T y)) or round(loss_scale (s[t] - y)), as ``loss`` of the
    descriptor says, for all neurons and all steps T of a frame; in a chip that counts spikes also
    round(loss_scale (N - T y)), for ``sample`` steps T with the neuron's spikes N in all of them. Then
    delta[t] = round(amplitude m[t] e + kappa_back rho[t] delta[t+1]), t = T-1 .. 0, with rho = 1 - s[t] for the hard
    reset and 1 for the soft.

    The errors are kept in the delta memory until the deltas replace them. Error sums are cleared as they are read.
    For a frame in which ternary spikes go back, errors are all there is: they are asked for as deltas, where the mask
    is set, and what ``TernaryUpdate`` makes of them is written as the deltas.

    Where the elementwise unit is free, an error takes a cycle, and a delta as many as it has products that count, but
    at least one; a step waits until the step after it is written.

    The blocks of all output pixels of the slice count as one row of ``out_height * out_width * blocks`` blocks: of the
    deltas, of the bits of the bitmap, and of each lane's walk through a step. Lanes that a pixel's last block has not
    get the delta 0, and leave the error sums alone.

    Parameters
    ----------
    shapes: Shapes

    Members
    -------
    start: pulse; slot, label, back, descriptor are stable while ``busy``; label is the target's number, counted from
        the slice's first neuron
    back: ternary spikes go back in the frame, which has one step; only in chips with units for that
    memory: error sums, history, deltas and their bitmaps
    active_steps: by step: whether any delta is not zero; until the next ``start``
    request, result: to and from the elementwise unit
    """

    def __init__(self, shapes):
        self.shapes = shapes
        super().__init__(
            {
                "start": In(1),
                "busy": Out(1),
                "slot": In(shapes.slot),
                "label": In(14),
                **({"back": In(1)} if shapes.back else {}),
                "descriptor": In(shapes.descriptor),
                "memory": Out(DeltaMemory(shapes)),
                "active_steps": Out(shapes.config.steps),
                "request": Out(stream.Signature(request_layout(shapes))),
                "result": In(result_layout(shapes)),
            }
        )
        self.place = StructLayout(
            {
                "step": shapes.step,
                "top": 1,
                "lane": shapes.lane,
                "block": shapes.block,
                "local": shapes.neuron,
                "deltas": 1,
                "exists": 1,
                "flush": 1,
            }
        )

    @property
    def _back(self):
        """Whether ternary spikes go back in the frame."""
        return self.back if self.shapes.back else Const(0)

    def elaborate(self, platform):
        m = Module()
        place = Signal(self.place)  # being read
        read = Signal(self.place)  # at the memories' outputs
        reading, given, go = Signal(), Signal(), Signal()
        held = Signal()  # the next step needs what is still under way
        labelled = Signal()  # the neuron at the memories' outputs is the target
        latency = result_latency(self.shapes) + 1
        under_way = Signal(range(latency + 1))  # cycles until the last result is written
        m.d.comb += [self.busy.eq(reading | given | under_way.any()), self.memory.claims.eq(self.busy)]
        with m.If(go):
            m.d.sync += under_way.eq(latency)
        with m.Elif(under_way.any()):
            m.d.sync += under_way.eq(under_way - 1)
        after = Signal(self.shapes.delta_address())  # place of the next step's delta
        advance = self._read(m, place, read, reading & ~held, given, go, labelled, after)
        self._walk(m, place, reading, held, given, advance, under_way)
        self._request(m, read, given, go, advance, labelled, after)
        self._write(m)
        return m

    def _walk(self, m, place, reading, held, given, advance, under_way):
        """All errors, then all deltas: step downwards, lane, pixel, block of the pixel."""
        shapes, d, lanes = self.shapes, self.descriptor, self.shapes.config.lanes
        step, top, lane, block, local, deltas = (
            Signal.like(place[name], name=name) for name in ("step", "top", "lane", "block", "local", "deltas")
        )
        # Counted from 1. No slice has more pixels, or a pixel more blocks, than the core has blocks.
        parts, columns, rows = shapes.block + 1, min(7, shapes.block + 1), min(7, shapes.block + 1)
        part, column, row = Signal(parts), Signal(columns), Signal(rows)
        last_part, last_column, last_block, last_lane = Signal(), Signal(), Signal(), Signal()
        m.d.comb += [
            last_part.eq(part == d.blocks[:parts]),
            last_column.eq(column == d.out_width[:columns]),
            last_block.eq(last_part & last_column & (row == d.out_height[:rows])),
            last_lane.eq(lane == lanes - 1 if lanes > 1 else 1),
            place.step.eq(step),
            place.top.eq(top),
            place.lane.eq(lane),
            place.block.eq(block),
            place.local.eq(local),
            place.deltas.eq(deltas),
            place.exists.eq(~last_part | (lane < d.last_lanes) if lanes > 1 else 1),
            place.flush.eq(block[:5].all() | last_block),
        ]
        first = [part.eq(1), column.eq(1), row.eq(1), block.eq(0)]
        with m.If(self.start):
            m.d.sync += [
                *first,
                reading.eq(1),
                step.eq(d.steps - 1),
                top.eq(1),
                lane.eq(0),
                local.eq(0),
                deltas.eq(0),
                held.eq(0),
            ]
        with m.Elif(reading & held), m.If(~given & ~under_way.any()):
            m.d.sync += held.eq(0)
        with m.Elif(reading & advance):
            # The same lane's next output is ``lanes`` outputs away, at the next pixel only the last block's.
            m.d.sync += [
                part.eq(Mux(last_part, 1, part + 1)),
                block.eq(block + 1),
                local.eq(local + Mux(last_part, d.last_lanes, lanes)),
            ]
            with m.If(last_part):
                m.d.sync += column.eq(Mux(last_column, 1, column + 1))
            with m.If(last_part & last_column):
                m.d.sync += row.eq(row + 1)
            with m.If(last_block):
                m.d.sync += [*first, lane.eq(Mux(last_lane, 0, lane + 1)), local.eq(Mux(last_lane, 0, lane + 1))]
            with m.If(last_block & last_lane):
                m.d.sync += [step.eq(Mux(step == 0, d.steps - 1, step - 1)), top.eq(step == 0)]
                with m.If(deltas | (step == 0)):
                    m.d.sync += held.eq(1)
                with m.If(step == 0):
                    m.d.sync += [deltas.eq(1), reading.eq(~deltas & ~self._back)]

    def _read(self, m, place, read, reading, given, go, labelled, after):
        """Addresses of the memories; first the error is read, then the next step's delta."""
        d = self.descriptor
        neuron, block = Signal(self.shapes.neuron), Signal(self.shapes.block)
        advance, waiting, error_address = Signal(), Signal(), Signal(self.shapes.error_address())
        sums, cleared, history, deltas = (
            getattr(self.memory, name) for name in ("error_sums", "cleared", "history", "old_deltas")
        )
        m.d.comb += [
            # What waits at the outputs is read again and again, as somebody else may have used the port meanwhile.
            waiting.eq(given & ~go),
            advance.eq(~waiting & ~self.memory.error_taken),
            sums.address.eq(Mux(waiting, cleared.address, error_address)),
            sums.enable.eq(1),
            history.enable.eq(advance),
            deltas.enable.eq(1),
            block.eq(place.block + d.block_base),
            neuron.eq(place.local + d.block_base * self.shapes.config.lanes),
            error_address.neuron.eq(neuron),
            error_address.step.eq(place.step),
            error_address.slot.eq(self.slot),
            history.address.neuron.eq(neuron),
            history.address.slot.eq(self.slot),
        ]
        with m.If(advance):
            m.d.sync += [
                given.eq(reading),
                read.eq(place),
                cleared.address.eq(error_address),
                labelled.eq(self.label == place.local),
                after.block.eq(block),
                after.step.eq(place.step + 1),
            ]
        with m.Elif(go):
            m.d.sync += given.eq(0)
        with m.If(waiting):
            m.d.comb += deltas.address.eq(after)
        with m.Else():
            m.d.comb += [deltas.address.block.eq(block), deltas.address.step.eq(place.step)]
        return advance

    def _request(self, m, read, given, go, advance, labelled, after):
        """The operation for the neuron and step at the memories' outputs: up to two products, or an error sum."""
        shapes, d = self.shapes, self.descriptor
        fmt, steps = shapes.config.format, shapes.config.steps
        request, tag = self.request.p, self.request.p.tag
        memory, history = self.memory, self.memory.history.data
        bits, looked, stored = (
            Signal(history.shape()),
            Signal(),
            Signal(shapes.number),
        )  # the history in a register, as block RAMs are late
        error = Signal(shapes.number)
        m.d.comb += stored.eq(Array(memory.old_deltas.data)[read.lane])
        m.d.sync += [bits.eq(history), looked.eq(given & ~advance & ~go)]
        with m.If(~looked):
            m.d.sync += error.eq(stored)
        own = bits[read.step]
        # Spikes of the target are missing where there are none, those of others are in excess where there are.
        wrong = sum((bits[t].spike ^ labelled) & (t < d.steps) for t in range(steps))
        difference = Mux(d.loss[1], own.spike ^ labelled, wrong)  # the loss of each step, or of the frame
        values = Array(Const(int(fmt.encode(float(k))), fmt.width - 1) for k in range(steps + 1))
        value = values[difference[:5]]
        if shapes.count:
            # T - N of the target, N of others; N = count + s, and -x = ~x + 1.
            whole = Signal(shapes.count)
            m.d.comb += whole.eq(
                Mux(labelled, d.sample, 0) + (own.count ^ labelled.replicate(shapes.count)) + (own.spike ^ labelled)
            )
            value = of_count(Mux(d.loss.all(), whole, difference), fmt)[:-1]
        asked = own.mask | ~self._back  # where ternary spikes go back: by the mask
        need_clear, follows, second, use_next = Signal(), Signal(), Signal(), Signal()
        from_label = Signal()  # errors do not come from sums
        foreign = Signal()  # the error sum at the memory's output is somebody else's
        m.d.sync += foreign.eq(memory.error_taken)
        m.d.comb += [
            from_label.eq(d.loss.any()),
            need_clear.eq(~read.deltas & ~from_label & read.exists),
            memory.cleared.enable.eq(looked & need_clear & memory.clearing & ~foreign & self.request.ready),
            self.request.valid.eq(looked & (~need_clear | (memory.clearing & ~foreign))),
            go.eq(self.request.valid & self.request.ready & request.last),
            follows.eq(~(read.top | (own.spike & ~d.soft))),  # the delta of the step after this one counts
            use_next.eq(second | ~own.mask),
            tag.client.eq(Mux(read.deltas | self._back, Client.DELTA, Client.ERROR)),
            tag.lane.eq(read.lane),
            tag.index.eq(after.block),
            tag.step.eq(read.step),
            tag.word.eq(read.block[5:]),
            tag.flush.eq(read.flush),
            request.addend.eq(memory.error_sums.data.sum),
            request.last.eq(~read.deltas | second | ~(own.mask & follows)),
        ]
        with m.If(self.request.valid & self.request.ready):
            m.d.sync += second.eq(~request.last)
        with m.If(read.deltas):
            m.d.comb += [
                request.a.eq(Mux(use_next, d.kappa_back, d.amplitude)),
                request.b.eq(Mux(use_next, stored, error)),
                request.product.eq(read.exists & (own.mask | follows)),
            ]
        with m.Else():
            m.d.comb += [
                request.a.eq(d.loss_scale),
                request.b.eq(Cat(value, labelled)),
                request.product.eq(read.exists & from_label & asked),
                request.add.eq(read.exists & ~from_label & ~memory.error_sums.data.none & asked),
            ]

    def _write(self, m):
        """Results into the delta memory; flags of deltas that are not zero into the bitmap."""
        d, tag = self.descriptor, self.result.tag
        deltas, bitmaps = self.memory.deltas, self.memory.bitmaps
        finished, delta, nonzero, written = Signal(), Signal(), Signal(), Signal()
        place = Signal(WORD, init=1)  # of the next flag, as one bit
        m.d.comb += [
            delta.eq(self.result.valid & (tag.client == Client.DELTA)),
            finished.eq(delta | (self.result.valid & (tag.client == Client.ERROR))),
            nonzero.eq(self.result.value[:-1].any()),
            bitmaps.enable.eq(written),
            bitmaps.address.lane.eq(deltas.address.lane),
            bitmaps.address.place.step.eq(deltas.address.place.step),
        ]
        m.d.sync += [deltas.enable.eq(finished), written.eq(delta & tag.flush)]
        with m.If(finished):
            m.d.sync += [
                deltas.address.lane.eq(tag.lane),
                deltas.address.place.block.eq(tag.index),
                deltas.address.place.step.eq(tag.step),
                deltas.data.eq(self.result.value),
                bitmaps.address.place.word.eq(d.delta_base + tag.word),
            ]
        m.d.sync += bitmaps.data.eq(Mux(written, 0, bitmaps.data) | (place & (delta & nonzero).replicate(WORD)))
        with m.If(delta & tag.flush):
            m.d.sync += place.eq(1)
        with m.Elif(delta):
            m.d.sync += place.eq(place.rotate_left(1))
        with m.If(self.start):
            m.d.sync += self.active_steps.eq(0)
        with m.Elif(delta & nonzero):
            m.d.sync += self.active_steps.bit_select(tag.step, 1).eq(1)
