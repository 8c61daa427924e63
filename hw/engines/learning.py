# SPDX-License-Identifier: Apache-2.0
"""Back-propagation and weight-gradient engine, side by side behind one search for pairs."""

from amaranth.hdl import Cat, Module, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.data import ArrayLayout, StructLayout
from amaranth.lib.wiring import In, Out

from backspike.hw.blocks import moved
from backspike.hw.engines.back_propagation import ErrorLanes, ErrorSums, partial_sum
from backspike.hw.engines.group_loop import GroupLoop
from backspike.hw.engines.pairs import DensePairs, PixelPairs, pair, tracks
from backspike.hw.engines.ports import learning_ports
from backspike.hw.engines.weight_gradient import GradientLanes

__all__ = ["LearningEngine", "Track"]


class LearningEngine(wiring.Component):
    """For each input and each non-zero delta of the same step that it meets: e += W delta if the input's mask is set,
    and G += delta if it spikes.

    Both engines visit nearly the same pairs: each is looked for, and its delta is read, once. Gradients are exact sums,
    so their order does not matter; errors come in order of groups, steps and inputs, and those of zero are not sent.

    Parameters
    ----------
    shapes: Shapes; with ``dense_only`` the engine has no walk over pixels, and does only jobs with one

    Members: see :func:`learning_ports`.
    """

    def __init__(self, shapes):
        self.shapes = shapes
        super().__init__(learning_ports(shapes))

    def elaborate(self, platform):
        m = Module()
        shapes = self.shapes
        m.submodules.groups = groups = GroupLoop(shapes)
        m.submodules.pairs = pairs = DensePairs(shapes) if shapes.config.dense_only else PixelPairs(shapes)
        m.submodules.sums = sums = ErrorSums(shapes, tracks(shapes))
        lanes, errors = shapes.config.lanes // tracks(shapes), Signal()
        with m.If(self.start):
            m.d.sync += errors.eq(self.errors)
        job = ("slot", "descriptor", "skip_off", "live", "masks", "spikes", "bitmaps")
        memories = ("tape_address", "tape_enable", "bitmap_address", "bitmap_enable")
        m.d.comb += [
            *(getattr(pairs, name).eq(getattr(self, name)) for name in job),
            *(getattr(self, name).eq(getattr(pairs, name)) for name in memories),
            groups.start.eq(self.start),
            groups.descriptor.eq(self.descriptor),
            groups.words.eq(self.group),
            self.group_address.eq(groups.address),
            self.group_enable.eq(1),
            pairs.begin.eq(groups.begin),
            pairs.group.eq(groups.group),
            pairs.no_errors.eq(groups.group.constant | ~errors),
            sums.group.eq(groups.group),
        ]
        parts = []
        for k in range(tracks(shapes)):
            m.submodules[f"track_{k}"] = track = Track(shapes, lanes)
            wiring.connect(m, pairs.pairs[k], track.pairs)
            wiring.connect(m, track.errors, sums.parts[k])
            self._connect(m, track, slice(k * lanes, (k + 1) * lanes))
            parts.append(track)
        wiring.connect(m, sums.results, wiring.flipped(self.results))
        m.d.comb += [
            groups.idle.eq(~(pairs.busy | sums.adding | Cat(track.busy for track in parts).any())),
            self.busy.eq(groups.busy | sums.busy),
            self.bp_busy.eq(self.busy & errors),
            self.bp_row.eq(pairs.found.masked),
            self.wg_row.eq(pairs.found.spikes),
            self.bp_result.eq(self.results.valid & self.results.ready),
            self.bp_terms.eq(sum(track.bp_terms for track in parts)),
            self.wg_terms.eq(sum(track.wg_terms for track in parts)),
            self.bp_stalled.eq(Cat(track.bp_stalled for track in parts).any()),
            self.wg_stalled.eq(Cat(track.wg_stalled for track in parts).any()),
        ]
        return m

    def _connect(self, m, track, lanes):
        """The memories of a track's lanes."""
        for n, k in enumerate(range(lanes.start, lanes.stop)):
            m.d.comb += [
                self.operand_addresses[k].eq(track.address),
                self.delta_addresses[k].eq(track.delta_address),
                self.operand_enables[k].eq(track.enable),
                track.weights[n].eq(self.weights[k]),
                track.deltas[n].eq(self.deltas[k]),
                self.read_addresses[k].eq(track.read_address),
                track.gradients[n].eq(self.gradients[k]),
                self.write_addresses[k].eq(track.write_address),
                self.write_enables[k].eq(track.write_enables[n]),
                self.sums[k].eq(track.sums[n]),
            ]


class Track(wiring.Component):
    """Reads the operands of pairs, for lanes in lock step, and gives them to the lanes of both engines.

    The pipeline stands still while a sum waits for the one before it, or a gradient for the one that is being written.

    Parameters
    ----------
    shapes: Shapes
    lanes: how many

    Members
    -------
    pairs: stream of :func:`pair`
    errors: stream of parts of error sums
    address, delta_address, enable, weights, deltas: banks and delta memories, one cycle of latency
    read_address, gradients, write_address, write_enables, sums: gradient banks
    bp_terms, wg_terms, bp_stalled, wg_stalled: for the counters
    busy: something is inside
    """

    def __init__(self, shapes, lanes):
        self.shapes, self.lanes = shapes, lanes
        gradients = ArrayLayout(shapes.gradient_sum, lanes)
        super().__init__(
            {
                "pairs": In(stream.Signature(pair(shapes))),
                "errors": Out(stream.Signature(partial_sum(shapes))),
                "address": Out(shapes.weight_address),
                "delta_address": Out(shapes.delta_address()),
                "enable": Out(1),
                "weights": In(ArrayLayout(shapes.number, lanes)),
                "deltas": In(ArrayLayout(shapes.number, lanes)),
                "read_address": Out(shapes.weight_address),
                "gradients": In(gradients),
                "write_address": Out(shapes.weight_address),
                "write_enables": Out(lanes),
                "sums": Out(gradients),
                "bp_terms": Out(range(lanes + 1)),
                "wg_terms": Out(range(lanes + 1)),
                "bp_stalled": Out(1),
                "wg_stalled": Out(1),
                "busy": Out(1),
            }
        )

    def elaborate(self, platform):
        m = Module()
        m.submodules.errors = errors = ErrorLanes(self.shapes, self.lanes)
        m.submodules.gradients = gradients = GradientLanes(self.shapes, self.lanes)
        given, move = self.pairs.p, errors.move
        control = StructLayout({name: given[name].shape() for name in ("use", "last", "hits", "input", "step")})
        now = Signal(control)
        m.d.comb += [
            *(now[name].eq(given[name]) for name, _ in control),
            self.pairs.ready.eq(move),
            self.enable.eq(move),
        ]
        with m.If(move):
            m.d.sync += [
                self.address.eq(given.row + given.offset),
                self.delta_address.block.eq(given.block),
                self.delta_address.step.eq(given.step),
            ]
        one, asked = moved(m, move, self.pairs.valid, now, "asked")
        two, read = moved(m, move, one, asked, "read")
        m.d.comb += [
            errors.hold.eq(gradients.waits),
            errors.valid.eq(two & read.use.masked),
            errors.last.eq(read.last),
            errors.hits.eq(read.hits),
            errors.place.input.eq(read.input),
            errors.place.step.eq(read.step),
            errors.weights.eq(self.weights),
            errors.deltas.eq(self.deltas),
            gradients.move.eq(move),
            gradients.valid.eq(one & asked.use.spikes),
            gradients.hits.eq(asked.hits),
            gradients.address.eq(self.address),
            gradients.deltas.eq(self.deltas),
            gradients.gradients.eq(self.gradients),
            self.read_address.eq(gradients.read_address),
            self.write_address.eq(gradients.write_address),
            self.write_enables.eq(gradients.write_enables),
            self.sums.eq(gradients.sums),
            self.bp_terms.eq(errors.terms),
            self.wg_terms.eq(gradients.terms),
            self.bp_stalled.eq(errors.waits),
            self.wg_stalled.eq(gradients.waits),
            self.busy.eq(one | two | errors.busy | gradients.busy),
        ]
        wiring.connect(m, errors.sums, wiring.flipped(self.errors))
        return m
