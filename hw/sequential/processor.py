# SPDX-License-Identifier: Apache-2.0
"""The sequential core's processor: executes the instructions of a program in a memory that is only read."""

from amaranth.hdl import Array, Cat, Module, Mux, Signal
from amaranth.lib import memory, wiring
from amaranth.lib.wiring import In, Out

from backspike.hw.noc.flit import FlitStream
from backspike.hw.sequential.instructions import INSTRUCTION, REGISTERS, WORD_BITS, Input, Op, Output
from backspike.hw.sequential.memory_map import SUM_WORDS
from backspike.hw.sequential.player import ListPlayer

__all__ = ["Processor"]

_COMPARISONS = (Op.EQUAL, Op.DIFFERENT, Op.BELOW, Op.NOT_BELOW)
_PLAYS = (Op.FORWARD, Op.ERRORS, Op.GRADIENT)
_AT_ONCE = (Op.ADD, Op.ADC, Op.SUB, Op.SBC, Op.AND, Op.OR, Op.XOR, Op.HIGH, Op.BIT, Op.TOP, Op.IN, Op.SUM)
"""Instructions that write their register in their second cycle."""


class Processor(wiring.Component):
    """Starts at address 0 after reset. What the instructions do is in :mod:`backspike.hw.sequential.instructions`.

    An instruction takes two cycles; LOAD and MUL three; those that play a list as :class:`ListPlayer` says. CLEAR, SUM
    and ROUND wait for the lane. Registers and memory
    keep their contents when it is reset.

    Parameters
    ----------
    code: sequence of 32-bit words, at least 2
    words: memory words of a gradient
    one: the stored number 1

    Members
    -------
    address, write, written, read: memory of 16-bit words, one cycle of latency; ``read`` is of use in the cycle after
        one without ``write``
    flits: from the router
    place: x + 8 y
    activity: as the program shows it
    half, half_write, send, sending: to and from the packet buffer
    a, b, term, word, part_place, lane_busy, clear, part, round, rounded, value, saturated: to and from the lane
    """

    def __init__(self, code, words, one):
        self.code, self.words, self.one = list(code), words, one
        super().__init__({
            "address": Out(WORD_BITS),
            "write": Out(1),
            "written": Out(WORD_BITS),
            "read": In(WORD_BITS),
            "flits": In(FlitStream),
            "place": In(6),
            "activity": Out(3),
            "half": Out(WORD_BITS),
            "half_write": Out(1),
            "send": Out(1),
            "sending": In(1),
            "a": Out(WORD_BITS),
            "b": Out(WORD_BITS),
            "term": Out(1),
            "word": Out(1),
            "part_place": Out(range(SUM_WORDS)),
            "lane_busy": In(1),
            "clear": Out(1),
            "part": In(WORD_BITS),
            "round": Out(1),
            "rounded": In(1),
            "value": In(WORD_BITS),
            "saturated": In(1),
        })

    def elaborate(self, platform):
        m = Module()
        m.submodules.program = program = memory.Memory(
            shape=INSTRUCTION.layout(), depth=len(self.code), init=[INSTRUCTION.unpack(word) for word in self.code])
        m.submodules.registers = registers = memory.Memory(
            shape=WORD_BITS, depth=REGISTERS, init=[], attrs={"no_rw_check": 1})  # read, and then written
        fetch = program.read_port()
        write, read_x, read_z = registers.write_port(), registers.read_port(), registers.read_port()
        given, i, x, z = fetch.data, Signal(INSTRUCTION.layout()), read_x.data, read_z.data
        following = Signal(len(fetch.addr))  # address of the instruction after this one
        states = {name: Signal(name=name) for name in ("reading", "executing", "finishing", "rounding")}
        starting, ending, loading = Signal(init=1), Signal(), Signal()
        m.submodules.player = self._player = player = ListPlayer(self.words, self.one)
        executing, rounding = states["executing"], states["rounding"]
        waiting = Signal()  # for the lane
        m.d.comb += [
            waiting.eq(i.op.matches(Op.CLEAR, Op.SUM, Op.ROUND) & self.lane_busy),
            ending.eq(starting | (executing & ~waiting & ~i.op.matches(Op.LOAD, Op.MUL, Op.ROUND, *_PLAYS))
                      | states["finishing"] | (rounding & self.rounded) | player.done),
            fetch.en.eq(ending),
            read_x.addr.eq(given.a),
            read_z.addr.eq(Mux(player.busy, i.d + player.part, Mux(given.constant, given.d, given.immediate))),
        ]
        with m.If(states["reading"]):  # into registers, as block RAMs are late
            m.d.sync += i.eq(given)
        m.d.sync += [
            starting.eq(0),
            states["reading"].eq(ending),
            executing.eq(states["reading"] | (executing & waiting)),
            states["finishing"].eq(executing & i.op.matches(Op.LOAD, Op.MUL)),
            loading.eq(executing & (i.op == Op.LOAD)),  # chosen last, as the memory is late
            rounding.eq(self.round | (rounding & ~self.rounded)),
        ]
        self._ended = Signal()  # the flit that was taken last ended its packet
        total = self._add(m, given, i, x, z, executing, rounding)
        self._go_on(m, i, x, z, total, starting, ending, following, fetch.addr)
        self._give(m, i, x, z, total, executing, waiting)
        m.d.comb += [
            write.addr.eq(i.d),
            write.en.eq((executing & ~waiting & (i.op.matches(*_AT_ONCE) | ((i.op == Op.JUMP) & i.d.any())))
                        | states["finishing"] | rounding),
            write.data.eq(Mux(loading, self.read, self._result(m, i, x, z, total, following, executing))),
        ]
        return m

    def _add(self, m, given, i, x, z, executing, rounding):
        """Returns x + y or x - y, for a comparison x - z, with its carry."""
        total, carry, other = Signal(WORD_BITS + 1), Signal(), Signal(WORD_BITS)
        subtracts, constant, goes_on = Signal(), Signal(), Signal()  # known when the operands are read
        m.d.sync += [
            subtracts.eq(given.op.matches(Op.SUB, Op.SBC, *_COMPARISONS)),
            constant.eq(given.constant & ~given.op.matches(*_COMPARISONS)),
            goes_on.eq(given.op.matches(Op.ADC, Op.SBC)),
        ]
        m.d.comb += [
            other.eq(Mux(constant, i.immediate, z) ^ subtracts.replicate(WORD_BITS)),
            total.eq(x + other + Mux(goes_on, carry, subtracts)),
        ]
        with m.If(rounding):
            m.d.sync += carry.eq(self.saturated)
        with m.Elif(executing & i.op.matches(Op.ADD, Op.ADC, Op.SUB, Op.SBC)):
            m.d.sync += carry.eq(total[-1])
        return total

    def _go_on(self, m, i, x, z, total, starting, ending, following, target):
        """The address of the next instruction."""
        condition, equal = Signal(), Signal()
        m.d.comb += [equal.eq(x == z), target.eq(following)]
        with m.Switch(i.op):
            for op, value in (
                (Op.EQUAL, equal), (Op.DIFFERENT, ~equal), (Op.BELOW, ~total[-1]), (Op.NOT_BELOW, total[-1]),
                (Op.ARRIVED, self.flits.valid), (Op.SENDING, self.sending), (Op.ENDED, self._ended),
            ):
                with m.Case(op):
                    m.d.comb += condition.eq(value)
        with m.If(starting):
            m.d.comb += target.eq(0)
        with m.Elif(condition):
            m.d.comb += target.eq(i.immediate)
        with m.Elif(i.op == Op.JUMP):
            m.d.comb += target.eq(total)
        with m.If(ending):
            m.d.sync += following.eq(target + 1)

    def _give(self, m, i, x, z, total, executing, waiting):
        """What goes to the memory, the lane, the packet buffer and the router."""
        def now(op, port=None):
            return executing & (i.op == op) & (1 if port is None else i.immediate[:2] == port)

        player = self._player
        m.d.comb += [
            player.set.eq(now(Op.LIST)), player.first.eq(x), player.end.eq(z),
            player.start.eq(executing & i.op.matches(*_PLAYS)), player.op.eq(i.op), player.base.eq(total),
            player.read.eq(self.read), player.fixed.eq(z),
            self.address.eq(Mux(player.busy, player.address, total)),
            self.written.eq(Mux(player.busy, player.written, z)),
            self.write.eq(player.write | now(Op.STORE)),
            self.a.eq(Mux(player.busy, player.a, x)), self.b.eq(Mux(player.busy, player.b, z)),
            self.term.eq(player.term | now(Op.TERM)), self.word.eq(now(Op.WORD)),
            self.part_place.eq(i.immediate),
            self.clear.eq(now(Op.CLEAR) & ~waiting), self.round.eq(now(Op.ROUND) & ~waiting),
            self.half.eq(x), self.half_write.eq(now(Op.OUT, Output.HALF)), self.send.eq(now(Op.OUT, Output.SEND)),
            self.flits.ready.eq(now(Op.IN, Input.HIGH)),
        ]
        with m.If(self.flits.ready):
            m.d.sync += self._ended.eq(self.flits.p.last)
        with m.If(now(Op.OUT, Output.ACTIVITY)):
            m.d.sync += self.activity.eq(x)

    def _result(self, m, i, x, z, total, following, executing):
        """What is written into a register."""
        y, result, top = Mux(i.constant, i.immediate, z), Signal(WORD_BITS), Signal(range(WORD_BITS))
        kept, product, cycles = Signal(WORD_BITS), Signal(2 * WORD_BITS), Signal(32)
        m.d.sync += [product.eq(x * y), cycles.eq(cycles + 1)]
        with m.If(executing & (i.op == Op.IN)):
            m.d.sync += kept.eq(cycles[WORD_BITS:])
        with m.Elif(~executing & (i.op == Op.MUL)):
            m.d.sync += kept.eq(product[WORD_BITS:])
        for k in range(1, WORD_BITS):  # the last one that is set counts
            with m.If(x[k]):
                m.d.comb += top.eq(k)
        ports = {Input.LOW: self.flits.p.data[:WORD_BITS], Input.HIGH: self.flits.p.data[WORD_BITS:],
                 Input.CYCLES: cycles[:WORD_BITS], Input.PLACE: self.place}
        m.d.comb += result.eq(total)
        with m.Switch(i.op):
            for op, value in (
                (Op.AND, x & y), (Op.OR, x | y), (Op.XOR, x ^ y), (Op.MUL, product), (Op.HIGH, kept),
                (Op.BIT, Cat(y[:4] == k for k in range(WORD_BITS))), (Op.TOP, top),
                (Op.JUMP, following), (Op.IN, Array(ports[k] for k in range(4))[i.immediate[:2]]),
                (Op.SUM, self.part), (Op.ROUND, self.value),
            ):
                with m.Case(op):
                    m.d.comb += result.eq(value)
        return result
