# SPDX-License-Identifier: Apache-2.0
"""Random programs for the sequential core's processor, which send what is in registers and memory."""

from random import Random

from backspike.hw.sequential.assembler import ZERO, Assembler, Label, Register
from backspike.hw.sequential.instructions import Input, Op, Output
from backspike.hw.sequential.memory_map import SUM_WORDS

__all__ = ["random_program"]

_WINDOW = 64  # memory words with numbers
_LIST = 16  # entries of the list behind them
_FIXED = Register(8)  # the first register of a delta in fixed point
_REGISTERS = [Register(number) for number in range(2, 32)]
_ODD = (0, 1, 0x7FFF, 0x8000, 0xFFFF)
_ALU = (Op.ADD, Op.ADC, Op.SUB, Op.SBC, Op.AND, Op.OR, Op.XOR, Op.MUL, Op.BIT)


def random_program(fmt, words, length, seed):
    """An assembler with some ``length`` random steps, and the flits that it waits for, a list of (word, last).

    Parameters
    ----------
    fmt: storage format of the numbers
    words: memory words of a gradient
    """
    return _Writer(fmt, words, seed).write(length)


class _Writer:
    def __init__(self, fmt, words, seed):
        self.fmt, self.words, self.random = fmt, words, Random(seed)
        self.p, self.flits = Assembler(), []

    def write(self, length):
        p = self.p
        p.emit(Op.AND, ZERO, ZERO, 0)
        for address in range(_WINDOW):
            p.store(self._number(), ZERO, address)
        for register in _REGISTERS:
            p.move(register, self._integer())
        steps = (self._compute, self._compute, self._compute, self._memory, self._branch, self._sum, self._gradient,
                 self._routine, self._take, self._send)
        for _ in range(length):
            self.random.choice(steps)()
        for address in range(0, _WINDOW, 2):
            p.load(_REGISTERS[0], ZERO, address)
            p.load(_REGISTERS[1], ZERO, address + 1)
            self._packet(_REGISTERS[:2])
        with p.loop():
            pass
        return p, self.flits

    def _integer(self):
        return self.random.choice(_ODD) if self.random.random() < 0.2 else self.random.getrandbits(16)

    def _number(self):
        """Bits of a finite number, also a subnormal one."""
        random, fmt = self.random, self.fmt
        code = random.choice((0, random.randrange((1 << fmt.exponent) - 1), (1 << fmt.exponent) - 2))
        return (random.getrandbits(1) << fmt.exponent | code) << fmt.mantissa | random.getrandbits(fmt.mantissa)

    def _register(self):
        return self.random.choice(_REGISTERS)

    def _operand(self):
        return self._register() if self.random.random() < 0.5 else self._integer()

    def _compute(self):
        op = self.random.choice((*_ALU, Op.HIGH, Op.TOP))
        if op == Op.HIGH:
            self.p.multiply(self._register(), self._register(), self._operand())
            self.p.high(self._register())
        else:
            self.p.emit(op, self._register(), self._register(), 0 if op == Op.TOP else self._operand())

    def _memory(self):
        p, base = self.p, self._register()
        p.both(base, self._register(), _WINDOW - 1)
        if self.random.random() < 0.5:
            p.load(self._register(), base, self.random.choice((0, ZERO)))
        else:  # numbers only, as the lane reads them
            p.load(_REGISTERS[-1], ZERO, self.random.randrange(_WINDOW))
            p.store(_REGISTERS[-1], base if base != _REGISTERS[-1] else ZERO)

    def _branch(self):
        p, random = self.p, self.random
        x, y = self._register(), self._register()
        if random.random() < 0.3:
            p.move(y, x)
        with p.when(x, random.choice(("==", "!=", "<", ">=")), y):
            for _ in range(random.randrange(1, 4)):
                self._compute()

    def _routine(self):
        """A call, and a return to the address that it gave."""
        p, routine, after, link = self.p, Label("routine"), Label("after"), self._register()
        p.call(routine, link)
        p.jump(after)
        p.place(routine)
        p.add(Register(1), ZERO, 1)
        p.give_back(link)
        p.place(after)

    def _list(self, values):
        """Put a list into the memory, and let it be played next."""
        p, start, end = self.p, Register(2), Register(3)
        for k, value in enumerate(values):
            p.store(value, ZERO, _WINDOW + k)
        p.move(start, _WINDOW)
        p.move(end, _WINDOW + len(values))
        p.list(start, end)

    def _play(self, op, d=ZERO, room=1):
        """Entries and base add up to places of the window, also by way of more than 16 bits."""
        random = self.random
        low, base = random.randrange(0x10000), random.randrange(0x10000)
        entries = [(random.randrange(_WINDOW - room + 1) - low - base) & 0xFFFF for _ in range(random.randrange(6))]
        values = [part for entry in entries for part in ((entry, self._number()) if op == Op.ERRORS else (entry,))]
        self._list(values)
        self.p.move(Register(4), low)
        self.p.play(op, Register(4), base, d)

    def _sum(self):
        p, random = self.p, self.random
        p.clear()
        for _ in range(random.randrange(5)):
            kind = random.choice(("term", "word", "forward", "errors"))
            if kind == "term":
                x, y = Register(5), Register(6)
                p.load(x, ZERO, random.randrange(_WINDOW))
                p.load(y, ZERO, random.randrange(_WINDOW))
                p.term(x, y)
            elif kind == "word":
                p.word(self._register(), random.randrange(SUM_WORDS))
            else:
                self._play(Op.FORWARD if kind == "forward" else Op.ERRORS)
        if random.random() < 0.5:
            p.round(self._register())
            p.adc(self._register(), self._register(), 0)
        for place in range(SUM_WORDS):
            p.sum(Register(10 + place), place)

    def _gradient(self):
        """Changes the window, so that it is filled with numbers again."""
        self._play(Op.GRADIENT, _FIXED, self.words)
        for address in range(_WINDOW):
            if self.random.random() < 0.1:
                self.p.load(Register(4), ZERO, address)
                self._packet([Register(4)] * 2)
            self.p.store(self._number(), ZERO, address)

    def _take(self):
        p = self.p
        self.flits.append((self.random.getrandbits(32), self.random.getrandbits(1)))
        wait, arrived = Label("wait"), Label("arrived")
        p.place(wait)
        p.branch(Op.ARRIVED, arrived)
        p.jump(wait)
        p.place(arrived)
        for port in (Input.LOW, Input.HIGH, Input.PLACE):
            p.input(self._register(), port)
        ended = Label("ended")
        p.branch(Op.ENDED, ended)
        p.add(self._register(), self._register(), 1)
        p.place(ended)

    def _send(self):
        self._packet([self._register() for _ in range(2 * self.random.randint(1, 8))])

    def _packet(self, halves):
        p, wait = self.p, Label("wait")
        p.place(wait)
        p.branch(Op.SENDING, wait)
        for register in halves:
            p.output(register, Output.HALF)
        p.output(ZERO, Output.SEND)
