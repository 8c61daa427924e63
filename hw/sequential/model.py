# SPDX-License-Identifier: Apache-2.0
"""The sequential core's processor as a Python model: what each instruction does, without time."""

from backspike.golden.formats import BINARY16
from backspike.hw.arith.numbers import product_model
from backspike.hw.arith.rounding import Rounder
from backspike.hw.sequential.instructions import INSTRUCTION, REGISTERS, WORD_BITS, Input, Op, Output

__all__ = ["ProcessorModel"]

_MASK = (1 << WORD_BITS) - 1
_SUM_BITS = 96


class ProcessorModel:
    """Runs a program, instruction by instruction.

    Parameters
    ----------
    code: the program's words
    memory: a list, which is changed
    words: memory words of a gradient
    fmt: storage format of the lane's numbers
    place: x + 8 y

    Attributes
    ----------
    arrived: list of (word, last) flits that wait
    packets: list of sent packets, each a list of 32-bit words
    blocked: while true, the packet buffer stays full
    activity, registers, pc, carry, sum
    """

    def __init__(self, code, memory, words, fmt=BINARY16, place=0):
        self.code = [tuple(INSTRUCTION.unpack(word).values()) for word in code]
        self.memory, self.words, self.fmt, self.place = memory, words, fmt, place
        self.one = int(fmt.encode(1.0))
        self.registers = [0] * REGISTERS
        self.arrived, self.packets, self.blocked = [], [], False
        self.pc = self.carry = self.kept = self.ended = self.activity = self.sum = self.cycles = 0
        self._halves, self._sending, self._list = [], None, (0, 0)
        self._meanings = self._all_meanings()
        self._rounder = Rounder(fmt, _SUM_BITS, 2 * fmt.lsb, 1)

    def run(self, most):
        """Do ``most`` instructions."""
        for _ in range(most):
            self.step()

    def step(self):
        """Do one instruction."""
        immediate, a, d, constant, op = self.code[self.pc]
        y = immediate if constant else self.registers[immediate & REGISTERS - 1]
        self.pc += 1
        self.cycles += 2
        if not self.blocked and self._sending is not None:
            self.packets.append(self._sending)
            self._sending = None
        result = self._meanings[op](self.registers[a], y, d)
        if result is not None:
            self.registers[d] = result & _MASK

    def _all_meanings(self):
        """By instruction: a function of X, Y and the number of register d; it returns what is written to d, if any."""
        simple = {
            Op.AND: lambda x, y: x & y,
            Op.OR: lambda x, y: x | y,
            Op.XOR: lambda x, y: x ^ y,
            Op.HIGH: lambda x, y: self.kept,
            Op.BIT: lambda x, y: 1 << y % WORD_BITS,
            Op.TOP: lambda x, y: max(x.bit_length() - 1, 0),
            Op.LOAD: lambda x, y: self.memory[x + y & _MASK],
            Op.ADD: lambda x, y: self._add_words(x, y, 0),
            Op.ADC: lambda x, y: self._add_words(x, y, self.carry),
            Op.SUB: lambda x, y: self._add_words(x, y ^ _MASK, 1),
            Op.SBC: lambda x, y: self._add_words(x, y ^ _MASK, self.carry),
            Op.MUL: self._multiply,
            Op.IN: lambda x, y: self._input(y),
            Op.OUT: lambda x, y: self._output(y, x),
            Op.CLEAR: lambda x, y: self._set_sum(0),
            Op.TERM: lambda x, y: self._add(int(product_model(x, y, self.fmt))),
            Op.WORD: lambda x, y: self._add(x << WORD_BITS * y),
            Op.SUM: lambda x, y: self.sum >> WORD_BITS * y,
            Op.ROUND: self._round,
        }
        conditions = {
            Op.EQUAL: lambda x, d: x == self.registers[d],
            Op.DIFFERENT: lambda x, d: x != self.registers[d],
            Op.BELOW: lambda x, d: x < self.registers[d],
            Op.NOT_BELOW: lambda x, d: x >= self.registers[d],
            Op.ARRIVED: lambda x, d: self.arrived,
            Op.SENDING: lambda x, d: self._sending is not None,
            Op.ENDED: lambda x, d: self.ended,
        }
        return {
            **{op: lambda x, y, d, f=function: f(x, y) for op, function in simple.items()},
            **{op: lambda x, y, d, f=condition: self._go(y, f(x, d)) for op, condition in conditions.items()},
            Op.STORE: self._store,
            Op.JUMP: self._jump,
            Op.LIST: self._set_list,
            **{op: lambda x, y, d, op=op: self._play(op, d, x + y) for op in (Op.FORWARD, Op.ERRORS, Op.GRADIENT)},
        }

    def _add_words(self, x, y, carry):
        total = x + y + carry
        self.carry = total >> WORD_BITS
        return total

    def _multiply(self, x, y):
        self.kept = x * y >> WORD_BITS
        return x * y

    def _store(self, x, y, d):
        self.memory[x + y & _MASK] = self.registers[d]

    def _go(self, target, condition):
        if condition:
            self.pc = target

    def _jump(self, x, y, d):
        following, self.pc = self.pc, x + y & _MASK
        return following if d else None

    def _set_list(self, x, y, d):
        self._list = x, self.registers[d]

    def _round(self, x, y):
        value, saturated = self._rounder.model(self.sum)
        self.carry = int(saturated)
        return int(value)

    def _play(self, op, d, base):
        at, end = self._list
        while at != end:
            place = self.memory[at] + base & _MASK
            if op == Op.FORWARD:
                self._add(int(product_model(self.memory[place], self.one, self.fmt)))
            elif op == Op.ERRORS:
                at += 1
                self._add(int(product_model(self.memory[place], self.memory[at], self.fmt)))
            else:
                carry = 0
                for k in range(self.words):
                    total = self.memory[place + k] + self.registers[d + k] + carry
                    self.memory[place + k], carry = total & _MASK, total >> WORD_BITS
            at += 1
            self.cycles += {Op.FORWARD: 2, Op.ERRORS: 3, Op.GRADIENT: 2 + 3 * self.words}[op]

    def _input(self, port):
        if port in (Input.LOW, Input.HIGH):
            word, last = self.arrived[0]
            if port == Input.LOW:
                return word
            self.ended = last
            del self.arrived[0]
            return word >> WORD_BITS
        if port == Input.CYCLES:
            self.kept = self.cycles >> WORD_BITS & _MASK
            return self.cycles
        return self.place

    def _output(self, port, x):
        if port == Output.HALF:
            if self._sending is not None:
                raise ValueError(f"the packet buffer is not free at {self.pc - 1}")
            self._halves.append(x)
        elif port == Output.SEND:
            self._sending = [low | high << WORD_BITS
                             for low, high in zip(self._halves[::2], self._halves[1::2], strict=True)]
            self._halves = []
        else:
            self.activity = x & 7

    def _add(self, term):
        self._set_sum(self.sum + term)

    def _set_sum(self, total):
        """The sum has 96 bits in two's complement."""
        total %= 1 << _SUM_BITS
        self.sum = total - (total >> _SUM_BITS - 1 << _SUM_BITS)
