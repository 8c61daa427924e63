# SPDX-License-Identifier: Apache-2.0
"""Docstrings on their way into the reference: what ``docs/conf.py`` makes of them."""

import importlib.util
from pathlib import Path

import pytest

CONF = Path(__file__).resolve().parents[1] / "docs" / "conf.py"


@pytest.fixture(scope="module")
def as_rst():
    spec = importlib.util.spec_from_file_location("conf", CONF)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return lambda text: "\n".join(module._as_rst(text.split("\n"))).strip()


def test_a_section_becomes_a_list(as_rst):
    text = (
        "Adds.\n\nMembers\n-------\na, b : In(16)\n    Numbers,\n    signed.\nready : Out(1)\n\nLatency is one cycle."
    )
    assert as_rst(text) == (
        "Adds.\n\n**Members**\n\n\n* a, b : In(16)\n\n  Numbers,\n  signed.\n\n* ready : Out(1)\n\n\n"
        "Latency is one cycle."
    )


def test_an_entry_may_be_one_line(as_rst):
    assert as_rst("Raises\n------\nValueError: out of range;\n    or odd") == (
        "**Raises**\n\n\n* ValueError: out of range;\n  or odd"
    )


def test_only_literals_and_references_are_markup(as_rst):
    assert as_rst("``a*b`` is |a| * b_ in :mod:`x`, over\n``two\nlines``") == (
        "``a*b`` is \\|a\\| \\* b\\_ in :mod:`x`, over\n``two\nlines``"
    )


def test_what_is_returned_is_text_or_entries(as_rst):
    assert as_rst("Returns\n-------\nwhether it fits") == "**Returns**\n\nwhether it fits"
    assert as_rst("Returns\n-------\nint\n    Samples.") == "**Returns**\n\n\n* int\n\n  Samples."


def test_an_indented_text_is_shown_as_it_is(as_rst):
    assert as_rst("Use:\n\n    u = k * u\n\n* one\n  thing\n* two") == (
        "Use:\n\n::\n\n        u = k * u\n\n* one\n  thing\n* two"
    )
