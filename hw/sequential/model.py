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
        self._rounder = Rounder(fmt, _SUM_BITS, 2 * fmt.lsb, 1)

    def run(self, most):
        """Do ``most`` instructions."""
        for _ in range(most):
            self.step()

    def step(self):
        """Do one instruction."""
        immediate, a, d, constant, op = self.code[self.pc]
        registers = self.registers
        x, at_d = registers[a], registers[d]
        y = immediate if constant else registers[immediate & REGISTERS - 1]
        self.pc += 1
        self.cycles += 2
        if not self.blocked and self._sending is not None:
            self.packets.append(self._sending)
            self._sending = None
        result = None
        if op in (Op.ADD, Op.ADC):
            result = x + y + (self.carry if op == Op.ADC else 0)
            self.carry = result >> WORD_BITS
        elif op in (Op.SUB, Op.SBC):
            result = x + (y ^ _MASK) + (self.carry if op == Op.SBC else 1)
            self.carry = result >> WORD_BITS
        elif op == Op.AND:
            result = x & y
        elif op == Op.OR:
            result = x | y
        elif op == Op.XOR:
            result = x ^ y
        elif op == Op.MUL:
            result = x * y
            self.kept = result >> WORD_BITS
        elif op == Op.HIGH:
            result = self.kept
        elif op == Op.BIT:
            result = 1 << y % WORD_BITS
        elif op == Op.TOP:
            result = max(x.bit_length() - 1, 0)
        elif op == Op.LOAD:
            result = self.memory[(x + y) & _MASK]
        elif op == Op.STORE:
            self.memory[(x + immediate) & _MASK] = at_d
        elif op in (Op.EQUAL, Op.DIFFERENT, Op.BELOW, Op.NOT_BELOW):
            if {Op.EQUAL: x == at_d, Op.DIFFERENT: x != at_d, Op.BELOW: x < at_d, Op.NOT_BELOW: x >= at_d}[op]:
                self.pc = immediate
        elif op == Op.JUMP:
            result = self.pc if d else None
            self.pc = (x + immediate) & _MASK
        elif op in (Op.ARRIVED, Op.SENDING, Op.ENDED):
            if {Op.ARRIVED: self.arrived, Op.SENDING: self._sending is not None, Op.ENDED: self.ended}[op]:
                self.pc = immediate
        elif op == Op.IN:
            result = self._input(immediate)
        elif op == Op.OUT:
            self._output(immediate, x)
        elif op == Op.CLEAR:
            self.sum = 0
        elif op == Op.TERM:
            self._add(int(product_model(x, y, self.fmt)))
        elif op == Op.WORD:
            self._add(x << WORD_BITS * immediate)
        elif op == Op.SUM:
            result = self.sum >> WORD_BITS * immediate
        elif op == Op.ROUND:
            values, saturated = self._rounder.model(self.sum)
            result, self.carry = int(values), int(saturated)
        elif op == Op.LIST:
            self._list = x, at_d
        else:
            self._play(op, d, x + immediate)
        if result is not None:
            registers[d] = result & _MASK

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
        total = (self.sum + term) % (1 << _SUM_BITS)
        self.sum = total - (total >> _SUM_BITS - 1 << _SUM_BITS)
