# SPDX-License-Identifier: Apache-2.0
"""What a design needs, and the sentences for what does not fit."""

import json

import pytest

from backspike.fpga.boards import board_named
from backspike.fpga.flow.families import FAMILIES
from backspike.fpga.flow.fit import check_fit, count_modules, explain_failure

CORE = {"lut": 9000, "ff": 4000, "ram": 10, "dsp": 2}


def needs(cores):
    shell = {"lut": 2000, "ff": 1000, "ram": 2, "dsp": 0}
    return {name: amount + cores * CORE[name] for name, amount in shell.items()}


def test_submodules_count_as_often_as_they_are_there():
    stat = {
        "modules": {
            "\\top": {"num_cells_by_type": {"\\tile": 3, "LUT4": 10, "CCU2C": 2, "EHXPLLL": 1}},
            "\\tile": {"num_cells_by_type": {"\\part": 2, "TRELLIS_FF": 5, "TRELLIS_DPR16X4": 1}},
            "\\part": {"num_cells_by_type": {"LUT4": 7, "DP16KD": 1, "PDPW16KD": 1, "MULT18X18D": 1}},
        }
    }
    counted = count_modules("some words before\n" + json.dumps(stat), FAMILIES["ecp5"])
    assert counted["part"] == {"lut": 7, "ff": 0, "ram": 2, "dsp": 1}
    assert counted["tile"] == {"lut": 20, "ff": 5, "ram": 4, "dsp": 2}
    assert counted["top"] == {"lut": 74, "ff": 15, "ram": 12, "dsp": 6}


@pytest.mark.parametrize(
    ("family", "cells", "expected"),
    [
        (
            "gw1n",
            {
                "LUT4": 2,
                "LUT1": 1,
                "MUX2_LUT5": 5,
                "ALU": 4,
                "DFFRE": 6,
                "SDPB": 1,
                "RAM16SDP4": 1,
                "MULT18X18": 2,
                "IBUF": 3,
            },
            (15, 6, 1, 2),
        ),
        ("gw2a", {"LUT3": 3, "DFFSE": 2, "DFF": 1, "pROMX9": 1, "DPB": 2, "MULT36X36": 1, "GSR": 1}, (3, 3, 3, 4)),
    ],
)
def test_cells_of_the_other_families(family, cells, expected):
    assert tuple(FAMILIES[family].count(cells).values()) == expected


def test_what_fits_is_not_refused():
    check_fit(board_named("ulx3s_85f"), needs(8), core=CORE, cores=8)


@pytest.mark.parametrize(
    ("board", "cores", "message"),
    [
        (
            "ulx3s_25f",
            4,
            "4 cores would not fit ULX3S 25F: needed are 38,000 LUT4 of 24,288; 2 cores would fit; boards "
            "with room for it: ecpix5_45f, ecpix5_85f, orangecrab_85f, ulx3s_45f, ulx3s_85f",
        ),
        ("ulx3s_85f", 12, "12 cores would not fit ULX3S 85F: needed are 110,000 LUT4 of 83,640; 8 cores would fit"),
        (
            "tang_nano_9k",
            1,
            "1 core would not fit Tang Nano 9K: needed are 11,000 LUT4 of 8,640; no supported board of "
            "this family has room for it",
        ),
    ],
)
def test_what_does_not_fit_is_refused_with_numbers_and_a_way_out(board, cores, message):
    with pytest.raises(ValueError) as caught:
        check_fit(board_named(board), needs(cores), core=CORE, cores=cores)
    assert str(caught.value) == message


@pytest.mark.parametrize(
    "line",
    [
        "Unable to place cell 'a.b', no BELs remaining to implement cell type 'TRELLIS_COMB'",
        "Unable to find legal placement for cell 'top.x', check constraints and utilisation.",
        "Failed to expand region (0, 0) |_> (70, 50) of 9000 DP16KDs",
    ],
)
def test_a_full_device_is_explained(line):
    error = explain_failure(
        board_named("ulx3s_25f"),
        f"Info: Placing\nERROR: {line}\n1 warning, 1 error\n",
        needs=needs(2),
        core=CORE,
        cores=2,
    )
    assert isinstance(error, ValueError)
    assert str(error).startswith("the design does not fit ULX3S 25F, with 20,000 LUT4 of 24,288 (")
    assert "boards with room for it: ecpix5_45f" in str(error)
    assert "\n" not in str(error)


@pytest.mark.parametrize(("log", "text"), [("ERROR: cannot open file\n", "cannot open file"), ("", "no message")])
def test_other_failures_are_not_taken_for_a_full_device(log, text):
    error = explain_failure(board_named("ulx3s_25f"), log, needs=needs(1), core=CORE, cores=1)
    assert isinstance(error, RuntimeError)
    assert str(error) == f"place and route failed: {text}"
