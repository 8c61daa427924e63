# SPDX-License-Identifier: Apache-2.0
"""The sequential core's hardware against the model of its processor, and what its parts refuse."""

import pytest

from backspike.hw.config import ChipConfig
from backspike.hw.sequential import SequentialCore
from backspike.hw.sequential.assembler import ZERO, Assembler, Label, Register
from backspike.hw.sequential.instructions import Op
from backspike.hw.sequential.model import ProcessorModel
from backspike.sim.unit import check_bench

A, B = Register(2), Register(3)


def test_hardware_and_model_do_the_same(tmp_path_factory):
    check_bench("backspike.sim.benches.bench_sequential", tmp_path_factory.getbasetemp() / "units" / "sequential")


def test_statements_become_loops_and_branches():
    """Sum of 1 to 10 in a loop; what is compared with a constant may be left or stay."""
    p = Assembler()
    p.emit(Op.AND, ZERO, ZERO, 0)
    p.move(A, 0)
    p.move(B, 0)
    with p.loop() as after:
        p.add(B, B, 1)
        p.add(A, A, B)
        p.branch_if(B, ">=", 10, after)
    with p.when(A, "==", 55):
        p.store(A, ZERO, 7)
    with p.when(A, "!=", 55):
        p.store(B, ZERO, 7)
    with p.while_(B, "<", 12):
        p.add(B, B, 1)
    with p.repeat(B, "<", 12):
        p.add(B, B, 1)
    with p.loop():
        pass
    model = ProcessorModel(p.code, [0] * 16, 2)
    model.run(200)
    assert (model.memory[7], model.registers[B]) == (55, 13)


@pytest.mark.parametrize(("write", "message"), [
    (lambda p: p.add(ZERO, A, 1), "ADD must not write register 0"),
    (lambda p: p.emit(Op.AND, ZERO, ZERO, ZERO), "AND must not write register 0"),
    (lambda p: p.add(A, A, 1 << 16), "an immediate must be -32768 to 65535, not 65536"),
    (lambda p: p.emit(Op.ADD, 2, A, 1), "d and a of ADD must be registers, not 2 and 2"),
    (lambda p: p.emit(Op.STORE, A, A, B), "the last operand of STORE must not be 3"),
    (lambda p: p.emit(Op.TERM, ZERO, A, 5), "the last operand of TERM must not be 5"),
    (lambda p: Register(32), "a register's number must be 0 to 31, not 32"),
    (lambda p: (p.jump(Label("nowhere")), p.code), "label 'nowhere' is used, but not placed"),
    (lambda p: (p.place(label := Label("twice")), p.place(label)), "label 'twice' is placed twice"),
])
def test_what_the_assembler_refuses(write, message):
    with pytest.raises((TypeError, ValueError), match=message):
        write(Assembler())


def test_what_the_core_refuses():
    with pytest.raises(TypeError, match="config must be a ChipConfig, not 3"):
        SequentialCore(3)
    with pytest.raises(ValueError, match="config must be that of a sequential core"):
        SequentialCore(ChipConfig())
