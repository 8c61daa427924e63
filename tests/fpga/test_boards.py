# SPDX-License-Identifier: Apache-2.0
"""The boards: what their files say agrees with Amaranth's platforms and with the program around them."""

import pytest

from backspike.cli.main import main
from backspike.fpga.boards import all_boards, board_named
from backspike.fpga.flow.build_log import board_rows, build_rows, read_built, update_document
from backspike.fpga.flow.top import clock_frequency, oscillator_frequency
from backspike.hw.serial import UartChip
from backspike.spec.config import ChipConfig, mesh_shape

NAMES = list(all_boards())


def test_the_boards_that_are_promised_are_there():
    promised = {f"ulx3s_{size}f" for size in (12, 25, 45, 85)} | {"icepi_zero", "ecpix5_45f", "ecpix5_85f"}
    families = {board.resources.family for board in all_boards().values()}
    assert promised <= set(NAMES)
    assert families == {"ecp5", "gw1n", "gw2a"}


@pytest.mark.parametrize("name", NAMES)
def test_the_default_chip_is_possible(name):
    """Its sizes, its clock, and its serial port at that clock."""
    board = board_named(name)
    columns, rows = mesh_shape(board.cores)
    config = ChipConfig(columns=columns, rows=rows, **board.chip)
    frequency = clock_frequency(board)
    assert frequency == board.clock  # what the table says is what the PLL makes
    assert UartChip(config, clock_hz=round(frequency * 10**6), baud=board.baud)


@pytest.mark.parametrize("name", NAMES)
def test_device_and_pins_are_those_of_the_platform(name):
    board = board_named(name)
    platform = board.platform()
    assert (getattr(platform, "device", None) or platform.family) == board.device
    assert {"rx", "tx"} <= {pin.name for pin in platform.lookup(*board.uart).ios}
    assert len(board.leds) == 3
    for led, number, *part in filter(None, board.leds):
        pins = platform.lookup(led, number).ios
        assert not part or part[0] in {pin.name for pin in pins}


def test_a_clock_is_made_from_below():
    board = board_named("ulx3s_85f")
    assert oscillator_frequency(board.platform()) == 25
    assert clock_frequency(board, 40) == 40
    assert clock_frequency(board, 25) == 25
    assert 33 < clock_frequency(board, 33.333) < 33.334


def test_boards_are_listed(capsys):
    assert main(["boards"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines[2:]] == NAMES
    line = next(line for line in lines if line.startswith("ulx3s_85f"))
    assert "LFE5U-85F" in line and "83,640" in line and "208" in line and "156" in line


def test_the_largest_chip_that_was_built_is_listed():
    builds = [{"board": "ulx3s_85f", "cores": cores, "chip": {}} for cores in (1, 6, 4)]
    rows = {row[0]: row[-1] for row in board_rows(builds)[1]}
    assert rows["ulx3s_85f"] == "6"
    assert rows["ulx3s_25f"] == "none"


@pytest.mark.parametrize(
    ("options", "sizes"),
    [
        ([], {"weights": 1024, "neurons": 64, "dense_only": True}),
        (["--neurons=32"], {"weights": 1024, "neurons": 32, "dense_only": True}),
        (["--dense-only=0", "--weights=2048"], {"weights": 2048, "neurons": 64, "dense_only": False}),
    ],
)
def test_sizes_are_those_of_the_board_unless_they_are_given(options, sizes, monkeypatch):
    found = []
    monkeypatch.setattr("backspike.fpga.flow.build.build_chip", lambda board, config, *_, **__: found.append(config))
    main(["bitstream", "--board=ulx3s_85f", "--cores=1", *options])
    assert {name: getattr(found[0], name) for name in sizes} == sizes


def test_the_document_holds_the_tables_of_what_was_built():
    """If not: RECORD=1 of make bitstream renews them."""
    from backspike.fpga.flow.build_log import _DOCUMENT  # noqa: PLC0415

    text = _DOCUMENT.read_text(encoding="utf-8")
    assert update_document(text, read_built()) == text
    for name, (_, rows) in {"boards": board_rows(read_built()), "builds": build_rows(read_built())}.items():
        table = text[text.index(f"<!-- {name} -->") : text.index(f"<!-- end of {name} -->")]
        assert all(f"| {row[0]} | {row[1]} |" in table for row in rows)
        assert table.count("\n") == len(rows) + 3


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (["bitstream", "--board=ulx4s"], "board must be one of ecpix5_45f, "),
        (["bitstream", "--board=ulx3s_85f", "--cores=11"], "cores must fill a mesh of at most 8 x 8, not 11"),
        (["bitstream", "--clock=0"], "clock must be more than 0, not 0"),
        (["bitstream", "--clock=2"], "the clock must be at least 3.125 MHz with a PLL, or 25 MHz without one, not 2"),
        (["bitstream", "--seed=-1"], "seed must be at least 0, not -1"),
        (["bitstream", "--lanes=3"], "lanes must be 1, 2, 4 or 8, not 3"),
        (["synth", "--board=none"], "board must be one of ecpix5_45f, "),
        (["synth", "--steps=17"], "steps must be 1 to 16, not 17"),
    ],
)
def test_an_impossible_request_is_answered_with_the_reason(arguments, text, capsys, tmp_path):
    assert main([*arguments, f"--output={tmp_path / 'out'}"]) == 2
    message = capsys.readouterr().err
    assert message.startswith(f"backspike {arguments[0]}: {text}")
    assert message.count("\n") == 1


def test_a_missing_extra_is_named(capsys, monkeypatch):
    import sys  # noqa: PLC0415

    for name in [name for name in sys.modules if name.startswith("backspike.fpga")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "amaranth_boards", None)
    assert main(["boards"]) == 2
    expected = "backspike boards: amaranth_boards is missing; install the package with its extra 'fpga'\n"
    assert capsys.readouterr().err.replace(".ecpix5", "") == expected
