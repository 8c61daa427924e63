# SPDX-License-Identifier: Apache-2.0
"""Writes programs for the sequential core's processor as Python statements."""

from contextlib import contextmanager

from backspike.hw.sequential.instructions import BRANCHES, INSTRUCTION, REGISTERS, WORD_BITS, Op

__all__ = ["SPARE", "ZERO", "Assembler", "Label", "Register"]

_MASK = (1 << WORD_BITS) - 1


class Register(int):
    """A register's number; as an operand it stands for what is in the register, a plain integer for itself."""

    def __new__(cls, number):
        if not 0 <= number < REGISTERS:
            raise ValueError(f"a register's number must be 0 to {REGISTERS - 1}, not {number}")
        return super().__new__(cls, number)


ZERO = Register(0)
SPARE = Register(1)  # holds constants that an instruction cannot hold, from one instruction to the next

_WRITING = set(Op) - {
    Op.STORE, Op.CLEAR, Op.TERM, Op.WORD, Op.OUT, Op.LIST, Op.FORWARD, Op.ERRORS, Op.GRADIENT, *BRANCHES}
_OF_ONE_KIND = (Op.TERM, Op.STORE, Op.LIST, Op.FORWARD, Op.ERRORS, Op.GRADIENT, *BRANCHES)
"""Instructions whose last operand must be a constant, or for TERM a register."""
_BRANCH = {"==": Op.EQUAL, "!=": Op.DIFFERENT, "<": Op.BELOW, ">=": Op.NOT_BELOW}
_OPPOSITE = {"==": "!=", "!=": "==", "<": ">=", ">=": "<"}


class Label:
    """A place in the program, once it has been placed."""

    def __init__(self, name):
        self.name, self.address = name, None


class Assembler:
    """Collects instructions. ``code`` gives their words.

    Registers are named by who uses them; the assembler itself uses register 1 for constants of comparisons and stores.
    """

    def __init__(self):
        self._instructions = []

    def __len__(self):
        return len(self._instructions)

    @property
    def code(self):
        """The program's words, 32 bits each.

        Raises
        ------
        ValueError: a label that is used has not been placed
        """
        return [self._word(*instruction) for instruction in self._instructions]

    def _word(self, op, d, a, y):
        if isinstance(y, Label):
            if y.address is None:
                raise ValueError(f"label {y.name!r} is used, but not placed")
            y = y.address
        constant = not isinstance(y, Register)
        return INSTRUCTION.pack(immediate=int(y) & _MASK, a=int(a), d=int(d), constant=int(constant), op=int(op))

    def emit(self, op, d=ZERO, a=ZERO, y=0):
        """Append one instruction; ``y`` is a register, a label, or an integer of -32768 to 65535."""
        if not isinstance(y, Label | Register) and not -(1 << WORD_BITS - 1) <= y <= _MASK:
            raise ValueError(f"an immediate must be {-(1 << WORD_BITS - 1)} to {_MASK}, not {y}")
        if not isinstance(d, Register) or not isinstance(a, Register):
            raise TypeError(f"d and a of {op.name} must be registers, not {d!r} and {a!r}")
        # Once, it must become 0: by a constant, as registers are held twice, once for each operand, at first unequal.
        if d == ZERO and op in _WRITING and (isinstance(y, Register) or (op, y) != (Op.AND, 0)):
            raise ValueError(f"{op.name} must not write register 0")
        if isinstance(y, Register) != (op == Op.TERM) and op in _OF_ONE_KIND:
            raise TypeError(f"the last operand of {op.name} must not be {y!r}")
        self._instructions.append((op, d, a, y))

    def place(self, label):
        """The label stands for the address of what comes next."""
        if label.address is not None:
            raise ValueError(f"label {label.name!r} is placed twice")
        label.address = len(self)

    # Arithmetic: d = x op y

    def add(self, d, x, y):
        self.emit(Op.ADD, d, x, y)

    def adc(self, d, x, y):
        self.emit(Op.ADC, d, x, y)

    def sub(self, d, x, y):
        self.emit(Op.SUB, d, x, y)

    def sbc(self, d, x, y):
        self.emit(Op.SBC, d, x, y)

    def both(self, d, x, y):
        self.emit(Op.AND, d, x, y)

    def either(self, d, x, y):
        self.emit(Op.OR, d, x, y)

    def differ(self, d, x, y):
        self.emit(Op.XOR, d, x, y)

    def move(self, d, y):
        """d = y, without a change of the carry."""
        self.emit(Op.OR, d, ZERO, y)

    def multiply(self, d, x, y):
        """d = low half of x y; ``high`` gives the other."""
        self.emit(Op.MUL, d, x, y)

    def high(self, d):
        self.emit(Op.HIGH, d)

    def bit(self, d, y):
        self.emit(Op.BIT, d, ZERO, y)

    def top(self, d, x):
        self.emit(Op.TOP, d, x)

    def left(self, d, x, count):
        """d = x << count, count a constant from 0 to 15."""
        if count:
            self.multiply(d, x, 1 << count)
        elif d != x:
            self.move(d, x)

    def right(self, d, x, count):
        """d = x >> count, count a constant from 0 to 15."""
        if count:
            self.multiply(d, x, 1 << WORD_BITS - count)
            self.high(d)
        elif d != x:
            self.move(d, x)

    # Memory

    def load(self, d, base, offset=0):
        self.emit(Op.LOAD, d, base, offset)

    def store(self, value, base, offset=0):
        """Store a register or a constant."""
        self.emit(Op.STORE, self._register(value), base, offset)

    # The lane

    def clear(self):
        self.emit(Op.CLEAR)

    def term(self, x, y):
        """Add the product of two stored numbers."""
        self.emit(Op.TERM, ZERO, x, y)

    def word(self, x, place):
        """Add x * 2**(16 place)."""
        self.emit(Op.WORD, ZERO, x, place)

    def sum(self, d, place):
        """d = a word of the sum."""
        self.emit(Op.SUM, d, ZERO, place)

    def round(self, d):
        """d = the sum, rounded; the carry says that it saturated."""
        self.emit(Op.ROUND, d)

    def list(self, start, end):
        """What is played next is in the memory from ``start`` to before ``end``, which are registers."""
        self.emit(Op.LIST, end, start)

    def play(self, op, base, offset, d=ZERO):
        """FORWARD, ERRORS or GRADIENT, with base + offset added to each entry."""
        self.emit(op, d, base, offset)

    # Ports

    def input(self, d, port):
        self.emit(Op.IN, d, ZERO, port)

    def output(self, x, port):
        self.emit(Op.OUT, ZERO, x, port)

    # Jumps

    def jump(self, label):
        self.emit(Op.JUMP, ZERO, ZERO, label)

    def call(self, routine, link):
        """Go to a routine; it returns to the address in register ``link``."""
        self.emit(Op.JUMP, link, ZERO, routine)

    def give_back(self, link):
        """Return from a routine."""
        self.emit(Op.JUMP, ZERO, link, 0)

    def branch(self, op, label):
        """Go to the label on a condition without operands."""
        self.emit(op, ZERO, ZERO, label)

    def branch_if(self, x, relation, y, label):
        """Go to the label if x == y, !=, <, >= (unsigned)."""
        self.emit(_BRANCH[relation], self._register(y), x, label)

    @contextmanager
    def when(self, x, relation, y):
        """What follows in the block is done only if x == y, !=, <, >= (unsigned)."""
        after = Label("after when")
        self.branch_if(x, _OPPOSITE[relation], y, after)
        yield
        self.place(after)

    @contextmanager
    def loop(self, name="loop"):
        """Repeat the block for ever; gives the label behind it, where a jump leads out."""
        start, after = Label(name), Label(f"after {name}")
        self.place(start)
        yield after
        self.jump(start)
        self.place(after)

    @contextmanager
    def while_(self, x, relation, y):
        """Do the block as long as x == y, !=, <, >= (unsigned), which is looked at before."""
        start, after = Label("while"), Label("after while")
        self.place(start)
        self.branch_if(x, _OPPOSITE[relation], y, after)
        yield
        self.jump(start)
        self.place(after)

    @contextmanager
    def repeat(self, x, relation, y):
        """Do the block once, and again as long as x == y, !=, <, >= (unsigned)."""
        start = Label("repeat")
        self.place(start)
        yield
        self.branch_if(x, relation, y, start)

    def _register(self, value):
        """The register itself, or one with the constant."""
        if isinstance(value, Register):
            return value
        if value == 0:
            return ZERO
        self.move(SPARE, value)
        return SPARE
