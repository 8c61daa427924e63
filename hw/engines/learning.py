# SPDX-License-Identifier: Apache-2.0
"""Back-propagation and weight-gradient engine, side by side behind one search for pairs."""

from amaranth.hdl import Cat, Module, Signal
from amaranth.lib import wiring
from amaranth.lib.data import StructLayout

from backspike.hw.blocks import lockstep_register
from backspike.hw.engines.back_propagation import ErrorLanes, ErrorSums
from backspike.hw.engines.group_loop import GroupLoop
from backspike.hw.engines.pairs import DensePairs, PixelPairs, tracks
from backspike.hw.engines.ports import learning_ports
from backspike.hw.engines.weight_gradient import GradientLanes

__all__ = ["LearningEngine"]


class LearningEngine(wiring.Component):
    """For each input and each non-zero delta of the same step that it meets: e += W delta if the input's mask is set,
    and G += delta n if it spikes: n is 1, or in chips with operands of several bits the input's operand, and "spikes"
    means that the operand is not zero. Of the groups of inputs some may be for one of the two only; or, in chips with
    noise, for both where the mask is set, with the bit of noise that they have for a spike: then n is +1 or -1.

    Both engines visit nearly the same pairs: the deltas are looked for and read once for both. Gradients are exact
    sums, so their order does not matter; errors come in order of groups, steps and inputs, and those of zero are not
    sent.

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
        errors = Signal()  # the job has errors to send
        with m.If(self.start):
            m.d.sync += errors.eq(self.errors)
        job = ("slot", "descriptor", "skip_off", "active_steps")
        wiring.connect(m, groups.fan_in, wiring.flipped(self.memory.fan_in))
        for port in ("tape", "bitmaps", *(("presynaptic",) if shapes.traced else ())):
            wiring.connect(m, getattr(pairs, port), wiring.flipped(getattr(self.memory, port)))
        m.d.comb += [
            *(getattr(pairs, name).eq(getattr(self, name)) for name in job),
            groups.start.eq(self.start),
            groups.descriptor.eq(self.descriptor),
            pairs.begin.eq(groups.begin),
            pairs.group.eq(groups.group),
            # A slice that sends errors to groups behind its inputs sends its inputs none.
            pairs.no_errors.eq(~groups.behind & (groups.group.constant | ~errors | (self.descriptor.errors == 2))),
            sums.group.eq(groups.group),
        ]
        learning = self.descriptor.learning if shapes.noise else 0
        m.d.comb += pairs.no_gradients.eq(groups.behind & ~learning)
        if shapes.noise:
            m.d.comb += pairs.noise.eq(groups.behind & learning)
        lanes = shapes.config.lanes // tracks(shapes)
        parts = [self._track(m, k, lanes, pairs.pairs[k], sums.parts[k]) for k in range(tracks(shapes))]
        wiring.connect(m, sums.results, wiring.flipped(self.results))
        m.d.comb += [
            groups.idle.eq(~(pairs.busy | sums.adding | Cat(busy for _, _, busy in parts).any())),
            self.busy.eq(groups.busy | sums.busy),
            self.bp_busy.eq(self.busy & errors),
            self.bp_row.eq(pairs.found.masked),
            self.wg_row.eq(pairs.found.spikes),
            self.bp_result.eq(self.results.valid & self.results.ready),
            self.bp_terms.eq(sum(bp.terms for bp, _, _ in parts)),
            self.wg_terms.eq(sum(wg.terms for _, wg, _ in parts)),
            self.wg_carries.eq(sum(wg.carries for _, wg, _ in parts)),
            self.bp_stalled.eq(Cat(bp.waits for bp, _, _ in parts).any()),
            self.wg_stalled.eq(Cat(wg.waits for _, wg, _ in parts).any()),
        ]
        return m

    def _track(self, m, k, count, pairs, sums):
        """Read the operands of pairs for ``count`` lanes in lock step, and give them to the lanes of both engines.

        The pipeline stands still while a sum waits for the one before it, or a gradient for the one that is being
        written.

        Returns
        -------
        the lanes of back-propagation, those of the weight gradient, and whether anything is inside
        """
        m.submodules[f"errors_{k}"] = bp = ErrorLanes(self.shapes, count)
        m.submodules[f"gradients_{k}"] = wg = GradientLanes(self.shapes, count)
        wiring.connect(m, bp.sums, sums)
        given, move = pairs.p, bp.move
        address = Signal(self.shapes.weight_address, name=f"address_{k}")
        delta = Signal(self.shapes.delta_address(), name=f"delta_{k}")
        gradient = address  # its address; for dense layers, both are of one input
        if not self.shapes.config.dense_only:
            gradient = Signal.like(address, name=f"gradient_address_{k}")
            with m.If(move):
                m.d.sync += gradient.eq(given.spike_row + given.offset)
        operand = ("operand",) if self.shapes.traced else ()
        names = ("use", "last", "hits", "input", "step", *operand, *(("minus",) if self.shapes.noise else ()))
        now = Signal(StructLayout({name: given[name].shape() for name in names}), name=f"pair_{k}")
        with m.If(move):
            m.d.sync += [
                address.eq(given.row + given.offset),
                delta.block.eq(given.block),
                delta.step.eq(given.step),
            ]
        one, asked = lockstep_register(m, move, pairs.valid, now, f"asked_{k}")
        two, read = lockstep_register(m, move, one, asked, f"read_{k}")
        m.d.comb += [
            *(now[name].eq(given[name]) for name in names),
            pairs.ready.eq(move),
            bp.hold.eq(wg.waits),
            bp.valid.eq(two & read.use.masked),
            bp.last.eq(read.last),
            bp.hits.eq(read.hits),
            bp.place.input.eq(read.input),
            bp.place.step.eq(read.step),
            wg.move.eq(move),
            wg.clear.eq(self.clear),
            wg.valid.eq(one & asked.use.spikes),
            wg.hits.eq(asked.hits),
            wg.address.eq(gradient),
            *(getattr(wg, name).eq(read[name]) for name in operand),
        ]
        sign = self.shapes.config.format.width - 1
        for n in range(count):
            operands = getattr(self.memory, f"operands_{k * count + n}")
            for part in ("gradients", "highs"):
                self._connect_gradients(m, wg, part, n, k * count + n)
            m.d.comb += [
                operands.enable.eq(move),
                operands.address.weight.eq(address),
                operands.address.delta.eq(delta),
                bp.weights[n].eq(operands.data.weight),
                bp.deltas[n].eq(operands.data.delta),
                wg.deltas[n].eq(operands.data.delta ^ (read.minus << sign if self.shapes.noise else 0)),
            ]
        return bp, wg, one | two | bp.busy | wg.busy

    def _connect_gradients(self, m, wg, part, n, bank):
        """The ports of a lane's low or high parts of gradients, with those of its bank."""
        (read, own), (new, own_new) = (
            (getattr(self.memory, f"{name}_{bank}"), getattr(wg, name)) for name in (part, f"new_{part}")
        )
        m.d.comb += [
            read.enable.eq(own.enable),
            read.address.eq(own.address),
            own.data[n].eq(read.data),
            new.enable.eq(own_new.enable[n]),
            new.address.eq(own_new.address),
            new.data.eq(own_new.data[n]),
        ]
