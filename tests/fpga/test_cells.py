# SPDX-License-Identifier: Apache-2.0
"""The models of cells: what they do, and that they refuse what they cannot do."""

import pytest

from backspike.fpga.ecp5.netlist import CELLS
from backspike.sim.verilator.runner import build, default_seed, run
from tests.hw.benches import bench_cells

BENCH = "tests.hw.benches.bench_cells"


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    folder = tmp_path_factory.mktemp("cells")
    top = folder / "cells_top.v"
    top.write_text(bench_cells.top_module())
    return build([top, *CELLS], "cells_top", folder / "build")


@pytest.mark.parametrize("name", ["memories_hold_what_is_written", "products_are_right"])
def test_cells_do_what_the_models_in_python_do(built, name):
    run(built, BENCH, seed=default_seed(), only=name)


@pytest.mark.parametrize(
    "name, message",
    [
        ("asynchronous_reset", "RSTA and RSTB must be 0, as RESETMODE ASYNC is not modelled"),
        ("both_ports_write_with_36_bits", "WEB must be 0, as port A has the data pins of port B"),
    ],
)
def test_what_is_not_modelled_ends_the_simulation(built, name, message):
    with pytest.raises(RuntimeError, match=message):
        run(built, BENCH, seed=default_seed(), only=name)


@pytest.mark.parametrize(
    "pin, message",
    [
        ("SOURCEB", "SOURCEA and SOURCEB must be 0, as the shift chains are not modelled"),
        ("C17", "C0 to C17 must be 0, as they are not modelled"),
        ("A17", None),
    ],
)
def test_pins_of_a_multiplier_that_are_not_modelled_end_the_simulation(tmp_path, pin, message):
    top = tmp_path / "refused.v"
    pins = ["SOURCEA", "SOURCEB", *(f"{name}{k}" for name in "AC" for k in range(18))]
    tied = ", ".join(f".{name}(1'b{int(name == pin)})" for name in pins)
    top.write_text(
        f"module refused(clk);\n  input clk;\n  /* verilator lint_off PINMISSING */\n"
        f"  MULT18X18D cell_0({tied});\nendmodule\n"
    )
    built = build([top, *CELLS], "refused", tmp_path / "build")
    if message is None:
        run(built, BENCH, seed=default_seed(), only="nothing")
    else:
        with pytest.raises(RuntimeError, match=message):
            run(built, BENCH, seed=default_seed(), only="nothing")


@pytest.mark.parametrize(
    "parameter, value, message",
    [
        ("DATA_WIDTH_A", "12", "DATA_WIDTH_A must be 1, 2, 4, 9, 18 or 36, not 12"),
        ("DATA_WIDTH_B", "36", "DATA_WIDTH_B must be 1, 2, 4, 9, 18 or, if DATA_WIDTH_A is, 36, not 36"),
        ("WRITEMODE_A", '"OFTEN"', "WRITEMODE_A must be NORMAL, WRITETHROUGH or READBEFOREWRITE, not OFTEN"),
        ("WRITEMODE_B", '"OFTEN"', "WRITEMODE_B must be NORMAL, WRITETHROUGH or READBEFOREWRITE, not OFTEN"),
        ("REGMODE_B", '"OUTREG"', "REGMODE_A and REGMODE_B must be NOREG, not NOREG and OUTREG"),
        ("CSDECODE_A", '"0b001"', "CSDECODE_A and CSDECODE_B must be 0b000, not 0b001 and 0b000"),
        ("CLKBMUX", '"INV"', "CLKAMUX and CLKBMUX must be CLKA and CLKB, not CLKA and INV"),
        ("RESETMODE", '"ASYNC"', "RESETMODE and ASYNC_RESET_RELEASE must both be SYNC or ASYNC, not ASYNC and SYNC"),
        ("GSR", '"ENABLED"', "GSR must be AUTO or DISABLED, not ENABLED"),
        (
            "INITVAL_3F",
            "320'd1), .DATA_WIDTH_A(4",
            "INITVAL_00 to INITVAL_3F must be 0, as initial contents of words of",
        ),
        ("WID", "1", "WID"),  # one that the model does not know
    ],
)
def test_parameters_that_are_not_modelled_are_refused(tmp_path, parameter, value, message):
    top = tmp_path / "refused.v"
    top.write_text(
        f"module refused(clk);\n  input clk;\n  /* verilator lint_off PINMISSING */\n"
        f"  DP16KD #(.{parameter}({value})) cell_0(.CLKA(clk), .CLKB(clk));\nendmodule\n"
    )
    with pytest.raises(RuntimeError, match=message):
        build([top, *CELLS], "refused", tmp_path / "build")
